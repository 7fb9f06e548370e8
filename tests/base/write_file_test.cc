#include "base/write_file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "base/file.h"
#include "tests/base/without_root.h"
#include "tests/temp_dir.h"

namespace damask {
namespace {

using test::TempDir;
using test::WithoutRoot;

std::string_view AsText(const FileBytes& file) { return {reinterpret_cast<const char*>(file.bytes().data()), file.size()}; }

std::ptrdiff_t NumFiles(const TempDir& dir) { return std::distance(std::filesystem::directory_iterator(dir.path()), {}); }

mode_t ModeOf(const std::string& path) {
  struct stat info = {};
  EXPECT_EQ(lstat(path.c_str(), &info), 0) << path;
  return info.st_mode;
}

// What is in a pipe now.
std::string ReadAtOnce(int fd) {
  char buffer[1000];
  const ssize_t got = read(fd, buffer, sizeof(buffer));
  return got < 0 ? std::string() : std::string(buffer, static_cast<size_t>(got));
}

TEST(WriteFileAtomically, MakesAndReplacesAFileAndLeavesNothingElse) {
  const TempDir dir;
  ASSERT_TRUE(WriteFileAtomically(dir.File("mask"), "first").ok());
  ASSERT_TRUE(WriteFileAtomically(dir.File("mask"), std::string("sec\0nd", 6)).ok());
  EXPECT_EQ(test::ReadBytes(dir.File("mask")), std::string("sec\0nd", 6));
  EXPECT_EQ(NumFiles(dir), 1);
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
  EXPECT_EQ(NumFiles(dir), 1);
}

TEST(WriteFileAtomically, AFailureLeavesTheTargetAndNoTemporary) {
  const TempDir dir;
  std::filesystem::create_directory(dir.File("folder"));
  dir.Write("folder/inside", "x");
  EXPECT_EQ(WriteFileAtomically(dir.File("folder"), "y").code(), StatusCode::kWriteFailed);
  EXPECT_EQ(WriteFileAtomically(dir.File("missing/mask"), "y").code(), StatusCode::kWriteFailed);
  EXPECT_EQ(test::ReadBytes(dir.File("folder/inside")), "x");
  EXPECT_EQ(NumFiles(dir), 1);
}

// True where `write` failed as it should in a process whose files may not be larger than 100 bytes: that fails a write as a
// full disk does, and cannot be lifted again.
bool FailsOnAFullDisk(const std::function<bool()>& write) {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{100, 100};
    setrlimit(RLIMIT_FSIZE, &limit);
    _exit(write() ? 0 : 1);
  }
  int status = -1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

TEST(WriteFileAtomically, AFullDiskIsAnErrorAndTheOldFileStays) {
  const TempDir dir;
  const std::string path = dir.Write("mask", "old");
  EXPECT_TRUE(
      FailsOnAFullDisk([&] { return WriteFileAtomically(path, std::string(1000, 'y')).code() == StatusCode::kWriteFailed; }));
  EXPECT_EQ(test::ReadBytes(path), "old");
  EXPECT_EQ(NumFiles(dir), 1);
}

TEST(WriteFileAtomically, ANameThatTheSystemWouldCutIsRefused) {
  const TempDir dir;
  const std::string path = dir.Write("file", "x") + std::string("\0.gguf", 6);
  EXPECT_EQ(WriteFileAtomically(path, "y").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(test::ReadBytes(dir.File("file")), "x");
  EXPECT_EQ(WriteFileAtomically("", "y").code(), StatusCode::kInvalidArgument);
}

TEST(WriteFileAtomically, TheFileBehindSymbolicLinksIsReplaced) {
  const TempDir dir;
  std::filesystem::create_directory(dir.File("folder"));
  dir.Write("folder/mask", "old");
  // One link from its own folder, one from the root.
  ASSERT_EQ(symlink("mask", dir.File("folder/near").c_str()), 0);
  ASSERT_EQ(symlink(dir.File("folder/near").c_str(), dir.File("link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(dir.File("link"), "new").ok());
  EXPECT_EQ(test::ReadBytes(dir.File("folder/mask")), "new");
  EXPECT_TRUE(S_ISLNK(ModeOf(dir.File("link"))));
  EXPECT_TRUE(S_ISLNK(ModeOf(dir.File("folder/near"))));
}

TEST(WriteFileAtomically, WhatADanglingLinkNamesIsMade) {
  const TempDir dir;
  ASSERT_EQ(symlink("mask", dir.File("link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(dir.File("link"), "new").ok());
  EXPECT_EQ(test::ReadBytes(dir.File("mask")), "new");
  EXPECT_TRUE(S_ISLNK(ModeOf(dir.File("link"))));
}

TEST(WriteFileAtomically, LinksInACircleAreAnError) {
  const TempDir dir;
  ASSERT_EQ(symlink("two", dir.File("one").c_str()), 0);
  ASSERT_EQ(symlink("one", dir.File("two").c_str()), 0);
  EXPECT_EQ(WriteFileAtomically(dir.File("one"), "x").code(), StatusCode::kWriteFailed);
  EXPECT_EQ(NumFiles(dir), 2);
}

TEST(WriteFileAtomically, AFileKeepsItsPermissions) {
  const TempDir dir;
  const std::string path = dir.Write("mask", "old");
  for (const mode_t mode : {mode_t{0600}, mode_t{0664}}) {
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
    ASSERT_TRUE(WriteFileAtomically(path, "new").ok());
    EXPECT_EQ(ModeOf(path) & 07777, mode);
  }
}

TEST(WriteFileAtomically, APipeIsWrittenTo) {
  const TempDir dir;
  const std::string fifo = dir.File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const Descriptor reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  ASSERT_TRUE(WriteFileAtomically(fifo, "through").ok());
  EXPECT_EQ(ReadAtOnce(reader.get()), "through");
  EXPECT_TRUE(S_ISFIFO(ModeOf(fifo)));
  EXPECT_EQ(NumFiles(dir), 1);
}

TEST(WriteFileAtomically, APipeWithoutANameIsWrittenTo) {
  // As /dev/stdout and a shell's >(command) are.
  int ends[2] = {-1, -1};
  ASSERT_EQ(pipe(ends), 0);
  const Descriptor reader(ends[0]);
  const Descriptor writer(ends[1]);
  ASSERT_TRUE(WriteFileAtomically("/proc/self/fd/" + std::to_string(writer.get()), "through").ok());
  EXPECT_EQ(ReadAtOnce(reader.get()), "through");
}

TEST(WriteFileAtomically, AFileThatADescriptorHasOpenIsWrittenToAndNotReplaced) {
  // As standard output is under "> log".
  const TempDir dir;
  const std::string log = dir.Write("log", "");
  const Descriptor writer(open(log.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(write(writer.get(), "head ", 5), 5);
  const std::string name = "/dev/fd/" + std::to_string(writer.get());
  EXPECT_TRUE(CheckWritable(name).ok());
  ASSERT_TRUE(WriteFileAtomically(name, "page ").ok());
  ASSERT_EQ(symlink(name.c_str(), dir.File("link").c_str()), 0);
  ASSERT_TRUE(WriteFileAtomically(dir.File("link"), "more ").ok());
  ASSERT_EQ(write(writer.get(), "foot", 4), 4);
  EXPECT_EQ(test::ReadBytes(log), "head page more foot");
  EXPECT_EQ(NumFiles(dir), 2);
  const Descriptor reader(open(log.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(CheckWritable("/dev/fd/" + std::to_string(reader.get())).code(), StatusCode::kWriteFailed);
}

TEST(WriteFileAtomically, ADeviceStaysADevice) {
  const WithoutRoot user;  // who could not harm it
  EXPECT_TRUE(WriteFileAtomically("/dev/null", "x").ok());
  EXPECT_TRUE(S_ISCHR(ModeOf("/dev/null")));
}

TEST(AtomicFile, PiecesAreOneFileWithCommit) {
  const TempDir dir;
  const std::string path = dir.Write("rows", "old");
  const auto file = AtomicFile::Create(path).value();
  ASSERT_TRUE(file->Append("first ").ok());
  ASSERT_TRUE(file->Append("second").ok());
  EXPECT_EQ(test::ReadBytes(path), "old");
  ASSERT_TRUE(file->Commit().ok());
  EXPECT_EQ(test::ReadBytes(path), "first second");
  EXPECT_EQ(NumFiles(dir), 1);
}

TEST(AtomicFile, WithoutCommitNothingHasChanged) {
  const TempDir dir;
  const std::string path = dir.Write("rows", "old");
  ASSERT_TRUE(AtomicFile::Create(path).value()->Append("half").ok());
  EXPECT_EQ(test::ReadBytes(path), "old");
  EXPECT_EQ(NumFiles(dir), 1);
}

TEST(AtomicFile, AFullDiskIsAnErrorOfAppend) {
  const TempDir dir;
  EXPECT_TRUE(FailsOnAFullDisk([&] {
    const auto file = AtomicFile::Create(dir.File("rows")).value();
    return file->Append(std::string(60, 'x')).ok() && file->Append(std::string(60, 'x')).code() == StatusCode::kWriteFailed;
  }));
  EXPECT_EQ(NumFiles(dir), 0);
}

TEST(CheckWritable, WhatCanBeWrittenIsLeftAsItIs) {
  const TempDir dir;
  EXPECT_TRUE(CheckWritable(dir.File("new")).ok());
  EXPECT_EQ(NumFiles(dir), 0);
  const std::string path = dir.Write("mask", "old");
  EXPECT_TRUE(CheckWritable(path).ok());
  EXPECT_EQ(test::ReadBytes(path), "old");
  EXPECT_EQ(NumFiles(dir), 1);
  EXPECT_TRUE(CheckWritable("/dev/null").ok());
  // Nobody reads it: to open it would wait.
  ASSERT_EQ(mkfifo(dir.File("fifo").c_str(), 0600), 0);
  EXPECT_TRUE(CheckWritable(dir.File("fifo")).ok());
}

TEST(CheckWritable, WhatCannotBeWrittenIsAnErrorAndLeavesNothing) {
  const TempDir dir;
  EXPECT_EQ(CheckWritable(dir.File("missing/mask")).code(), StatusCode::kWriteFailed);
  EXPECT_EQ(CheckWritable(dir.path()).code(), StatusCode::kWriteFailed);
  EXPECT_EQ(CheckWritable("").code(), StatusCode::kInvalidArgument);
  dir.Write("mask", "old");
  ASSERT_EQ(chmod(dir.path().c_str(), 0555), 0);
  {
    const WithoutRoot user;
    const Status status = CheckWritable(dir.File("mask"));
    EXPECT_EQ(status.code(), StatusCode::kWriteFailed);
    EXPECT_NE(status.message().find("Permission denied"), std::string::npos) << status.message();
    EXPECT_EQ(WriteFileAtomically(dir.File("mask"), "new").code(), StatusCode::kWriteFailed);
  }
  ASSERT_EQ(chmod(dir.path().c_str(), 0755), 0);
  EXPECT_EQ(test::ReadBytes(dir.File("mask")), "old");
  EXPECT_EQ(NumFiles(dir), 1);
}

}  // namespace
}  // namespace damask
