// tokenizer.json: reading it, then encoding and decoding with what came of it. Behind a NUL byte the input may hold a text to
// encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "formats/json.h"
#include "fuzz/use_tokenizer.h"
#include "tokenizer/hf_tokenizer.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  damask::SetLogSink({});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = std::min(input.find('\0'), input.size());
  const auto root = damask::formats::ParseJson(input.substr(0, end));
  if (!root.ok()) return 0;
  damask::tokenizer::HfConfig config;
  config.bos = "<s>";
  config.end_ids = {0, 1, 1u << 31};
  const auto tokenizer = damask::tokenizer::TokenizerFromJson(*root, config);
  if (!tokenizer.ok()) return 0;
  const auto unknown = damask::formats::JsonString((*root)["model"], "unk_token");
  const std::string unknown_text = unknown.ok() ? unknown->value_or("") : "";
  damask::fuzz::UseTokenizer(**tokenizer, damask::fuzz::kText, unknown_text);
  if (end < input.size()) damask::fuzz::UseTokenizer(**tokenizer, input.substr(end + 1), unknown_text);
  return 0;
}
