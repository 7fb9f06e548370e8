// Which damask this is.
#pragma once

#include <string_view>

namespace damask {

// "0.1.0+abc123456": the version and, where it was built from a git checkout, the commit, "-dirty" after it where followed
// files differed from it.
std::string_view VersionString();

// "abc123456", or "" where it was built from a tarball.
std::string_view GitCommit();

}  // namespace damask
