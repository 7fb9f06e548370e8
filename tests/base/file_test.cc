#include "base/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

using test::TempDir;

constexpr LoadMode kModes[] = {LoadMode::kMap, LoadMode::kRead};

std::string_view AsText(const FileBytes& file) { return {reinterpret_cast<const char*>(file.bytes().data()), file.size()}; }

// Acts as a user without rights for as long as it lives, where the tests run as root.
class WithoutRoot {
 public:
  WithoutRoot() : was_root_(geteuid() == 0) {
    if (was_root_ && seteuid(65534) != 0) ADD_FAILURE() << "seteuid";
  }
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;
  ~WithoutRoot() {
    if (was_root_ && seteuid(0) != 0) ADD_FAILURE() << "seteuid";
  }

 private:
  bool was_root_;
};

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
  EXPECT_EQ(WriteFileAtomically(path, "y").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(test::ReadBytes(dir.File("file")), "x");
}

TEST(FileG21, AnEmptyNameIsRefused) {
  EXPECT_EQ(CodeOfOpening(""), StatusCode::kInvalidArgument);
  EXPECT_EQ(WriteFileAtomically("", "y").code(), StatusCode::kInvalidArgument);
}

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

TEST(WriteFileAtomically, MakesAndReplacesAFileAndLeavesNothingElse) {
  const TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("mask"), "first").ok());
  ASSERT_TRUE(WriteFileAtomically(dir.File("mask"), std::string("sec\0nd", 6)).ok());
  EXPECT_EQ(test::ReadBytes(dir.File("mask")), std::string("sec\0nd", 6));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(WriteFileAtomically, WorksWithARelativeNameAndTheLongestNameThereIs) {
  const TempDir dir;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(dir.path());
  const std::string longest(255, 'n');
  EXPECT_TRUE(WriteFileAtomically("mask", "x").ok());
  EXPECT_TRUE(WriteFileAtomically(longest, "y").ok());
  std::filesystem::current_path(before);
  EXPECT_EQ(test::ReadBytes(dir.File("mask")), "x");
  EXPECT_EQ(test::ReadBytes(dir.File(longest)), "y");
}

TEST(WriteFileAtomically, AReaderWhoHoldsTheOldFileKeepsIt) {
  const TempDir dir;
  const std::string path = dir.Write("mask", "old");
  const auto mapped = FileBytes::Open(path, LoadMode::kMap).value();
  ASSERT_TRUE(WriteFileAtomically(path, "new").ok());
  EXPECT_EQ(AsText(*mapped), "old");
}

TEST(WriteFileAtomically, ThreadsThatWriteOneFileLeaveOneOfTheirsWhole) {
  const TempDir dir;
  std::vector<std::thread> threads;
  for (const char letter : {'a', 'b', 'c', 'd'}) {
    threads.emplace_back([&dir, letter] {
      for (int round = 0; round < 10; ++round)
        EXPECT_TRUE(WriteFileAtomically(dir.File("mask"), std::string(5000, letter)).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::string text = test::ReadBytes(dir.File("mask"));
  EXPECT_EQ(text, std::string(5000, text[0]));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(WriteFileAtomically, AFailureLeavesTheTargetAndNoTemporary) {
  const TempDir dir;
  std::filesystem::create_directory(dir.File("folder"));
  dir.Write("folder/inside", "x");
  EXPECT_EQ(WriteFileAtomically(dir.File("folder"), "y").code(), StatusCode::kIo);
  EXPECT_EQ(WriteFileAtomically(dir.File("missing/mask"), "y").code(), StatusCode::kIo);
  EXPECT_EQ(test::ReadBytes(dir.File("folder/inside")), "x");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(WriteFileAtomically, AFullDiskIsAnErrorAndTheOldFileStays) {
  // The limit on a file's size fails a write as a full disk does; in a process of its own, since the limit cannot be lifted
  // again.
  const TempDir dir;
  const std::string path = dir.Write("mask", "old");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(WriteFileAtomically(path, std::string(1000, 'y')).code() == StatusCode::kIo ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(test::ReadBytes(path), "old");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
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
