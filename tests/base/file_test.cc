#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <string>

#include <gtest/gtest.h>

#include "tests/base/without_root.h"
#include "tests/temp_dir.h"

namespace damask {
namespace {

using test::TempDir;
using test::WithoutRoot;

constexpr LoadMode kModes[] = {LoadMode::kMap, LoadMode::kRead};

std::string_view AsText(const FileBytes& file) { return {reinterpret_cast<const char*>(file.bytes().data()), file.size()}; }

// The codes of all three ways to open `path`, which must be one.
StatusCode CodeOfOpening(const std::string& path) {
  const StatusCode code = ReadTextFile(path, 1000).status().code();
  for (const LoadMode mode : kModes) EXPECT_EQ(FileBytes::Open(path, mode).status().code(), code) << path;
  return code;
}

TEST(FileBytes, GivesTheBytesMappedAndRead) {
  const TempDir dir;
  const std::string text = std::string("a\0b\xff", 4) + std::string(100000, 'x');
  const std::string path = dir.Write("file", text);
  for (const LoadMode mode : kModes) {
    const auto file = FileBytes::Open(path, mode);
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_EQ(AsText(**file), text);
    EXPECT_EQ((*file)->path(), path);
  }
}

TEST(FileBytes, AnEmptyFileIsNoBytes) {
  const TempDir dir;
  const std::string path = dir.Write("empty", "");
  for (const LoadMode mode : kModes) EXPECT_EQ(FileBytes::Open(path, mode).value()->size(), 0u);
}

TEST(FileBytes, ReadBytesStayWhenTheFileShrinks) {
  const TempDir dir;
  const std::string path = dir.Write("file", std::string(50000, 'x'));
  const auto file = FileBytes::Open(path, LoadMode::kRead).value();
  ASSERT_EQ(truncate(path.c_str(), 0), 0);
  EXPECT_EQ(AsText(*file), std::string(50000, 'x'));
}

TEST(FileBytes, BytesStayWhenTheFileIsRemoved) {
  const TempDir dir;
  const std::string path = dir.Write("file", "still here");
  for (const LoadMode mode : kModes) {
    dir.Write("file", "still here");
    const auto file = FileBytes::Open(path, mode).value();
    std::filesystem::remove(path);
    EXPECT_EQ(AsText(*file), "still here");
  }
}

TEST(FileBytes, BorrowedBytesAreNotCopied) {
  const std::byte bytes[4] = {};
  const auto file = FileBytes::Borrow(bytes, "four bytes");
  EXPECT_EQ(file->bytes().data(), bytes);
  EXPECT_EQ(file->size(), 4u);
  EXPECT_EQ(file->path(), "four bytes");
}

TEST(FileBytes, AFileLargerThanMemoryCanBeMapped) {
  const TempDir dir;
  const std::string path = dir.Write("sparse", "");
  if (truncate(path.c_str(), off_t{1} << 36) != 0) GTEST_SKIP() << "the file system has no files of 64 GB";
  const auto mapped = FileBytes::Open(path, LoadMode::kMap);
  ASSERT_TRUE(mapped.ok()) << mapped.status().ToString();
  EXPECT_EQ((*mapped)->size(), uint64_t{1} << 36);
}

TEST(FileG21, ADirectoryIsAnIoErrorThatSaysSo) {
  const TempDir dir;
  EXPECT_EQ(CodeOfOpening(dir.path()), StatusCode::kIo);
  EXPECT_EQ(ReadTextFile(dir.path(), 10).status().message(), "is a directory, expected a file");
}

TEST(FileG21, AFifoIsRefusedWithoutWaitingForAWriter) {
  const TempDir dir;
  ASSERT_EQ(mkfifo(dir.File("fifo").c_str(), 0600), 0);
  EXPECT_EQ(CodeOfOpening(dir.File("fifo")), StatusCode::kIo);
}

TEST(FileG21, ADeviceIsRefused) {
  EXPECT_EQ(CodeOfOpening("/dev/zero"), StatusCode::kIo);
  EXPECT_EQ(CodeOfOpening("/dev/null"), StatusCode::kIo);
}

TEST(FileG21, AMissingFileAndADanglingLinkAreIoErrorsThatNameThem) {
  const TempDir dir;
  ASSERT_EQ(symlink("/no/such/target", dir.File("link").c_str()), 0);
  EXPECT_EQ(CodeOfOpening(dir.File("missing")), StatusCode::kIo);
  EXPECT_EQ(CodeOfOpening(dir.File("link")), StatusCode::kIo);
  EXPECT_EQ(ReadTextFile(dir.File("missing"), 10).status().ToString(),
            "'" + dir.File("missing") + "': cannot open: No such file or directory");
}

TEST(FileG21, AFileWithoutPermissionIsAnIoError) {
  const TempDir dir;
  const std::string path = dir.Write("secret", "x");
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const WithoutRoot user;
  EXPECT_EQ(CodeOfOpening(path), StatusCode::kIo);
  EXPECT_NE(ReadTextFile(path, 10).status().message().find("Permission denied"), std::string::npos);
}

TEST(FileG21, ANameWithNewlineOrBytesThatAreNotUtf8IsShownEscapedInOneLine) {
  const std::string error = ReadTextFile("/no/such\nfile\xff", 10).status().ToString();
  EXPECT_EQ(error, "'/no/such\\x0afile\\xff': cannot open: No such file or directory");
}

TEST(FileG21, SuchANameOpensWhereTheFileExists) {
  const TempDir dir;
  const std::string path = dir.Write("new\nline\xff", "x");
  EXPECT_EQ(ReadTextFile(path, 10).value(), "x");
}

TEST(FileG21, ANulByteInANameDoesNotOpenAnotherFile) {
  const TempDir dir;
  const std::string path = dir.Write("file", "x") + std::string("\0.gguf", 6);
  EXPECT_EQ(CodeOfOpening(path), StatusCode::kInvalidArgument);
}

TEST(FileG21, AnEmptyNameIsRefused) { EXPECT_EQ(CodeOfOpening(""), StatusCode::kInvalidArgument); }

TEST(FileG21, SizesBeyond4GiBAreKept) {
  const TempDir dir;
  const std::string path = dir.Write("sparse", "");
  const off_t size = (off_t{5} << 30) + 3;
  ASSERT_EQ(truncate(path.c_str(), size), 0);
  const auto file = FileBytes::Open(path, LoadMode::kMap).value();
  ASSERT_EQ(file->size(), static_cast<uint64_t>(size));
  EXPECT_EQ(file->bytes()[file->size() - 1], std::byte{0});
}

TEST(ReadTextFile, OneByteOverTheLimitIsTooLarge) {
  const TempDir dir;
  const std::string path = dir.Write("text", "12345");
  EXPECT_EQ(ReadTextFile(path, 5).value(), "12345");
  EXPECT_EQ(ReadTextFile(path, 4).status().code(), StatusCode::kTooLarge);
}

// Its files have bytes, whatever size the system tells.
TEST(ReadTextFile, AFileOfProcIsReadToItsEnd) {
  const auto text = ReadTextFile("/proc/version", 10000);
  if (text.status().code() == StatusCode::kIo) GTEST_SKIP() << "there is no /proc";
  ASSERT_TRUE(text.ok()) << text.status().ToString();
  EXPECT_GT(text->size(), 5u);
  EXPECT_EQ(ReadDocumentFile("/proc/version", 10000).value(), *text);
  const Status longer = ReadTextFile("/proc/version", 5).status();
  EXPECT_EQ(longer.code(), StatusCode::kTooLarge);
  EXPECT_EQ(longer.where(), "'/proc/version'");
}

// Standard input replaced by a file for as long as it lives.
class InputFrom {
 public:
  explicit InputFrom(const std::string& path) : saved_(dup(STDIN_FILENO)) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    dup2(fd, STDIN_FILENO);
    close(fd);
  }
  InputFrom(const InputFrom&) = delete;
  InputFrom& operator=(const InputFrom&) = delete;
  ~InputFrom() {
    if (saved_ < 0) {
      close(STDIN_FILENO);
    } else {
      dup2(saved_, STDIN_FILENO);
      close(saved_);
    }
  }

 private:
  int saved_;
};

TEST(ReadStandardInput, ReadsAllUpToTheLimit) {
  const TempDir dir;
  const std::string text(200000, 'x');
  const std::string path = dir.Write("input", text);
  {
    const InputFrom input(path);
    EXPECT_EQ(ReadStandardInput(text.size()).value(), text);
  }
  const InputFrom input(path);
  const Status status = ReadStandardInput(text.size() - 1).status();
  EXPECT_EQ(status.code(), StatusCode::kTooLarge);
  EXPECT_EQ(status.where(), "standard input");
}

TEST(ReadDocumentFile, APipeIsReadToItsEnd) {
  const TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const std::string text(200000, 'x');  // more than a pipe holds
  const auto give = [&] {
    const int fd = open(fifo.c_str(), O_WRONLY | O_CLOEXEC);
    for (size_t given = 0; fd >= 0 && given < text.size();) {
      const ssize_t put = write(fd, text.data() + given, text.size() - given);
      if (put < 0) break;
      given += static_cast<size_t>(put);
    }
    close(fd);
  };
  const std::future<void> writer = std::async(std::launch::async, give);
  EXPECT_EQ(ReadDocumentFile(fifo, text.size()).value(), text);
}

TEST(ReadDocumentFile, ADeviceIsReadToItsEndOrTheLimit) {
  EXPECT_EQ(ReadDocumentFile("/dev/null", 10).value(), "");
  const Status endless = ReadDocumentFile("/dev/zero", 100000).status();
  EXPECT_EQ(endless.code(), StatusCode::kTooLarge);
  EXPECT_EQ(endless.where(), "'/dev/zero'");
}

TEST(ReadDocumentFile, WhatIsNoPipeIsReadAsATextFile) {
  const TempDir dir;
  EXPECT_EQ(ReadDocumentFile(dir.Write("text", "12345"), 5).value(), "12345");
  EXPECT_EQ(ReadDocumentFile(dir.File("text"), 4).status().code(), StatusCode::kTooLarge);
  EXPECT_EQ(ReadDocumentFile(dir.path(), 5).status().code(), StatusCode::kIo);
  EXPECT_EQ(ReadDocumentFile(dir.File("missing"), 5).status().code(), StatusCode::kIo);
  EXPECT_EQ(ReadDocumentFile("", 5).status().code(), StatusCode::kInvalidArgument);
}

TEST(Paths, DirectoriesAndFilesAreToldApart) {
  const TempDir dir;
  const std::string file = dir.Write("file", "");
  EXPECT_TRUE(IsDirectory(dir.path()));
  EXPECT_FALSE(IsDirectory(file));
  EXPECT_FALSE(IsDirectory(dir.File("missing")));
  EXPECT_TRUE(FileExists(file));
  EXPECT_FALSE(FileExists(dir.File("missing")));
}

}  // namespace
}  // namespace damask
