// Models in several files: keys split.no, split.count and split.tensors.count, names PREFIX-00001-of-00003.gguf, as llama.cpp's
// gguf-split writes them. Names of shards come from the path that was asked for, never from what a file says.
#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "formats/gguf_reader.h"

namespace damask::formats {
namespace {

std::optional<uint64_t> ParseDigits(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

// The error for a file that is not the first of its model.
Status NotTheFirst(const std::string& path, const GgufSplit& split) {
  const std::optional<ShardName> name = ParseShardName(path);
  const std::string first = name ? Quote(MakeShardName(name->prefix, 1, name->count), 300) : "the file with split.no 0";
  return BadFormat(fmt::format("shard {} of {}; open the first one, {}", split.number + 1, split.count, first))
      .At(Quote(path, 300));
}

}  // namespace

std::optional<ShardName> ParseShardName(std::string_view path) {
  constexpr std::string_view kEnd = ".gguf";
  constexpr std::string_view kOf = "-of-";
  constexpr size_t kDigits = 5;
  constexpr size_t kTail = 1 + kDigits + kOf.size() + kDigits + kEnd.size();  // "-00001-of-00003.gguf"
  if (path.size() <= kTail || !path.ends_with(kEnd)) return std::nullopt;
  const std::string_view tail = path.substr(path.size() - kTail);
  if (tail[0] != '-' || tail.substr(1 + kDigits, kOf.size()) != kOf) return std::nullopt;
  const std::optional<uint64_t> number = ParseDigits(tail.substr(1, kDigits));
  const std::optional<uint64_t> count = ParseDigits(tail.substr(1 + kDigits + kOf.size(), kDigits));
  if (!number || !count) return std::nullopt;
  return ShardName{std::string(path.substr(0, path.size() - kTail)), *number, *count};
}

std::string MakeShardName(const std::string& prefix, uint64_t number, uint64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number, count);
}

Result<GgufSplit> ReadSplitKeys(const GgufFile& file) {
  GgufSplit split;
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> count, file.GetUint("split.count"));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> number, file.GetUint("split.no"));
  DAMASK_ASSIGN_OR_RETURN(split.num_tensors, file.GetUint("split.tensors.count"));
  split.count = count.value_or(1);
  split.number = number.value_or(0);
  if (split.count == 0) return BadFormat("found 0, expected at least 1").At("key 'split.count'");
  if (split.count > 1 && !number) return BadFormat("the key is missing in a split file").At("key 'split.no'");
  if (split.number >= split.count) {
    return BadFormat(fmt::format("found {}, expected less than split.count, {}", split.number, split.count))
        .At("key 'split.no'");
  }
  return split;
}

Status GgufReader::Append(GgufFile* whole, GgufFile* shard, size_t number, FaultList* faults) {
  whole->file_bytes_ += shard->file_bytes_;
  whole->files_.push_back(shard->files_.front());
  // The index holds the names as they lie in the file's bytes, which stay where they are; info.name does not.
  std::vector<std::string_view> names(shard->tensors_.size());
  for (const auto& [name, index] : shard->tensor_index_) names[index] = name;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!whole->tensor_index_.emplace(names[i], whole->tensors_.size()).second) {
      const Status fault = BadFormat("the tensor is in two shards").At("tensor " + Quote(names[i]));
      DAMASK_RETURN_IF_ERROR(Report(faults, fault.At(Quote(whole->shard_path(number), 300))));
      continue;
    }
    shard->tensors_[i].shard = number;
    whole->tensors_.push_back(std::move(shard->tensors_[i]));
  }
  return {};
}

Status GgufReader::AppendShards(const std::string& path, uint64_t count, const GgufOpenOptions& options, FaultList* faults,
                                GgufFile* whole) {
  const std::optional<ShardName> name = ParseShardName(path);
  if (!name) {
    return BadFormat(fmt::format("one of {} shards, expected a name that ends in -00001-of-{:05}.gguf", count, count))
        .At(Quote(path, 300));
  }
  if (name->number != 1 || name->count != count) {
    return BadFormat(fmt::format("the name says shard {} of {}, its keys say 1 of {}", name->number, name->count, count))
        .At(Quote(path, 300));
  }
  for (uint64_t number = 1; number < count; ++number) {
    const std::string shard_path = MakeShardName(name->prefix, number + 1, count);
    Result<std::shared_ptr<const FileBytes>> bytes = FileBytes::Open(shard_path, options.load);
    if (!bytes.ok()) return bytes.status().At(fmt::format("shard {} of {}", number + 1, count));
    DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<GgufFile> shard, GgufReader(std::move(*bytes), options, faults).Read());
    Result<GgufSplit> split = ReadSplitKeys(*shard);
    if (!split.ok()) return split.status().At(Quote(shard_path, 300));
    if (split->count != count || split->number != number) {
      return BadFormat(fmt::format("its keys say shard {} of {}, expected {} of {}", split->number + 1, split->count,
                                   number + 1, count))
          .At(Quote(shard_path, 300));
    }
    DAMASK_RETURN_IF_ERROR(Append(whole, shard.get(), number, faults));
  }
  return {};
}

Result<std::shared_ptr<const GgufFile>> GgufReader::OpenAll(const std::string& path, const GgufOpenOptions& options,
                                                            FaultList* faults) {
  DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const FileBytes> bytes, FileBytes::Open(path, options.load));
  DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<GgufFile> whole, GgufReader(std::move(bytes), options, faults).Read());
  Result<GgufSplit> split = ReadSplitKeys(*whole);
  if (!split.ok()) return split.status().At(Quote(path, 300));
  if (split->count == 1) return std::shared_ptr<const GgufFile>(whole);
  if (split->number != 0) return NotTheFirst(path, *split);
  if (split->count > limits::kMaxSplitFiles) {
    return TooLarge(fmt::format("{} shards, expected at most {}", split->count, limits::kMaxSplitFiles)).At(Quote(path, 300));
  }
  DAMASK_RETURN_IF_ERROR(AppendShards(path, split->count, options, faults, whole.get()));
  if (split->num_tensors && *split->num_tensors != whole->tensors_.size()) {
    const Status fault = BadFormat(fmt::format("the shards hold {} tensors, split.tensors.count says {}",
                                               whole->tensors_.size(), *split->num_tensors))
                             .At(Quote(path, 300));
    DAMASK_RETURN_IF_ERROR(Report(faults, fault));
  }
  return std::shared_ptr<const GgufFile>(whole);
}

Result<std::shared_ptr<const GgufFile>> GgufReader::ParseWhole(std::shared_ptr<const FileBytes> file,
                                                               const GgufOpenOptions& options, FaultList* faults) {
  if (reinterpret_cast<uintptr_t>(file->bytes().data()) % 8 != 0) {
    return InvalidArgument("the bytes of a model in memory must be aligned to 8").At(Quote(file->path(), 300));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<GgufFile> whole, GgufReader(std::move(file), options, faults).Read());
  Result<GgufSplit> split = ReadSplitKeys(*whole);
  if (!split.ok()) return split.status().At(Quote(whole->path_, 300));
  if (split->count != 1) {
    return Unsupported(fmt::format("shard {} of {}: a model in memory must be whole", split->number + 1, split->count))
        .At(Quote(whole->path_, 300));
  }
  return std::shared_ptr<const GgufFile>(whole);
}

}  // namespace damask::formats
