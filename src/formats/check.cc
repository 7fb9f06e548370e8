#include "formats/check.h"

#include <cstring>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "formats/gguf_reader.h"
#include "formats/safetensors_reader.h"

namespace damask::formats {
namespace {

struct Counts {
  uint64_t nan = 0;
  uint64_t infinite = 0;
};

// IEEE numbers in Bits, of which kExponent are the exponent, at `stride` bytes from one another.
template <typename Bits, Bits kExponent>
Counts CountNotFinite(const std::byte* data, uint64_t count, uint64_t stride) {
  constexpr Bits kMantissa = static_cast<Bits>((kExponent & -kExponent) - 1);
  Counts counts;
  for (uint64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, data + i * stride, sizeof(bits));
    const bool special = (bits & kExponent) == kExponent;
    const bool has_mantissa = (bits & kMantissa) != 0;
    counts.nan += special && has_mantissa ? 1 : 0;
    counts.infinite += special && !has_mantissa ? 1 : 0;
  }
  return counts;
}

Counts CountHalf(const std::byte* data, uint64_t count, uint64_t stride) {
  return CountNotFinite<uint16_t, 0x7c00>(data, count, stride);
}
Counts CountBf16(const std::byte* data, uint64_t count, uint64_t stride) {
  return CountNotFinite<uint16_t, 0x7f80>(data, count, stride);
}
Counts CountFloat(const std::byte* data, uint64_t count, uint64_t stride) {
  return CountNotFinite<uint32_t, 0x7f800000>(data, count, stride);
}
Counts CountDouble(const std::byte* data, uint64_t count, uint64_t stride) {
  return CountNotFinite<uint64_t, 0x7ff0000000000000>(data, count, stride);
}

// Powers of two by their exponent alone, of which the last is NaN (E8M0 of the OCP Microscaling Formats).
Counts CountExponent(const std::byte* data, uint64_t count, uint64_t stride) {
  Counts counts;
  for (uint64_t i = 0; i < count; ++i) counts.nan += data[i * stride] == std::byte{255} ? 1 : 0;
  return counts;
}

// Where the floating-point numbers of a block lie: all of it for plain types, the scales for quantised ones. Offsets follow
// from ggml's block layouts. Types without numbers that can be NaN, or with scales spread over bits (IQ1_M, NVFP4), have
// none.
struct FloatField {
  std::string_view type;
  uint32_t offset;  // within the block
  Counts (*count)(const std::byte*, uint64_t, uint64_t);
};

constexpr FloatField kFloatFields[] = {
    {"F32", 0, CountFloat},      {"F64", 0, CountDouble},  {"F16", 0, CountHalf},     {"BF16", 0, CountBf16},
    {"Q4_0", 0, CountHalf},      {"Q4_1", 0, CountHalf},   {"Q4_1", 2, CountHalf},    {"Q5_0", 0, CountHalf},
    {"Q5_1", 0, CountHalf},      {"Q5_1", 2, CountHalf},   {"Q8_0", 0, CountHalf},    {"Q8_1", 0, CountHalf},
    {"Q8_1", 2, CountHalf},      {"Q2_K", 80, CountHalf},  {"Q2_K", 82, CountHalf},   {"Q3_K", 108, CountHalf},
    {"Q4_K", 0, CountHalf},      {"Q4_K", 2, CountHalf},   {"Q5_K", 0, CountHalf},    {"Q5_K", 2, CountHalf},
    {"Q6_K", 208, CountHalf},    {"Q8_K", 0, CountFloat},  {"IQ2_XXS", 0, CountHalf}, {"IQ2_XS", 0, CountHalf},
    {"IQ3_XXS", 0, CountHalf},   {"IQ1_S", 0, CountHalf},  {"IQ4_NL", 0, CountHalf},  {"IQ3_S", 0, CountHalf},
    {"IQ2_S", 0, CountHalf},     {"IQ4_XS", 0, CountHalf}, {"TQ1_0", 52, CountHalf},  {"TQ2_0", 64, CountHalf},
    {"MXFP4", 0, CountExponent}, {"Q1_0", 0, CountHalf},   {"Q2_0", 0, CountHalf},
};

void CheckTensor(const TensorInfo& tensor, const std::string& file, FaultList* faults) {
  const std::string where = fmt::format("{}: tensor {}", file, Quote(tensor.name));
  const TensorTypeInfo& type = GetTensorType(tensor.type);
  if (!type.runnable) faults->Add(where, fmt::format("type {} is known, but damask has no kernels for it", type.name));
  if (tensor.data == nullptr || tensor.bytes == 0) return;
  const uint64_t blocks = tensor.bytes / type.block_bytes;
  Counts found;
  for (const FloatField& field : kFloatFields) {
    if (field.type != type.name) continue;
    const Counts counts = field.count(tensor.data + field.offset, blocks, type.block_bytes);
    found.nan += counts.nan;
    found.infinite += counts.infinite;
  }
  if (found.nan + found.infinite == 0) return;
  faults->Add(where, fmt::format("{} NaN and {} infinite {} in {} {}", found.nan, found.infinite,
                                 type.block_values == 1 ? "values" : "block scales", blocks,
                                 type.block_values == 1 ? "values" : fmt::format("blocks of {}", type.name)));
}

void CheckGguf(const Result<std::shared_ptr<const GgufFile>>& model, FaultList* faults) {
  if (!model.ok()) return faults->Add(model.status());
  for (const TensorInfo& tensor : (*model)->tensors()) {
    CheckTensor(tensor, Quote((*model)->shard_path(tensor.shard), 300), faults);
  }
}

void CheckSafetensors(const SafetensorsFiles& files, const std::string& path, FaultList* faults) {
  for (const TensorInfo& tensor : files.tensors()) CheckTensor(tensor, Quote(path, 300), faults);
  for (const auto& [name, dtype] : std::map(files.unsupported().begin(), files.unsupported().end())) {
    faults->Add(fmt::format("{}: tensor {}", Quote(path, 300), Quote(name)),
                fmt::format("dtype {}, expected F32, F16 or BF16", Quote(dtype)));
  }
}

// By content first: a GGUF file begins with its name, a safetensors file with the length of a JSON object.
bool LooksLikeSafetensors(const FileBytes& file) {
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()), file.size());
  if (text.starts_with("GGUF")) return false;
  return file.path().ends_with(".safetensors") || (text.size() > 8 && text[8] == '{');
}

void CheckSafetensorsBytes(const std::shared_ptr<const FileBytes>& file, FaultList* faults) {
  SafetensorsReader reader(faults);
  if (Status status = reader.AddFile(file); !status.ok()) faults->Add(status);
  CheckSafetensors(*reader.Finish(), file->path(), faults);
}

}  // namespace

std::vector<Fault> CheckModelBytes(std::shared_ptr<const FileBytes> file) {
  FaultList faults;
  const std::string where = Quote(file->path(), 300);
  if (LooksLikeSafetensors(*file)) {
    CheckSafetensorsBytes(file, &faults);
  } else {
    CheckGguf(GgufReader::ParseWhole(std::move(file), GgufOpenOptions{}, &faults), &faults);
  }
  return std::move(faults).Take(where);
}

Result<std::vector<Fault>> CheckModelFile(const std::string& path, LoadMode load) {
  FaultList faults;
  if (IsDirectory(path)) {
    Result<std::shared_ptr<const SafetensorsFiles>> files = OpenSafetensorsFolder(path, load, &faults);
    if (!files.ok() && files.status().code() == StatusCode::kNotFound) return files.status();
    if (files.ok()) {
      CheckSafetensors(**files, path, &faults);
    } else {
      faults.Add(files.status());
    }
    return std::move(faults).Take(Quote(path, 300));
  }
  DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const FileBytes> file, FileBytes::Open(path, load));
  if (LooksLikeSafetensors(*file)) {
    CheckSafetensorsBytes(file, &faults);
  } else {
    file.reset();  // read into memory, it would be there twice
    CheckGguf(GgufReader::OpenAll(path, GgufOpenOptions{.load = load}, &faults), &faults);
  }
  return std::move(faults).Take(Quote(path, 300));
}

}  // namespace damask::formats
