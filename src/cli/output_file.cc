#include "cli/output_file.h"

#include <filesystem>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "base/write_file.h"
#include "formats/gguf_reader.h"

namespace damask::cli {
namespace {

namespace fs = std::filesystem;

// Whether both name one file, there or not.
bool SameFile(const fs::path& a, const fs::path& b) {
  std::error_code error;
  if (fs::equivalent(a, b, error)) return true;
  const auto full = [&](const fs::path& path) { return fs::weakly_canonical(fs::absolute(path, error), error); };
  return full(a) == full(b);
}

// Whether `path` is another file of the split model that `model` begins.
bool IsShardOf(const std::string& model, const std::string& path) {
  const auto first = formats::ParseShardName(model);
  const auto shard = formats::ParseShardName(path);
  return first && shard && first->count == shard->count &&
         SameFile(formats::MakeShardName(first->prefix, shard->number, shard->count), path);
}

// Whether `path` is one of the files of a model or of attention maps in this folder. Masks and tables may lie there, too.
bool IsReadIn(const std::string& folder, const std::string& path) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; it != end && !error; it.increment(error)) {
    const std::string name = it->path().filename().string();
    const bool map = name.starts_with("layer_") && name.ends_with(".txt");
    if (!map && !name.ends_with(".json") && !name.ends_with(".safetensors") && !name.ends_with(".npy")) continue;
    if (SameFile(it->path(), path)) return true;
  }
  return false;
}

bool TakesThePlaceOf(const std::string& path, const std::string& other) {
  std::error_code error;
  // A pipe and a device take what is written and give what is read.
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return false;
  return SameFile(path, other) || IsShardOf(other, path) || IsReadIn(other, path);
}

}  // namespace

Status CheckOutputFile(const std::string& flag, const std::string& path, const std::vector<NamedFile>& others) {
  if (path.empty()) return InvalidArgument(fmt::format("{}: the path is empty", flag));
  const fs::path file(path);
  std::error_code error;
  if (file.filename().empty() || fs::is_directory(file, error)) {
    return InvalidArgument(fmt::format("{} {} is a folder, expected the name of a file", flag, Quote(path, 300)));
  }
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (!fs::is_directory(folder, error)) {
    return NotFound(fmt::format("{}: there is no folder {}", flag, Quote(folder.string(), 300)));
  }
  for (const NamedFile& other : others) {
    if (other.path == "-" || !TakesThePlaceOf(path, other.path)) continue;  // "-" is standard input
    return InvalidArgument(
        fmt::format("{} {} would take the place of a file of {}, expected another name", flag, Quote(path, 300), other.flag));
  }
  // Before the work it is wrong use, after it a failure.
  if (const Status status = CheckWritable(path); !status.ok()) return IoError(status.message()).At(status.where()).At(flag);
  return {};
}

std::vector<NamedFile> FilesOfSpec(const std::string& flag, const std::string& spec) {
  std::vector<NamedFile> files;
  const size_t colon = spec.find(':');
  if (colon == std::string::npos) return files;
  for (const std::string_view option : Split(std::string_view(spec).substr(colon + 1), ',')) {
    for (const std::string_view key : {"mask=", "file="}) {
      if (option.starts_with(key)) files.push_back({flag, std::string(option.substr(key.size()))});
    }
  }
  return files;
}

}  // namespace damask::cli
