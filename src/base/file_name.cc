#include "base/file_name.h"

#include "base/text.h"

namespace damask {

Status CheckFileName(const std::string& path) {
  if (path.empty()) return InvalidArgument("the file name is empty");
  if (path.find('\0') != std::string::npos) return InvalidArgument("the file name has a NUL byte").At(Quote(path, 300));
  return {};
}

}  // namespace damask
