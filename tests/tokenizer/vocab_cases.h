// The texts of tests/vocab and the ids that llama.cpp expects for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer::testing {

struct VocabCase {
  std::string text;
  std::vector<TokenId> ids;
};

// tests/vocab/ggml-vocab-NAME.gguf.inp and .out. Empty where the two do not fit together.
std::vector<VocabCase> ReadVocabCases(const std::string& name);

// tests/vocab/ggml-vocab-NAME.gguf; fails the running test and gives null where it cannot be read.
std::unique_ptr<Tokenizer> LoadVocab(const std::string& name);

// Valid UTF-8 of about `bytes` bytes: letters of several scripts, spaces, digits, emoji, control and combining characters.
std::string RandomText(uint32_t seed, size_t bytes);

}  // namespace damask::tokenizer::testing
