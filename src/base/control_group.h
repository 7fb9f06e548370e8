// The control groups (version 2) that this process is in.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace damask {

// Their folders, the process's own group first and the root of all last; a limit of any of them holds. `root` stands before
// "/proc" and "/sys", for tests. In a container the root of the file system is the container's own group, whatever the
// process's group is called outside: folders need not be there.
std::vector<std::string> ControlGroups(const std::string& root);

// The processors' worth of time that all of them grant, rounded down, at least 1; SIZE_MAX without a limit.
size_t ProcessorQuota(const std::string& root = "");

}  // namespace damask
