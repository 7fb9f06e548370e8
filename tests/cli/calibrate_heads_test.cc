// damask calibrate heads and runs with the table that it wrote.
#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<std::string> Heads(const std::string& policy, const std::string& table) {
  return {"calibrate", "heads", "-q", "--for", policy, "-o", table, "--samples", "1", "--length", "512"};
}

TEST(CalibrateHeads, WritesTablesThatTheirPoliciesRead) {
  const TempDir dir;
  for (const std::string policy : {"tca", "duo"}) {
    const std::string table = dir.File(policy);
    const Json made = DamaskJson(Heads(policy, table));
    EXPECT_EQ(made["for"], policy);
    ASSERT_EQ(made["table"].size(), made["layers"].get<size_t>());
    EXPECT_EQ(made["table"][0].size(), made["kv_heads"].get<size_t>());
    EXPECT_EQ(made["length"], 512);
    EXPECT_GT(made["mean"], 0.0);
    const ProgramResult run = Damask({"generate", "--policy", policy + ":file=" + table, "-p", "hello", "-n", "1", "--raw"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.err.find("warning"), std::string::npos) << run.err;
  }
}

TEST(CalibrateHeads, ATableOfOtherWeightsWarns) {
  const TempDir dir;
  std::vector<std::string> args = Heads("duo", dir.File("table"));
  args.insert(args.end(), {"-m", TinyModel("llama", "F32")});
  DamaskJson(args);
  const ProgramResult run = Damask(
      {"generate", "-m", TinyModel("llama", "Q8_0"), "--policy", "duo:file=" + dir.File("table"), "-p", "hello", "-n", "1"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.err.find("made for other weights"), std::string::npos) << run.err;
}

TEST(CalibrateHeads, ATableOfTheOtherPolicyIsRefused) {
  const TempDir dir;
  DamaskJson(Heads("tca", dir.File("table")));
  const std::vector<std::string> run = {"generate", "-q", "-p",       "hello",
                                        "-n",       "1",  "--policy", "duo:file=" + dir.File("table")};
  ExpectRefused(Damask(run), "the table is for policy 'tca', expected one for duo");
  // Tables of the time before they said it.
  std::string text = ReadBytes(dir.File("table"));
  const size_t line = text.find("\nfor tca\n");
  ASSERT_NE(line, std::string::npos) << text;
  dir.Write("table", text.erase(line, 8));
  EXPECT_EQ(Damask(run).exit_code, 0);
}

TEST(CalibrateHeads, WrongUseIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask({"calibrate", "heads", "--for", "duo"}), "wants -o FILE");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("x")}), "--for tca or --for duo");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("x"), "--for", "quest"}), "expected tca or duo");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("x"), "--for", "duo", "--by", "luck"}), "expected mass or effect");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("no/x"), "--for", "duo"}), "there is no folder");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("x"), "--for", "tca", "--tau", "0"}), "--tau");
  ExpectRefused(Damask({"calibrate", "heads", "-q", "-o", dir.File("x"), "--for", "tca", "--length", "20000"}),
                "--length is 20000");
  const std::string text = dir.Write("text", "words");
  ExpectRefused(Damask({"calibrate", "heads", "-o", dir.File("x"), "--for", "duo", "--text", text}), "--text is for tca");
}

}  // namespace
}  // namespace damask::test
