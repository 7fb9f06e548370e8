// safetensors files: opening, finding and reading every tensor, and the checker.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "formats/check.h"
#include "formats/safetensors.h"

namespace {

volatile unsigned char touched;

void TouchEverything(const damask::formats::SafetensorsFiles& files) {
  for (const damask::formats::TensorInfo& tensor : files.tensors()) {
    const auto found = files.Find(tensor.name);
    if (!found.ok() || *found != &tensor) std::abort();
    const uint64_t element = damask::formats::GetTensorType(tensor.type).block_bytes;
    if (tensor.rows() * tensor.columns() * element != tensor.bytes) std::abort();
    if (reinterpret_cast<uintptr_t>(tensor.data) % element != 0) std::abort();
    if (tensor.bytes == 0) continue;
    touched = std::to_integer<unsigned char>(tensor.data[0]);
    touched = std::to_integer<unsigned char>(tensor.data[tensor.bytes - 1]);
  }
  for (const auto& entry : files.unsupported()) {
    if (files.Find(entry.first).ok()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = damask::FileBytes::Borrow(std::as_bytes(std::span(data, size)), "input.safetensors");
  const auto files = damask::formats::SafetensorsFiles::Parse(bytes);
  if (files.ok()) TouchEverything(**files);
  damask::formats::CheckModelBytes(bytes);
  return 0;
}
