#include "base/control_group.h"

#include <cstdint>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

class ProcessorQuotaTest : public ::testing::Test {
 protected:
  void Write(const std::string& name, const std::string& text) {
    std::filesystem::create_directories(std::filesystem::path(folder_.File(name)).parent_path());
    folder_.Write(name, text);
  }
  size_t Quota() const { return ProcessorQuota(folder_.path()); }

  test::TempDir folder_;
};

TEST_F(ProcessorQuotaTest, WithoutALimitThereIsNone) {
  EXPECT_EQ(Quota(), SIZE_MAX);
  Write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(Quota(), SIZE_MAX);
}

TEST_F(ProcessorQuotaTest, AContainersLimitCountsInWholeProcessors) {
  Write("proc/self/cgroup", "0::/docker/abc\n");
  Write("sys/fs/cgroup/cpu.max", "350000 100000\n");
  EXPECT_EQ(Quota(), 3u);
  Write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(Quota(), 1u);
}

TEST_F(ProcessorQuotaTest, TheTightestOfTheGroupsAboveCounts) {
  Write("proc/self/cgroup", "1:name=systemd:/x\n0::/a.slice/b.service\n");
  Write("sys/fs/cgroup/a.slice/b.service/cpu.max", "800000 100000\n");
  EXPECT_EQ(Quota(), 8u);
  Write("sys/fs/cgroup/a.slice/cpu.max", "200000 100000\n");
  EXPECT_EQ(Quota(), 2u);
  Write("sys/fs/cgroup/c.slice/cpu.max", "100000 100000\n");
  EXPECT_EQ(Quota(), 2u);
}

TEST_F(ProcessorQuotaTest, WhatIsNoQuotaIsNone) {
  for (const char* text : {"", "200000\n", "200000 0\n", "many 100000\n"}) {
    Write("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(Quota(), SIZE_MAX) << text;
  }
}

}  // namespace
}  // namespace damask
