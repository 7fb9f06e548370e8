#include "formats/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"

namespace damask::formats {
namespace {

constexpr std::string_view kMagic = "GGUF";
constexpr uint64_t kMinKeyValueBytes = 13;    // length of the key, type, one byte of value
constexpr uint64_t kMinTensorInfoBytes = 24;  // length of the name, number of dimensions, type, offset
constexpr uint64_t kMaxProduct = INT64_MAX;   // elements of a tensor; the format's dimensions are signed in practice
constexpr uint64_t kMinAlignment = 8;         // the specification asks for a multiple of 8

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// How much room is made before a count is proven by the bytes that follow; more is made as they are read.
constexpr uint64_t kMaxReserve = 1 << 16;

std::string AtKey(std::string_view key) { return "key " + Quote(key); }
std::string AtTensor(std::string_view name) { return "tensor " + Quote(name); }

// What people hand over instead of a model, told by its first bytes.
std::string HintAboutContents(std::string_view text) {
  if (text.starts_with("version https://git-lfs")) return "; it is a Git LFS pointer: fetch the real file with 'git lfs pull'";
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '<') return "; it looks like an HTML page: the download failed";
  return "";
}

}  // namespace

GgufReader::GgufReader(std::shared_ptr<const FileBytes> file, const GgufOpenOptions& options, FaultList* faults)
    : bytes_(std::move(file)), options_(options), faults_(faults), reader_(bytes_->bytes()), file_(new GgufFile) {}

Result<std::shared_ptr<GgufFile>> GgufReader::Read() {
  if (Status status = ReadAll(); !status.ok()) return status.At(Quote(bytes_->path(), 300));
  return file_;
}

Status GgufReader::ReadAll() {
  file_->path_ = bytes_->path();
  file_->file_bytes_ = bytes_->size();
  file_->files_.push_back(bytes_);
  DAMASK_RETURN_IF_ERROR(ReadHeader());
  DAMASK_RETURN_IF_ERROR(ReadMetadata());
  DAMASK_RETURN_IF_ERROR(ReadAlignment());
  return ReadTensorInfos();
}

Status GgufReader::Note(Status fault) {
  if (faults_ == nullptr || fault.ok()) return fault;
  if (!context_.empty()) fault = fault.At(context_);
  faults_->Add(fault.At(Quote(bytes_->path(), 300)));
  return {};
}

Status GgufReader::ReadHeader() {
  const std::string_view text = AsText(bytes_->bytes());
  if (text.empty()) return BadFormat("not a GGUF file: it is empty");
  if (!text.starts_with(kMagic)) {
    return BadFormat(fmt::format("not a GGUF file: it begins with {}, expected 'GGUF'{}", Quote(text.substr(0, 4)),
                                 HintAboutContents(text.substr(0, 512))));
  }
  DAMASK_RETURN_IF_ERROR(reader_.Take("the magic number", kMagic.size()).status());
  DAMASK_ASSIGN_OR_RETURN(file_->version_, reader_.Read<uint32_t>("the version"));
  const uint32_t version = file_->version_;
  if (version != 0 && (version & 0xffff) == 0) {
    return BadFormat(fmt::format("wrong byte order: the version reads 0x{:08x}, expected a little-endian file", version));
  }
  if (version == 0) return BadFormat("GGUF version 0, expected 2 or 3");
  if (version != 2 && version != 3) return Unsupported(fmt::format("GGUF version {}, expected 2 or 3", version));
  DAMASK_ASSIGN_OR_RETURN(num_tensors_, reader_.Read<uint64_t>("the number of tensors"));
  DAMASK_ASSIGN_OR_RETURN(num_keys_, reader_.Read<uint64_t>("the number of keys"));
  const uint64_t left = reader_.remaining();
  if (num_tensors_ > left / kMinTensorInfoBytes) {
    return BadFormat(fmt::format("the header announces {} tensors, {} bytes are left for them", num_tensors_, left))
        .At("byte 8");
  }
  if (num_keys_ > left / kMinKeyValueBytes) {
    return BadFormat(fmt::format("the header announces {} keys, {} bytes are left for them", num_keys_, left)).At("byte 16");
  }
  return {};
}

Status GgufReader::ReadMetadata() {
  file_->metadata_.reserve(std::min(num_keys_, kMaxReserve));
  file_->key_index_.reserve(std::min(num_keys_, kMaxReserve));
  for (uint64_t i = 0; i < num_keys_; ++i) {
    context_.clear();
    DAMASK_ASSIGN_OR_RETURN(const std::string_view key, ReadKey());
    const std::string where = reader_.Here();
    DAMASK_ASSIGN_OR_RETURN(const uint32_t type, reader_.Read<uint32_t>("the type of a value"));
    context_ = AtKey(key);
    Result<GgufValue> value = ReadValue(type);
    if (!value.ok()) return value.status().At(context_);
    if (!file_->key_index_.emplace(key, file_->metadata_.size()).second) {
      if (Status fault = Note(BadFormat("the key occurs twice").At(where)); !fault.ok()) return fault.At(context_);
      continue;
    }
    file_->metadata_.emplace_back(key, std::move(*value));
  }
  context_.clear();
  return {};
}

Result<std::string_view> GgufReader::ReadKey() {
  const std::string where = reader_.Here();
  DAMASK_ASSIGN_OR_RETURN(const uint64_t length, reader_.Read<uint64_t>("the length of a key"));
  if (length == 0) return BadFormat("a key of length 0").At(where);
  if (length > limits::kMaxKeyBytes) {
    return BadFormat(fmt::format("a key of {} bytes, expected at most {}", length, limits::kMaxKeyBytes)).At(where);
  }
  DAMASK_ASSIGN_OR_RETURN(const auto bytes, reader_.Take("a key", length));
  const std::string_view key = AsText(bytes);
  if (!IsValidUtf8(key) || key.find('\0') != std::string_view::npos) {
    const Status fault = BadFormat(fmt::format("the key {} is not UTF-8 text without NUL bytes", Quote(key))).At(where);
    DAMASK_RETURN_IF_ERROR(Note(fault));
  }
  return key;
}

// Called for every string of a vocabulary: the place is put into words only where it is told.
Result<std::string_view> GgufReader::ReadString(std::string_view what) {
  const uint64_t start = reader_.offset();
  DAMASK_ASSIGN_OR_RETURN(const uint64_t length, reader_.Read<uint64_t>(what));
  if (length > limits::kMaxStringBytes) {
    const std::string found = fmt::format("{} of {} bytes, ", what, length);
    if (length > reader_.remaining())
      return BadFormat(fmt::format("{}{} are left", found, reader_.remaining())).At(ByteReader::At(start));
    return TooLarge(fmt::format("{}expected at most {}", found, limits::kMaxStringBytes)).At(ByteReader::At(start));
  }
  DAMASK_ASSIGN_OR_RETURN(const auto bytes, reader_.Take(what, length));
  return AsText(bytes);
}

Result<bool> GgufReader::ReadBool() {
  const uint64_t start = reader_.offset();
  DAMASK_ASSIGN_OR_RETURN(const uint8_t byte, reader_.Read<uint8_t>("a bool"));
  if (byte > 1) {
    const Status fault = BadFormat(fmt::format("a bool of value {}, expected 0 or 1", byte));
    DAMASK_RETURN_IF_ERROR(Note(fault.At(ByteReader::At(start))));
  }
  return byte != 0;
}

Result<GgufValue> GgufReader::ReadValue(uint32_t type) {
  const auto wrap = [](auto result) -> Result<GgufValue> {
    if (!result.ok()) return result.status();
    return GgufValue(*result);
  };
  switch (type) {
    case 0: return wrap(reader_.Read<uint8_t>("a u8 value"));
    case 1: return wrap(reader_.Read<int8_t>("an i8 value"));
    case 2: return wrap(reader_.Read<uint16_t>("a u16 value"));
    case 3: return wrap(reader_.Read<int16_t>("an i16 value"));
    case 4: return wrap(reader_.Read<uint32_t>("a u32 value"));
    case 5: return wrap(reader_.Read<int32_t>("an i32 value"));
    case 6: return wrap(reader_.Read<float>("an f32 value"));
    case 7: return wrap(ReadBool());
    case 8: return wrap(ReadString("a string"));
    case 9: return ReadArray();
    case 10: return wrap(reader_.Read<uint64_t>("a u64 value"));
    case 11: return wrap(reader_.Read<int64_t>("an i64 value"));
    case 12: return wrap(reader_.Read<double>("an f64 value"));
    default:
      return BadFormat(fmt::format("value type {} is unknown, expected 0 to 12", type))
          .At(fmt::format("byte {}", reader_.offset() - sizeof(type)));
  }
}

Result<GgufValue> GgufReader::ReadArray() {
  const std::string where = reader_.Here();
  DAMASK_ASSIGN_OR_RETURN(const uint32_t type, reader_.Read<uint32_t>("the element type of an array"));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t count, reader_.Read<uint64_t>("the length of an array"));
  if (type == 9) return Unsupported("an array of arrays").At(where);
  if (count > limits::kMaxArrayElements) {
    const Status fault =
        count > reader_.remaining()
            ? BadFormat(fmt::format("an array of {} elements, {} bytes are left", count, reader_.remaining()))
            : TooLarge(fmt::format("an array of {} elements, expected at most {}", count, limits::kMaxArrayElements));
    return fault.At(where);
  }
  const auto wrap = [](Result<GgufArray> result) -> Result<GgufValue> {
    if (!result.ok()) return result.status();
    return GgufValue(std::move(*result));
  };
  switch (type) {
    case 0: return wrap(ReadNumbers<uint8_t>(count));
    case 1: return wrap(ReadNumbers<int8_t>(count));
    case 2: return wrap(ReadNumbers<uint16_t>(count));
    case 3: return wrap(ReadNumbers<int16_t>(count));
    case 4: return wrap(ReadNumbers<uint32_t>(count));
    case 5: return wrap(ReadNumbers<int32_t>(count));
    case 6: return wrap(ReadNumbers<float>(count));
    case 7: return wrap(ReadBools(count));
    case 8: return wrap(ReadStrings(count));
    case 10: return wrap(ReadNumbers<uint64_t>(count));
    case 11: return wrap(ReadNumbers<int64_t>(count));
    case 12: return wrap(ReadNumbers<double>(count));
    default: return BadFormat(fmt::format("element type {} of an array is unknown, expected 0 to 12", type)).At(where);
  }
}

template <typename T>
Result<GgufArray> GgufReader::ReadNumbers(uint64_t count) {
  // Cannot wrap: count is below kMaxArrayElements.
  DAMASK_ASSIGN_OR_RETURN(const auto bytes, reader_.Take("an array", count * sizeof(T)));
  std::vector<T> values(count);
  if (count != 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  return GgufArray(std::move(values));
}

Result<GgufArray> GgufReader::ReadBools(uint64_t count) {
  if (count > reader_.remaining()) return reader_.Take("an array of bools", count).status();
  std::vector<bool> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    DAMASK_ASSIGN_OR_RETURN(values[i], ReadBool());
  }
  return GgufArray(std::move(values));
}

Result<GgufArray> GgufReader::ReadStrings(uint64_t count) {
  if (count > reader_.remaining() / sizeof(uint64_t)) {  // each has at least its length
    return Truncated(fmt::format("an array of {} strings, {} bytes are left", count, reader_.remaining())).At(reader_.Here());
  }
  std::vector<std::string_view> values;
  values.reserve(count);
  for (uint64_t i = 0; i < count; ++i) {
    DAMASK_ASSIGN_OR_RETURN(const std::string_view text, ReadString("a string of an array"));
    values.push_back(text);
  }
  return GgufArray(std::move(values));
}

Status GgufReader::ReadAlignment() {
  constexpr std::string_view kKey = "general.alignment";
  const GgufValue* value = file_->FindKey(kKey);
  if (value == nullptr) return {};
  const auto* alignment = std::get_if<uint32_t>(value);
  if (alignment == nullptr) return BadFormat(fmt::format("found {}, expected u32", GgufTypeName(*value))).At(AtKey(kKey));
  if (!std::has_single_bit(*alignment) || *alignment < kMinAlignment || *alignment > limits::kMaxAlignment) {
    return BadFormat(
               fmt::format("found {}, expected a power of two from {} to {}", *alignment, kMinAlignment, limits::kMaxAlignment))
        .At(AtKey(kKey));
  }
  alignment_ = *alignment;
  return {};
}

Status GgufReader::ReadTensorInfos() {
  std::vector<Described> tensors;
  tensors.reserve(std::min(num_tensors_, kMaxReserve));
  for (uint64_t i = 0; i < num_tensors_; ++i) {
    DAMASK_ASSIGN_OR_RETURN(Described tensor, ReadTensorInfo());
    tensors.push_back(std::move(tensor));
  }
  return PlaceTensors(std::move(tensors));
}

Result<GgufReader::Described> GgufReader::ReadTensorInfo() {
  Described tensor;
  DAMASK_ASSIGN_OR_RETURN(tensor.name, ReadTensorName());
  tensor.info.name = std::string(tensor.name);
  context_ = AtTensor(tensor.name);
  if (Status status = ReadShape(&tensor); !status.ok()) return status.At(context_);
  context_.clear();
  return tensor;
}

Result<std::string_view> GgufReader::ReadTensorName() {
  const std::string where = reader_.Here();
  DAMASK_ASSIGN_OR_RETURN(const std::string_view name, ReadString("the name of a tensor"));
  Status fault;
  if (name.empty()) {
    fault = BadFormat("a tensor without a name");
  } else if (name.size() > limits::kMaxTensorNameBytes) {
    fault = BadFormat(fmt::format("the tensor name {} has {} bytes, expected at most {}", Quote(name), name.size(),
                                  limits::kMaxTensorNameBytes));
  } else if (!IsValidUtf8(name) || name.find('\0') != std::string_view::npos) {
    fault = BadFormat(fmt::format("the tensor name {} is not UTF-8 text without NUL bytes", Quote(name)));
  }
  DAMASK_RETURN_IF_ERROR(Note(fault.At(where)));
  return name;
}

// Dimensions, type and offset; works out the size in bytes.
Status GgufReader::ReadShape(Described* tensor) {
  const std::string where = reader_.Here();
  DAMASK_ASSIGN_OR_RETURN(const uint32_t num_dims, reader_.Read<uint32_t>("the number of dimensions"));
  if (num_dims == 0 || num_dims > limits::kMaxTensorDims) {
    return BadFormat(fmt::format("{} dimensions, expected 1 to {}", num_dims, limits::kMaxTensorDims)).At(where);
  }
  std::vector<uint64_t>& shape = tensor->info.shape;
  std::optional<uint64_t> elements = 1;
  bool empty = false;
  for (uint32_t i = 0; i < num_dims; ++i) {
    DAMASK_ASSIGN_OR_RETURN(const uint64_t dim, reader_.Read<uint64_t>("a dimension"));
    shape.push_back(dim);
    // A dimension of 0 must not hide others whose product wraps: rows() multiplies them without a check.
    empty = empty || dim == 0;
    if (elements && dim != 0) elements = CheckedMul(*elements, dim);
    if (elements && *elements > kMaxProduct) elements = std::nullopt;
  }
  std::reverse(shape.begin(), shape.end());
  DAMASK_ASSIGN_OR_RETURN(const uint32_t type, reader_.Read<uint32_t>("the type of a tensor"));
  DAMASK_ASSIGN_OR_RETURN(tensor->offset, reader_.Read<uint64_t>("the offset of a tensor"));
  if (!elements) {
    return Note(BadFormat(fmt::format("dimensions {}: their product is over 2^63", fmt::join(shape, " x "))).At(where));
  }
  const std::optional<TensorTypeInfo> known = FindTensorType(type);
  if (!known) return Note(Unsupported(fmt::format("tensor type {} is unknown", static_cast<int32_t>(type))).At(where));
  tensor->info.type = static_cast<TensorType>(type);
  if (shape.back() % known->block_values != 0) {
    return Note(BadFormat(fmt::format("rows of {} values in {}, expected a multiple of {}", shape.back(), known->name,
                                      known->block_values))
                    .At(where));
  }
  const std::optional<uint64_t> bytes = CheckedMul(*elements / known->block_values, known->block_bytes);
  if (!bytes) {
    return Note(BadFormat(fmt::format("{} values in {} have more than 2^64 bytes", *elements, known->name)).At(where));
  }
  tensor->info.bytes = empty ? 0 : *bytes;
  tensor->sized = true;
  return {};
}

// Finds every tensor's bytes behind the descriptions. The format leaves no freedom: tensors lie in the order of their
// descriptions, each padded to the alignment.
Status GgufReader::PlaceTensors(std::vector<Described> tensors) {
  const std::optional<uint64_t> data_begin = CheckedAlignUp(reader_.offset(), alignment_);
  if (!data_begin) return BadFormat("the header ends beyond 2^64 bytes");
  file_->tensors_.reserve(tensors.size());
  file_->tensor_index_.reserve(tensors.size());
  uint64_t end = reader_.offset();
  uint64_t padded_end = *data_begin;  // writers pad a header without tensors, too
  for (Described& tensor : tensors) {
    context_ = AtTensor(tensor.name);
    if (Status status = PlaceTensor(&tensor, *data_begin); !status.ok()) return status.At(context_);
    if (expected_offset_) {
      end = *data_begin + tensor.offset + tensor.info.bytes;
      padded_end = *data_begin + *expected_offset_;
    }
    if (tensor.sized) AddTensor(std::move(tensor));
  }
  context_.clear();
  if (tensors_behind_end_ > 1) {
    DAMASK_RETURN_IF_ERROR(Note(Truncated(fmt::format("{} more tensors end behind its end: whole it has {} bytes or more",
                                                      tensors_behind_end_ - 1, wanted_size_))));
  }
  if (!expected_offset_ || !options_.require_tensor_data) return {};
  return CheckEnd(end, padded_end);
}

// Checks the offset, advances expected_offset_, and sets info.data where the bytes are there.
Status GgufReader::PlaceTensor(Described* tensor, uint64_t data_begin) {
  if (file_->tensor_index_.contains(tensor->name)) {
    DAMASK_RETURN_IF_ERROR(Note(BadFormat("the tensor occurs twice")));
  }
  const std::optional<uint64_t> expected = std::exchange(expected_offset_, std::nullopt);
  if (!tensor->sized) return {};
  const uint64_t offset = tensor->offset;
  if (expected && offset != *expected) {
    DAMASK_RETURN_IF_ERROR(Note(BadFormat(
        fmt::format("offset {}, expected {}: tensors lie one after the other, padded to {}", offset, *expected, alignment_))));
  } else if (offset % alignment_ != 0) {
    DAMASK_RETURN_IF_ERROR(Note(BadFormat(fmt::format("offset {}, expected a multiple of {}", offset, alignment_))));
  }
  const std::optional<uint64_t> end = CheckedAdd(offset, tensor->info.bytes);
  const std::optional<uint64_t> padded = end ? CheckedAlignUp(*end, alignment_) : std::nullopt;
  if (!padded || !CheckedAdd(data_begin, *padded)) {
    return Note(BadFormat(fmt::format("offset {} plus {} bytes is over 2^64", offset, tensor->info.bytes)));
  }
  expected_offset_ = padded;
  const uint64_t size = bytes_->size();
  if (data_begin + *end > size) {
    if (!options_.require_tensor_data) return {};
    wanted_size_ = std::max(wanted_size_, data_begin + *end);
    if (++tensors_behind_end_ > 1) return {};  // told together
    return Note(Truncated(fmt::format("ends at byte {}, the file has {} bytes: it was cut off", data_begin + *end, size)));
  }
  // Bytes that an earlier tensor has are not given out again: the work on all tensors stays within the file's size.
  if (data_begin + offset <= size && offset >= data_end_) tensor->info.data = bytes_->bytes().data() + data_begin + offset;
  data_end_ = std::max(data_end_, *end);
  return {};
}

// Looks at what lies behind the last tensor.
Status GgufReader::CheckEnd(uint64_t end, uint64_t padded_end) {
  const std::string_view text = AsText(bytes_->bytes());
  for (const uint64_t next : {end, padded_end}) {
    if (next < text.size() && text.substr(next).starts_with(kMagic)) {
      return BadFormat(
                 "another GGUF file follows: shards were joined with cat; use the shards as they were, "
                 "or merge them with llama-gguf-split")
          .At(fmt::format("byte {}", next));
    }
  }
  if (text.size() <= padded_end) return {};
  const std::string message = fmt::format("{} bytes follow the last tensor", text.size() - padded_end);
  if (faults_ != nullptr) return Note(BadFormat(message).At(fmt::format("byte {}", padded_end)));
  LogWarning(fmt::format("{}: {}", Quote(bytes_->path(), 300), message));
  return {};
}

void GgufReader::AddTensor(Described tensor) {
  if (!file_->tensor_index_.emplace(tensor.name, file_->tensors_.size()).second) return;
  file_->tensors_.push_back(std::move(tensor.info));
}

}  // namespace damask::formats
