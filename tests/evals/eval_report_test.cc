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

TEST(CompareReport, ADifferenceWithoutAnIntervalIsItsMean) {
  EXPECT_EQ(DifferenceText({.mean = -0.25}), "-0.250");
  EXPECT_EQ(DifferenceText({.mean = -0.25, .interval = evals::Interval{-0.5, 0}}), "-0.250 (-0.500 to +0.000)");
}

}  // namespace
}  // namespace damask::report
