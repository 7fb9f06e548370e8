// Reading GGUF v2 and v3 files, split ones too. Bytes in, validated structures out; no model knowledge.
//
// Every number is checked against the bytes that are left before it sizes anything. What a file may not be:
// tests/formats/gguf_*_test.cc list it row by row. Source of the format: the GGUF specification of the ggml project.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/tensor_type.h"

namespace damask::formats {

// One tensor of a file. `data` points into the file's bytes and lives as long as the file object.
struct TensorInfo {
  std::string name;
  TensorType type = TensorType::kF32;
  std::vector<uint64_t> shape;  // slowest dimension first, as in PyTorch: a weight [rows, columns]; GGUF stores the reverse
  uint64_t bytes = 0;
  const std::byte* data = nullptr;
  size_t shard = 0;  // which file of a split model

  uint64_t rows() const;     // product of all dimensions but the last; 1 for a vector
  uint64_t columns() const;  // the last dimension
};

// GGUF's typed metadata. Arrays of numbers are kept as their own vectors, strings as views into the file.
using GgufArray = std::variant<std::vector<uint8_t>, std::vector<int8_t>, std::vector<uint16_t>, std::vector<int16_t>,
                               std::vector<uint32_t>, std::vector<int32_t>, std::vector<float>, std::vector<bool>,
                               std::vector<std::string_view>, std::vector<uint64_t>, std::vector<int64_t>, std::vector<double>>;
using GgufValue = std::variant<uint8_t, int8_t, uint16_t, int16_t, uint32_t, int32_t, float, bool, std::string_view, GgufArray,
                               uint64_t, int64_t, double>;

struct GgufOpenOptions {
  LoadMode load = LoadMode::kMap;
  // Reads keys and tensor descriptions and does not need the tensors' bytes to be there (vocabulary-only files have none).
  bool require_tensor_data = true;
};

class GgufFile {
 public:
  // `path` is a single file or the first shard of a split one; the others are found beside it.
  static Result<std::shared_ptr<const GgufFile>> Open(const std::string& path, const GgufOpenOptions& options);
  // One unsplit file that is already in memory (the embedded model, tests, fuzzing).
  static Result<std::shared_ptr<const GgufFile>> Parse(std::shared_ptr<const FileBytes> file, const GgufOpenOptions& options);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t file_bytes() const { return file_bytes_; }  // all shards
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  const std::string& shard_path(size_t shard) const { return files_[shard]->path(); }  // of TensorInfo::shard
  const TensorInfo* FindTensor(std::string_view name) const;
  const std::vector<std::pair<std::string_view, GgufValue>>& metadata() const { return metadata_; }
  const GgufValue* FindKey(std::string_view key) const;

  // Typed access. A key that is absent gives nullopt; a key of another type is BadFormat that names key, found and expected
  // type. Integers of any width and sign are accepted where the value fits and is not negative.
  Result<std::optional<uint64_t>> GetUint(std::string_view key) const;
  Result<std::optional<double>> GetFloat(std::string_view key) const;  // f32 or f64
  Result<std::optional<bool>> GetBool(std::string_view key) const;
  Result<std::optional<std::string_view>> GetString(std::string_view key) const;
  // Arrays; null where the key is absent.
  Result<const std::vector<std::string_view>*> GetStringArray(std::string_view key) const;
  Result<const std::vector<float>*> GetFloatArray(std::string_view key) const;
  Result<const std::vector<int32_t>*> GetInt32Array(std::string_view key) const;
  Result<const std::vector<bool>*> GetBoolArray(std::string_view key) const;
  bool IsArray(std::string_view key) const;
  // An integer or an array of them (head_count_kv may be either): a scalar comes back as one element, absent as empty.
  Result<std::vector<uint64_t>> GetUintOrArray(std::string_view key) const;

 private:
  friend class GgufReader;
  GgufFile() = default;

  std::string path_;
  uint32_t version_ = 0;
  uint64_t file_bytes_ = 0;
  std::vector<std::shared_ptr<const FileBytes>> files_;
  std::vector<std::pair<std::string_view, GgufValue>> metadata_;
  std::unordered_map<std::string_view, size_t> key_index_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, size_t> tensor_index_;
};

// "u32", "string", "array of f32": for messages and `info`.
std::string GgufTypeName(const GgufValue& value);

}  // namespace damask::formats
