// Small vocabularies made for a test: as GGUF files and as Hugging Face folders, under the test's temporary folder.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/gguf_writer.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer::testing {

struct MadeToken {
  std::string text;
  int32_t type = 1;  // as GGUF has it: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  float score = 0.0f;
};

struct MadeVocab {
  std::string model;
  std::optional<std::string> pre;
  std::vector<MadeToken> tokens;
  std::vector<std::string> merges;
  std::function<void(formats::GgufWriter*)> more = nullptr;  // further keys

  // Writes the GGUF file and reads it as a tokenizer.
  Result<std::unique_ptr<Tokenizer>> Load() const;
};

// <unk>, <s>, </s>, the byte tokens from id 3 on; then `words`, each with a lower score than the one before it.
MadeVocab SpmVocab(const std::vector<std::string>& words);

// The 256 characters of the byte alphabet, then `words`; pre-tokenizer "gpt-2".
MadeVocab BpeVocab(const std::vector<std::string>& words, const std::vector<std::string>& merges);

// A folder with these files (name, content).
std::string MakeFolder(const std::vector<std::pair<std::string, std::string>>& files);

// A byte-level tokenizer.json with "ab" as its only merge; `members` is put before the model's closing brace, `root` before the
// root's.
std::string ByteLevelJson(const std::string& model_members = "", const std::string& root_members = "");

Result<std::unique_ptr<Tokenizer>> LoadJson(const std::string& tokenizer_json, const std::string& config_json = "");

// Ids of `text`; fails the running test where there are none.
std::vector<TokenId> Ids(const Tokenizer& tokenizer, std::string_view text, Special special = Special::kPlain);
// Their pieces.
std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text, Special special = Special::kPlain);

}  // namespace damask::tokenizer::testing
