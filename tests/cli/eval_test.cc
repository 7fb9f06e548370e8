// damask eval and bench.
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<float> Floats(const std::string& path) {
  const std::string bytes = ReadBytes(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

TEST(EvalLogits, TheFileHoldsTheLogitsOfTheLastPosition) {
  const TempDir dir;
  const std::string out = dir.File("logits.f32");
  const Json object = DamaskJson({"eval", "logits", "-m", TinyModel(), "--tokens", "1,300,301", "--out", out});
  EXPECT_EQ(object["vocab"], 512);
  EXPECT_EQ(object["positions"], 1);
  const std::vector<float> logits = Floats(out);
  ASSERT_EQ(logits.size(), 512u);
  ASSERT_EQ(object["top"].size(), 10u);
  float last = INFINITY;
  for (const Json& entry : object["top"]) {
    EXPECT_FLOAT_EQ(entry["logit"], logits[entry["id"].get<size_t>()]);
    EXPECT_LE(entry["logit"].get<float>(), last);
    last = entry["logit"];
  }
}

TEST(EvalLogits, AllPositionsAreRowsAndTheLastIsTheSame) {
  const TempDir dir;
  const std::string all = dir.File("all.f32");
  const std::string last = dir.File("last.f32");
  const std::vector<std::string> base = {"eval",     "logits",        "-m",       TinyModel(),
                                         "--tokens", "1,300,301,302", "--target", "scalar"};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return DamaskJson(more);
  };
  EXPECT_EQ(run({"--all", "-o", all})["positions"], 4);
  run({"-o", last});
  const std::vector<float> rows = Floats(all);
  ASSERT_EQ(rows.size(), 4u * 512u);
  EXPECT_EQ(std::vector<float>(rows.end() - 512, rows.end()), Floats(last));
}

TEST(EvalLogits, TokensAreChecked) {
  ExpectRefused(Damask({"eval", "logits", "-m", TinyModel(), "--tokens", "1,512"}), "--tokens: found '512'");
  ExpectRefused(Damask({"eval", "logits", "-m", TinyModel(), "--tokens", "1,2,3", "-c", "2"}), "context of 2");
}

TEST(EvalLogits, AFileThatCannotBeWrittenIsNamed) {
  ExpectRefused(Damask({"eval", "logits", "-m", TinyModel(), "--tokens", "1", "--out", "/no/such/folder/x.f32"}),
                "/no/such/folder");
}

TEST(EvalLogits, AFullDiskIsAFailure) {
  const ProgramResult result = Damask({"eval", "logits", "-m", TinyModel(), "--tokens", "1", "--out", "/dev/full"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("/dev/full"), std::string::npos) << result.err;
}

TEST(EvalLogits, TokensMayComeFromAFile) {
  const TempDir dir;
  const std::vector<std::string> base = {"eval", "logits", "-m", TinyModel()};
  const auto top = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return DamaskJson(more)["top"];
  };
  EXPECT_EQ(top({"-f", dir.Write("ids.txt", "1 300\n301\n")}), top({"--tokens", "1,300,301"}));
}

TEST(EvalLogits, AFullDiskLeavesTheOldFile) {
  const TempDir dir;
  const std::string out = dir.Write("logits.f32", "old");
  for (const std::string which : {"--all", "--quiet"}) {
    const ProgramResult result = RunProgram(
        ProgramRun{.args = {DAMASK_PROGRAM, "eval", "logits", "-m", TinyModel(), "--tokens", "1,2", "-o", out, which},
                   .in_child = FillTheDisk<100>});
    EXPECT_EQ(result.exit_code, 1) << result.err;
    EXPECT_NE(result.err.find("cannot write"), std::string::npos) << result.err;
    EXPECT_EQ(ReadBytes(out), "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
  }
}

TEST(EvalLogits, AnInterruptLeavesTheOldFile) {
  const TempDir input;
  const TempDir dir;
  std::string ids = "1";
  for (int i = 0; i < 300'000; ++i) ids += ",300";  // takes minutes to read
  const std::string out = dir.Write("logits.f32", "old");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    ProgramRun run;
    run.args = {DAMASK_PROGRAM, "eval",    "logits", "-m",    TinyModel(), "-f", input.Write("ids.txt", ids),
                "-c",           "4000000", "--all",  "--out", out};
    run.err_is_terminal = true;
    run.signals = {{signal, ErrHas("reading ")}};  // shown once a chunk is read
    const ProgramResult result = RunProgram(run);
    EXPECT_EQ(result.exit_code, 130) << result.err;
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(ReadBytes(out), "old");
    EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
  }
}

TEST(EvalLogits, ASecondInterruptLeavesNoTemporary) {
  const TempDir input;
  const TempDir dir;
  std::string ids = "1";
  for (int i = 0; i < 8000; ++i) ids += ",300";
  ProgramRun run;
  // Two signals of one kind would be one while the program does not run; nothing looks at the first one before a layer is done.
  run.args = {DAMASK_PROGRAM,
              "eval",
              "logits",
              "--target",
              "scalar",
              "-t",
              "1",
              "-f",
              input.Write("ids.txt", ids),
              "--all",
              "--out",
              dir.File("logits.f32")};
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}, {SIGTERM, [](const ProgramResult&) { return true; }}};
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(EvalLogits, AnAuditWithoutFiguresIsSaid) {
  const std::vector<std::string> base = {"eval", "logits", "--tokens", "1,2", "--policy", "streaming"};
  const auto err = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return Damask(more).err;
  };
  EXPECT_NE(err({"--audit", "1"}).find("--audit and --audit-decode change nothing"), std::string::npos);
  EXPECT_EQ(err({}).find("warning"), std::string::npos);
  EXPECT_EQ(err({"--audit", "1", "--audit-floor", "0.5"}).find("change nothing"), std::string::npos);
}

TEST(EvalPerplexity, ARandomModelIsNoBetterThanChance) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 60; ++i) text += "words and more words in a row, " + std::to_string(i) + ". ";
  const Json object = DamaskJson({"eval", "perplexity", "-m", TinyModel(), "-f", dir.Write("text.txt", text), "-c", "128"});
  EXPECT_NEAR(std::log(object["perplexity"].get<double>()), object["nll"].get<double>(), 1e-6);
  EXPECT_GT(object["perplexity"], 100.0);
  EXPECT_GT(object["tokens"], 500);
  EXPECT_EQ(object["attention"]["policy"], "full");
  EXPECT_EQ(object["attention"]["density_prefill"], 1.0);
}

TEST(EvalPerplexity, TheTrainedModelPredictsEnglishBetterThanNoise) {
  const TempDir dir;
  const std::string english =
      dir.Write("english.txt", "And it came to pass in those days that there went out a decree to all the people of the land.");
  const std::string noise = dir.Write("noise.txt", "xq zzvk wjq pkd vvx qqj zkx wvd jjq xkz pqv dkw zzj qxv kkd wqp vjx zdq");
  const auto nll = [](const std::string& file) { return DamaskJson({"eval", "perplexity", "-f", file})["nll"].get<double>(); };
  EXPECT_LT(nll(english), nll(noise) - 1.0);
}

TEST(EvalPerplexity, AnInterruptShowsTheWindowsThatAreFinished) {
  const TempDir dir;
  std::string text;
  for (int i = 0; i < 300'000; ++i) text += "word ";  // takes a minute to read
  ProgramRun run;
  run.args = {DAMASK_PROGRAM, "eval", "perplexity", "-t", "1", "-f", dir.Write("long.txt", text), "--json"};
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once a window is finished
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  const Json object = JsonOf(result);
  EXPECT_GT(object["tokens"], 0);
  EXPECT_EQ(object["tokens"].get<int>() % 510, 0);  // 512 with a BOS token, and the first is not scored
  EXPECT_GT(object["perplexity"], 1.0);
}

TEST(EvalPerplexity, ATextOfOneTokenIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask({"eval", "perplexity", "-m", TinyModel(), "-f", dir.Write("empty.txt", "")}), "has no text");
}

TEST(Bench, JsonHasTheKeysOfTheContract) {
  const Json object = DamaskJson(
      {"bench", "-m", TinyModel("llama", "Q8_0"), "--prompt", "32,64", "--depth", "0,16", "--gen", "4", "--repeat", "1"});
  for (const char* key : {"cpu", "target", "threads", "tile_bf16_tflops", "fma_f32_tflops", "read_gb_s", "bf16_tflops",
                          "int8_tops", "int16_tops"}) {
    EXPECT_TRUE(object["machine"].contains(key)) << key;
  }
  ASSERT_EQ(object["prefill"].size(), 2u);
  EXPECT_EQ(object["prefill"][1]["tokens"], 64);
  EXPECT_GT(object["prefill"][1]["tokens_per_s"], 0.0);
  EXPECT_GT(object["prefill"][1]["fraction_of_peak"], 0.0);
  ASSERT_EQ(object["decode"].size(), 2u);
  EXPECT_EQ(object["decode"][1]["depth"], 16);
  EXPECT_GT(object["decode"][1]["tokens_per_s"], 0.0);
  EXPECT_GT(object["decode"][1]["fraction_of_bandwidth"], 0.0);
}

TEST(Bench, AnEightBitCacheIsCountedAsSuch) {
  const Json object = DamaskJson({"bench", "-m", TinyModel("llama", "Q8_0"), "--prompt", "16", "--depth", "64", "--gen", "4",
                                  "--repeat", "1", "--kv", "q8"});
  EXPECT_EQ(object["kv_type"], "q8");
  EXPECT_EQ(object["kv_bytes_per_token"], 2 * 2 * 2 * (64 + 2 * 2));
}

TEST(Bench, AttentionRunsOverEightBitPages) {
  const Json object = DamaskJson({"bench", "attention", "--head-dim", "64", "--heads", "4", "--kv-heads", "2", "--context",
                                  "512", "--density", "1,0.5", "--kv", "q8"});
  EXPECT_EQ(object["kv_type"], "q8");
  EXPECT_EQ(object["results"].size(), 2u);
}

TEST(Bench, AttentionGivesOneResultADensity) {
  const Json object = DamaskJson(
      {"bench", "attention", "--head-dim", "64", "--heads", "4", "--kv-heads", "2", "--context", "1024", "--density", "1,0.5"});
  ASSERT_EQ(object["results"].size(), 2u);
  for (const Json& result : object["results"]) {
    for (const char* key : {"density", "blocks", "seconds", "tflops", "fraction_of_peak", "efficiency"}) {
      EXPECT_TRUE(result.contains(key)) << key;
    }
  }
}

TEST(Bench, AttentionRefusesShapesThatDoNotRun) {
  ExpectRefused(Damask({"bench", "attention", "--head-dim", "64", "--heads", "3", "--kv-heads", "2", "--context", "256"}),
                "heads");
  ExpectRefused(Damask({"bench", "attention", "--head-dim", "7", "--heads", "2", "--kv-heads", "2", "--context", "256"}),
                "head");
}

TEST(Bench, PoliciesGiveALineForEachAndContext) {
  const Json object = DamaskJson({"bench", "policies", "--policies", "full;streaming:window=64", "--context", "1024,2048",
                                  "--head-dim", "32", "--group", "2"});
  ASSERT_EQ(object["results"].size(), 4u);
  for (const Json& result : object["results"]) {
    for (const char* key : {"prefill_s", "decode_s", "planned_keys"}) EXPECT_GT(result[key], 0.0) << key;
  }
  EXPECT_EQ(object["results"][1]["planned_keys"], 2048 + 64);
  ExpectRefused(Damask({"bench", "policies", "--context", "2048,1024"}), "ascending");
  ExpectRefused(Damask({"bench", "policies", "--policies", "full;nothing"}), "unknown policy");
}

TEST(Bench, AWrongPolicyIsNamedBeforeAnyIsMeasured) {
  const ProgramResult result =
      Damask({"bench", "policies", "--policies", "streaming:window=64;quest:budge=64", "-c", "1024", "--json", "--quiet"});
  ExpectRefused(result, "no option 'budge'");
  EXPECT_EQ(result.out, "");
}

TEST(Bench, AnInterruptShowsWhatIsFinished) {
  std::string specs = "quest";
  std::string densities = "0.5";
  for (int i = 0; i < 999; ++i) {
    specs += ";quest";
    densities += ",0.5";
  }
  const std::vector<std::vector<std::string>> benches = {{"policies", "--context", "1024,4096", "--policies", specs},
                                                         {"attention", "--head-dim", "64", "--heads", "4", "--kv-heads", "2",
                                                          "--context", "2048", "--min-seconds", "0.2", "--density", densities}};
  for (const std::vector<std::string>& bench : benches) {
    ProgramRun run;
    run.args = {DAMASK_PROGRAM, "bench"};
    run.args.insert(run.args.end(), bench.begin(), bench.end());
    run.args.emplace_back("--json");
    run.err_is_terminal = true;
    run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once a result is there
    const ProgramResult result = RunProgram(run);
    EXPECT_EQ(result.exit_code, 130) << result.err;
    const size_t results = JsonOf(result)["results"].size();
    EXPECT_GT(results, 0u);
    EXPECT_LT(results, 1000u);
  }
}

TEST(Bench, MatmulComparesBackends) {
  const Json object = DamaskJson({"bench", "matmul", "--m", "32", "--n", "256", "--k", "256"});
  ASSERT_FALSE(object["results"].empty());
  for (const Json& result : object["results"]) {
    for (const char* key : {"backend", "seconds", "tflops", "fraction_of_peak", "fastest_tflops"}) {
      EXPECT_TRUE(result.contains(key)) << key;
    }
    EXPECT_LE(result["fastest_seconds"], result["seconds"]);
  }
}

}  // namespace
}  // namespace damask::test
