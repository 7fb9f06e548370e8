#include "cli/output_file.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::cli {

Status CheckOutputFile(const std::string& path) {
  const std::filesystem::path file(path);
  std::error_code error;
  if (file.filename().empty() || std::filesystem::is_directory(file, error)) {
    return InvalidArgument(fmt::format("-o {} is a folder, expected the name of a file", Quote(path, 300)));
  }
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder, error)) {
    return NotFound(fmt::format("-o: there is no folder {}", Quote(folder.string(), 300)));
  }
  return {};
}

}  // namespace damask::cli
