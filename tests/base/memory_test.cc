#include "base/memory.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

// A machine with 1000 kB left, as the files of the system show it.
class AvailableMemoryTest : public ::testing::Test {
 protected:
  AvailableMemoryTest() {
    Write("proc/meminfo", "MemTotal:  4000 kB\nHugePages_Total: 0\nMemAvailable:  1000 kB\nCached: 7 kB\n");
  }

  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_.File(name)).parent_path());
    folder_.Write(name, text);
  }
  void WriteGroup(const std::string& name, const std::string& max, const std::string& current, const std::string& inactive) {
    const std::string group = "sys/fs/cgroup" + name;
    Write(group + "/memory.max", max + "\n");
    Write(group + "/memory.current", current + "\n");
    Write(group + "/memory.stat", "anon 5000\nfile 90000\ninactive_file " + inactive + "\nactive_file 1\n");
  }
  uint64_t Available() const { return AvailableMemory(folder_.path()); }

  test::TempDir folder_;
};

TEST_F(AvailableMemoryTest, WithoutALimitItIsTheMachines) {
  EXPECT_EQ(Available(), 1000u << 10);
  WriteGroup("", "max", "5000", "0");
  EXPECT_EQ(Available(), 1000u << 10);
}

TEST_F(AvailableMemoryTest, AContainersLimitCounts) {
  WriteGroup("", "300000", "100000", "20000");
  EXPECT_EQ(Available(), 220000u);
  // The group's name outside means nothing in here.
  Write("proc/self/cgroup", "1:name=systemd:/x\n0::/docker/abc\n");
  EXPECT_EQ(Available(), 220000u);
}

TEST_F(AvailableMemoryTest, TheTightestOfTheGroupsAboveCounts) {
  Write("proc/self/cgroup", "0::/a.slice/b.scope\n");
  WriteGroup("/a.slice/b.scope", "800000", "1000", "0");
  EXPECT_EQ(Available(), 799000u);
  WriteGroup("/a.slice", "500000", "200000", "0");
  EXPECT_EQ(Available(), 300000u);
  WriteGroup("/c.slice", "10", "0", "0");
  EXPECT_EQ(Available(), 300000u);
}

TEST_F(AvailableMemoryTest, AGroupOverItsLimitHasNothingLeft) {
  WriteGroup("", "1000", "5000", "100");
  EXPECT_EQ(Available(), 0u);
}

TEST_F(AvailableMemoryTest, ALimitAboveWhatTheMachineHasChangesNothing) {
  WriteGroup("", "18446744073709551615", "0", "18446744073709551615");
  EXPECT_EQ(Available(), 1000u << 10);
}

}  // namespace
}  // namespace damask
