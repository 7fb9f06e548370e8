// What the fuzz targets of tokenizers do with one that was read.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

#include "base/text.h"
#include "tokenizer/tokenizer.h"

namespace damask::fuzz {

using tokenizer::Special;
using tokenizer::TokenId;
using tokenizer::Tokenizer;

inline constexpr std::string_view kText =
    "Hello, y'all!  <s>I'm ▁ 12345 中文 é\n\n\t🦙\xcc\x81 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa<|end|> ";

// Encodes and decodes `text`. `unknown`: the only control token that text which nobody vouches for may give; absent: not looked
// at.
inline void UseTokenizer(const Tokenizer& tokenizer, std::string_view text, const std::optional<std::string>& unknown) {
  for (const Special special : {Special::kParse, Special::kPlain}) {
    const auto ids = tokenizer.Encode(text, special);
    if (!ids.ok()) continue;
    for (const TokenId id : *ids) {
      if (id < 0 || static_cast<size_t>(id) >= tokenizer.vocab_size()) std::abort();
      // The spellings of control tokens stay text.
      if (special == Special::kPlain && unknown && tokenizer.IsControl(id) && tokenizer.Piece(id, true) != *unknown) {
        std::abort();
      }
    }
    tokenizer::StreamDecoder stream(&tokenizer, /*at_start=*/true);
    std::string streamed;
    for (const TokenId id : *ids) streamed += stream.Add(id);
    streamed += stream.Finish();
    if (!IsValidUtf8(streamed)) std::abort();
    if (tokenizer.Decode(*ids, false).size() > streamed.size() * 4) std::abort();
  }
}

}  // namespace damask::fuzz
