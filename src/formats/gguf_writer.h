// Writing GGUF v3 files, whole or split, tensor by tensor: no more of a model is in memory than its source hands over at once.
//
// Tensors lie in the order they were added, each padded to the alignment, without gaps (llama.cpp refuses anything else). A
// file is written beside its place, synced and renamed: readers never see half of it. Used by tools and tests; not thread-safe.
// Source of the format: the GGUF specification of the ggml project; of the split keys: llama.cpp's gguf-split.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "formats/tensor_type.h"

namespace damask::formats {

class GgufWriter {
 public:
  // Takes the bytes of the tensor being written, in order; any number of pieces.
  using Sink = std::function<Status(std::span<const std::byte> bytes)>;
  // Hands all bytes of tensor `index` (counted in the order of AddTensor) to the sink.
  using Source = std::function<Status(size_t index, const Sink& sink)>;

  // Metadata, in the order it shall have in the file. The type written is the argument's own. A key twice, an empty or
  // over-long key: Write fails with InvalidArgument. "general.alignment" goes through set_alignment, not through here.
  void Add(std::string_view key, uint8_t value);
  void Add(std::string_view key, int8_t value);
  void Add(std::string_view key, uint16_t value);
  void Add(std::string_view key, int16_t value);
  void Add(std::string_view key, uint32_t value);
  void Add(std::string_view key, int32_t value);
  void Add(std::string_view key, uint64_t value);
  void Add(std::string_view key, int64_t value);
  void Add(std::string_view key, float value);
  void Add(std::string_view key, double value);
  void Add(std::string_view key, bool value);
  void Add(std::string_view key, std::string_view value);
  void Add(std::string_view key, const char* value) { Add(key, std::string_view(value)); }
  void AddArray(std::string_view key, std::span<const uint8_t> values);
  void AddArray(std::string_view key, std::span<const int8_t> values);
  void AddArray(std::string_view key, std::span<const uint16_t> values);
  void AddArray(std::string_view key, std::span<const int16_t> values);
  void AddArray(std::string_view key, std::span<const uint32_t> values);
  void AddArray(std::string_view key, std::span<const int32_t> values);
  void AddArray(std::string_view key, std::span<const uint64_t> values);
  void AddArray(std::string_view key, std::span<const int64_t> values);
  void AddArray(std::string_view key, std::span<const float> values);
  void AddArray(std::string_view key, std::span<const double> values);
  void AddArray(std::string_view key, std::span<const std::string> values);
  void AddArray(std::string_view key, const std::vector<bool>& values);

  // Declares a tensor; `shape` has the slowest dimension first, as TensorInfo has it. The name must be new and at most 63
  // bytes, the shape one to four dimensions, none 0, the last a multiple of the type's block: else Write fails with
  // InvalidArgument.
  void AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape);

  // A power of two, 8 at least; 32 when nothing is said. Another value than 32 is written as general.alignment.
  void set_alignment(uint32_t alignment) { alignment_ = alignment; }

  size_t num_tensors() const { return tensors_.size(); }
  uint64_t tensor_bytes(size_t index) const { return tensors_[index].bytes; }

  // Writes everything to `path`. Errors: InvalidArgument as above, and where the source gives more or fewer bytes than a tensor
  // has (its name is in the message); WriteFailed; whatever the source returns. On an error nothing is left at or beside
  // `path`.
  Status Write(const std::string& path, const Source& source) const;

  // The same as shards of `tensors_per_shard` tensors, named PREFIX-00001-of-0000N.gguf: the first has all metadata, each has
  // split.no, split.count and split.tensors.count. Gives the names. Shards already written stay when a later one fails.
  Result<std::vector<std::string>> WriteSplit(const std::string& prefix, size_t tensors_per_shard, const Source& source) const;

 private:
  struct Tensor {
    std::string name;
    TensorType type;
    std::vector<uint64_t> shape;
    uint64_t bytes;
  };
  struct Shard {
    size_t begin, end;  // tensors
    std::string keys;   // serialised key-value pairs
    uint64_t num_keys;
  };

  void BeginKey(std::string_view key, uint32_t type);
  template <typename T>
  void AddScalar(std::string_view key, uint32_t type, T value);
  template <typename T>
  void AddNumbers(std::string_view key, uint32_t type, std::span<const T> values);
  void Fail(Status status);
  Status CheckAlignment() const;
  std::string Header(const Shard& shard) const;
  Status WriteShard(const std::string& path, const Shard& shard, const Source& source) const;

  std::string keys_;
  uint64_t num_keys_ = 0;
  std::unordered_set<std::string> names_seen_;  // keys as "k:...", tensors as "t:..."
  std::vector<Tensor> tensors_;
  uint32_t alignment_ = 32;
  Status error_;  // the first mistake of an Add call, told by Write
};

}  // namespace damask::formats
