// GGUF files: opening, every typed getter on every key, the first and last byte of every tensor, and the checker.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "base/log.h"
#include "formats/check.h"
#include "formats/gguf.h"

namespace {

using damask::formats::GgufFile;

// A byte that the optimiser must not skip.
volatile unsigned char touched;

void TouchEverything(const GgufFile& file) {
  for (const auto& [key, value] : file.metadata()) {
    if (file.FindKey(key) != &value) std::abort();
    touched = static_cast<unsigned char>(damask::formats::GgufTypeName(value).size());
    const bool ok[] = {file.GetUint(key).ok(),       file.GetFloat(key).ok(),       file.GetBool(key).ok(),
                       file.GetString(key).ok(),     file.GetStringArray(key).ok(), file.GetFloatArray(key).ok(),
                       file.GetInt32Array(key).ok(), file.GetUintOrArray(key).ok()};
    touched = ok[0];
  }
  for (const damask::formats::TensorInfo& tensor : file.tensors()) {
    if (file.FindTensor(tensor.name) != &tensor) std::abort();
    if (tensor.bytes != 0 && tensor.columns() % damask::formats::GetTensorType(tensor.type).block_values != 0) std::abort();
    if (tensor.data == nullptr || tensor.bytes == 0) continue;
    touched = std::to_integer<unsigned char>(tensor.data[0]);
    touched = std::to_integer<unsigned char>(tensor.data[tensor.bytes - 1]);
    touched = static_cast<unsigned char>(tensor.rows());
  }
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  damask::SetLogSink({});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = damask::FileBytes::Borrow(std::as_bytes(std::span(data, size)), "input");
  for (const bool require_tensor_data : {true, false}) {
    damask::formats::GgufOpenOptions options;
    options.require_tensor_data = require_tensor_data;
    const auto file = GgufFile::Parse(bytes, options);
    if (file.ok()) TouchEverything(**file);
  }
  damask::formats::CheckModelBytes(bytes);
  return 0;
}
