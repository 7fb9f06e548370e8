// What a run says of itself where little or nothing was finished.
#include "report/eval_report.h"

#include <gtest/gtest.h>

#include "report/compare_report.h"

namespace damask::report {
namespace {

evals::TaskResult Interrupted(const evals::TaskRun& run) {
  evals::TaskResult result;
  evals::ContextResult& context = result.contexts.emplace_back();
  context.context = run.contexts.front();
  for (const double depth : run.depths) context.depths.push_back({.depth = depth});
  result.cancelled = true;
  return result;
}

TEST(EvalReport, OfNoSampleThereIsNoFigure) {
  const Json json = SummaryJson({});
  EXPECT_EQ(json["samples"], 0);
  for (const auto& [key, value] : json.items()) EXPECT_EQ(value.is_null(), key != "samples") << key;
  const evals::TaskRun run = {.contexts = {256}, .depths = {0, 1}};
  EXPECT_EQ(TaskRunText(run, Interrupted(run)), "no sample was finished\n");
  texts::Sample sample;
  sample.metric = texts::Metric::kF1;
  EXPECT_EQ(JsonlRunText({sample}, {}), "no sample was finished\n");
}

TEST(EvalReport, WhereNothingWasDecodedThereIsNoRate) {
  evals::Answered answer;
  answer.generated_tokens = 1;  // it comes out of the prefill
  answer.decode_seconds = 0.5;
  EXPECT_TRUE(SummaryJson(evals::Summarise({&answer, 1}))["decode_tokens_per_s"].is_null());
  answer.generated_tokens = 5;
  EXPECT_EQ(SummaryJson(evals::Summarise({&answer, 1}))["decode_tokens_per_s"], 8.0);
}

TEST(EvalReport, ADepthWithoutASampleHasNoRow) {
  const evals::TaskRun run = {.contexts = {256}, .depths = {0.25, 0.75}};
  evals::TaskResult result = Interrupted(run);
  result.contexts[0].summary.samples = 1;
  result.contexts[0].depths[0].samples = 1;
  const std::string text = TaskRunText(run, result);
  EXPECT_NE(text.find("0.25"), std::string::npos) << text;
  EXPECT_EQ(text.find("0.75"), std::string::npos) << text;
}

evals::CompareResult OneRow() {
  evals::CompareRow row;
  row.cell.policy = row.cell.spec = "quest";
  row.cell.task = "kv";
  row.cell.context = 600;
  row.cell.answers.resize(2);
  row.cell.answers[1].score = 1;
  evals::Summary& summary = row.cell.summary;
  summary.samples = 2;
  summary.density_decode = 0.25;
  summary.recall_mean = summary.strong_key_hit = 1;
  summary.recall_decode = 0.625;
  summary.strong_key_hit_decode = 0.5;
  evals::CompareResult result;
  result.rows.push_back(row);
  return result;
}

TEST(CompareReport, AStrongKeyHitHasAColumn) {
  evals::CompareResult result = OneRow();
  result.rows[0].cell.summary.strong_key_hit = 0.4321;
  const std::string text = CompareText({.policies = {"quest"}, .tasks = {"kv"}}, result);
  EXPECT_NE(text.find("recall  strong"), std::string::npos) << text;
  EXPECT_NE(text.find("0.4321"), std::string::npos) << text;
}

TEST(ComparePage, APolicyOfDecodedTokensStandsAtItsDecodeDensity) {
  const auto engine = engine::Engine::Load({.threads = 1});
  ASSERT_TRUE(engine.ok());
  evals::CompareRun run{.policies = {"quest"}, .tasks = {"kv"}, .contexts = {600}};
  std::string page = ComparePage(**engine, run, OneRow());
  for (const char* label : {"recall 0.625, decode density 0.2500", "strong keys 0.500, decode density 0.2500",
                            "accuracy 0.000 (0.000 to 1.000), decode density 0.2500", "0.000 s, density 1.0000"}) {
    EXPECT_NE(page.find(label), std::string::npos) << label;
  }
  evals::CompareResult sparse = OneRow();
  sparse.rows[0].cell.summary.density = 0.5;
  page = ComparePage(**engine, run, sparse);
  EXPECT_NE(page.find("recall 1.000, density 0.5000"), std::string::npos);
}

TEST(ComparePage, SaysThatTimesHaveTheAuditInThem) {
  EXPECT_EQ(AuditSentence({}), "No audit ran in prefills.");
  evals::CompareRun run;
  run.audit = {.prefill_every = 256, .rarer_from = 8192};
  EXPECT_NE(AuditSentence(run).find("one row in 256, rarer from position 8192 on, was"), std::string::npos);
}

TEST(CompareReport, ADifferenceWithoutAnIntervalIsItsMean) {
  EXPECT_EQ(DifferenceText({.mean = -0.25}), "-0.250");
  EXPECT_EQ(DifferenceText({.mean = -0.25, .interval = evals::Interval{-0.5, 0}}), "-0.250 (-0.500 to +0.000)");
}

}  // namespace
}  // namespace damask::report
