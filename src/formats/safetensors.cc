#include "formats/safetensors.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "formats/byte_reader.h"
#include "formats/safetensors_reader.h"

namespace damask::formats {
namespace {

constexpr uint64_t kLengthBytes = 8;  // the header's length stands before it

struct Dtype {
  std::string_view name;
  uint32_t bits;  // per element
  std::optional<TensorType> type;
};

// Those the format names. Others may come: their sizes are not checked, only that they fit between their neighbours.
constexpr Dtype kDtypes[] = {
    {"F32", 32, TensorType::kF32}, {"F16", 16, TensorType::kF16}, {"BF16", 16, TensorType::kBF16}, {"F64", 64, std::nullopt},
    {"I64", 64, std::nullopt},     {"U64", 64, std::nullopt},     {"C64", 64, std::nullopt},       {"I32", 32, std::nullopt},
    {"U32", 32, std::nullopt},     {"I16", 16, std::nullopt},     {"U16", 16, std::nullopt},       {"I8", 8, std::nullopt},
    {"U8", 8, std::nullopt},       {"BOOL", 8, std::nullopt},     {"F8_E4M3", 8, std::nullopt},    {"F8_E5M2", 8, std::nullopt},
    {"F8_E8M0", 8, std::nullopt},  {"F6_E2M3", 6, std::nullopt},  {"F6_E3M2", 6, std::nullopt},    {"F4", 4, std::nullopt},
};

const Dtype* FindDtype(std::string_view name) {
  const auto* found = std::find_if(std::begin(kDtypes), std::end(kDtypes), [name](const Dtype& d) { return d.name == name; });
  return found == std::end(kDtypes) ? nullptr : found;
}

std::string AtTensor(std::string_view name) { return "tensor " + Quote(name); }

// The JSON text of a file, without the spaces that pad it.
Result<std::string_view> FindHeader(std::span<const std::byte> bytes) {
  ByteReader reader(bytes);
  DAMASK_ASSIGN_OR_RETURN(const uint64_t length, reader.Read<uint64_t>("the header's length"));
  if (length == 0) return BadFormat("the header has length 0").At("byte 0");
  if (length > limits::kMaxSafetensorsHeader) {
    return BadFormat(fmt::format("the header has {} bytes, expected at most {}", length, limits::kMaxSafetensorsHeader))
        .At("byte 0");
  }
  DAMASK_ASSIGN_OR_RETURN(const auto header, reader.Take("the header", length));
  std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  if (text.front() != '{')
    return BadFormat(fmt::format("the header begins with {}, expected '{{'", Quote(text.substr(0, 1)))).At("byte 8");
  text = text.substr(0, text.find_last_not_of(' ') + 1);
  if (text.back() != '}') {
    return BadFormat(fmt::format("the header ends with {}, expected '}}' and spaces", Quote(text.substr(text.size() - 1))))
        .At(fmt::format("byte {}", kLengthBytes + text.size() - 1));
  }
  return text;
}

// Elements of a shape; nothing where the product of the dimensions, zeros left out, wraps.
std::optional<uint64_t> CountElements(const std::vector<uint64_t>& shape) {
  uint64_t product = 1;
  bool empty = false;
  for (const uint64_t dim : shape) {
    empty = empty || dim == 0;
    const std::optional<uint64_t> next = CheckedMul(product, std::max<uint64_t>(dim, 1));
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

// Shape and dtype against the bytes.
Status CheckSize(const SafetensorsEntry& entry) {
  const std::optional<uint64_t> elements = CountElements(entry.shape);
  if (!elements) return BadFormat(fmt::format("shape {}: the product is over 2^64", fmt::join(entry.shape, " x ")));
  const Dtype* dtype = FindDtype(entry.dtype);
  if (dtype == nullptr) return {};
  const std::optional<uint64_t> bits = CheckedMul(*elements, dtype->bits);
  if (!bits) return BadFormat(fmt::format("shape {} in {}: over 2^64 bits", fmt::join(entry.shape, " x "), dtype->name));
  if (*bits % 8 != 0 || *bits / 8 != entry.end - entry.begin) {
    return BadFormat(fmt::format("data_offsets [{}, {}] hold {} bytes, shape and dtype {} need {}", entry.begin, entry.end,
                                 entry.end - entry.begin, dtype->name, CeilDiv(*bits, 8)));
  }
  return {};
}

// One entry, which must begin where the one before it ended.
Status CheckEntry(const SafetensorsEntry& entry, uint64_t expected, uint64_t data_bytes) {
  const std::string found = fmt::format("data_offsets [{}, {}]", entry.begin, entry.end);
  if (entry.begin > entry.end) return BadFormat(found + " run backwards");
  if (entry.begin != expected) {
    return BadFormat(
        fmt::format("{} leave {}, expected to begin at {}", found, entry.begin > expected ? "a hole" : "an overlap", expected));
  }
  if (entry.end > data_bytes) return Truncated(fmt::format("{} end behind the data, which has {} bytes", found, data_bytes));
  return CheckSize(entry);
}

}  // namespace

Result<std::shared_ptr<const SafetensorsFiles>> SafetensorsFiles::OpenFolder(const std::string& folder, LoadMode load) {
  return OpenSafetensorsFolder(folder, load, nullptr);
}

Result<std::shared_ptr<const SafetensorsFiles>> SafetensorsFiles::Parse(std::shared_ptr<const FileBytes> file) {
  SafetensorsReader reader(nullptr);
  DAMASK_RETURN_IF_ERROR(reader.AddFile(std::move(file)));
  return reader.Finish();
}

Result<const TensorInfo*> SafetensorsFiles::Find(std::string_view name) const {
  const std::string key(name);
  if (const auto found = index_.find(key); found != index_.end()) return &tensors_[found->second];
  if (const auto other = unsupported_.find(key); other != unsupported_.end()) {
    return Unsupported(fmt::format("dtype {}, expected F32, F16 or BF16", Quote(other->second))).At(AtTensor(name));
  }
  return NotFound("the model has no such tensor").At(AtTensor(name));
}

Status SafetensorsReader::Note(Status fault) {
  if (faults_ == nullptr) return fault;
  return Report(faults_, fault.At(Quote(path_, 300)));
}

Status SafetensorsReader::AddFile(std::shared_ptr<const FileBytes> file) {
  path_ = file->path();
  if (Status status = ReadFile(file); !status.ok()) return status.At(Quote(path_, 300));
  files_->file_bytes_ += file->size();
  files_->files_.push_back(std::move(file));
  return {};
}

Status SafetensorsReader::ReadFile(const std::shared_ptr<const FileBytes>& file) {
  DAMASK_ASSIGN_OR_RETURN(const std::string_view header, FindHeader(file->bytes()));
  Result<std::vector<SafetensorsEntry>> entries = ParseSafetensorsHeader(header);
  if (!entries.ok()) return entries.status().At("header");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file->bytes().data(), kLengthBytes);
  const auto data = file->bytes().subspan(kLengthBytes + header_bytes);  // FindHeader has checked that they are there
  DAMASK_RETURN_IF_ERROR(CheckLayout(&*entries, data.size()));
  for (SafetensorsEntry& entry : *entries) DAMASK_RETURN_IF_ERROR(AddTensor(std::move(entry), data.data()));
  return {};
}

// The format wants the data section covered from its first byte to its last, without holes and overlaps; the header may name
// tensors in any order. Sorts the entries by offset, and drops those it has noted a fault of.
Status SafetensorsReader::CheckLayout(std::vector<SafetensorsEntry>* entries, uint64_t data_bytes) {
  std::sort(entries->begin(), entries->end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t expected = 0;
  std::vector<SafetensorsEntry> sound;
  for (SafetensorsEntry& entry : *entries) {
    const Status fault = CheckEntry(entry, expected, data_bytes);
    DAMASK_RETURN_IF_ERROR(Note(fault.At(AtTensor(entry.name))));
    expected = std::max(expected, entry.end);
    if (fault.ok()) sound.push_back(std::move(entry));
  }
  *entries = std::move(sound);
  if (expected < data_bytes) {
    return Note(BadFormat(fmt::format("{} bytes of data belong to no tensor, expected the last to end at the end of the file",
                                      data_bytes - expected)));
  }
  return {};
}

Status SafetensorsReader::AddTensor(SafetensorsEntry entry, const std::byte* data) {
  if (!shard_of_.emplace(entry.name, files_->files_.size()).second) {
    return Note(BadFormat("the tensor is in two files").At(AtTensor(entry.name)));
  }
  const Dtype* dtype = FindDtype(entry.dtype);
  if (dtype == nullptr || !dtype->type) {
    files_->unsupported_.emplace(std::move(entry.name), std::move(entry.dtype));
    return {};
  }
  TensorInfo info;
  info.type = *dtype->type;
  info.shape = std::move(entry.shape);
  info.bytes = entry.end - entry.begin;
  info.shard = files_->files_.size();
  if (info.bytes != 0) info.data = data + entry.begin;  // an empty tensor must not point at another's bytes
  if (reinterpret_cast<uintptr_t>(info.data) % (dtype->bits / 8) != 0) {
    std::unique_ptr<std::byte[]> copy(new (std::nothrow) std::byte[info.bytes]);
    if (!copy)
      return OutOfMemory(fmt::format("needs {} for an aligned copy", FormatBytes(info.bytes))).At(AtTensor(entry.name));
    std::memcpy(copy.get(), info.data, info.bytes);
    info.data = copy.get();
    files_->copies_.push_back(std::move(copy));
  }
  info.name = entry.name;
  files_->index_.emplace(std::move(entry.name), files_->tensors_.size());
  files_->tensors_.push_back(std::move(info));
  return {};
}

}  // namespace damask::formats
