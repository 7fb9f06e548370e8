// damask generate.
#include <csignal>

#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<std::string> Tiny(std::vector<std::string> more) {
  std::vector<std::string> args = {"generate", "-m", TinyModel(), "--raw", "-n", "8"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(Generate, JsonHasTheKeysOfTheContract) {
  const Json object = DamaskJson(Tiny({"-p", "some words here", "--seed", "7"}));
  for (const char* key : {"text", "ids", "prompt_tokens", "generated_tokens", "finish_reason", "timings", "memory", "attention",
                          "model", "seed", "kernels", "target", "kv_type", "threads"}) {
    EXPECT_TRUE(object.contains(key)) << key;
  }
  for (const char* key : {"load_s", "prefill_s", "prefill_tokens_per_s", "decode_s", "decode_tokens_per_s"}) {
    EXPECT_TRUE(object["timings"][key].is_number()) << key;
  }
  EXPECT_GT(object["memory"]["peak_rss_bytes"], 1'000'000);
  EXPECT_GT(object["memory"]["kv_bytes"], 0);
  const Json& attention = object["attention"];
  EXPECT_EQ(attention["policy"], "full");
  EXPECT_EQ(attention["density_prefill"], 1.0);
  EXPECT_EQ(attention["density_decode"], 1.0);
  for (const char* key : {"recall_mean", "recall_min", "strong_key_hit", "output_error"}) {
    ASSERT_TRUE(attention.contains(key)) << key;
    EXPECT_TRUE(attention[key].is_null()) << key;
  }
  EXPECT_EQ(attention["rows_audited"], 0);
  EXPECT_EQ(object["seed"], 7);
  EXPECT_EQ(object["generated_tokens"], object["ids"].size());
  EXPECT_EQ(object["model"], TinyModel());
}

TEST(Generate, AnEightBitCacheIsHalfAsLargeAndSaysSo) {
  const std::vector<std::string> args = Tiny({"-p", "some words here", "--temp", "0"});
  const Json bf16 = DamaskJson(args);
  EXPECT_TRUE(bf16["kv_type"] == "bf16" || bf16["kv_type"] == "f32") << bf16["kv_type"];
  std::vector<std::string> with = args;
  with.insert(with.end(), {"--kv", "q8"});
  const Json q8 = DamaskJson(with);
  EXPECT_EQ(q8["kv_type"], "q8");
  EXPECT_LT(q8["memory"]["kv_bytes"].get<double>(), 0.54 * bf16["memory"]["kv_bytes"].get<double>());
  with.insert(with.end(), {"--target", "scalar"});
  EXPECT_EQ(DamaskJson(with)["memory"]["kv_bytes"], q8["memory"]["kv_bytes"]);
}

TEST(Generate, AChatTemplateMayBeNamedForAFileWithoutOne) {
  const std::vector<std::string> base = {"generate", "-m", TinyModel(), "--temp", "0", "-n", "8"};
  const auto answer = [&](std::vector<std::string> more) {
    std::vector<std::string> args = base;
    args.insert(args.end(), more.begin(), more.end());
    return DamaskJson(args);
  };
  const Json chat = answer({"--chat-template", "chatml", "--chat", "-p", "some words"});
  const Json same = answer({"--raw", "-p", "<|im_start|>user\nsome words<|im_end|>\n<|im_start|>assistant\n"});
  EXPECT_EQ(chat["ids"], same["ids"]);
  EXPECT_EQ(chat["prompt_tokens"], same["prompt_tokens"]);
}

TEST(Generate, WithoutJsonTheAnswerAloneIsOnStandardOutput) {
  const Json object = DamaskJson(Tiny({"-p", "some words", "--temp", "0"}));
  const ProgramResult plain = Damask(Tiny({"-p", "some words", "--temp", "0"}));
  std::string expected = object["text"];
  if (expected.empty() || expected.back() != '\n') expected += '\n';
  EXPECT_EQ(plain.out, expected);
}

TEST(Generate, TheSummaryNamesTheRandomSeedWhichRepeatsTheText) {
  const ProgramResult first = Damask(Tiny({"-p", "some words"}));
  const size_t at = first.err.find("seed ");
  ASSERT_NE(at, std::string::npos) << first.err;
  const std::string seed = first.err.substr(at + 5, first.err.find_first_not_of("0123456789", at + 5) - at - 5);
  EXPECT_EQ(Damask(Tiny({"-p", "some words", "--seed", seed})).out, first.out);
}

TEST(Generate, SameSeedSameText) {
  const std::vector<std::string> args = Tiny({"-p", "some words", "--seed", "42", "--temp", "1.5", "-n", "40"});
  const Json first = DamaskJson(args);
  EXPECT_EQ(DamaskJson(args)["ids"], first["ids"]);
}

TEST(Generate, DifferentSeedsGiveDifferentTexts) {
  const auto ids = [](const char* seed) {
    return DamaskJson(
        Tiny({"-p", "some words", "--seed", seed, "--temp", "2", "--min-p", "0", "--top-p", "1", "-n", "40"}))["ids"];
  };
  EXPECT_NE(ids("1"), ids("2"));
}

TEST(Generate, ThreadsDoNotChangeTheText) {
  const Json one = DamaskJson(Tiny({"-p", "some words", "--temp", "0", "-t", "1", "-n", "24"}));
  EXPECT_EQ(DamaskJson(Tiny({"-p", "some words", "--temp", "0", "-t", "3", "-n", "24"}))["ids"], one["ids"]);
}

// The embedded model copies the end of a line that the prompt has said before: guesses come true.
TEST(Generate, GuessesChangeNoTokenAndAreCounted) {
  std::string prompt;
  for (int i = 0; i < 6; ++i) prompt += "line quiet-jacket: REGISTER_CONTENT is <40917>\n";
  const auto generate = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = {"generate", "-p", prompt + "line quiet-jacket:", "--raw", "-n", "24", "--temp", "0"};
    args.insert(args.end(), more.begin(), more.end());
    return DamaskJson(args);
  };
  const Json alone = generate({});
  const Json guessed = generate({"--draft-max", "5"});
  EXPECT_EQ(guessed["ids"], alone["ids"]);
  EXPECT_EQ(alone["drafted_tokens"], 0);
  EXPECT_GT(guessed["drafted_accepted"], 0);
  EXPECT_GE(guessed["drafted_tokens"], guessed["drafted_accepted"]);
  EXPECT_EQ(generate({"--draft", "5"})["drafted_tokens"], guessed["drafted_tokens"]);
}

TEST(Generate, AnUnknownEffortIsRefusedWithTheChoices) {
  ExpectRefused(Damask(Tiny({"-p", "x", "--reasoning-effort", "much"})), "--reasoning-effort is 'much', expected");
}

TEST(Generate, QuietSaysNothingOnStandardError) {
  EXPECT_EQ(Damask(Tiny({"-p", "x", "--quiet"})).err, "");
  EXPECT_EQ(Damask({"generate", "-p", "x", "-n", "1", "--quiet"}).err, "");
}

TEST(Generate, JsonLeavesStandardOutputToTheObject) { JsonOf(Damask({"generate", "-p", "x", "-n", "2", "--json"})); }

TEST(Generate, ThePromptMayComeFromStandardInputOrAFile) {
  const TempDir dir;
  const std::string file = dir.Write("prompt.txt", "some words\n");
  const Json expected = DamaskJson(Tiny({"-p", "some words", "--temp", "0"}));
  const ProgramResult piped = DamaskWithInput(Tiny({"--temp", "0", "--json"}), "some words\n");
  EXPECT_EQ(JsonOf(piped)["ids"], expected["ids"]);
  EXPECT_EQ(DamaskJson(Tiny({"-f", file, "--temp", "0"}))["ids"], expected["ids"]);
}

TEST(Generate, AFileMayBeAPipe) {
  // As a shell's <(command) is.
  const Json expected = DamaskJson(Tiny({"-p", "some words", "--temp", "0"}));
  const ProgramResult piped = DamaskWithInput(Tiny({"-f", "/dev/stdin", "--temp", "0", "--json"}), "some words\n");
  EXPECT_EQ(JsonOf(piped)["ids"], expected["ids"]);
}

TEST(Generate, AFileAndAPromptAreDocumentAndQuestion) {
  const TempDir dir;
  const std::string file = dir.Write("document.txt", "first line\n");
  const Json both = DamaskJson(Tiny({"-f", file, "-p", "a question", "--temp", "0"}));
  const Json joined = DamaskJson(Tiny({"-p", "first line\na question", "--temp", "0"}));
  EXPECT_EQ(both["ids"], joined["ids"]);
  EXPECT_EQ(both["prompt_tokens"], joined["prompt_tokens"]);
}

TEST(Generate, EscapesAreTextUnlessAskedFor) {
  const auto tokens = [](std::vector<std::string> more) { return DamaskJson(Tiny(std::move(more)))["prompt_tokens"]; };
  EXPECT_GT(tokens({"-p", "a\\nb"}), tokens({"-e", "-p", "a\\nb"}));
  EXPECT_EQ(tokens({"-e", "-p", "a\\nb"}), tokens({"-p", "a\nb"}));
}

TEST(Generate, AnEmptyPromptIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask(Tiny({"-p", ""})), "the prompt is empty");
  ExpectRefused(Damask(Tiny({"-f", dir.Write("empty.txt", "")})), "has no text");
  ExpectRefused(Damask(Tiny({})), "standard input has no text");
}

TEST(Generate, APromptThatIsNotUtf8IsRefused) {
  const TempDir dir;
  ExpectRefused(Damask(Tiny({"-p", "caf\xe9"})), "--prompt: the text is not valid UTF-8: byte 3 is 0xe9");
  ExpectRefused(Damask(Tiny({"-f", dir.Write("latin1.txt", "ol\xe1")})),
                "not valid UTF-8: byte 2 is 0xe1 (convert it: iconv -f LATIN1 -t UTF-8)");
  ExpectRefused(DamaskWithInput(Tiny({}), "\xff"), "standard input: the text is not valid UTF-8");
}

TEST(Generate, APromptLongerThanTheContextIsRefused) {
  ExpectRefused(Damask(Tiny({"-p", "one two three four five six seven eight nine ten", "-c", "4"})), "context of 4");
}

TEST(Generate, AContextPastTheModelsIsSaidUnlessRopeIsScaled) {
  const auto warns = [](std::vector<std::string> more) {
    more.insert(more.end(), {"-p", "x", "-n", "1"});
    const ProgramResult result = Damask(Tiny(more));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.err.find("warning: 4096 tokens are more than the model's context of 2048") != std::string::npos;
  };
  EXPECT_TRUE(warns({"-c", "4096"}));
  EXPECT_TRUE(warns({"-c", "4096", "--rope-scaling", "none"}));
  EXPECT_FALSE(warns({"-c", "4096", "--rope-scaling", "linear"}));
  EXPECT_FALSE(warns({"-c", "4096", "--rope-scale", "2"}));
  EXPECT_FALSE(warns({"-c", "2048"}));
  EXPECT_FALSE(warns({}));
}

TEST(Generate, TheContextEndsAnAnswer) {
  const Json object = DamaskJson(Tiny({"-p", "a b c", "-c", "16", "-n", "100", "--temp", "0"}));
  EXPECT_LE(static_cast<int>(object["prompt_tokens"]) + static_cast<int>(object["generated_tokens"]), 17);
  EXPECT_EQ(object["finish_reason"], "length");
}

TEST(Generate, ACutOffAnswerSaysWhatCutIt) {
  const auto summary = [](std::vector<std::string> more) { return Damask(Tiny(std::move(more))).err; };
  const std::string counted = summary({"-p", "a b c", "--temp", "0", "-n", "4"});
  EXPECT_NE(counted.find(", cut off after -n 4 tokens"), std::string::npos) << counted;
  const std::string full = summary({"-p", "a b c", "--temp", "0", "-n", "-1", "-c", "16"});
  EXPECT_NE(full.find(", cut off: the context of 16 is full (-c)"), std::string::npos) << full;
  EXPECT_EQ(summary({"-p", "a b c", "-n", "0"}).find("cut off"), std::string::npos);
  EXPECT_EQ(summary({"-p", "x", "-n", "200", "--temp", "0", "--stop", "a", "--stop", "e"}).find("cut off"), std::string::npos);
}

TEST(Generate, InputThatIsNotReadIsSaid) {
  const TempDir dir;
  const std::string program = std::string(DAMASK_PROGRAM) + " generate --raw -p x -n 1 --temp 0 ";
  const auto said = [&](const std::string& command) {
    const ProgramResult result = RunProgram({"sh", "-c", command});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.err.find("standard input is not read; -f - puts it in front of the prompt") != std::string::npos;
  };
  const std::string file = dir.Write("report.txt", "a report\n");
  // By the time the program looks the other one has written, however slow the machine is.
  EXPECT_TRUE(said("printf report | { sleep 0.5; " + program + "; }"));
  EXPECT_TRUE(said(program + "<'" + file + "'"));
  EXPECT_FALSE(said(program + "--quiet <'" + file + "'"));
  EXPECT_FALSE(said(program + "-f - <'" + file + "'"));
  EXPECT_FALSE(said(program + "<'" + dir.Write("empty.txt", "") + "'"));
  EXPECT_FALSE(said(program + "</dev/null"));
  // Nothing is waited for: the other program writes nothing until this one has ended.
  EXPECT_FALSE(said("mkfifo '" + dir.File("fifo") + "' && { exec 3<>'" + dir.File("fifo") + "'; " + program + "<&3; }"));
}

TEST(Generate, NoTokensWantedReadsThePromptOnly) {
  const Json object = DamaskJson(Tiny({"-p", "some words", "-n", "0"}));
  EXPECT_EQ(object["generated_tokens"], 0);
  EXPECT_EQ(object["text"], "");
  EXPECT_EQ(object["attention"]["density_prefill"], 1.0);
  EXPECT_TRUE(object["attention"]["density_decode"].is_null());
}

TEST(Generate, AStopStringEndsTheAnswerBeforeIt) {
  const std::string whole = DamaskJson(Tiny({"-p", "some words", "--temp", "0", "-n", "24"}))["text"];
  ASSERT_GT(whole.size(), 8u);
  // A piece of what the model writes, cut at whole characters.
  size_t begin = whole.size() / 2;
  while ((static_cast<unsigned char>(whole[begin]) & 0xc0) == 0x80) ++begin;
  const std::string stop = whole.substr(begin, Utf8Length(std::string_view(whole).substr(begin)));
  const Json stopped =
      DamaskJson(Tiny({"-p", "some words", "--temp", "0", "-n", "24", "--stop", "never seen", "--stop", stop}));
  EXPECT_EQ(stopped["text"], whole.substr(0, whole.find(stop)));
  EXPECT_EQ(stopped["finish_reason"], "stop");
}

TEST(Generate, TheTextInJsonIsUtf8WhateverTheModelSays) {
  // A random model at a high temperature writes byte pieces in any order.
  const Json object = DamaskJson(Tiny({"-p", "x", "--temp", "5", "--top-k", "0", "--top-p", "1", "--min-p", "0", "-n", "200"}));
  EXPECT_TRUE(IsValidUtf8(object["text"].get<std::string>()));
}

TEST(Generate, ChatWithoutATemplateIsRefused) {
  ExpectRefused(Damask({"generate", "-m", TinyModel(), "-p", "x", "--chat"}), "--chat");
}

TEST(Generate, AHuggingFaceFolderGivesTheSameText) {
  const Json file = DamaskJson(Tiny({"-p", "some words", "--temp", "0", "--target", "scalar"}));
  const Json folder =
      DamaskJson({"generate", "-m", TinyFolder(), "--raw", "-n", "8", "-p", "some words", "--temp", "0", "--target", "scalar"});
  EXPECT_EQ(folder["ids"], file["ids"]);
}

TEST(Generate, TheScalarTargetIsNamedAndRuns) {
  const Json object = DamaskJson(Tiny({"-p", "x", "--target", "scalar", "-n", "2"}));
  EXPECT_EQ(object["target"], "scalar");
}

TEST(Generate, WithoutMmapTheTextIsTheSame) {
  const Json mapped = DamaskJson(Tiny({"-p", "some words", "--temp", "0"}));
  EXPECT_EQ(DamaskJson(Tiny({"-p", "some words", "--temp", "0", "--no-mmap"}))["ids"], mapped["ids"]);
}

TEST(Generate, RepackedWeightsGiveTheSameTextAndAreReported) {
  std::string words;  // a prompt that prefill's products read
  for (int i = 0; i < 20; ++i) words += "some words ";
  const Json plain = DamaskJson(Tiny({"-p", words, "--temp", "0"}));
  EXPECT_EQ(plain["memory"]["repacked_bytes"], 0);
  const ProgramResult run = Damask(Tiny({"-p", words, "--temp", "0", "--repack", "--json"}));
  const Json repacked = Json::parse(run.out);
  EXPECT_EQ(repacked["ids"], plain["ids"]);
  // What a target has no packed form for is said.
  const bool kept = repacked["memory"]["repacked_bytes"] > 0;
  EXPECT_EQ(kept, run.err.find("--repack changes nothing") == std::string::npos) << run.err;
  EXPECT_EQ(kept, repacked["target"] != "scalar");
  const ProgramResult scalar = Damask(Tiny({"-p", "x", "-n", "1", "--repack", "--target", "scalar"}));
  EXPECT_NE(scalar.err.find("--repack changes nothing"), std::string::npos) << scalar.err;
}

TEST(Generate, RopeFlagsReadPastTheTrainedLength) {
  const Json plain = DamaskJson(Tiny({"-p", "some words", "--temp", "0"}));
  const Json scaled = DamaskJson(Tiny({"-p", "some words", "--temp", "0", "--rope-scaling", "linear", "--rope-scale", "64"}));
  EXPECT_NE(scaled["ids"], plain["ids"]);
}

// A prompt that takes minutes to read: the signal finds the program at work on any machine.
ProgramRun LongRun(const TempDir& dir) {
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "word ";
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "generate", "-m",    TinyModel(), "--raw", "-f", dir.Write("long.txt", text),
              "-c",           "4000000",  "--json"};
  return run;
}

TEST(Generate, AnInterruptStopsWithWhatIsThere) {
  const TempDir dir;
  ProgramRun run = LongRun(dir);
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once a chunk is read
  const ProgramResult result = RunProgram(run);
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_EQ(JsonOf(result)["finish_reason"], "cancelled");
  EXPECT_LT(JsonOf(result)["prompt_tokens"], 300'000);
}

TEST(Generate, AReaderThatGoesEndsTheRun) {
  const std::string command =
      std::string("'" DAMASK_PROGRAM) + "' generate -m '" + TinyModel() + "' --raw -p x -n 300 --temp 0; echo $? >&2";
  // The reader has gone by the first token, however slow the machine is.
  const ProgramResult result = RunProgram({"sh", "-c", "(sleep 0.5; " + command + ") | true"});
  EXPECT_FALSE(result.timed_out);
  EXPECT_EQ(result.err.find("error"), std::string::npos) << result.err;  // no news to whoever sent the reader away
  EXPECT_NE(result.err.find("\n1\n"), std::string::npos) << result.err;
}

TEST(Generate, FlagsThatChangeNothingAreSaid) {
  const auto warned = [](std::vector<std::string> more, const std::string& part) {
    std::vector<std::string> args = {"generate", "-q", "-m", TinyModel(), "-p", "x", "-n", "1"};
    args.insert(args.end(), more.begin(), more.end());
    const ProgramResult result = Damask(args);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return result.err.find(part) != std::string::npos;
  };
  EXPECT_TRUE(warned({"--audit-floor", "0.5"}, "--audit-floor changes nothing"));
  EXPECT_FALSE(warned({"--audit-floor", "0.5", "--policy", "streaming"}, "changes nothing"));
  EXPECT_TRUE(warned({"--rope-scaling", "yarn"}, "--rope-scaling yarn changes nothing"));
  EXPECT_FALSE(warned({"--rope-scaling", "yarn", "-c", "4096"}, "changes nothing"));
  EXPECT_FALSE(warned({"--rope-scaling", "linear", "--rope-scale", "2"}, "changes nothing"));
}

// What nohup does counts.
TEST(Generate, AnIgnoredHangUpStaysIgnored) {
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "generate", "-p", "The ", "--raw", "--temp", "0", "-n", "400"};
  run.in_child = [] { signal(SIGHUP, SIG_IGN); };
  run.signals = {{SIGHUP, [](const ProgramResult& so_far) { return !so_far.out.empty(); }}};
  EXPECT_EQ(RunProgram(run).exit_code, 0);
}

}  // namespace
}  // namespace damask::test
