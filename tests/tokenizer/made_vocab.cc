#include "tests/tokenizer/made_vocab.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "base/write_file.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "tests/temp_dir.h"
#include "tokenizer/byte_alphabet.h"

namespace damask::tokenizer::testing {
namespace {

// In a folder that goes with the program.
std::string NewPath() {
  static const test::TempDir folder;
  static std::atomic<int> count{0};
  return folder.File(std::to_string(count++));
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> MadeVocab::Load() const {
  formats::GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("tokenizer.ggml.model", model);
  if (pre) writer.Add("tokenizer.ggml.pre", *pre);
  std::vector<std::string> texts;
  std::vector<float> scores;
  std::vector<int32_t> types;
  for (const MadeToken& token : tokens) {
    texts.push_back(token.text);
    scores.push_back(token.score);
    types.push_back(token.type);
  }
  writer.AddArray("tokenizer.ggml.tokens", std::span<const std::string>(texts));
  writer.AddArray("tokenizer.ggml.scores", std::span<const float>(scores));
  writer.AddArray("tokenizer.ggml.token_type", std::span<const int32_t>(types));
  if (model == "gpt2") writer.AddArray("tokenizer.ggml.merges", std::span<const std::string>(merges));
  if (more) more(&writer);
  const std::string path = NewPath() + ".gguf";
  DAMASK_RETURN_IF_ERROR(writer.Write(path, nullptr));
  formats::GgufOpenOptions options;
  options.require_tensor_data = false;
  const auto file = formats::GgufFile::Open(path, options);
  std::filesystem::remove(path);
  if (!file.ok()) return file.status();
  return Tokenizer::FromGguf(**file);
}

MadeVocab SpmVocab(const std::vector<std::string>& words) {
  MadeVocab vocab;
  vocab.model = "llama";
  vocab.tokens = {{"<unk>", 2}, {"<s>", 3}, {"</s>", 3}};
  for (int byte = 0; byte < 256; ++byte) vocab.tokens.push_back({fmt::format("<0x{:02X}>", byte), 6});
  float score = -1.0f;
  for (const std::string& word : words) vocab.tokens.push_back({word, 1, score--});
  return vocab;
}

MadeVocab BpeVocab(const std::vector<std::string>& words, const std::vector<std::string>& merges) {
  MadeVocab vocab;
  vocab.model = "gpt2";
  vocab.pre = "gpt-2";
  for (int byte = 0; byte < 256; ++byte) vocab.tokens.push_back({std::string(ByteCharacter(static_cast<uint8_t>(byte)))});
  for (const std::string& word : words) vocab.tokens.push_back({word});
  vocab.merges = merges;
  return vocab;
}

std::string MakeFolder(const std::vector<std::pair<std::string, std::string>>& files) {
  std::string folder = NewPath();
  std::filesystem::create_directories(folder);
  for (const auto& [name, content] : files) EXPECT_TRUE(WriteFileAtomically(folder + "/" + name, content).ok());
  return folder;
}

std::string ByteLevelJson(const std::string& model_members, const std::string& root_members) {
  std::string vocab;
  for (int byte = 0; byte < 256; ++byte) {
    vocab += fmt::format("{}: {}, ", formats::Json(std::string(ByteCharacter(static_cast<uint8_t>(byte)))).dump(), byte);
  }
  const bool has_merges = model_members.find("\"merges\"") != std::string::npos;
  return fmt::format(
      R"({{"pre_tokenizer": {{"type": "ByteLevel", "add_prefix_space": false}}, "model": {{"type": "BPE", "vocab": {{{}"ab": 256}}{}{}{}}}{}{}}})",
      vocab, has_merges ? "" : R"(, "merges": ["a b"])", model_members.empty() ? "" : ", ", model_members,
      root_members.empty() ? "" : ", ", root_members);
}

Result<std::unique_ptr<Tokenizer>> LoadJson(const std::string& tokenizer_json, const std::string& config_json) {
  std::vector<std::pair<std::string, std::string>> files = {{"tokenizer.json", tokenizer_json}};
  if (!config_json.empty()) files.emplace_back("tokenizer_config.json", config_json);
  const std::string folder = MakeFolder(files);
  Result<std::unique_ptr<Tokenizer>> tokenizer = Tokenizer::FromHuggingFace(folder);
  std::filesystem::remove_all(folder);
  return tokenizer;
}

std::vector<TokenId> Ids(const Tokenizer& tokenizer, std::string_view text, Special special) {
  const auto ids = tokenizer.Encode(text, special);
  EXPECT_TRUE(ids.ok()) << ids.status().ToString();
  return ids.ok() ? *ids : std::vector<TokenId>();
}

std::vector<std::string> Pieces(const Tokenizer& tokenizer, std::string_view text, Special special) {
  std::vector<std::string> pieces;
  for (const TokenId id : Ids(tokenizer, text, special)) pieces.push_back(tokenizer.Piece(id, true));
  return pieces;
}

}  // namespace damask::tokenizer::testing
