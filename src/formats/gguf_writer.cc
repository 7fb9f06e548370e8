#include "formats/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/write_file.h"

namespace damask::formats {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

// GGUF's numbers for value types.
enum ValueType : uint32_t {
  kUint8 = 0,
  kInt8 = 1,
  kUint16 = 2,
  kInt16 = 3,
  kUint32 = 4,
  kInt32 = 5,
  kFloat32 = 6,
  kBool = 7,
  kString = 8,
  kArray = 9,
  kUint64 = 10,
  kInt64 = 11,
  kFloat64 = 12,
};

constexpr uint32_t kDefaultAlignment = 32;

template <typename T>
void Put(std::string* out, T value) {
  out->append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void PutString(std::string* out, std::string_view text) {
  Put<uint64_t>(out, text.size());
  out->append(text);
}

template <typename T>
void PutKey(std::string* out, std::string_view key, uint32_t type, T value) {
  PutString(out, key);
  Put(out, type);
  Put(out, value);
}

// The file that becomes `path`; positions are kept for the padding.
class PaddedFile {
 public:
  static Result<PaddedFile> Create(const std::string& path) {
    DAMASK_ASSIGN_OR_RETURN(auto file, AtomicFile::Create(path));
    return PaddedFile(std::move(file));
  }

  uint64_t position() const { return position_; }

  Status Append(std::string_view bytes) {
    position_ += bytes.size();
    return file_->Append(bytes);
  }

  Status PadTo(uint64_t alignment) { return Append(std::string((alignment - position_ % alignment) % alignment, '\0')); }

  Status Commit() { return file_->Commit(); }

 private:
  explicit PaddedFile(std::unique_ptr<AtomicFile> file) : file_(std::move(file)) {}

  std::unique_ptr<AtomicFile> file_;
  uint64_t position_ = 0;
};

// Bytes of a tensor, or why its shape cannot be.
Result<uint64_t> TensorBytes(TensorType type, const std::vector<uint64_t>& shape) {
  if (shape.empty() || shape.size() > limits::kMaxTensorDims) {
    return InvalidArgument(fmt::format("has {} dimensions, expected 1 to {}", shape.size(), limits::kMaxTensorDims));
  }
  const TensorTypeInfo& info = GetTensorType(type);
  if (shape.back() % info.block_values != 0) {
    return InvalidArgument(
        fmt::format("has rows of {} values, expected a multiple of {} for {}", shape.back(), info.block_values, info.name));
  }
  uint64_t bytes = RowBytes(type, shape.back());
  for (size_t i = 0; i + 1 < shape.size(); ++i) {
    const std::optional<uint64_t> product = CheckedMul(bytes, shape[i]);
    if (!product) return InvalidArgument("has more than 2^64 bytes");
    bytes = *product;
  }
  if (bytes == 0) return InvalidArgument("has a dimension of 0");
  return bytes;
}

}  // namespace

void GgufWriter::Fail(Status status) {
  if (error_.ok()) error_ = std::move(status);
}

void GgufWriter::BeginKey(std::string_view key, uint32_t type) {
  if (key.empty() || key.size() > limits::kMaxKeyBytes) {
    Fail(InvalidArgument(fmt::format("a key has {} bytes, expected 1 to {}", key.size(), limits::kMaxKeyBytes)));
  }
  if (key == "general.alignment") Fail(InvalidArgument("general.alignment is set by set_alignment only"));
  if (!names_seen_.insert("k:" + std::string(key)).second) {
    Fail(InvalidArgument("the key is added twice").At(Quote(key)));
  }
  PutString(&keys_, key);
  Put(&keys_, type);
  ++num_keys_;
}

template <typename T>
void GgufWriter::AddScalar(std::string_view key, uint32_t type, T value) {
  BeginKey(key, type);
  Put(&keys_, value);
}

template <typename T>
void GgufWriter::AddNumbers(std::string_view key, uint32_t type, std::span<const T> values) {
  BeginKey(key, kArray);
  Put(&keys_, type);
  Put<uint64_t>(&keys_, values.size());
  keys_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
}

void GgufWriter::Add(std::string_view key, uint8_t value) { AddScalar(key, kUint8, value); }
void GgufWriter::Add(std::string_view key, int8_t value) { AddScalar(key, kInt8, value); }
void GgufWriter::Add(std::string_view key, uint16_t value) { AddScalar(key, kUint16, value); }
void GgufWriter::Add(std::string_view key, int16_t value) { AddScalar(key, kInt16, value); }
void GgufWriter::Add(std::string_view key, uint32_t value) { AddScalar(key, kUint32, value); }
void GgufWriter::Add(std::string_view key, int32_t value) { AddScalar(key, kInt32, value); }
void GgufWriter::Add(std::string_view key, uint64_t value) { AddScalar(key, kUint64, value); }
void GgufWriter::Add(std::string_view key, int64_t value) { AddScalar(key, kInt64, value); }
void GgufWriter::Add(std::string_view key, float value) { AddScalar(key, kFloat32, value); }
void GgufWriter::Add(std::string_view key, double value) { AddScalar(key, kFloat64, value); }
void GgufWriter::Add(std::string_view key, bool value) { AddScalar(key, kBool, static_cast<uint8_t>(value ? 1 : 0)); }
void GgufWriter::Add(std::string_view key, std::string_view value) {
  BeginKey(key, kString);
  PutString(&keys_, value);
}

void GgufWriter::AddArray(std::string_view key, std::span<const uint8_t> values) { AddNumbers(key, kUint8, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const int8_t> values) { AddNumbers(key, kInt8, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const uint16_t> values) { AddNumbers(key, kUint16, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const int16_t> values) { AddNumbers(key, kInt16, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const uint32_t> values) { AddNumbers(key, kUint32, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const int32_t> values) { AddNumbers(key, kInt32, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const uint64_t> values) { AddNumbers(key, kUint64, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const int64_t> values) { AddNumbers(key, kInt64, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const float> values) { AddNumbers(key, kFloat32, values); }
void GgufWriter::AddArray(std::string_view key, std::span<const double> values) { AddNumbers(key, kFloat64, values); }

void GgufWriter::AddArray(std::string_view key, std::span<const std::string> values) {
  BeginKey(key, kArray);
  Put<uint32_t>(&keys_, kString);
  Put<uint64_t>(&keys_, values.size());
  for (const std::string& value : values) PutString(&keys_, value);
}

void GgufWriter::AddArray(std::string_view key, const std::vector<bool>& values) {
  BeginKey(key, kArray);
  Put<uint32_t>(&keys_, kBool);
  Put<uint64_t>(&keys_, values.size());
  for (const bool value : values) Put<uint8_t>(&keys_, value ? 1 : 0);
}

void GgufWriter::AddTensor(std::string_view name, TensorType type, std::vector<uint64_t> shape) {
  if (name.empty() || name.size() > limits::kMaxTensorNameBytes) {
    Fail(InvalidArgument(fmt::format("the name has {} bytes, expected 1 to {}", name.size(), limits::kMaxTensorNameBytes))
             .At("tensor " + Quote(name)));
  }
  if (!names_seen_.insert("t:" + std::string(name)).second) {
    Fail(InvalidArgument("the tensor is added twice").At("tensor " + Quote(name)));
  }
  const Result<uint64_t> bytes = TensorBytes(type, shape);
  if (!bytes.ok()) Fail(bytes.status().At("tensor " + Quote(name)));
  tensors_.push_back({std::string(name), type, std::move(shape), bytes.ok() ? bytes.value() : 0});
}

Status GgufWriter::CheckAlignment() const {
  if (std::has_single_bit(alignment_) && alignment_ >= 8 && alignment_ <= limits::kMaxAlignment) return {};
  return InvalidArgument(
      fmt::format("the alignment is {}, expected a power of two from 8 to {}", alignment_, limits::kMaxAlignment));
}

std::string GgufWriter::Header(const Shard& shard) const {
  std::string header = "GGUF";
  const bool own_alignment = alignment_ != kDefaultAlignment;
  Put<uint32_t>(&header, 3);
  Put<uint64_t>(&header, shard.end - shard.begin);
  Put<uint64_t>(&header, shard.num_keys + (own_alignment ? 1 : 0));
  if (own_alignment) PutKey<uint32_t>(&header, "general.alignment", kUint32, alignment_);
  header += shard.keys;
  uint64_t offset = 0;
  for (size_t i = shard.begin; i < shard.end; ++i) {
    const Tensor& tensor = tensors_[i];
    PutString(&header, tensor.name);
    Put<uint32_t>(&header, static_cast<uint32_t>(tensor.shape.size()));
    for (auto dim = tensor.shape.rbegin(); dim != tensor.shape.rend(); ++dim) Put<uint64_t>(&header, *dim);
    Put<uint32_t>(&header, static_cast<uint32_t>(tensor.type));
    Put<uint64_t>(&header, offset);
    offset += CeilDiv(tensor.bytes, alignment_) * alignment_;
  }
  return header;
}

Status GgufWriter::WriteShard(const std::string& path, const Shard& shard, const Source& source) const {
  DAMASK_ASSIGN_OR_RETURN(PaddedFile file, PaddedFile::Create(path));
  DAMASK_RETURN_IF_ERROR(file.Append(Header(shard)));
  if (shard.begin < shard.end) DAMASK_RETURN_IF_ERROR(file.PadTo(alignment_));
  for (size_t i = shard.begin; i < shard.end; ++i) {
    const Tensor& tensor = tensors_[i];
    const uint64_t start = file.position();
    const Sink sink = [&](std::span<const std::byte> bytes) -> Status {
      if (bytes.size() > tensor.bytes - (file.position() - start)) {
        return InvalidArgument(fmt::format("the source gives more than the tensor's {} bytes", tensor.bytes))
            .At("tensor " + Quote(tensor.name));
      }
      return file.Append({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    };
    DAMASK_RETURN_IF_ERROR(source(i, sink));
    if (const uint64_t got = file.position() - start; got != tensor.bytes) {
      return InvalidArgument(fmt::format("the source gives {} bytes, expected {}", got, tensor.bytes))
          .At("tensor " + Quote(tensor.name));
    }
    DAMASK_RETURN_IF_ERROR(file.PadTo(alignment_));
  }
  return file.Commit();
}

Status GgufWriter::Write(const std::string& path, const Source& source) const {
  DAMASK_RETURN_IF_ERROR(error_);
  DAMASK_RETURN_IF_ERROR(CheckAlignment());
  return WriteShard(path, {0, tensors_.size(), keys_, num_keys_}, source);
}

Result<std::vector<std::string>> GgufWriter::WriteSplit(const std::string& prefix, size_t tensors_per_shard,
                                                        const Source& source) const {
  DAMASK_RETURN_IF_ERROR(error_);
  DAMASK_RETURN_IF_ERROR(CheckAlignment());
  if (tensors_per_shard == 0) return InvalidArgument("a shard holds 0 tensors, expected at least 1");
  const size_t count = std::max<size_t>(1, CeilDiv(tensors_.size(), tensors_per_shard));
  if (count > limits::kMaxSplitFiles) {
    return InvalidArgument(fmt::format("{} shards, at most {} are allowed", count, limits::kMaxSplitFiles));
  }
  std::vector<std::string> paths;
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = i * tensors_per_shard;
    Shard shard{begin, std::min(begin + tensors_per_shard, tensors_.size()), i == 0 ? keys_ : "", i == 0 ? num_keys_ : 0};
    PutKey<uint16_t>(&shard.keys, "split.no", kUint16, static_cast<uint16_t>(i));
    PutKey<uint16_t>(&shard.keys, "split.count", kUint16, static_cast<uint16_t>(count));
    PutKey<int32_t>(&shard.keys, "split.tensors.count", kInt32, static_cast<int32_t>(tensors_.size()));
    shard.num_keys += 3;
    paths.push_back(fmt::format("{}-{:05}-of-{:05}.gguf", prefix, i + 1, count));
    DAMASK_RETURN_IF_ERROR(WriteShard(paths.back(), shard, source));
  }
  return paths;
}

}  // namespace damask::formats
