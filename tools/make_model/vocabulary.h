// A synthetic SentencePiece-type vocabulary of any size from 300 up: text in it tokenizes, merges and round-trips.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace damask::make_model {

// Ids 0 to 2 are <unk>, <s> and </s>, 3 to 258 the bytes, then common characters, syllables, rarer characters and words of
// syllables, each syllable and word with and without the mark of a space before it; every piece can be reached by joining two
// shorter ones.
struct Vocabulary {
  std::vector<std::string> pieces;
  std::vector<float> scores;   // 0 for the fixed ones, then falling with the id
  std::vector<int32_t> types;  // SentencePiece's: 1 normal, 2 unknown, 3 control, 6 byte
};

inline constexpr size_t kFirstPiece = 259;

Vocabulary MakeVocabulary(size_t size);

// The pairs that join into longer pieces, best first: the merges of a Hugging Face tokenizer.json for this vocabulary.
std::vector<std::pair<std::string, std::string>> ListMerges(const Vocabulary& vocabulary);

}  // namespace damask::make_model
