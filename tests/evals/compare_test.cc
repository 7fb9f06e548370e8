#include "evals/compare.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <set>
#include <span>

#include <gtest/gtest.h>

#include "base/file.h"
#include "engine/calibration_texts.h"
#include "engine/engine.h"
#include "engine/evaluate.h"
#include "evals/cell_file.h"
#include "evals/compare_plan.h"
#include "evals/task_spec.h"
#include "policies/registry.h"
#include "tests/temp_dir.h"

namespace damask::evals {
namespace {

std::unique_ptr<engine::Engine> LoadEmbedded() {
  auto engine = engine::Engine::Load({.threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

CompareRun SmallRun() {
  return {.policies = {"full", "streaming:sinks=4,window=64"}, .tasks = {"kv"}, .contexts = {300}, .samples = 4};
}

TEST(Compare, DifferencesAreThoseOfTheSamePairs) {
  const auto engine = LoadEmbedded();
  const auto result = RunCompare(engine.get(), SmallRun(), nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 2U);
  const std::vector<double> first = result->rows[0].cell.scores();
  const std::vector<double> second = result->rows[1].cell.scores();
  ASSERT_EQ(first.size(), 4U);
  double difference = 0;
  for (size_t i = 0; i < first.size(); ++i) difference += (second[i] - first[i]) / 4;
  EXPECT_FALSE(result->rows[0].difference.has_value());
  ASSERT_TRUE(result->rows[1].difference.has_value());
  EXPECT_DOUBLE_EQ(result->rows[1].difference->mean, difference);
}

TEST(Compare, WhereTheFirstPolicyDidNotRunNothingTakesItsPlace) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"streaming:sinks=200", "full", "streaming:sinks=4"};
  run.densities = {0.4};  // the sinks alone are more
  run.samples = 1;
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 2U);
  for (const CompareRow& row : result->rows) EXPECT_FALSE(row.difference.has_value()) << row.cell.spec;
  run.policies.erase(run.policies.begin());
  const auto with_first = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(with_first.ok() && with_first->rows.size() == 2);
  EXPECT_TRUE(with_first->rows[1].difference.has_value());
}

TEST(Compare, PoliciesAreComparedAtTheSameDensity) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"streaming", "quest", "full"};
  run.contexts = {600};
  run.densities = {0.4, 0.6};
  run.samples = 1;
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 5U);
  for (size_t i : {0, 1}) EXPECT_FALSE(result->rows[i].difference.has_value()) << "a row of the first policy's own";
  for (size_t i : {2, 3}) {
    ASSERT_TRUE(result->rows[i].difference.has_value());
    EXPECT_EQ(result->rows[i].difference_to, result->rows[i - 2].cell.spec);
    EXPECT_EQ(result->rows[i].cell.density_target, result->rows[i - 2].cell.density_target);
  }
  // Neither of two is the one to compare with.
  EXPECT_FALSE(result->rows[4].difference.has_value());
  run.policies = {"full", "streaming"};
  const auto to_full = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(to_full.ok() && to_full->rows.size() == 3);
  for (size_t i : {1, 2}) EXPECT_EQ(to_full->rows[i].difference_to, "full");
}

TEST(Compare, ADensityThatTheFirstPolicyCannotKeepIsComparedWithNoOther) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"streaming:sinks=200", "streaming:sinks=4"};
  run.contexts = {600};
  run.densities = {0.4, 0.9};
  run.samples = 1;
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 3U);
  EXPECT_EQ(result->rows[1].cell.density_target, 0.4);
  EXPECT_FALSE(result->rows[1].difference.has_value());
  EXPECT_TRUE(result->rows[2].difference.has_value());
}

TEST(Compare, AskWhatASingleRunAsks) {
  const auto engine = LoadEmbedded();
  const auto result = RunCompare(engine.get(), SmallRun(), nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok());
  const auto single = RunTask(engine.get(), {.task = texts::Task::kKv, .contexts = {300}, .samples = 4}, nullptr, nullptr);
  ASSERT_TRUE(single.ok());
  // The engine still has the last policy.
  EXPECT_EQ(single->contexts[0].summary.accuracy, result->rows[1].cell.summary.accuracy);
  EXPECT_EQ(single->contexts[0].summary.density, result->rows[1].cell.summary.density);
}

TEST(Compare, ATaskWithOptionsIsThatOfASingleRunAndACellOfItsOwn) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"full"};
  run.tasks = {"vt:chains=3,hops=2", "vt"};
  run.contexts = {500};
  run.samples = 2;
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 2U);
  EXPECT_EQ(result->rows[0].cell.task, "vt:chains=3,hops=2");
  TaskRun single{.task = texts::Task::kVt, .contexts = {500}, .samples = 2};
  single.options.chains = 3;
  single.options.hops = 2;
  const auto asked = RunTask(engine.get(), single, nullptr, nullptr);
  ASSERT_TRUE(asked.ok()) << asked.status().ToString();
  EXPECT_EQ(asked->contexts[0].summary.prompt_tokens, result->rows[0].cell.summary.prompt_tokens);
  EXPECT_EQ(asked->contexts[0].summary.accuracy, result->rows[0].cell.summary.accuracy);
  EXPECT_EQ(asked->contexts[0].samples[0].expected.size(), 3U);  // of one chain of three
}

TEST(TaskSpec, IsSpelledInOneWay) {
  for (const auto& [given, name] : {std::pair("vt", "vt"),
                                    {"vt:chains=1,hops=4", "vt"},
                                    {"vt:hops=2,chains=4", "vt:chains=4,hops=2"},
                                    {"needle:values=2", "needle:values=2"},
                                    {"cwe:words=5", "cwe:words=5"}}) {
    const auto spec = ParseTaskSpec(given);
    ASSERT_TRUE(spec.ok()) << spec.status().ToString();
    EXPECT_EQ(spec->ToString(), name);
  }
  for (const char* wrong :
       {"", "vtt", "vt:", "vt:chains", "vt:chains=", "vt:chains=x", "vt:chains=-1", "vt:chains=0", "vt:chains=1001",
        "vt:keys=2", "vt:chains=2,chains=3", "lines:keys=2", "needle:keys=100,values=100", "perplexity:chains=2"}) {
    EXPECT_EQ(ParseTaskSpec(wrong).status().code(), StatusCode::kInvalidArgument) << wrong;
  }
}

TEST(Compare, EverySpecIsCheckedBeforeAnythingRuns) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies.emplace_back("streaming:window=0");
  size_t calls = 0;
  const auto progress = [&](uint64_t, uint64_t, double) { ++calls; };
  EXPECT_EQ(RunCompare(engine.get(), run, nullptr, progress, nullptr).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(calls, 0U);
}

TEST(Compare, AQuestionGoesToAllPoliciesBeforeTheNextAndCancelKeepsWhatWasAnswered) {
  const auto engine = LoadEmbedded();
  std::atomic<bool> cancel = false;
  size_t samples = 0;
  const auto progress = [&](uint64_t, uint64_t, double) { cancel = ++samples == 5; };
  const auto result = RunCompare(engine.get(), SmallRun(), nullptr, progress, &cancel);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(result->cancelled);
  ASSERT_EQ(result->rows.size(), 2U);
  EXPECT_EQ(result->rows[0].cell.spec, "full");
  EXPECT_EQ(result->rows[0].cell.summary.samples, 3U);
  EXPECT_EQ(result->rows[1].cell.summary.samples, 2U);
  EXPECT_TRUE(result->rows[1].difference.has_value());
}

// Has room for two answers.
class FullStore : public CellStore {
 public:
  std::vector<Answered> Find(const Cell&) const override { return {}; }
  Status Put(const Cell&) override { return ++puts_ < 3 ? Status() : WriteFailed("no space"); }
  Status Flush() override { return Internal("flushed after an error"); }

 private:
  int puts_ = 0;
};

TEST(Compare, AStoreThatFailsEndsTheRunAndWhatWasAnsweredIsThere) {
  const auto engine = LoadEmbedded();
  FullStore store;
  const auto result = RunCompare(engine.get(), SmallRun(), &store, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->kept.code(), StatusCode::kWriteFailed);
  EXPECT_FALSE(result->cancelled);
  ASSERT_EQ(result->rows.size(), 2U);
  EXPECT_EQ(result->rows[0].cell.summary.samples, 2U);
  EXPECT_EQ(result->rows[1].cell.summary.samples, 1U);
}

TEST(Compare, PerplexityOfATextIsTakenWindowByWindow) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.tasks = {"perplexity"};
  run.contexts = {64};
  run.samples = 3;
  for (int i = 0; i < 100; ++i) run.text += "In the beginning was the word. ";
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->rows[0].cell.scores().size(), 3U);
  ASSERT_TRUE(result->rows[0].cell.nll.has_value());
  EXPECT_GT(*result->rows[0].cell.nll, 0);
  EXPECT_EQ(result->rows[0].cell.summary.density, 1.0);
  EXPECT_FALSE(result->rows[0].cell.summary.density_decode.has_value());  // nothing is decoded
}

TEST(Compare, WindowsOfTheProgramsProseAreNeitherCalibrationsNorThoseOfAnotherSeed) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"full"};
  run.tasks = {"perplexity"};
  run.contexts = {200};
  run.samples = 2;
  std::set<double> seen;
  for (const uint64_t seed : {1, 2}) {
    run.seed = seed;
    const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    for (const double score : result->rows[0].cell.scores()) seen.insert(score);
  }
  const auto texts = engine::EffectTexts(*engine, 2, 200, 1, nullptr);
  ASSERT_TRUE(texts.ok()) << texts.status().ToString();
  for (const engine::EffectText& text : *texts) {
    if (text.kind != engine::TextKind::kProse) continue;
    const bool bos = engine->tokenizer().special().puts_bos();
    const auto window = engine::Perplexity(engine.get(), std::span(text.ids).subspan(bos ? 1 : 0), 200, nullptr, nullptr);
    ASSERT_TRUE(window.ok()) << window.status().ToString();
    seen.insert(window->nll);
  }
  EXPECT_EQ(seen.size(), 6U);
}

TEST(Compare, AnswersAboutTheWindowsOfBeforeAreNotTaken) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.tasks = {"kv", "perplexity"};
  std::vector<std::string> notes;
  const auto cells = PlanCells(*engine, run, &notes);
  ASSERT_TRUE(cells.ok()) << cells.status().ToString();
  for (const Cell& cell : *cells) EXPECT_EQ(cell.content == 0, cell.task == "kv") << cell.spec << " " << cell.task;
}

TEST(Compare, PerplexityRowsNameTheCacheThatWasHeld) {
  auto engine = engine::Engine::Load({.threads = 1, .kv_release = true});
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  CompareRun run = SmallRun();
  run.tasks = {"perplexity"};
  run.contexts = {600};
  run.samples = 1;
  const auto result = RunCompare(engine->get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 2U);
  EXPECT_EQ(result->rows[0].cell.summary.kv_bytes, 640 * (*engine)->kv_bytes_per_token());  // ten pages
  EXPECT_GT(result->rows[1].cell.summary.kv_bytes, 0U);
  EXPECT_LT(result->rows[1].cell.summary.kv_bytes, 300 * (*engine)->kv_bytes_per_token());
}

TEST(Summarise, OfNothingMeasuredThereIsNoFigure) {
  Answered answer;
  answer.audit.rows = 3;
  answer.audit.recall_sum = 2.4;
  Summary summary = Summarise({&answer, 1});
  EXPECT_TRUE(summary.recall_mean.has_value());
  EXPECT_FALSE(summary.strong_key_hit.has_value());
  EXPECT_FALSE(summary.density_decode.has_value());
  answer.audit.strong_rows = 2;
  answer.audit.strong_hits = 1;
  answer.decode.planned_pairs = 1;
  answer.decode.causal_pairs = 4;
  summary = Summarise({&answer, 1});
  EXPECT_EQ(summary.strong_key_hit, 0.5);
  EXPECT_FALSE(summary.recall_decode.has_value());
  EXPECT_EQ(summary.density_decode, 0.25);
}

TEST(Summarise, KeepsDecodedTokensApartFromPrompts) {
  Answered answer;
  answer.audit = {.rows = 4, .recall_sum = 4, .strong_rows = 2, .strong_hits = 2, .error_sum = 0.5};
  answer.audit_decode = {.rows = 2, .recall_sum = 1, .strong_rows = 2, .strong_hits = 0, .error_sum = 1.5};
  const Summary summary = Summarise({&answer, 1});
  EXPECT_EQ(summary.recall_mean, 1.0);
  EXPECT_EQ(summary.strong_key_hit, 1.0);
  EXPECT_EQ(summary.output_error, 0.125);
  EXPECT_EQ(summary.recall_decode, 0.5);
  EXPECT_EQ(summary.strong_key_hit_decode, 0.0);
  EXPECT_EQ(summary.output_error_decode, 0.75);
}

TEST(Compare, APolicyOfDecodedTokensLosesThereAndNotInThePrompt) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"quest:budget=64,prefill=dense"};
  run.contexts = {600};
  run.samples = 1;
  run.audit = {.prefill_every = 16, .decode_every = 1};
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  const Summary& summary = result->rows[0].cell.summary;
  EXPECT_TRUE(summary.only_decode_is_sparse());
  EXPECT_NEAR(summary.recall_mean.value(), 1.0, 1e-6);
  EXPECT_LT(summary.recall_decode.value(), 0.999);
  EXPECT_GT(summary.recall_decode.value(), 0.01);
}

TEST(Compare, ASettingThatTwoDensitiesShareRunsOnce) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"duo:heads=1/0.5/0.2/0.1,sinks=1,recent=16"};
  run.densities = {0.75, 0.751};
  std::vector<std::string> notes;
  const auto cells = PlanCells(*engine, run, &notes);
  ASSERT_TRUE(cells.ok()) << cells.status().ToString();
  ASSERT_EQ(cells->size(), 1U);
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("comes to the same as at density 0.75"), std::string::npos) << notes[0];
}

TEST(Compare, OnePolicyUnderTwoNamesIsRefused) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  std::vector<std::string> notes;
  for (const auto& [one, same] : {std::pair("full", "dense"), {"streaming", "streaming:sinks=4"}}) {
    run.policies = {one, "quest", same};
    const auto cells = PlanCells(*engine, run, &notes);
    ASSERT_EQ(cells.status().code(), StatusCode::kInvalidArgument) << same;
    EXPECT_NE(cells.status().ToString().find(std::string("and '") + same + "' are the same policy"), std::string::npos)
        << cells.status().ToString();
  }
  // With a density one of them runs as it is, and the other does not.
  run.policies = {"full", "streaming", "streaming:window=1024"};
  run.densities = {0.4};
  EXPECT_TRUE(PlanCells(*engine, run, &notes).ok());
}

TEST(Compare, DensitiesOutsideZeroToOneAreRefused) {
  const auto engine = LoadEmbedded();
  for (const double density : {0.0, -0.1, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    CompareRun run = SmallRun();
    run.densities = {density};
    const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
    EXPECT_EQ(result.status().code(), StatusCode::kInvalidArgument) << density;
  }
}

TEST(Compare, SaysWhereTheMeasuredDensityIsFarFromTheWantedOne) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies = {"infllm2", "streaming"};  // the first one's budget goes by whole key blocks
  run.contexts = {600};
  run.samples = 1;
  run.densities = {0.4};
  const auto result = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  ASSERT_EQ(result->rows.size(), 2U);
  size_t far = 0;
  for (const CompareRow& row : result->rows) {
    if (std::abs(row.cell.summary.density / 0.4 - 1) <= 0.2) continue;
    ++far;
    const auto says = [&](const std::string& note) { return note.rfind(row.cell.policy + " at density 0.4", 0) == 0; };
    EXPECT_TRUE(std::any_of(result->notes.begin(), result->notes.end(), says)) << row.cell.policy;
  }
  EXPECT_EQ(far, 1U);
  EXPECT_EQ(result->notes.size(), far);
}

TEST(ExpandAll, TakesWhatNeedsNoFileAndWhatIsGiven) {
  const auto engine = LoadEmbedded();
  std::vector<std::string> notes;
  const std::vector<std::string> all = ExpandAll(*engine, {"streaming:window=64", "all"}, &notes);
  EXPECT_EQ(all.front(), "streaming:window=64");
  EXPECT_EQ(std::count(all.begin(), all.end(), "streaming"), 0);
  EXPECT_EQ(std::count(all.begin(), all.end(), "full"), 1);
  // dam wants a mask, duo a table.
  EXPECT_EQ(notes.size(), 2U);
  EXPECT_EQ(all.size() + notes.size(), policies::AllPolicies().size());
  EXPECT_EQ(ExpandAll(*engine, {"full", "quest"}, &notes), (std::vector<std::string>{"full", "quest"}));
}

const Asked kAsked = {{"weights", "0123"}, {"--seed", "1"}};

Cell SomeCell() {
  Cell cell;
  cell.policy = "streaming";
  cell.spec = "streaming:sinks=4,window=99";
  cell.content = 0xfedcba9876543210;
  cell.density_target = 0.1;
  cell.task = "lines";
  cell.context = 512;
  for (const double score : {1.0, 0.0, 1.0 / 3}) {
    Answered answer;
    answer.score = score;
    answer.prompt_tokens = 500;
    answer.generated_tokens = 7;
    answer.prefill_seconds = 0.1 + score;
    answer.decode_seconds = 0.25;
    answer.prefill.planned_pairs = 123456789012;
    answer.prefill.causal_pairs = 1234567890123;
    answer.decode.planned_pairs = 11;
    answer.decode.causal_pairs = 13;
    answer.kv_bytes = 12345;
    answer.audit.rows = 3;
    answer.audit.recall_sum = 2.1;
    answer.audit.recall_min = 0.5;
    answer.audit.strong_rows = 2;
    answer.audit.strong_hits = 1;
    answer.audit.error_sum = 0.01;
    cell.answers.push_back(answer);
  }
  return cell;
}

void ExpectSameFigures(const std::vector<Answered>& a, const std::vector<Answered>& b) {
  ASSERT_EQ(a.size(), b.size());
  const Summary x = Summarise(a);
  const Summary y = Summarise(b);
  EXPECT_EQ(x.accuracy, y.accuracy);
  EXPECT_EQ(x.density, y.density);
  EXPECT_EQ(x.density_decode, y.density_decode);
  EXPECT_EQ(x.prompt_tokens, y.prompt_tokens);
  EXPECT_EQ(x.prefill_seconds, y.prefill_seconds);
  EXPECT_EQ(x.decode_tokens_per_second, y.decode_tokens_per_second);
  EXPECT_EQ(x.kv_bytes, y.kv_bytes);
  EXPECT_EQ(x.recall_mean, y.recall_mean);
  EXPECT_EQ(x.strong_key_hit, y.strong_key_hit);
}

std::unique_ptr<CellFile> OpenCells(const std::string& path) {
  auto file = CellFile::Open(path, kAsked);
  EXPECT_TRUE(file.ok()) << file.status().ToString();
  return file.ok() ? *std::move(file) : nullptr;
}

TEST(CellFile, GivesBackWhatWasPut) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  {
    const auto file = OpenCells(path);
    EXPECT_TRUE(file->Find(SomeCell()).empty());
    ASSERT_TRUE(file->Put(SomeCell()).ok());
    ASSERT_TRUE(file->Flush().ok());
  }
  ExpectSameFigures(OpenCells(path)->Find(SomeCell()), SomeCell().answers);
}

TEST(CellFile, RowsThatCouldNotBeAuditedAreKept) {
  const test::TempDir dir;
  Cell cell = SomeCell();
  cell.answers[1].released_rows = 7;
  {
    const auto file = OpenCells(dir.File("cells"));
    ASSERT_TRUE(file->Put(cell).ok());
    ASSERT_TRUE(file->Flush().ok());
  }
  const std::vector<Answered> found = OpenCells(dir.File("cells"))->Find(cell);
  ExpectSameFigures(found, cell.answers);
  EXPECT_EQ(found[0].released_rows, 0U);
  EXPECT_EQ(found[1].released_rows, 7U);
}

TEST(CellFile, AuditedDecodedTokensAreKept) {
  const test::TempDir dir;
  Cell cell = SomeCell();
  cell.answers[1].audit_decode = {.rows = 2, .recall_sum = 1.5, .strong_rows = 2, .strong_hits = 1, .error_sum = 0.25};
  {
    const auto file = OpenCells(dir.File("cells"));
    ASSERT_TRUE(file->Put(cell).ok());
    ASSERT_TRUE(file->Flush().ok());
  }
  const std::vector<Answered> found = OpenCells(dir.File("cells"))->Find(cell);
  ExpectSameFigures(found, cell.answers);
  EXPECT_EQ(found[0].audit_decode.rows, 0U);
  EXPECT_EQ(Summarise(found).recall_decode, 0.75);
  EXPECT_EQ(Summarise(found).strong_key_hit_decode, 0.5);
  EXPECT_EQ(Summarise(found).output_error_decode, 0.125);
}

TEST(CellFile, PutReplacesTheAnswersOfItsCell) {
  const test::TempDir dir;
  const auto file = OpenCells(dir.File("cells"));
  Cell cell = SomeCell();
  ASSERT_TRUE(file->Put(cell).ok());
  cell.answers.push_back(cell.answers.front());
  ASSERT_TRUE(file->Put(cell).ok());
  ASSERT_TRUE(file->Flush().ok());
  EXPECT_EQ(OpenCells(dir.File("cells"))->Find(cell).size(), 4U);
}

TEST(CellFile, RunsThatShareAFileKeepOneAnothersAnswers) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  const auto one = OpenCells(path);
  const auto two = OpenCells(path);
  Cell longer = SomeCell();
  longer.answers.push_back(longer.answers.front());
  Cell elsewhere = SomeCell();
  elsewhere.task = "kv";
  ASSERT_TRUE(one->Put(longer).ok());
  ASSERT_TRUE(one->Flush().ok());
  ASSERT_TRUE(two->Put(SomeCell()).ok());  // fewer answers of the same cell
  ASSERT_TRUE(two->Put(elsewhere).ok());
  ASSERT_TRUE(two->Flush().ok());
  EXPECT_EQ(OpenCells(path)->Find(SomeCell()).size(), longer.answers.size());
  EXPECT_EQ(OpenCells(path)->Find(elsewhere).size(), elsewhere.answers.size());
  EXPECT_EQ(two->Find(SomeCell()).size(), longer.answers.size());
  // Nor are they lost to one that has seen them and asks for fewer.
  ASSERT_TRUE(two->Put(SomeCell()).ok());
  ASSERT_TRUE(two->Flush().ok());
  EXPECT_EQ(OpenCells(path)->Find(SomeCell()).size(), longer.answers.size());
  // The first one has not seen the other's cell, and does not lose it.
  longer.answers.push_back(longer.answers.front());
  ASSERT_TRUE(one->Put(longer).ok());
  ASSERT_TRUE(one->Flush().ok());
  EXPECT_EQ(OpenCells(path)->Find(elsewhere).size(), elsewhere.answers.size());
  EXPECT_EQ(OpenCells(path)->Find(longer).size(), longer.answers.size());
}

TEST(CellFile, AFileThatBecameSomethingElseMeanwhileIsNotOverwritten) {
  const test::TempDir dir;
  const auto file = OpenCells(dir.File("cells"));
  ASSERT_TRUE(file->Flush().ok());
  const std::string path = dir.Write("cells", "notes of mine, and long ones\n");
  ASSERT_TRUE(file->Put(SomeCell()).ok());
  const Status status = file->Flush();
  EXPECT_EQ(status.code(), StatusCode::kBadFormat);
  EXPECT_NE(status.ToString().find("is no file of"), std::string::npos) << status.ToString();
  EXPECT_EQ(*ReadTextFile(path, 1 << 20), "notes of mine, and long ones\n");
}

TEST(CellFile, AnotherSettingIsAnotherCell) {
  const test::TempDir dir;
  const auto file = OpenCells(dir.File("cells"));
  ASSERT_TRUE(file->Put(SomeCell()).ok());
  for (const auto change : {+[](Cell* cell) { cell->spec = "streaming:sinks=4,window=98"; },  //
                            +[](Cell* cell) { cell->content = 1; }, +[](Cell* cell) { cell->task = "kv"; },
                            +[](Cell* cell) { cell->context = 1024; }}) {
    Cell wanted = SomeCell();
    change(&wanted);
    EXPECT_TRUE(file->Find(wanted).empty());
  }
  // What the run calls it does not matter.
  Cell wanted = SomeCell();
  wanted.policy = "streaming:window=99";
  wanted.density_target.reset();
  EXPECT_FALSE(file->Find(wanted).empty());
}

std::string StoredCells(const test::TempDir& dir) {
  const auto file = OpenCells(dir.File("cells"));
  EXPECT_TRUE(file->Put(SomeCell()).ok());
  EXPECT_TRUE(file->Flush().ok());
  return *ReadTextFile(dir.File("cells"), 1 << 20);
}

TEST(CellFile, EveryDamagedByteAndEveryCutIsFound) {
  const test::TempDir dir;
  const std::string stored = StoredCells(dir);
  for (size_t i = 0; i < stored.size(); ++i) {
    std::string damaged = stored;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    const std::string path = dir.Write("damaged", damaged);
    const auto file = CellFile::Open(path, kAsked);
    ASSERT_FALSE(file.ok()) << "byte " << i;
    ASSERT_EQ(*ReadTextFile(path, 1 << 20), damaged) << "a refused file stays as it is";
  }
  for (size_t length = 1; length < stored.size(); ++length) {
    ASSERT_FALSE(CellFile::Open(dir.Write("cut", stored.substr(0, length)), kAsked).ok()) << length;
  }
}

TEST(CellFile, AnotherRunIsRefusedAndSaysWhatDiffers) {
  const test::TempDir dir;
  const std::string stored = StoredCells(dir);
  Asked asked = kAsked;
  asked[1].value = "2";
  const auto file = CellFile::Open(dir.File("cells"), asked);
  ASSERT_EQ(file.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(file.status().ToString().find("--seed was '1' and is '2' now"), std::string::npos) << file.status().ToString();
  EXPECT_EQ(*ReadTextFile(dir.File("cells"), 1 << 20), stored);
}

TEST(CellFile, WhatMayDifferIsNamedWithAllItsValues) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  StoredCells(dir);
  const auto with_seed = [&](const std::string& seed) {
    Asked asked = kAsked;
    asked[1] = {.name = "--seed", .value = seed, .may_differ = true};
    return asked;
  };
  for (const auto& [seed, all] :
       {std::pair("2", "1 and 2"), {"1", "1 and 2"}, {"12", "1 and 2 and 12"}, {"2", "1 and 2 and 12"}}) {
    const auto file = CellFile::Open(path, with_seed(seed));
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    const std::string before = (*file)->asked()[1].value;
    EXPECT_EQ(before, std::string(all).substr(0, before.size())) << "a run that has put nothing named its value";
    EXPECT_FALSE((*file)->Find(SomeCell()).empty());
    Cell longer = SomeCell();
    longer.answers.resize((*file)->Find(SomeCell()).size() + 1, longer.answers.front());
    ASSERT_TRUE((*file)->Put(longer).ok());
    ASSERT_TRUE((*file)->Flush().ok());
    EXPECT_EQ((*file)->asked()[1].value, all);
  }
  const auto strict = CellFile::Open(path, kAsked);
  ASSERT_FALSE(strict.ok());
  EXPECT_NE(strict.status().ToString().find("--seed was '1 and 2 and 12' and is '1' now"), std::string::npos)
      << strict.status().ToString();
}

// A run that goes on from no other target must not stop because another one joins it.
TEST(CellFile, ValuesThatJoinLaterDoNotStopARun) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  StoredCells(dir);
  const auto open = [&](const char* seed, bool may_differ) {
    Asked asked = kAsked;
    asked[1] = {.name = "--seed", .value = seed, .may_differ = may_differ, .may_join = true};
    return CellFile::Open(path, asked);
  };
  EXPECT_FALSE(open("2", false).ok());
  const auto strict = open("1", false).value();
  const auto other = open("2", true).value();
  EXPECT_EQ(other->asked()[1].value, "1");
  Cell cell = SomeCell();
  for (const auto& run : {other.get(), strict.get()}) {
    cell.answers.push_back(cell.answers.front());
    ASSERT_TRUE(run->Put(cell).ok());
    const Status flushed = run->Flush();
    EXPECT_TRUE(flushed.ok()) << flushed.ToString();
    EXPECT_EQ(run->asked()[1].value, "1 and 2");
  }
  EXPECT_FALSE(open("1", false).ok()) << "the file has answers of another value when it is opened";
}

TEST(CellFile, RunsWithOtherValuesThatShareAFileNameEachValueOnce) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  StoredCells(dir);
  std::vector<std::unique_ptr<CellFile>> runs;
  for (const char* seed : {"2", "3"}) {
    Asked asked = kAsked;
    asked[1] = {.name = "--seed", .value = seed, .may_differ = true};
    runs.push_back(CellFile::Open(path, asked).value());
  }
  Cell cell = SomeCell();
  for (int turn = 0; turn < 6; ++turn) {
    cell.answers.push_back(cell.answers.front());
    ASSERT_TRUE(runs[turn % 2]->Put(cell).ok());
    ASSERT_TRUE(runs[turn % 2]->Flush().ok());
  }
  EXPECT_EQ(runs[1]->asked()[1].value, "1 and 2 and 3");
  EXPECT_EQ(runs[0]->Find(cell).size() + 1, cell.answers.size());
}

TEST(CellFile, WhatAFileDoesNotSayIsWhatItMeant) {
  const test::TempDir dir;
  StoredCells(dir);
  Asked asked = kAsked;
  asked.push_back({.name = "--kv", .value = "bf16", .unsaid = "bf16"});
  EXPECT_TRUE(CellFile::Open(dir.File("cells"), asked).ok());
  asked.back().value = "q8";
  EXPECT_FALSE(CellFile::Open(dir.File("cells"), asked).ok());
}

TEST(CellFile, WhatEarlierVersionsSaidForTheSameIsTaken) {
  const test::TempDir dir;
  const std::string path = dir.File("cells");
  StoredCells(dir);
  const auto with_seed = [&](const std::string& value, const std::vector<std::string>& formerly) {
    Asked asked = kAsked;
    asked[1] = {.name = "--seed", .value = value, .formerly = formerly};
    return CellFile::Open(path, asked);
  };
  EXPECT_FALSE(with_seed("the first", {"2", "3"}).ok());
  auto file = with_seed("the first", {"2", "1"});
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  EXPECT_FALSE((*file)->Find(SomeCell()).empty());
  Cell longer = SomeCell();
  longer.answers.push_back(longer.answers.front());
  ASSERT_TRUE((*file)->Put(longer).ok());
  ASSERT_TRUE((*file)->Flush().ok());
  // From then on it says what this version does.
  EXPECT_TRUE(with_seed("the first", {}).ok());
  EXPECT_FALSE(with_seed("1", {}).ok());
}

TEST(CellFile, AFileOfAnythingElseIsRefused) {
  const test::TempDir dir;
  for (const char* text : {"x", "\n", "{}\n", "[]\n", "{\"format\": \"something\"}\n", "# notes\nof mine\n"}) {
    const auto file = CellFile::Open(dir.Write("cells", text), kAsked);
    ASSERT_EQ(file.status().code(), StatusCode::kBadFormat) << text;
    EXPECT_NE(file.status().ToString().find("is no file of"), std::string::npos) << file.status().ToString();
  }
  EXPECT_TRUE(CellFile::Open(dir.Write("empty", ""), kAsked).ok());
}

// A store that lets a run be stopped anywhere: what was put is what the next run finds.
class Interrupted : public ::testing::TestWithParam<size_t> {};

TEST_P(Interrupted, GoesOnToTheSameTable) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.tasks = {"kv", "perplexity"};
  run.audit.prefill_every = 16;
  const auto at_once = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(at_once.ok()) << at_once.status().ToString();
  const test::TempDir dir;
  {
    const auto store = OpenCells(dir.File("cells"));
    std::atomic<bool> cancel = false;
    size_t samples = 0;
    const auto progress = [&](uint64_t, uint64_t, double) { cancel = ++samples == GetParam(); };
    const auto part = RunCompare(engine.get(), run, store.get(), progress, &cancel);
    ASSERT_TRUE(part.ok() && part->cancelled);
  }
  size_t samples = 0;
  uint64_t total = 0;
  const auto progress = [&](uint64_t done, uint64_t all, double) {
    ++samples;
    total = all;
    EXPECT_EQ(done, samples * 300);
  };
  const auto store = OpenCells(dir.File("cells"));
  const auto rest = RunCompare(engine.get(), run, store.get(), progress, nullptr);
  ASSERT_TRUE(rest.ok()) << rest.status().ToString();
  EXPECT_EQ(samples, 16 - GetParam());
  EXPECT_EQ(total, samples * 300);
  ASSERT_EQ(rest->rows.size(), at_once->rows.size());
  for (size_t i = 0; i < rest->rows.size(); ++i) {
    const Cell& a = at_once->rows[i].cell;
    const Cell& b = rest->rows[i].cell;
    EXPECT_EQ(a.spec, b.spec);
    EXPECT_EQ(a.scores(), b.scores());
    EXPECT_EQ(a.nll, b.nll);
    EXPECT_EQ(a.summary.density, b.summary.density);
    EXPECT_EQ(a.summary.density_decode, b.summary.density_decode);
    EXPECT_EQ(a.summary.recall_mean, b.summary.recall_mean);
    EXPECT_EQ(at_once->rows[i].difference.has_value(), rest->rows[i].difference.has_value());
  }
}

INSTANTIATE_TEST_SUITE_P(Compare, Interrupted, ::testing::Values(1, 4, 6, 11, 15));

TEST(Compare, MoreSamplesGoOnFromFewer) {
  const auto engine = LoadEmbedded();
  const test::TempDir dir;
  const auto store = OpenCells(dir.File("cells"));
  CompareRun run = SmallRun();
  ASSERT_TRUE(RunCompare(engine.get(), run, store.get(), nullptr, nullptr).ok());
  run.samples = 6;
  size_t samples = 0;
  const auto progress = [&](uint64_t, uint64_t, double) { ++samples; };
  const auto more = RunCompare(engine.get(), run, store.get(), progress, nullptr);
  ASSERT_TRUE(more.ok());
  EXPECT_EQ(samples, 4U);
  const auto at_once = RunCompare(engine.get(), run, nullptr, nullptr, nullptr);
  ASSERT_TRUE(at_once.ok());
  for (size_t i = 0; i < 2; ++i) EXPECT_EQ(more->rows[i].cell.scores(), at_once->rows[i].cell.scores());
}

}  // namespace
}  // namespace damask::evals
