// What a file's name must be before it goes to the system.
#pragma once

#include <string>

#include "base/status.h"

namespace damask {

// InvalidArgument for an empty name and for one with a NUL byte: the system's calls end a name there and would take another
// file.
Status CheckFileName(const std::string& path);

}  // namespace damask
