// What a user of the library does: install into a folder, find it by CMake and by pkg-config, build a program, run it.
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/run_program.h"
#include "tests/temp_dir.h"

namespace damask {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::ProgramRun;
using test::TempDir;

constexpr const char* kExample = DAMASK_SOURCE_DIR "/examples/generate.cc";
constexpr const char* kAnswer = "50937>";  // to the example's own task

ProgramResult RunOk(std::vector<std::string> args, std::vector<std::pair<std::string, std::string>> env = {}) {
  ProgramRun run;
  run.args = std::move(args);
  run.env = std::move(env);
  run.limit = std::chrono::minutes(5);
  ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 0) << run.args[0] << "\n" << result.out << result.err;
  return result;
}

// Installed once for all tests here.
class Install : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    dir_ = new TempDir;
    RunOk({DAMASK_CMAKE, "--install", DAMASK_BINARY_DIR, "--prefix", Prefix()});
  }
  static void TearDownTestSuite() { delete dir_; }

  static std::string Prefix() { return dir_->File("prefix"); }
  // Distributions have their own word for it: lib64, lib/x86_64-linux-gnu.
  static std::string Lib() { return Prefix() + "/" DAMASK_INSTALL_LIBDIR; }
  static TempDir* dir_;
};
TempDir* Install::dir_ = nullptr;

TEST_F(Install, PutsEveryFileInItsPlace) {
  for (const char* file : {"bin/damask", "include/damask/damask.h", "include/damask/status.h"}) {
    EXPECT_TRUE(fs::exists(Prefix() + "/" + file)) << file;
  }
  for (const char* file : {"libdamask.a", "cmake/damask/damaskConfig.cmake", "cmake/damask/damaskConfigVersion.cmake",
                           "cmake/damask/damaskTargets.cmake", "pkgconfig/damask.pc"}) {
    EXPECT_TRUE(fs::exists(Lib() + "/" + file)) << file;
  }
}

TEST_F(Install, NamesNoFolderOfTheMachineItWasBuiltOn) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(Lib())) {
    const std::string name = entry.path().filename();
    if (!entry.is_regular_file() || entry.path().extension() == ".a") continue;
    const std::string text = test::ReadBytes(entry.path());
    EXPECT_EQ(text.find(DAMASK_SOURCE_DIR), std::string::npos) << name;
    EXPECT_EQ(text.find(Prefix()), std::string::npos) << name;
  }
}

TEST_F(Install, TheProgramRunsFromThere) {
  EXPECT_NE(RunOk({Prefix() + "/bin/damask", "--help"}).out.find("damask"), std::string::npos);
}

TEST_F(Install, CMakeFindsItAndAProgramBuiltWithItAnswers) {
  const std::string build = dir_->File("by_cmake");
  RunOk({DAMASK_CMAKE, "-S", std::string(DAMASK_SOURCE_DIR) + "/tests/install/consumer", "-B", build,
         "-DCMAKE_PREFIX_PATH=" + Prefix(), std::string("-DCMAKE_CXX_COMPILER=") + DAMASK_CXX,
         std::string("-DCMAKE_CXX_FLAGS=") + DAMASK_CXX_FLAGS, std::string("-DCONSUMER_SOURCE=") + kExample});
  RunOk({DAMASK_CMAKE, "--build", build});
  EXPECT_EQ(RunOk({build + "/consumer"}).out, kAnswer);
}

TEST_F(Install, PkgConfigFindsItEvenAfterTheFolderMovedAndAProgramBuiltWithItAnswers) {
  const std::string moved = dir_->File("moved");
  const std::string pc_folder = moved + "/" DAMASK_INSTALL_LIBDIR "/pkgconfig";
  fs::copy(Prefix(), moved, fs::copy_options::recursive);
  const std::string flags = RunOk({DAMASK_PKG_CONFIG, "--cflags", "--libs", "damask"}, {{"PKG_CONFIG_PATH", pc_folder}}).out;
  const std::string folder = fs::path(dir_->path()).filename();
  EXPECT_NE(flags.find(folder + "/moved/"), std::string::npos) << flags;
  EXPECT_EQ(flags.find(folder + "/prefix/"), std::string::npos) << flags;
  // Both are written for a shell: a blank in a path has a backslash before it.
  const std::string compile = "\"$@\" " DAMASK_CXX_FLAGS " " + flags;
  RunOk({"sh", "-c", compile, "sh", DAMASK_CXX, "-std=c++20", kExample, "-o", dir_->File("by_pkg_config")});
  EXPECT_EQ(RunOk({dir_->File("by_pkg_config")}).out, kAnswer);
}

}  // namespace
}  // namespace damask
