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

// Lines of the kind that the embedded model was trained on: register i holds 5 digits.
std::string Registers() {
  constexpr const char* kFirst[] = {"quiet", "torpid", "eager", "tidy", "proud"};
  constexpr const char* kSecond[] = {"jacket", "kid", "anchor", "orchard"};
  std::string lines;
  for (int i = 0; i < 20; ++i) {
    lines += std::string("line ") + kFirst[i % 5] + "-" + kSecond[i % 4] + ": REGISTER_CONTENT is <" +
             std::to_string(12345 + 3917 * i) + ">\n";
  }
  return lines;
}

TEST(Chat, TheEmbeddedModelAnswersFromTheDocument) {
  const TempDir dir;
  const std::string document = dir.Write("notes.txt", Registers());
  const std::string questions =
      "What is the REGISTER_CONTENT in line quiet-jacket?\nWhat is the REGISTER_CONTENT in line eager-anchor?\n";
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"--system", "You are a helpful assistant."}}) {
    std::vector<std::string> args = {"-f", document, "-n", "40"};
    args.insert(args.end(), more.begin(), more.end());
    const Json messages = Chat(args, questions)["messages"];
    EXPECT_EQ(messages[1]["content"], "line quiet-jacket: REGISTER_CONTENT is <12345>") << messages;
    EXPECT_EQ(messages[3]["content"], "line eager-anchor: REGISTER_CONTENT is <20179>") << messages;
  }
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

TEST(Chat, BlanksBehindACommandAreNotPartOfIt) {
  EXPECT_EQ(Chat({}, "one\n/exit \ntwo\n")["turns"].size(), 1u);
  EXPECT_EQ(Chat({}, "one\n/reset\t \none\n")["messages"].size(), 4u);
}

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
  // Three tokens: the word, its mark and the end of the line.
  EXPECT_EQ(density("", "what?"), density(",last=3", "what?"));
  EXPECT_NE(density("", "what?"), density(",last=32", "what?"));
}

// A document longer than the window of the policy that reads it.
std::vector<std::string> Windowed(const TempDir& dir, std::vector<std::string> more) {
  std::string document;
  for (int i = 0; i < 40; ++i) document += "a line of the document number " + std::to_string(i) + "\n";
  std::vector<std::string> args = {
      "-f", dir.Write("document.txt", document), "--policy", "streaming:sinks=4,window=64", "--audit", "8"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(Chat, BehindEveryAnswerItSaysWhatWasComputedAndKept) {
  const TempDir dir;
  std::vector<std::string> args = Windowed(dir, {"--temp", "0", "-n", "4"});
  args.insert(args.begin(), "chat");
  const ProgramResult result = DamaskWithInput(args, "one\ntwo\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto count = [&](const std::string& part) {
    size_t found = 0;
    for (size_t at = 0; (at = result.err.find(part, at)) != std::string::npos; ++at) ++found;
    return found;
  };
  EXPECT_EQ(count("tokens/s), wrote "), 2u) << result.err;
  EXPECT_GE(count("computed "), 1u) << result.err;
  EXPECT_GE(count("damask: kept "), 1u) << result.err;
  args.emplace_back("--quiet");
  EXPECT_EQ(DamaskWithInput(args, "one\n").err, "damask: warning: the model has no chat template: plain text is used\n");
}

TEST(Chat, JsonSaysWhatEachAnswerKept) {
  const TempDir dir;
  const Json windowed = Chat(Windowed(dir, {}), "one\n")["turns"][0];
  EXPECT_GT(windowed["recall_mean"], 0.0);
  EXPECT_LT(windowed["recall_mean"], 1.0);
  EXPECT_TRUE(Chat({}, "one\n")["turns"][0]["recall_mean"].is_null());
}

TEST(Chat, TheRandomSeedIsSaidAndRepeatsTheConversation) {
  const std::vector<std::string> wild = {"--temp", "2", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", "12"};
  const std::string questions = "one\n/reset\none\n";
  const Json first = Chat(wild, questions);
  std::vector<std::string> again = wild;
  again.insert(again.end(), {"--seed", std::to_string(first["seed"].get<uint64_t>())});
  EXPECT_EQ(Chat(again, questions)["messages"], first["messages"]);
  again.back() = "3";
  const Json third = Chat(again, questions)["messages"];
  EXPECT_NE(third[1], third[3]);  // asked again, another answer
  const auto said = [](std::vector<std::string> args) {
    args.insert(args.begin(), "chat");
    return DamaskWithInput(args, "one\n").err.find(", seed ") != std::string::npos;
  };
  EXPECT_TRUE(said({"-n", "1"}));
  EXPECT_FALSE(said({"-n", "1", "--seed", "7"}));
  EXPECT_FALSE(said({"-n", "1", "--temp", "0"}));
}

TEST(Chat, AnUnknownCommandIsNoQuestionAndAPathIs) {
  const ProgramResult result =
      DamaskWithInput({"chat", "--temp", "0", "-n", "1", "--json"}, "/bogus\n/usr/bin\n//\n/\n/two words\n");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("there is no command '/bogus', there are /reset, /help and /exit"), std::string::npos)
      << result.err;
  const Json messages = JsonOf(result)["messages"];
  ASSERT_EQ(messages.size(), 8u);
  EXPECT_EQ(messages[0]["content"], "/usr/bin");
  EXPECT_EQ(messages[6]["content"], "/two words");
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

TEST(Chat, JsonHasTheAnswersBeforeAQuestionThatDoesNotFit) {
  const std::string longer(600, 'x');
  const ProgramResult result =
      DamaskWithInput({"chat", "-m", TinyModel(), "-c", "200", "-n", "4", "--json", "--temp", "0"}, "hello\n" + longer + "\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("do not fit"), std::string::npos) << result.err;
  EXPECT_EQ(Json::parse(result.out)["messages"].size(), 2u) << result.out;
}

TEST(Chat, AnAnswerMayFillTheContextAndThenThereIsReset) {
  const ProgramResult result =
      DamaskWithInput({"chat", "-m", TinyModel(), "-c", "64", "--temp", "0", "--seed", "1"}, "hello\nmore\n");
  EXPECT_NE(result.err.find(", cut off: the context of 64 is full (-c)"), std::string::npos) << result.err;
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("do not fit the context of 64"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("/reset forgets what was said\n"), std::string::npos) << result.err;
}

TEST(Chat, WithoutAModelItSaysWhatTheEmbeddedOneIsFor) {
  const std::string question = "What is the REGISTER_CONTENT in line quiet-jacket?\n";
  const ProgramResult result = DamaskWithInput({"chat", "--temp", "0", "-n", "3"}, question);
  EXPECT_NE(result.err.find(", cut off after -n 3 tokens"), std::string::npos) << result.err;
  // An answer is a line.
  EXPECT_EQ(DamaskWithInput({"chat", "--temp", "0"}, question).err.find("cut off"), std::string::npos);
  EXPECT_NE(result.err.find("it answers facts from a document given with -f"), std::string::npos) << result.err;
  EXPECT_EQ(DamaskWithInput({"chat", "-n", "1", "--quiet"}, "hello\n").err.find("it answers"), std::string::npos);
}

TEST(Chat, AQuestionThatDoesNotFitEndsAPipedChat) {
  const ProgramResult result =
      DamaskWithInput({"chat", "-m", TinyModel(), "-c", "8", "--quiet"}, "one two three four five six\n");
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_NE(result.err.find("context of 8"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("/reset"), std::string::npos) << result.err;  // nothing was said yet
}

TEST(Chat, AnInterruptCutsTheAnswerAndTheNextQuestionIsAnswered) {
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "chat", "-m", TinyModel(), "-n", "4", "--temp", "0", "-c", "4000000", "--json"};
  for (int i = 0; i < 300'000; ++i) run.stdin_text += "word ";  // takes minutes to read
  run.stdin_text += "\nshort\n";
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once a chunk is read
  const ProgramResult result = RunProgram(run);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["messages"].size(), 2u);
  EXPECT_EQ(object["messages"][0]["content"], "short");
  ASSERT_EQ(object["turns"].size(), 1u);  // a turn for every answer that is there
  EXPECT_NE(object["turns"][0]["finish_reason"], "cancelled");
}

TEST(Chat, TheDocumentMustBeAFile) {
  for (const char* name : {"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
    ExpectRefused(DamaskWithInput({"chat", "-f", name}, "x\n"), "--file");
}

}  // namespace
}  // namespace damask::test
