// The cutting of text into words before byte-level BPE merges inside each of them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/regex.h"

namespace damask::tokenizer {

// What becomes of a match; names and meanings as in tokenizer.json.
enum class SplitBehavior { kIsolated, kRemoved, kMergedWithPrevious, kMergedWithNext, kContiguous };

struct SplitStep {
  Regex regex;
  SplitBehavior behavior = SplitBehavior::kIsolated;
  bool invert = false;  // the gaps between matches count as the matches
};

// A word of a text below 4 GiB, in bytes.
struct WordRange {
  uint32_t begin = 0;
  uint32_t size = 0;
};

// Several patterns, one after the other: each sees every piece of the one before it as a text of its own.
class PreTokenizer {
 public:
  PreTokenizer() = default;  // one word: the whole text
  explicit PreTokenizer(std::vector<SplitStep> steps) : steps_(std::move(steps)) {}

  // Replaces `words`. `text` must be valid UTF-8. Thread-safe.
  Status Split(std::string_view text, std::vector<WordRange>* words) const;

 private:
  std::vector<SplitStep> steps_;
};

// What llama.cpp does for a `tokenizer.ggml.pre` name.
struct PreTokenizerRules {
  std::vector<std::string_view> patterns;
  bool ignore_merges = false;  // a word that is a token as a whole is taken at once
  bool add_bos = false;        // where the file has no tokenizer.ggml.add_bos_token
};

// Null for a name whose rules are not known here.
const PreTokenizerRules* FindPreTokenizerRules(std::string_view name);

Result<PreTokenizer> MakePreTokenizer(const PreTokenizerRules& rules);

}  // namespace damask::tokenizer
