// damask eval compare.
#include <csignal>
#include <filesystem>
#include <sstream>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<std::string> Compare(std::vector<std::string> more) {
  std::vector<std::string> args = {
      "eval",    "compare",   "--policies", "full;streaming:sinks=4,window=64", "--tasks", "lines,perplexity", "--context",
      "400,600", "--samples", "2"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(EvalCompare, OneRowForEachTaskContextAndPolicy) {
  const Json object = DamaskJson(Compare({}));
  ASSERT_EQ(object["rows"].size(), 8U);
  for (const Json& row : object["rows"]) {
    for (const char* key : {"policy", "task", "context", "accuracy", "ci_low", "ci_high", "density", "recall_mean", "prefill_s",
                            "decode_tokens_per_s", "kv_bytes", "difference", "difference_to", "output_error", "recall_decode",
                            "strong_key_hit_decode", "difference_low", "difference_high"}) {
      EXPECT_TRUE(row.contains(key)) << key;
    }
    EXPECT_EQ(row["accuracy"].is_null(), row["task"] == "perplexity");
    EXPECT_EQ(row["perplexity"].is_null(), row["task"] != "perplexity");
    EXPECT_EQ(row["prefill_s"].is_null(), row["task"] == "perplexity");
    if (row["policy"] == "full") {
      EXPECT_TRUE(row["difference"].is_null());
      EXPECT_TRUE(row["recall_mean"].is_null());
      EXPECT_EQ(row["density"], 1.0);
    } else {
      EXPECT_LT(row["density"], 1.0);
      EXPECT_LT(row["recall_mean"], 1.0);
    }
  }
  // Policies on the same samples stand together.
  EXPECT_EQ(object["rows"][0]["context"], object["rows"][1]["context"]);
  EXPECT_NE(object["rows"][0]["policy"], object["rows"][1]["policy"]);
}

TEST(EvalCompare, AWindowPredictsProseWorseThanFullAttention) {
  const Json rows = DamaskJson(Compare({}))["rows"];
  const Json& windowed = rows[5];
  ASSERT_EQ(windowed["task"], "perplexity");
  ASSERT_NE(windowed["policy"], "full");
  EXPECT_GT(windowed["difference"], 0.0);
}

TEST(EvalCompare, DensitySetsThePoliciesThatCan) {
  const ProgramResult result = Damask({"eval", "compare", "--policies", "full;streaming", "--tasks", "kv", "--context", "1024",
                                       "--samples", "1", "--density", "0.2,0.4", "--json", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["rows"].size(), 3U);
  EXPECT_TRUE(object["rows"][0]["density_target"].is_null());
  EXPECT_EQ(object["rows"][1]["density_target"], 0.2);
  EXPECT_NEAR(object["rows"][1]["density"].get<double>(), 0.2, 0.03);
  EXPECT_NEAR(object["rows"][2]["density"].get<double>(), 0.4, 0.03);
  // Nobody expects a density of full attention.
  EXPECT_EQ(object["notes"].size(), 0U) << object["notes"].dump();
  EXPECT_EQ(result.err.find("no option"), std::string::npos) << result.err;
}

TEST(EvalCompare, APolicyThatSetsItsDensityItselfRunsAsItIs) {
  const ProgramResult result = Damask({"eval", "compare", "--policies", "streaming:window=64;quest", "--tasks", "kv",
                                       "--context", "512", "--samples", "1", "--density", "0.5", "--json", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["rows"].size(), 2U);
  EXPECT_TRUE(object["rows"][0]["density_target"].is_null());
  EXPECT_EQ(object["rows"][0]["spec"], "streaming:sinks=4,window=64");
  EXPECT_EQ(object["rows"][1]["density_target"], 0.5);
  EXPECT_EQ(object["notes"][0], "'streaming:window=64' sets window itself: it runs as it is");
}

// Hours of answers would be lost with what is wrong with the last task.
TEST(EvalCompare, WhatIsWrongIsFoundBeforeAnythingIsAsked) {
  const TempDir dir;
  const auto compare = [&](const std::vector<std::string>& more) {
    std::vector<std::string> args = Compare({"--quiet", "--resume", dir.File("cells")});
    args.insert(args.end(), more.begin(), more.end());
    return Damask(args);
  };
  ExpectRefused(compare({"--context", "400,40"}), "--context 40");
  ExpectRefused(compare({"--context", "400,600", "-f", dir.Write("short.txt", "A few words of a text.")}),
                "fewer than a window");
  EXPECT_EQ(ReadBytes(dir.File("cells")).find("answers"), std::string::npos);
}

TEST(EvalCompare, OnePolicyUnderTwoNamesIsRefusedWhereADensitySetsItToo) {
  ExpectRefused(Damask(Compare({"--policies", "streaming;streaming:sinks=4", "--density", "0.3", "--quiet"})),
                "are the same policy");
  // The same setting for two densities is another thing, and so is a SPEC that sets itself what a density sets for the other.
  EXPECT_EQ(Damask(Compare({"--policies", "streaming;streaming:window=64", "--density", "0.3", "--quiet"})).exit_code, 0);
}

// Also where perplexity, whose cells are of their text besides, is the only task.
TEST(EvalCompare, TwoDensitiesWithOneSettingRunOnceWhateverTheTask) {
  for (const char* task : {"kv", "perplexity"}) {
    const Json object = DamaskJson({"eval", "compare", "--policies", "streaming", "--tasks", task, "--context", "300",
                                    "--samples", "1", "--density", "0.5,0.5001"});
    EXPECT_EQ(object["rows"].size(), 1U) << task;
    EXPECT_NE(object["notes"].dump().find("comes to the same"), std::string::npos) << task;
  }
}

TEST(EvalCompare, OfAShortTextThereAreAsManySamplesAsWindows) {
  const TempDir dir;
  std::string prose;
  for (int i = 0; i < 100; ++i) prose += "The river rose again in spring. ";
  const std::string text = dir.Write("prose.txt", prose);
  const Json object = DamaskJson({"eval", "compare", "--policies", "full", "--tasks", "perplexity", "--context", "200",
                                  "--samples", "50", "-f", text, "-o", dir.File("page.html")});
  const auto samples = object["rows"][0]["samples"].get<uint64_t>();
  EXPECT_GT(samples, 1U);
  EXPECT_LT(samples, 50U);
  EXPECT_NE(object["notes"].dump().find(std::to_string(samples) + " windows, fewer than the 50"), std::string::npos);
  EXPECT_NE(ReadBytes(dir.File("page.html")).find("<td>" + std::to_string(samples) + "</td>"), std::string::npos);
}

TEST(EvalCompare, OtherThreadsOfStoredAnswersAreSaid) {
  const TempDir dir;
  const auto notes = [&](const char* threads, const char* samples) {
    return DamaskJson({"eval", "compare", "--policies", "full", "--tasks", "kv", "--context", "300", "--samples", samples, "-t",
                       threads, "--resume", dir.File("cells")})["notes"]
        .dump();
  };
  EXPECT_EQ(notes("1", "1"), "[]");
  EXPECT_NE(notes("2", "1").find("with --threads 1: times"), std::string::npos) << "all answers are of the other";
  EXPECT_NE(notes("2", "2").find("with --threads 1 and 2: times"), std::string::npos);
}

TEST(EvalCompare, ADensityBelowWhatAPolicyCanIsLeftOutAndSaid) {
  const Json object = DamaskJson({"eval", "compare", "--policies", "streaming", "--tasks", "kv", "--context", "400",
                                  "--samples", "1", "--density", "0.001"});
  EXPECT_EQ(object["rows"].size(), 0U);
  EXPECT_NE(object["notes"][0].get<std::string>().find("left out"), std::string::npos);
}

TEST(EvalCompare, ThePageStandsAlone) {
  const TempDir dir;
  DamaskJson(Compare({"--html", dir.File("page.html")}));
  const std::string page = ReadBytes(dir.File("page.html"));
  EXPECT_EQ(page.rfind("<!doctype html>", 0), 0U);
  EXPECT_NE(page.find("<svg"), std::string::npos);
  EXPECT_NE(page.find("streaming:sinks=4,window=64"), std::string::npos);
  for (const char* part : {"http://", "https://", "src=", "href=", "nan", "inf\""}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
  // For who listens to it: heads of columns are heads, pictures have a name or are none.
  EXPECT_NE(page.find("<th scope=\"col\">density</th>"), std::string::npos);
  for (size_t at = page.find("<svg"); at != std::string::npos; at = page.find("<svg", at + 1)) {
    const std::string tag = page.substr(at, page.find('>', at) - at);
    EXPECT_TRUE(tag.find("role=\"img\"") != std::string::npos || tag.find("aria-hidden") != std::string::npos) << tag;
  }
}

TEST(EvalCompare, SaysWhatPerplexityIsOf) {
  const TempDir dir;
  const std::string sentence = "Perplexity is of the program's own prose";
  EXPECT_EQ(DamaskJson(Compare({"-o", dir.File("page.html")}))["perplexity_text"], "built-in, permuted paragraphs");
  EXPECT_NE(ReadBytes(dir.File("page.html")).find("Perplexity is of the program"), std::string::npos);
  EXPECT_NE(Damask(Compare({"--quiet"})).out.find(sentence), std::string::npos);
  const ProgramResult tasks = Damask(Compare({"--tasks", "kv", "--samples", "1", "--quiet"}));
  EXPECT_EQ(tasks.out.find("Perplexity"), std::string::npos) << tasks.out;
}

TEST(EvalCompare, TasksTakeTheOptionsOfTheSingleCommands) {
  const TempDir dir;
  const auto compare = [&](const char* tasks) {
    return Damask({"eval", "compare", "--policies", "full", "--tasks", tasks, "--context", "500", "--samples", "1", "--json",
                   "--quiet", "--resume", dir.File("cells")});
  };
  const ProgramResult result = compare("vt:chains=4,hops=2, vt,lines");
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json rows = JsonOf(result)["rows"];
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_EQ(rows[0]["task"], "vt:chains=4,hops=2");
  EXPECT_EQ(rows[1]["task"], "vt");
  EXPECT_EQ(rows[2]["task"], "lines");
  const std::string stored = ReadBytes(dir.File("cells"));
  ASSERT_EQ(compare("vt:hops=2,chains=4,vt:chains=1").exit_code, 0);
  EXPECT_EQ(ReadBytes(dir.File("cells")), stored);  // nothing ran
  ExpectRefused(compare("vt:chains=0"), "the number of chains is 0");
  ExpectRefused(compare("vt:links=2"), "it has chains, hops");
  ExpectRefused(compare("vt,vt:chains=1"), "'vt' is given twice");
  ExpectRefused(compare("lines,,vt"), "is empty");
}

TEST(EvalCompare, KeepGivesEveryScore) {
  const Json object = DamaskJson(Compare({"--keep"}));
  for (const Json& row : object["rows"]) {
    ASSERT_EQ(row["scores"].size(), 2U);
    const double mean = (row["scores"][0].get<double>() + row["scores"][1].get<double>()) / 2;
    EXPECT_NEAR(mean, row[row["task"] == "perplexity" ? "nll" : "accuracy"].get<double>(), 1e-12);
  }
  EXPECT_FALSE(DamaskJson(Compare({}))["rows"][0].contains("scores"));
  ExpectRefused(Damask(Compare({"--keep", "--quiet"})), "wants it");
}

TEST(EvalCompare, SaysWhichAuditRan) {
  EXPECT_EQ(DamaskJson(Compare({}))["audit"]["prefill_every"], 256);
  const TempDir dir;
  const Json without = DamaskJson(Compare({"--audit", "0", "-o", dir.File("page.html")}));
  EXPECT_EQ(without["audit"]["prefill_every"], 0);
  EXPECT_NE(ReadBytes(dir.File("page.html")).find("No audit ran in prefills."), std::string::npos);
}

TEST(EvalCompare, ThePageHasPicturesForEachTaskAndContext) {
  const TempDir dir;
  DamaskJson(Compare({"-o", dir.File("page.html")}));
  const std::string page = ReadBytes(dir.File("page.html"));
  for (const char* what : {"accuracy", "recall", "seconds of a prefill"}) {
    EXPECT_NE(page.find(std::string("aria-label=\"lines, 400 tokens: ") + what), std::string::npos) << what;
  }
  EXPECT_NE(page.find("aria-label=\"perplexity, 600 tokens: perplexity"), std::string::npos);
  EXPECT_EQ(page.find("<script"), std::string::npos);
}

TEST(EvalCompare, AllIsEveryPolicyThatNeedsNoFile) {
  const ProgramResult result = Damask(
      {"eval", "compare", "--policies", "all", "--tasks", "kv", "--context", "300", "--samples", "1", "--json", "--quiet"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  EXPECT_GE(object["rows"].size(), 16U);
  EXPECT_EQ(object["rows"][0]["policy"], "full");
  EXPECT_NE(result.err.find("policy duo needs a table"), std::string::npos) << result.err;
}

TEST(EvalCompare, DensitiesOutsideZeroToOneAreRefused) {
  for (const char* density : {"0", "-0.1", "1.1", "nan", "0.1,2"}) {
    ExpectRefused(Damask(Compare({"--density", density, "--quiet"})), "--density");
  }
}

TEST(EvalCompare, AnswersOverAnotherTypeOfCacheAreNotTaken) {
  const TempDir dir;
  const std::string cells = dir.File("cells");
  DamaskJson(Compare({"--resume", cells}));
  ExpectRefused(Damask(Compare({"--resume", cells, "--kv", "q8", "--quiet"})), "is of another run");
  EXPECT_EQ(DamaskJson(Compare({"--resume", dir.File("q8"), "--kv", "q8"}))["kv_type"], "q8");
  ExpectRefused(Damask(Compare({"--resume", dir.File("q8"), "--quiet"})), "is of another run");
}

TEST(EvalCompare, AnswersOfAnotherTargetAreTakenWhereThatIsSaid) {
  if (BestTarget() == Target::kScalar) GTEST_SKIP() << "this CPU has one target only";
  const TempDir dir;
  const auto compare = [&](const char* samples, const std::vector<std::string>& more) {
    std::vector<std::string> args = {"eval", "compare", "--policies", "full",     "--tasks",         "lines",     "--context",
                                     "250",  "--json",  "--quiet",    "--resume", dir.File("cells"), "--samples", samples};
    args.insert(args.end(), more.begin(), more.end());
    return Damask(args);
  };
  EXPECT_EQ(compare("1", {"--target", "scalar"}).exit_code, 0);
  ExpectRefused(compare("2", {}), "--target was 'scalar' and is");
  const ProgramResult result = compare("2", {"--any-target"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const Json object = JsonOf(result);
  EXPECT_EQ(object["rows"][0]["samples"], 2);
  EXPECT_NE(object["notes"].dump().find("with --target scalar and "), std::string::npos) << object["notes"].dump();
  ExpectRefused(Damask({"eval", "compare", "--policies", "full", "--any-target"}), "wants it");
}

TEST(EvalCompare, ResumeTakesAnswersFromTheFile) {
  const TempDir dir;
  const std::string cells = dir.File("cells");
  const Json first = DamaskJson(Compare({"--resume", cells}));
  const std::string stored = ReadBytes(cells);
  EXPECT_EQ(std::count(stored.begin(), stored.end(), '\n'), 1 + 8 + 1);
  const Json again = DamaskJson(Compare({"--resume", cells}));
  // Times as well: nothing ran.
  EXPECT_EQ(again["rows"], first["rows"]);
  EXPECT_EQ(ReadBytes(cells), stored);
}

Json WithoutTimes(Json rows) {
  for (Json& row : rows) {
    row.erase("prefill_s");
    row.erase("decode_tokens_per_s");
  }
  return rows;
}

TEST(EvalCompare, AKilledRunGoesOnToTheTableOfOneGo) {
  const TempDir dir;
  std::vector<std::string> args = Compare({"--resume", dir.File("cells"), "--samples", "6", "--json"});
  args.insert(args.begin(), DAMASK_PROGRAM);
  // Killed, not asked to stop: when it has answers that are not yet written, and when some are (or it is done before).
  for (const auto& when : {ErrHas("reading "), FileHas(dir.File("cells"), "\"answers\":[[")}) {
    ProgramRun run;
    run.args = args;
    run.err_is_terminal = true;
    run.signals = {{SIGKILL, when}};
    const ProgramResult killed = RunProgram(run);
    EXPECT_TRUE(killed.exit_code == 128 + SIGKILL || killed.exit_code == 0) << killed.err;
  }
  const Json resumed = DamaskJson(Compare({"--resume", dir.File("cells"), "--samples", "6"}));
  const Json at_once = DamaskJson(Compare({"--samples", "6"}));
  EXPECT_EQ(WithoutTimes(resumed["rows"]), WithoutTimes(at_once["rows"]));
}

TEST(EvalCompare, AnInterruptKeepsEveryAnswer) {
  const TempDir dir;
  ProgramRun run;
  run.args = Compare({"--resume", dir.File("cells"), "--samples", "4000", "--json"});
  run.args.insert(run.args.begin(), DAMASK_PROGRAM);
  run.err_is_terminal = true;
  run.signals = {{SIGINT, ErrHas("reading ")}};  // shown once there are answers; soon enough, they are in no file yet
  const ProgramResult result = RunProgram(run);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  // What was answered by then, in the middle of a cell.
  const Json object = JsonOf(result);
  uint64_t answered = 0;
  for (const Json& row : object["rows"]) answered += row["samples"].get<uint64_t>();
  EXPECT_GT(answered, 0U);
  EXPECT_NE(object["notes"].dump().find("interrupted"), std::string::npos);
  uint64_t stored = 0;
  std::istringstream lines(ReadBytes(dir.File("cells")));
  for (std::string line; std::getline(lines, line);) {
    const Json cell = Json::parse(line, nullptr, false);
    if (cell.is_object() && cell.contains("answers")) stored += cell["answers"].size();
  }
  EXPECT_EQ(stored, answered);
}

// The program on a disk that is full after 600 bytes: the first line of a resume file is shorter.
ProgramResult CompareOnAFullDisk(const std::string& flag, const std::string& path) {
  ProgramRun run;
  run.args = Compare({flag, path, "--json", "--quiet"});
  run.args.insert(run.args.begin(), DAMASK_PROGRAM);
  run.in_child = FillTheDisk<600>;
  return RunProgram(run);
}

TEST(EvalCompare, AnswersThatCannotBeKeptArePrinted) {
  const TempDir dir;
  const ProgramResult result = CompareOnAFullDisk("--resume", dir.File("cells"));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_GT(JsonOf(result)["rows"].size(), 0U);
  EXPECT_NE(result.err.find("/cells': cannot write"), std::string::npos) << result.err;
}

TEST(EvalCompare, APageThatCannotBeWrittenLeavesTheTable) {
  const TempDir dir;
  const ProgramResult result = CompareOnAFullDisk("-o", dir.File("page.html"));
  EXPECT_EQ(result.exit_code, 1) << result.err;
  EXPECT_EQ(JsonOf(result)["rows"].size(), 8U);
  EXPECT_NE(result.err.find("/page.html': cannot write"), std::string::npos) << result.err;
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

TEST(EvalCompare, AResumeFileOfOtherSamplesIsRefused) {
  const TempDir dir;
  const std::string cells = dir.File("cells");
  DamaskJson(Compare({"--resume", cells}));
  const std::string stored = ReadBytes(cells);
  ExpectRefused(Damask(Compare({"--resume", cells, "--seed", "2", "--quiet"})), "--seed was '1' and is '2' now");
  EXPECT_EQ(ReadBytes(cells), stored);
}

// Of the cells only those of perplexity depend on the text.
TEST(EvalCompare, AnotherTextGoesOnFromTheSameFile) {
  const TempDir dir;
  const std::string cells = dir.File("cells");
  std::string prose;
  for (int i = 0; i < 200; ++i) prose += "The river rose again in spring and the bridge was closed for a week. ";
  const std::string text = dir.Write("prose.txt", prose);
  const Json own = DamaskJson(Compare({"--resume", cells}));
  const Json other = DamaskJson(Compare({"--resume", cells, "-f", text}));
  const Json again = DamaskJson(Compare({"--resume", cells}));
  ASSERT_EQ(own["rows"].size(), other["rows"].size());
  for (size_t i = 0; i < own["rows"].size(); ++i) {
    if (own["rows"][i]["task"] == "perplexity") {
      EXPECT_NE(own["rows"][i]["nll"], other["rows"][i]["nll"]);
    } else {
      EXPECT_EQ(own["rows"][i], other["rows"][i]) << "taken from the file, times and all";
    }
  }
  EXPECT_EQ(own["rows"], again["rows"]);
}

TEST(EvalCompare, ADamagedResumeFileIsRefused) {
  const TempDir dir;
  const std::string cells = dir.File("cells");
  DamaskJson(Compare({"--resume", cells}));
  std::string stored = ReadBytes(cells);
  stored[stored.size() / 2] ^= 1;
  ExpectRefused(Damask(Compare({"--resume", dir.Write("cells", stored), "--quiet"})), "is damaged");
  ExpectRefused(Damask(Compare({"--resume", dir.Write("notes", "my notes\n"), "--quiet"})), "is no file of");
}

TEST(EvalCompare, ATextTooShortForAWindowIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask(Compare({"-f", dir.Write("short.txt", "Too short."), "--quiet"})), "fewer than a window");
}

}  // namespace
}  // namespace damask::test
