#include "base/version.h"

#include <string>

#include <gtest/gtest.h>

namespace damask {
namespace {

TEST(Version, IsTheNumberAndTheCommitWhereThereIsOne) {
  const std::string version(VersionString());
  const std::string commit(GitCommit());
  const std::string number = version.substr(0, version.find('+'));
  EXPECT_EQ(std::count(number.begin(), number.end(), '.'), 2) << version;
  const std::string clean = commit.empty() ? number : number + "+" + commit;
  EXPECT_TRUE(version == clean || (!commit.empty() && version == clean + "-dirty")) << version;
  EXPECT_EQ(commit.find_first_not_of("0123456789abcdef"), std::string::npos) << commit;
}

}  // namespace
}  // namespace damask
