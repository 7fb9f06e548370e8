// Files that are not models, seen from the command line: one line on standard error, exit code 2. Row ids are those of the
// catalogue of bad input.
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

ProgramResult Generate(const std::string& path, std::vector<std::string> more = {}) {
  std::vector<std::string> args = {"generate", "-m", path, "-p", "x", "-n", "1"};
  args.insert(args.end(), more.begin(), more.end());
  return Damask(args);
}

class EveryReader : public ::testing::TestWithParam<std::vector<std::string>> {
 protected:
  ProgramResult Run(const std::string& path) const {
    std::vector<std::string> args = GetParam();
    args.insert(args.end(), {"-m", path});
    return Damask(args);
  }
};

TEST_P(EveryReader, RefusesAMissingFile) { ExpectRefused(Run("/no/such/model.gguf"), "/no/such/model.gguf"); }

TEST_P(EveryReader, RefusesAFolderWithoutConfig) {
  const TempDir dir;
  ExpectRefused(Run(dir.path()), ".json");
}

TEST_P(EveryReader, G01RefusesAnEmptyFile) {
  const TempDir dir;
  ExpectRefused(Run(dir.Write("model.gguf", "")), "model.gguf");
}

TEST_P(EveryReader, G02RefusesACutFile) {
  const TempDir dir;
  const std::string whole = ReadBytes(TinyModel());
  ExpectRefused(Run(dir.Write("cut.gguf", whole.substr(0, 2000))), "cut.gguf");
}

INSTANTIATE_TEST_SUITE_P(BadFile, EveryReader,
                         ::testing::Values(std::vector<std::string>{"generate", "-p", "x"}, std::vector<std::string>{"chat"},
                                           std::vector<std::string>{"tokenize", "-p", "x"},
                                           std::vector<std::string>{"detokenize", "--tokens", "1"},
                                           std::vector<std::string>{"info"},
                                           std::vector<std::string>{"eval", "logits", "--tokens", "1"},
                                           std::vector<std::string>{"bench"}));

TEST(BadFile, G01SaysWhatAFileIsThatIsNoModel) {
  const TempDir dir;
  ExpectRefused(Generate(dir.Write("three.gguf", "GGU")), "three.gguf");
  ExpectRefused(Generate(dir.Write("page.gguf", "<!DOCTYPE html><html><body>Not found</body></html>")), "HTML");
  ExpectRefused(Generate(dir.Write("pointer.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n")),
                "LFS");
}

TEST(BadFile, G02AFileCutAnywhereIsRefused) {
  const TempDir dir;
  const std::string whole = ReadBytes(TinyModel());
  for (const size_t size : {size_t{4}, size_t{8}, size_t{23}, size_t{24}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    ExpectRefused(Generate(dir.Write("cut.gguf", whole.substr(0, size))), "cut.gguf");
  }
}

TEST(BadFile, G03OtherVersionsAreRefused) {
  const TempDir dir;
  std::string bytes = ReadBytes(TinyModel());
  for (const char version : {'\0', '\1', '\4'}) {
    bytes[4] = version;
    ExpectRefused(Generate(dir.Write("version.gguf", bytes)), "version");
  }
}

void LeaveNoCore() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
}

// The exit code of a run whose model loses all its bytes when the first words are out.
int ShrinkWhileItAnswers(const std::vector<std::string>& more) {
  const TempDir dir;
  const std::string path = dir.Write("model.gguf", ReadBytes(TinyModel()));
  ProgramRun run;
  // An answer that is led to repeat itself meets no end token.
  run.args = {DAMASK_PROGRAM,     "generate", "-m", path, "--raw", "-p", "x", "-n", "2000", "--temp", "0",
              "--repeat-penalty", "0.01",     "-t", "1"};
  run.args.insert(run.args.end(), more.begin(), more.end());
  run.env = {{"ASAN_OPTIONS", "handle_sigbus=0"}};  // what a build with it would make of the signal
  run.in_child = LeaveNoCore;
  const auto shrink = [&](const ProgramResult& so_far) {
    if (so_far.out.empty()) return false;
    std::filesystem::resize_file(path, 0);
    return true;
  };
  run.signals = {{0, shrink}};  // signal 0 is none
  return RunProgram(run).exit_code;
}

TEST(BadFile, G20WithoutMmapAFileMayShrinkWhileItIsUsed) { EXPECT_EQ(ShrinkWhileItAnswers({"--no-mmap"}), 0); }

// That the file was in use: mapped, the run ends with it.
TEST(BadFile, G20AMappedFileMayNot) { EXPECT_EQ(ShrinkWhileItAnswers({}), 128 + SIGBUS); }

TEST(BadFile, G21WhatIsNoRegularFileIsRefused) {
  const TempDir dir;
  ExpectRefused(Generate("/dev/zero"), "/dev/zero");
  const std::string fifo = dir.File("fifo.gguf");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  ExpectRefused(Generate(fifo), "fifo.gguf");
  const std::string dangling = dir.File("link.gguf");
  ASSERT_EQ(symlink("/no/such/file", dangling.c_str()), 0);
  ExpectRefused(Generate(dangling), "link.gguf");
  ExpectRefused(Generate(dir.File("a\nb.gguf")), "a\\x0ab.gguf");
  ExpectRefused(Generate(dir.File("a\xff.gguf")), "a\\xff.gguf");
}

// Root as anybody else: what it may do beyond its own files is gone with the next program.
void ObeyPermissions() {
  prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0);
  prctl(PR_CAPBSET_DROP, CAP_DAC_READ_SEARCH, 0, 0, 0);
}

TEST(BadFile, G21NoPermissionIsRefused) {
  const TempDir dir;
  const std::string path = dir.Write("model.gguf", ReadBytes(TinyModel()));
  ASSERT_EQ(chmod(path.c_str(), 0), 0);
  const ProgramResult result = RunProgram(
      ProgramRun{.args = {DAMASK_PROGRAM, "generate", "-m", path, "-p", "x", "-n", "1"}, .in_child = ObeyPermissions});
  ExpectRefused(result, "model.gguf': cannot open: Permission denied");
}

TEST(BadFile, G21APromptFileFollowsTheSameRules) {
  const TempDir dir;
  ExpectRefused(Damask({"generate", "-f", dir.path()}), "");
  ExpectRefused(Damask({"generate", "-f", "/dev/null"}), "'/dev/null' has no text");
  ExpectRefused(Damask({"generate", "-f", "/no/such/file"}), "/no/such/file");
}

void LittleAddressSpace() {
  const rlimit limit{rlim_t{4} << 30, rlim_t{4} << 30};
  setrlimit(RLIMIT_AS, &limit);
}

TEST(BadFile, NoAddressSpaceForAMappingIsAFailureOfTheRun) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "its shadow takes more";
#endif
  const TempDir dir;
  const std::string path = dir.Write("huge.gguf", "GGUF");
  std::filesystem::resize_file(path, uint64_t{8} << 30);  // a hole
  const ProgramResult result =
      RunProgram(ProgramRun{.args = {DAMASK_PROGRAM, "info", "-t", "1", path}, .in_child = LittleAddressSpace});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_NE(result.err.find("huge.gguf': needs 8.6 GB of address space"), std::string::npos) << result.err;
}

TEST(BadFile, AWrongPolicyOptionIsOneSentence) {
  ExpectRefused(Damask({"generate", "-p", "x", "--policy", "full:window=3"}), "window");
}

}  // namespace
}  // namespace damask::test
