// damask tokenize and detokenize.
#include <gtest/gtest.h>

#include <fmt/format.h>

#include "formats/gguf_writer.h"
#include "tests/cli/cli_test.h"
#include "tools/make_model/vocabulary.h"

namespace damask::test {
namespace {

std::string Joined(const Json& ids) {
  std::string text;
  for (const Json& id : ids) text += (text.empty() ? "" : ",") + id.dump();
  return text;
}

// A GGUF file that holds a vocabulary and nothing else.
std::string VocabularyOnly(const TempDir& dir) {
  const make_model::Vocabulary vocabulary = make_model::MakeVocabulary(512);
  formats::GgufWriter writer;
  writer.Add("general.architecture", "llama");
  writer.Add("tokenizer.ggml.model", "llama");
  writer.AddArray("tokenizer.ggml.tokens", std::span<const std::string>(vocabulary.pieces));
  writer.AddArray("tokenizer.ggml.scores", std::span<const float>(vocabulary.scores));
  writer.AddArray("tokenizer.ggml.token_type", std::span<const int32_t>(vocabulary.types));
  writer.Add("tokenizer.ggml.bos_token_id", uint32_t{1});
  writer.Add("tokenizer.ggml.eos_token_id", uint32_t{2});
  writer.Add("tokenizer.ggml.unknown_token_id", uint32_t{0});
  std::string path = dir.File("vocabulary.gguf");
  const Status status = writer.Write(path, [](size_t, const formats::GgufWriter::Sink&) { return Status(); });
  EXPECT_TRUE(status.ok()) << status.ToString();
  return path;
}

class RoundTrip : public ::testing::TestWithParam<const char*> {};

TEST_P(RoundTrip, GivesTheTextBack) {
  const std::string text = GetParam();
  const Json ids = DamaskJson({"tokenize", "-m", TinyModel(), "-p", text, "--no-bos"})["ids"];
  EXPECT_EQ(DamaskJson({"detokenize", "-m", TinyModel(), "--tokens", Joined(ids)})["text"], text);
}

INSTANTIATE_TEST_SUITE_P(Tokenize, RoundTrip,
                         ::testing::Values("Hello world", "  two spaces", "line\nline\n\nline", "\t", "12345 + 67890",
                                           "naïve café", "日本語 emoji 🙂", "a", "\xef\xbb\xbf BOM", "[1,2]"));

TEST(Tokenize, PiecesJoinToTheText) {
  const Json object = DamaskJson({"tokenize", "-p", "Hello world", "--no-bos"});
  ASSERT_EQ(object["pieces"].size(), object["ids"].size());
  std::string joined;
  for (const Json& piece : object["pieces"]) joined += piece.get<std::string>();
  // An SPM vocabulary puts a space before the first word.
  EXPECT_TRUE(joined == "Hello world" || joined == " Hello world") << joined;
}

TEST(Tokenize, BosIsPutInFrontUnlessRefused) {
  const Json with = DamaskJson({"tokenize", "-p", "Hello"})["ids"];
  const Json without = DamaskJson({"tokenize", "-p", "Hello", "--no-bos"})["ids"];
  ASSERT_EQ(with.size(), without.size() + 1);
  EXPECT_EQ(with[1], without[0]);
}

TEST(Tokenize, T09NoSpecialKeepsControlTokensAsText) {
  const std::vector<std::string> base = {"tokenize", "-m", TinyModel(), "--no-bos", "-p", "a</s>b"};
  std::vector<std::string> plain = base;
  plain.emplace_back("--no-special");
  const Json parsed = DamaskJson(base)["ids"];
  const Json kept = DamaskJson(plain)["ids"];
  EXPECT_NE(std::find(parsed.begin(), parsed.end(), 2), parsed.end());
  EXPECT_EQ(std::find(kept.begin(), kept.end(), 2), kept.end());
}

TEST(Tokenize, NeedsNoWeights) {
  const TempDir dir;
  const std::string path = VocabularyOnly(dir);
  const Json ids = DamaskJson({"tokenize", "-m", path, "-p", "some words"})["ids"];
  EXPECT_EQ(ids, DamaskJson({"tokenize", "-m", TinyModel(), "-p", "some words"})["ids"]);
  EXPECT_EQ(DamaskJson({"detokenize", "-m", path, "--no-special", "--tokens", Joined(ids)})["text"], "some words");
}

TEST(Tokenize, AnErrorNamesTheFileQuoted) {
  const TempDir dir;
  formats::GgufWriter writer;
  writer.Add("general.architecture", "llama");
  const std::string path = dir.File("no\x1bvocabulary.gguf");
  ASSERT_TRUE(writer.Write(path, nullptr).ok());
  ExpectRefused(Damask({"tokenize", "-m", path, "-p", "x"}), "/no\\x1bvocabulary.gguf': tokenizer.ggml.model is missing");
}

TEST(Tokenize, AHuggingFaceFolderGivesTheSameIds) {
  EXPECT_EQ(DamaskJson({"tokenize", "-m", TinyFolder(), "-p", "some words here"})["ids"],
            DamaskJson({"tokenize", "-m", TinyModel(), "-p", "some words here"})["ids"]);
}

TEST(Tokenize, TextOutputIsIdsAndQuotedPieces) {
  const ProgramResult result = Damask({"tokenize", "-p", "Hi", "--no-bos", "--quiet"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out.find('\''), std::string::npos);
}

TEST(Tokenize, IdsAloneFeedDetokenize) {
  std::string ids = Damask({"tokenize", "-p", "Hello world", "--no-bos", "--ids", "--quiet"}).out;
  ASSERT_FALSE(ids.empty());
  ids.pop_back();
  EXPECT_EQ(Damask({"detokenize", "--tokens", ids, "--quiet"}).out, "Hello world\n");
  const TempDir dir;
  EXPECT_EQ(Damask({"detokenize", "-f", dir.Write("ids.txt", ids + "\n"), "--quiet"}).out, "Hello world\n");
  EXPECT_EQ(DamaskWithInput({"detokenize", "-f", "-", "--quiet"}, ids).out, "Hello world\n");
}

TEST(Tokenize, MoreIdsThanAnArgumentHoldsAreReadBack) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "a number " + std::to_string(i) + " ";
  const ProgramResult ids = DamaskWithInput({"tokenize", "--no-bos", "--ids", "--quiet"}, text);
  ASSERT_GT(ids.out.size(), 128u * 1024);
  EXPECT_EQ(DamaskWithInput({"detokenize", "--quiet"}, ids.out).out, text + "\n");
}

TEST(Tokenize, T08TenMegabytesOfOneLetterTakeSeconds) {
  const TempDir dir;
  std::string text;
  text.resize(10'000'000, 'a');
  const std::string file = dir.Write("a.txt", text);
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "tokenize", "-f", file, "--ids", "--quiet"};
  const ProgramResult result = RunProgram(run);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 0) << result.err;
}

TEST(Tokenize, T08TextThatIsNotUtf8IsRefused) { ExpectRefused(Damask({"tokenize", "-p", "\xed\xa0\x80"}), "not valid UTF-8"); }

TEST(Detokenize, IdsAreChecked) {
  const auto refused = [](const char* tokens, const char* part) {
    ExpectRefused(Damask({"detokenize", "-m", TinyModel(), "--tokens", tokens}), part);
  };
  refused("512", "--tokens: found '512', expected a whole number from 0 to 511");
  refused("-1", "found '-1'");
  refused("4294967296", "found '4294967296'");
  refused("1,,2", "found ''");
  refused("1;2", "found '1;2'");
  refused("0x10", "found '0x10'");
  refused("", "found ''");
  refused("1, ,2", "found ''");
}

TEST(Detokenize, IdsOfAFileAreChecked) {
  const TempDir dir;
  const std::string file = dir.Write("ids.txt", "1,2\n3 x\n");
  ExpectRefused(Damask({"detokenize", "-m", TinyModel(), "-f", file}), "ids.txt': found 'x', expected a whole number");
  ExpectRefused(DamaskWithInput({"detokenize", "-m", TinyModel()}, "512"), "standard input: found '512'");
  ExpectRefused(Damask({"detokenize", "-m", TinyModel(), "-f", file, "--tokens", "1"}), "exclude each other");
  ExpectRefused(Damask({"detokenize", "-m", TinyModel()}), "standard input has no text");
}

TEST(Detokenize, CommasSpacesAndNewlinesSeparateIds) {
  const Json expected = DamaskJson({"detokenize", "--tokens", "300,301,302,303"})["text"];
  EXPECT_EQ(DamaskJson({"detokenize", "--tokens", " 300 301\t302 , 303 "})["text"], expected);
  const ProgramResult lines = DamaskWithInput({"detokenize", "--json"}, "300,301,\r\n302\n\n303\n");
  EXPECT_EQ(JsonOf(lines)["text"], expected);
}

TEST(Detokenize, SpacesAroundIdsDoNotMatter) {
  const TempDir dir;
  EXPECT_EQ(DamaskJson({"detokenize", "--tokens", "300, 301"})["text"],
            DamaskJson({"detokenize", "--tokens", "300,301"})["text"]);
}

}  // namespace
}  // namespace damask::test
