#include "tools/make_model/vocabulary.h"

#include <string_view>
#include <unordered_set>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::make_model {
namespace {

constexpr std::string_view kSpace = "\u2581";  // SentencePiece writes a space as this
constexpr std::string_view kCommonCharacters = "etaoinshrdlucmfwypvbgkjqxz0123456789.,?!:;'\"-()";
constexpr std::string_view kConsonants = "tnshrdlcmfwpvbgkjqxz";
constexpr std::string_view kVowels = "eaoiuy";

class Builder {
 public:
  explicit Builder(size_t size) : size_(size) {}

  Vocabulary Run() {
    AddFixed();
    AddCommonCharacters();
    const std::vector<std::string> syllables = MakeSyllables();
    for (const std::string& syllable : syllables) AddWord(syllable);
    AddRareCharacters();
    // Words of two syllables, then three, ...: each is a shorter word and one more syllable.
    std::vector<std::string> words = syllables;
    while (!full()) {
      std::vector<std::string> longer;
      for (size_t w = 0; w < words.size() && !full(); ++w) {
        for (size_t s = 0; s < syllables.size() && !full(); ++s) {
          longer.push_back(words[w] + syllables[s]);
          AddWord(longer.back());
        }
      }
      words = std::move(longer);
    }
    return std::move(vocabulary_);
  }

 private:
  bool full() const { return vocabulary_.pieces.size() >= size_; }

  void Add(std::string piece, int32_t type) {
    if (full() || !seen_.insert(piece).second) return;
    const size_t id = vocabulary_.pieces.size();
    vocabulary_.scores.push_back(id < kFirstPiece ? 0.0f : -static_cast<float>(id - kFirstPiece));
    vocabulary_.types.push_back(type);
    vocabulary_.pieces.push_back(std::move(piece));
  }

  void AddFixed() {
    Add("<unk>", 2);
    Add("<s>", 3);
    Add("</s>", 3);
    for (unsigned byte = 0; byte < 256; ++byte) Add(fmt::format("<0x{:02X}>", byte), 6);
  }

  void AddCommonCharacters() {
    Add(std::string(kSpace), 1);
    for (const char c : kCommonCharacters) Add(std::string(1, c), 1);
  }

  void AddRareCharacters() {
    for (char c = '!'; c <= '~'; ++c) Add(std::string(1, c), 1);
    for (uint32_t code = 0xa1; code < 0x180; ++code) {
      std::string character;
      AppendUtf8(code, &character);
      Add(std::move(character), 1);
    }
  }

  static std::vector<std::string> MakeSyllables() {
    std::vector<std::string> syllables;
    for (const char vowel : kVowels) {
      for (const char consonant : kConsonants) syllables.push_back({consonant, vowel});
    }
    return syllables;
  }

  void AddWord(const std::string& word) {
    Add(word, 1);
    Add(std::string(kSpace) + word, 1);
  }

  size_t size_;
  Vocabulary vocabulary_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

Vocabulary MakeVocabulary(size_t size) { return Builder(size).Run(); }

std::vector<std::pair<std::string, std::string>> ListMerges(const Vocabulary& vocabulary) {
  const std::unordered_set<std::string_view> known(vocabulary.pieces.begin() + kFirstPiece, vocabulary.pieces.end());
  std::vector<std::pair<std::string, std::string>> merges;
  for (size_t id = kFirstPiece; id < vocabulary.pieces.size(); ++id) {
    const std::string_view piece = vocabulary.pieces[id];
    for (size_t cut = Utf8Length(piece); cut < piece.size(); cut += Utf8Length(piece.substr(cut))) {
      const std::string_view left = piece.substr(0, cut);
      const std::string_view right = piece.substr(cut);
      if (known.count(left) != 0 && known.count(right) != 0) merges.emplace_back(left, right);
    }
  }
  return merges;
}

}  // namespace damask::make_model
