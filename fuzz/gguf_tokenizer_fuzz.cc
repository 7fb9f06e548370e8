// Vocabularies in GGUF files: reading them, then encoding and decoding with what came of it.
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/log.h"
#include "formats/gguf.h"
#include "fuzz/use_tokenizer.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  damask::SetLogSink({});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto bytes = damask::FileBytes::Borrow(std::as_bytes(std::span(data, size)), "input");
  damask::formats::GgufOpenOptions options;
  options.require_tensor_data = false;
  const auto file = damask::formats::GgufFile::Parse(bytes, options);
  if (!file.ok()) return 0;
  const auto tokenizer = damask::tokenizer::Tokenizer::FromGguf(**file);
  if (!tokenizer.ok()) return 0;
  // Long texts go another way than short ones.
  static const std::string long_text = std::string(1200, 'x') + "é" + std::string(damask::fuzz::kText);
  for (const std::string_view text : {damask::fuzz::kText, std::string_view(long_text)}) {
    damask::fuzz::UseTokenizer(**tokenizer, text, std::nullopt);
  }
  return 0;
}
