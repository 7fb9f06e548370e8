// damask chat over a pipe.
#include <csignal>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

Json Chat(std::vector<std::string> args, const std::string& lines) {
  std::vector<std::string> all = {"chat", "--temp", "0", "-n", "6", "--json"};
  all.insert(all.end(), args.begin(), args.end());
  const ProgramResult result = DamaskWithInput(all, lines);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return JsonOf(result);
}

TEST(Chat, EveryLineIsAQuestionWithAnAnswer) {
  const Json object = Chat({}, "first question\nsecond question\n");
  ASSERT_EQ(object["messages"].size(), 4u);
  EXPECT_EQ(object["messages"][0]["role"], "user");
  EXPECT_EQ(object["messages"][0]["content"], "first question");
  EXPECT_EQ(object["messages"][1]["role"], "assistant");
  EXPECT_EQ(object["messages"][2]["content"], "second question");
  EXPECT_EQ(object["turns"].size(), 2u);
}

TEST(Chat, TheDocumentStaysInTheCacheBetweenQuestions) {
  const TempDir dir;
  std::string document;
  for (int i = 0; i < 40; ++i) document += "a line of the document number " + std::to_string(i) + "\n";
  const Json object = Chat({"-f", dir.Write("document.txt", document)}, "one\n/reset\ntwo\n");
  const int first = object["turns"][0]["prompt_tokens"];
  EXPECT_EQ(object["turns"][0]["cached_tokens"], 0);
  EXPECT_GT(object["turns"][1]["cached_tokens"], first * 9 / 10);
}

TEST(Chat, ResetForgetsWhatWasSaid) {
  const Json once = Chat({}, "hello there\n");
  const Json again = Chat({}, "something else\n/reset\nhello there\n");
  EXPECT_EQ(again["turns"][1]["prompt_tokens"], once["turns"][0]["prompt_tokens"]);
  EXPECT_EQ(again["messages"][3], once["messages"][1]);
}

TEST(Chat, CachedTokensDoNotChangeTheAnswer) {
  // The second time the whole question but its last token comes from the cache.
  const Json object = Chat({}, "hello there\n/reset\nhello there\n");
  EXPECT_GT(object["turns"][1]["cached_tokens"], 0);
  EXPECT_EQ(object["messages"][1], object["messages"][3]);
}

TEST(Chat, ExitEndsBeforeTheInputDoes) { EXPECT_EQ(Chat({}, "one\n/exit\ntwo\n")["turns"].size(), 1u); }

TEST(Chat, ABackslashGoesOnInTheNextLine) { EXPECT_EQ(Chat({}, "one\\\ntwo\n")["messages"][0]["content"], "one\ntwo"); }

// The instruction's rows are counted where they are computed, so the density tells how many there were.
TEST(Chat, CitrusAsksWithTheLastQuestionHoweverLong) {
  const TempDir dir;
  std::string document;
  for (int i = 0; i < 60; ++i) document += "a line of the document number " + std::to_string(i) + "\n";
  const std::string path = dir.Write("document.txt", document);
  const auto density = [&](const std::string& last, const std::string& question) {
    const Json object = Chat({"-f", path, "--policy", "citrus:keep=64,chunk=64" + last}, question + "\n");
    return object["turns"][0]["density_prefill"].get<double>();
  };
  std::string question = "what";
  for (int i = 0; i < 12; ++i) question += " is in line number four and five";
  EXPECT_GT(density("", question), density(",last=32", question));
  EXPECT_LT(density("", "what?"), density(",last=32", "what?"));
}

TEST(Chat, NoQuestionIsNoAnswer) { EXPECT_EQ(Chat({}, "")["turns"].size(), 0u); }

TEST(Chat, AnswersAreOnStandardOutputAlone) {
  const ProgramResult result = DamaskWithInput({"chat", "--temp", "0", "-n", "6", "--quiet"}, "hello there\n");
  EXPECT_EQ(result.out, Chat({}, "hello there\n")["messages"][1]["content"].get<std::string>() + "\n");
}

TEST(Chat, AModelWithoutATemplateAnswersInPlainTextWithAWarning) {
  const ProgramResult result = DamaskWithInput({"chat", "-m", TinyModel(), "-n", "4", "--json", "--temp", "0"}, "hello\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("no chat template: plain text is used"), std::string::npos) << result.err;
  EXPECT_EQ(JsonOf(result)["turns"].size(), 1u);
}

TEST(Chat, AQuestionThatDoesNotFitEndsAPipedChat) {
  const ProgramResult result =
      DamaskWithInput({"chat", "-m", TinyModel(), "-c", "8", "--quiet"}, "one two three four five six\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("context of 8"), std::string::npos) << result.err;
}

TEST(Chat, AnInterruptCutsTheAnswerAndTheNextQuestionIsAnswered) {
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "chat", "-m", TinyModel(), "-n", "4", "--temp", "0", "-c", "4000000", "--json"};
  for (int i = 0; i < 300'000; ++i) run.stdin_text += "word ";  // takes minutes to read
  run.stdin_text += "\nshort\n";
  run.signals = {{std::chrono::milliseconds(4000), SIGINT}};
  const ProgramResult result = RunProgram(run);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["messages"].size(), 2u);
  EXPECT_EQ(object["messages"][0]["content"], "short");
}

TEST(Chat, TheDocumentMustBeAFile) { ExpectRefused(DamaskWithInput({"chat", "-f", "-"}, "x\n"), "--file"); }

}  // namespace
}  // namespace damask::test
