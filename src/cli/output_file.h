// Files that a command writes when its work is done.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"

namespace damask::cli {

// A file that a command reads or writes, and the flag that names it.
struct NamedFile {
  std::string flag;
  std::string path;
};

// Whether the file of `flag` can be written, before hours of work and not after them, and whether its place is that of one of
// `others`, what the command reads and what else it writes (of a folder, and of a split model, every file that is read).
// InvalidArgument: no path, a folder, one of the others; NotFound: no such folder; Io: the system refuses.
Status CheckOutputFile(const std::string& flag, const std::string& path, const std::vector<NamedFile>& others);

// The files that a SPEC of a policy names, as files of `flag`.
std::vector<NamedFile> FilesOfSpec(const std::string& flag, const std::string& spec);

}  // namespace damask::cli
