// The vocabularies of tests/vocab, to count tokens with.
#pragma once

#include <memory>
#include <string>

#include "formats/gguf.h"
#include "texts/tasks.h"
#include "tokenizer/tokenizer.h"

namespace damask::texts {

inline std::unique_ptr<tokenizer::Tokenizer> LoadVocab(const std::string& name) {
  const std::string path = std::string(DAMASK_SOURCE_DIR) + "/tests/vocab/ggml-vocab-" + name + ".gguf";
  auto file = formats::GgufFile::Open(path, {.load = LoadMode::kRead, .require_tensor_data = false});
  if (!file.ok()) return nullptr;
  auto tokenizer = tokenizer::Tokenizer::FromGguf(**file);
  return tokenizer.ok() ? std::move(*tokenizer) : nullptr;
}

// Four characters a token, so that budgets can be checked without a vocabulary.
inline Result<size_t> QuarterCount(std::string_view text) { return text.size() / 4; }

inline CountTokens CountWith(const tokenizer::Tokenizer& tokenizer) {
  return [&tokenizer](std::string_view text) -> Result<size_t> {
    auto ids = tokenizer.Encode(text, tokenizer::Special::kPlain);
    if (!ids.ok()) return ids.status();
    return ids->size();
  };
}

}  // namespace damask::texts
