// Files that a command writes when its work is done.
#pragma once

#include <string>

#include "base/status.h"

namespace damask::cli {

// Whether the file of `flag` can be written, before hours of work and not after them. InvalidArgument: no path, a folder;
// NotFound: no such folder; Io: the system refuses.
Status CheckOutputFile(const std::string& flag, const std::string& path);

// Whether both name one file, there or not.
bool SameFile(const std::string& a, const std::string& b);

}  // namespace damask::cli
