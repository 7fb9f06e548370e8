#include "texts/retrieval.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string_view>

#include "texts/facts.h"
#include "texts/keys.h"
#include "texts/prose.h"
#include "texts/words.h"

namespace damask::texts {
namespace {

constexpr size_t kMinWords = 100;
constexpr size_t kMinWordLetters = 3;
constexpr size_t kMaxWordLetters = 10;
constexpr size_t kMaxChain = 4;
constexpr size_t kMostNames = 26 * 26 * 26 / 2;  // half of those of three letters, so that a new one is soon drawn
constexpr double kCharactersPerToken = 3;        // a first guess; the text is made again where it turns out too short

bool IsKeyWord(std::string_view piece) {
  return piece.size() >= kMinWordLetters && piece.size() <= kMaxWordLetters &&
         std::all_of(piece.begin(), piece.end(), [](char c) { return c >= 'a' && c <= 'z'; }) && !IsEvaluationWord(piece);
}

struct Stretch {
  size_t begin = 0;
  size_t end = 0;
};

// Writes the text; `characters` is how long it is to become.
class Writer {
 public:
  Writer(const std::vector<std::string>& words, size_t characters, uint64_t seed)
      : words_(words), characters_(characters), random_(seed), prose_(random_.Below(UINT64_MAX)) {}

  void Run() {
    while (text_.size() < characters_) {
      const uint64_t choice = random_.Below(10);
      const bool asks = text_.size() >= characters_ / 4;
      if (asks && choice < 4 && Ask()) continue;
      if (asks && choice == 4 && AskChain()) continue;
      if (choice < 6 || (choice < 8 && names_.size() == kMostNames)) {
        AddFact();
      } else if (choice < 8) {
        AddLink();
      } else {
        text_ += prose_.Next().text;
        text_ += '\n';
      }
    }
  }

  const std::string& text() const { return text_; }
  const std::vector<Stretch>& answers() const { return answers_; }

 private:
  struct Asked {
    size_t place;
    FactWords words;
  };

  // Variables that got one value, each from the one before it.
  struct Chain {
    size_t place;  // of the last assignment
    std::string value;
    std::vector<std::string> names;
  };

  std::string DrawKey() {
    const std::string& first = words_[random_.Below(words_.size())];
    return first + "-" + words_[random_.Below(words_.size())];
  }

  std::string DrawValue() {
    for (;;) {
      const uint64_t value = kFirstValue + random_.Below(kLastValue - kFirstValue + 1);
      if (!IsEvaluationValue(value)) return std::to_string(value);
    }
  }

  void AddFact() {
    using MakeFact = FactWords (*)(std::string_view, std::string_view);
    static constexpr std::array<MakeFact, 3> kFormats = {LineFact, NeedleFact, KvFact};
    // The same key in one text twice would have two answers.
    std::string key = DrawKey();
    while (!keys_.insert(key).second) key = DrawKey() + "-" + words_[random_.Below(words_.size())];
    FactWords words = kFormats[random_.Below(kFormats.size())](key, DrawValue());
    text_ += words.fact;
    open_.push_back({text_.size(), std::move(words)});
  }

  std::string DrawName() {
    for (;;) {
      std::string name;
      for (int i = 0; i < 3; ++i) name += static_cast<char>('A' + random_.Below(26));
      if (names_.insert(name).second) return name;
    }
  }

  // Begins a chain, or goes on with one that is short.
  void AddLink() {
    const auto is_short = [](const Chain& chain) { return chain.names.size() < kMaxChain; };
    const auto chain = std::find_if(chains_.begin(), chains_.end(), is_short);
    if (chain == chains_.end() || random_.Below(3) == 0) {
      chains_.push_back({.value = DrawValue(), .names = {DrawName()}});
      text_ += AssignValue(chains_.back().names.back(), chains_.back().value);
      chains_.back().place = text_.size();
      return;
    }
    const std::string source = chain->names.back();
    chain->names.push_back(DrawName());
    text_ += AssignName(chain->names.back(), source);
    chain->place = text_.size();
  }

  // How many of `open`, which are in the order of the text, stand an eighth of it back.
  template <class T>
  uint64_t Far(const std::vector<T>& open) const {
    const size_t distance = characters_ / 8;
    const auto near = std::find_if(open.begin(), open.end(), [&](const T& one) { return one.place + distance > text_.size(); });
    return static_cast<uint64_t>(near - open.begin());
  }

  void AddAnswer(std::string_view answer) {
    answers_.push_back({text_.size(), text_.size() + answer.size()});
    text_ += answer;
  }

  bool Ask() {
    const uint64_t far = Far(open_);
    if (far == 0) return false;
    const auto chosen = open_.begin() + static_cast<std::ptrdiff_t>(random_.Below(far));
    text_ += chosen->words.question + chosen->words.prefix;
    AddAnswer(chosen->words.value);
    text_ += chosen->words.rest;
    open_.erase(chosen);
    return true;
  }

  // Asks for all names of a chain; the separators between them are no part of the answer.
  bool AskChain() {
    std::sort(chains_.begin(), chains_.end(), [](const Chain& a, const Chain& b) { return a.place < b.place; });
    const uint64_t far = Far(chains_);
    if (far == 0) return false;
    const auto chosen = chains_.begin() + static_cast<std::ptrdiff_t>(random_.Below(far));
    text_ += ChainQuestion(chosen->value);
    for (size_t i = 0; i < chosen->names.size(); ++i) {
      if (i != 0) text_ += ", ";
      AddAnswer(chosen->names[i]);
    }
    text_ += '\n';
    chains_.erase(chosen);
    return true;
  }

  const std::vector<std::string>& words_;
  size_t characters_;
  Random random_;
  ProseReader prose_;
  std::string text_;
  std::set<std::string> keys_;
  std::set<std::string> names_;
  std::vector<Asked> open_;
  std::vector<Chain> chains_;
  std::vector<Stretch> answers_;
};

// The text that a token at `begin` covers: its piece, without a space that the vocabulary put in front of it (before the first
// word; in some behind a control token as well).
std::optional<size_t> Covered(std::string_view text, size_t begin, std::string_view piece) {
  if (text.substr(begin, piece.size()) == piece) return piece.size();
  if (!piece.empty() && piece.front() == ' ' && text.substr(begin, piece.size() - 1) == piece.substr(1)) {
    return piece.size() - 1;
  }
  return std::nullopt;
}

Result<RetrievalTokens> Label(const tokenizer::Tokenizer& tokenizer, const Writer& writer,
                              std::vector<tokenizer::TokenId> ids) {
  RetrievalTokens result;
  result.is_answer.reserve(ids.size());
  auto answer = writer.answers().begin();
  size_t begin = 0;
  for (const tokenizer::TokenId id : ids) {
    const std::optional<size_t> covered = Covered(writer.text(), begin, tokenizer.Piece(id, true));
    if (!covered) return Unsupported("the tokens of a calibration text do not spell it; give texts with --text");
    const size_t end = begin + *covered;
    while (answer != writer.answers().end() && answer->end <= begin) ++answer;
    result.is_answer.push_back(answer != writer.answers().end() && answer->begin < end);
    begin = end;
  }
  result.ids = std::move(ids);
  return result;
}

}  // namespace

std::vector<std::string> VocabularyWords(const tokenizer::Tokenizer& tokenizer) {
  std::set<std::string> words;
  for (size_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string piece = tokenizer.Piece(static_cast<tokenizer::TokenId>(id), false);
    if (!piece.empty() && piece.front() == ' ') piece.erase(0, 1);
    if (IsKeyWord(piece)) words.insert(std::move(piece));
  }
  if (words.size() < kMinWords) {
    Random random(1);
    for (std::string& word : InventWords(kMinWords, &random)) words.insert(std::move(word));
  }
  return {words.begin(), words.end()};
}

Result<RetrievalTokens> RetrievalText(const tokenizer::Tokenizer& tokenizer, size_t tokens, uint64_t seed) {
  if (tokens == 0) return RetrievalTokens{};
  const std::vector<std::string> words = VocabularyWords(tokenizer);
  auto characters = static_cast<size_t>(static_cast<double>(tokens) * kCharactersPerToken) + 64;
  for (;;) {
    Writer writer(words, characters, seed);
    writer.Run();
    DAMASK_ASSIGN_OR_RETURN(std::vector<tokenizer::TokenId> ids, tokenizer.Encode(writer.text(), tokenizer::Special::kPlain));
    if (ids.size() >= tokens) {
      DAMASK_ASSIGN_OR_RETURN(RetrievalTokens result, Label(tokenizer, writer, std::move(ids)));
      result.ids.resize(tokens);
      result.is_answer.resize(tokens);
      return result;
    }
    characters = characters * tokens / ids.size() + 64;
  }
}

}  // namespace damask::texts
