// Files that a command writes when its work is done.
#pragma once

#include <string>

#include "base/status.h"

namespace damask::cli {

// Whether -o PATH can be a file, before minutes of work and not after them. InvalidArgument: a folder; NotFound: no such
// folder.
Status CheckOutputFile(const std::string& path);

}  // namespace damask::cli
