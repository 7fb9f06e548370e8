// tokenizer.json: reading it, then encoding and decoding with what came of it. Behind a NUL byte the input may hold a text to
// encode.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/text.h"
#include "formats/json.h"
#include "tokenizer/hf_tokenizer.h"

namespace {

using damask::tokenizer::Special;
using damask::tokenizer::TokenId;
using damask::tokenizer::Tokenizer;

constexpr std::string_view kText =
    "Hello, y'all!  <s>I'm ▁ 12345 中文 é\n\n\t🦙\xcc\x81 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa<|end|> ";

void UseTokenizer(const Tokenizer& tokenizer, std::string_view text, std::string_view unknown) {
  for (const Special special : {Special::kParse, Special::kPlain}) {
    const auto ids = tokenizer.Encode(text, special);
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      if (id < 0 || static_cast<size_t>(id) >= tokenizer.vocab_size()) std::abort();
      // The spellings of control tokens stay text where nobody vouches for them; only an unknown character may give one.
      if (special == Special::kPlain && tokenizer.IsControl(id) && tokenizer.Piece(id, true) != unknown) std::abort();
    }
    damask::tokenizer::StreamDecoder stream(&tokenizer, /*at_start=*/true);
    std::string streamed;
    for (const TokenId id : *ids) streamed += stream.Add(id);
    streamed += stream.Finish();
    if (!damask::IsValidUtf8(streamed)) std::abort();
    if (tokenizer.Decode(*ids, false).size() > streamed.size() * 4) std::abort();
  }
}

}  // namespace

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
  UseTokenizer(**tokenizer, kText, unknown_text);
  if (end < input.size()) UseTokenizer(**tokenizer, input.substr(end + 1), unknown_text);
  return 0;
}
