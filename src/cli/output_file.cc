#include "cli/output_file.h"

#include <filesystem>

#include <fmt/format.h>

#include "base/text.h"
#include "base/write_file.h"

namespace damask::cli {

Status CheckOutputFile(const std::string& flag, const std::string& path) {
  if (path.empty()) return InvalidArgument(fmt::format("{}: the path is empty", flag));
  const std::filesystem::path file(path);
  std::error_code error;
  if (file.filename().empty() || std::filesystem::is_directory(file, error)) {
    return InvalidArgument(fmt::format("{} {} is a folder, expected the name of a file", flag, Quote(path, 300)));
  }
  const std::filesystem::path folder = file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
  if (!std::filesystem::is_directory(folder, error)) {
    return NotFound(fmt::format("{}: there is no folder {}", flag, Quote(folder.string(), 300)));
  }
  // Before the work it is wrong use, after it a failure.
  if (const Status status = CheckWritable(path); !status.ok()) return IoError(status.message()).At(status.where()).At(flag);
  return {};
}

bool SameFile(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  const auto full = [&](const std::string& path) {
    return std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
  };
  return full(a) == full(b);
}

}  // namespace damask::cli
