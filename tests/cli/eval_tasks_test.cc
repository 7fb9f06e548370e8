// damask eval lines ... fwe, and jsonl.
#include <csignal>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

TEST(EvalTasks, JsonHasTheKeysOfTheContract) {
  for (const char* task : {"lines", "passkey", "needle", "kv", "vt", "cwe", "fwe"}) {
    const Json object = DamaskJson({"eval", task, "--context", "600,700", "--samples", "2", "--seed", "3"});
    EXPECT_EQ(object["task"], task);
    EXPECT_EQ(object["seed"], 3);
    EXPECT_EQ(object["policy"], "full");
    EXPECT_FALSE(object.contains("examples"));
    ASSERT_EQ(object["results"].size(), 2U);
    for (const Json& result : object["results"]) {
      for (const char* key : {"context", "samples", "accuracy", "ci_low", "ci_high", "density", "recall_mean", "prefill_s",
                              "kv_bytes", "decode_tokens_per_s", "depths"}) {
        EXPECT_TRUE(result.contains(key)) << key;
      }
      EXPECT_EQ(result["samples"], 2);
      EXPECT_EQ(result["density"], 1.0);
    }
    EXPECT_EQ(object["results"][1]["context"], 700);
  }
}

TEST(EvalTasks, KeepShowsEveryQuestionAndAnswer) {
  const Json object = DamaskJson({"eval", "kv", "--context", "300", "--samples", "2", "--depths", "0,1", "--keep"});
  ASSERT_EQ(object["examples"].size(), 4U);
  for (const Json& example : object["examples"]) {
    EXPECT_EQ(example["context"], 300);
    EXPECT_EQ(example["question"].get<std::string>().rfind("What is the value of ", 0), 0U);
    EXPECT_EQ(example["expected"].size(), 1U);
    EXPECT_TRUE(example["answer"].is_string());
  }
  EXPECT_EQ(object["examples"][0]["depth"], 0.0);
  EXPECT_EQ(object["examples"][1]["depth"], 1.0);
  ExpectRefused(Damask({"eval", "kv", "--context", "300", "--samples", "1", "--keep"}), "--keep is about what --json prints");
}

TEST(EvalTasks, TheTableNamesContextAndAccuracy) {
  const ProgramResult result = Damask({"eval", "lines", "--context", "300", "--samples", "2", "--quiet"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("accuracy"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("300"), std::string::npos) << result.out;
}

TEST(EvalTasks, APolicyShowsInItsDensity) {
  const Json object =
      DamaskJson({"eval", "lines", "--context", "600", "--samples", "1", "--policy", "streaming:sinks=4,window=64"});
  EXPECT_EQ(object["policy"], "streaming:sinks=4,window=64");
  EXPECT_LT(object["results"][0]["density"], 0.6);
}

TEST(EvalTasks, ALongerContextThanTheModelsIsSaid) {
  const ProgramResult result = Damask({"eval", "kv", "-m", TinyModel(), "--context", "2100", "--samples", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("2100 tokens are more than the model's context of 2048"), std::string::npos) << result.err;
  EXPECT_EQ(JsonOf(result)["results"][0]["context"], 2100);
}

TEST(EvalTasks, AContextThatIsAskedForIsSaidOnce) {
  const ProgramResult result =
      Damask({"eval", "kv", "-m", TinyModel(), "-c", "2200", "--context", "2100", "--samples", "1", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const size_t first = result.err.find("more than the model's context of 2048");
  ASSERT_NE(first, std::string::npos) << result.err;
  EXPECT_EQ(result.err.find("more than the model's context", first + 1), std::string::npos) << result.err;
}

TEST(EvalTasks, AContextOverCtxSizeIsRefused) {
  ExpectRefused(Damask({"eval", "kv", "-m", TinyModel(), "--context", "600", "-c", "512"}), "--context is 600");
}

TEST(EvalTasks, AnInterruptShowsWhatIsFinished) {
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "eval", "kv", "--context", "300", "--samples", "1000000", "--json"};
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once a sample is finished
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_GT(JsonOf(result)["results"][0]["samples"], 0);
}

TEST(EvalJsonl, ScoresAFile) {
  const TempDir dir;
  const std::string file = dir.Write("q.jsonl",
                                     "{\"context\": \"The key is 5.\", \"question\": \"Key?\", \"answers\": [\"5\"]}\n"
                                     "{\"context\": \"The sky is blue.\", \"input\": \"Sky?\", \"answers\": \"blue\"}\n");
  const Json object = DamaskJson({"eval", "jsonl", "-f", file, "--metric", "f1", "-n", "4", "--keep"});
  EXPECT_EQ(object["samples"], 2);
  EXPECT_EQ(object["metric"], "f1");
  EXPECT_GE(object["score"], 0.0);
  EXPECT_EQ(object["score"], object["accuracy"]);
  EXPECT_EQ(object["truncated"], 0);
  ASSERT_EQ(object["examples"].size(), 2U);
  EXPECT_EQ(object["examples"][1]["expected"][0], "blue");
}

TEST(EvalJsonl, ABadLineIsNamed) {
  const TempDir dir;
  const std::string file = dir.Write("q.jsonl", "{\"context\": \"c\", \"question\": \"q\", \"answers\": [\"a\"]}\n{}\n");
  ExpectRefused(Damask({"eval", "jsonl", "-f", file, "--metric", "f1"}), "line 2: \"context\" is missing");
}

TEST(EvalJsonl, AnEmptyAnswerIsNothingToLookFor) {
  const TempDir dir;
  const std::string file = dir.Write("q.jsonl",
                                     "{\"context\": \"c\", \"question\": \"q\", \"answers\": [\"a\"]}\n"
                                     "{\"context\": \"c\", \"question\": \"q\", \"answers\": [\"a\", \"\"]}\n");
  for (const std::string metric : {"substring", "all-substrings"}) {
    ExpectRefused(Damask({"eval", "jsonl", "-f", file, "--metric", metric}), "line 2: \"answers\" has an empty text");
  }
  EXPECT_EQ(Damask({"eval", "jsonl", "-q", "-f", file, "--metric", "em", "-n", "1"}).exit_code, 0);
}

TEST(EvalJsonl, FlagsThatCannotBeMetAreNamed) {
  const TempDir dir;
  const std::string file = dir.Write("q.jsonl", "{\"context\": \"c\", \"question\": \"q\", \"answers\": [\"a\"]}\n");
  const std::vector<std::string> base = {"eval", "jsonl", "-q", "-f", file, "--metric", "f1"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return Damask(more);
  };
  ExpectRefused(run({"-c", "10"}), "a context of 10 tokens (-c) has no room for a prompt beside 64 of answer (-n)");
  ExpectRefused(run({"-c", "10", "-n", "8"}), "does not fit the 2 tokens that -c leaves");
  ExpectRefused(run({"--keep"}), "--keep is about what --json prints");
}

}  // namespace
}  // namespace damask::test
