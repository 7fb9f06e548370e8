#include "evals/compare.h"

#include <atomic>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "evals/cell_file.h"
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
  const std::vector<double>& first = result->rows[0].cell.scores;
  const std::vector<double>& second = result->rows[1].cell.scores;
  ASSERT_EQ(first.size(), 4U);
  double difference = 0;
  for (size_t i = 0; i < first.size(); ++i) difference += (second[i] - first[i]) / 4;
  EXPECT_FALSE(result->rows[0].difference.has_value());
  ASSERT_TRUE(result->rows[1].difference.has_value());
  EXPECT_DOUBLE_EQ(result->rows[1].difference->mean, difference);
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

TEST(Compare, EverySpecIsCheckedBeforeAnythingRuns) {
  const auto engine = LoadEmbedded();
  CompareRun run = SmallRun();
  run.policies.emplace_back("streaming:window=0");
  size_t calls = 0;
  const auto progress = [&](uint64_t, uint64_t, double) { ++calls; };
  EXPECT_EQ(RunCompare(engine.get(), run, nullptr, progress, nullptr).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(calls, 0U);
}

TEST(Compare, CancelKeepsFinishedCells) {
  const auto engine = LoadEmbedded();
  std::atomic<bool> cancel = false;
  size_t samples = 0;
  // One call for each sample and one for each finished cell: stops in the second cell.
  const auto progress = [&](uint64_t, uint64_t, double) { cancel = ++samples == 7; };
  const auto result = RunCompare(engine.get(), SmallRun(), nullptr, progress, &cancel);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(result->cancelled);
  ASSERT_EQ(result->rows.size(), 1U);
  EXPECT_EQ(result->rows[0].cell.spec, "full");
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
  EXPECT_EQ(result->rows[0].cell.scores.size(), 3U);
  ASSERT_TRUE(result->rows[0].cell.nll.has_value());
  EXPECT_GT(*result->rows[0].cell.nll, 0);
  EXPECT_EQ(result->rows[0].cell.summary.density, 1.0);
}

Cell SomeCell() {
  Cell cell;
  cell.policy = "streaming";
  cell.spec = "streaming:sinks=4,window=99";
  cell.density_target = 0.1;
  cell.task = "lines";
  cell.context = 512;
  cell.scores = {1, 0, 0.5, 1};
  cell.summary.samples = 4;
  cell.summary.density = 0.0987654321;
  cell.summary.kv_bytes = 12345;
  cell.summary.recall_mean = 0.875;
  return cell;
}

TEST(CellFile, GivesBackWhatWasAdded) {
  const test::TempDir dir;
  const std::string path = dir.File("cells.jsonl");
  {
    auto file = CellFile::Open(path, "run 1");
    ASSERT_TRUE(file.ok()) << file.status().ToString();
    EXPECT_FALSE((*file)->Find(SomeCell()).has_value());
    ASSERT_TRUE((*file)->Add(SomeCell()).ok());
  }
  auto file = CellFile::Open(path, "run 1");
  ASSERT_TRUE(file.ok()) << file.status().ToString();
  const std::optional<Cell> found = (*file)->Find(SomeCell());
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->scores, SomeCell().scores);
  EXPECT_EQ(found->summary.density, 0.0987654321);
  EXPECT_EQ(found->summary.recall_mean, 0.875);
  EXPECT_FALSE(found->summary.strong_key_hit.has_value());
  EXPECT_DOUBLE_EQ(found->summary.accuracy, 0.625);
  EXPECT_EQ(found->summary.interval.low, WilsonInterval(2.5, 4).low);
  auto other = CellFile::Open(path, "run 2");
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE((*other)->Find(SomeCell()).has_value());
}

TEST(CellFile, AnotherSettingIsAnotherCell) {
  const test::TempDir dir;
  auto file = CellFile::Open(dir.File("cells.jsonl"), "run");
  ASSERT_TRUE(file.ok());
  ASSERT_TRUE((*file)->Add(SomeCell()).ok());
  Cell wanted = SomeCell();
  wanted.spec = "streaming:sinks=4,window=98";
  EXPECT_FALSE((*file)->Find(wanted).has_value());
  wanted = SomeCell();
  wanted.density_target.reset();
  EXPECT_FALSE((*file)->Find(wanted).has_value());
  wanted = SomeCell();
  wanted.context = 1024;
  EXPECT_FALSE((*file)->Find(wanted).has_value());
}

TEST(CellFile, NamesTheBrokenLine) {
  const test::TempDir dir;
  for (const char* line :
       {"7", "{}", "{\"run\": \"run\"}",
        R"({"run": "run", "policy": "p", "spec": "p", "task": "t", "context": 1, "scores": [1], "samples": 2})",
        R"({"run": "run", "policy": "p", "spec": "p", "task": "t", "context": -1})"}) {
    const auto file = CellFile::Open(dir.Write("cells.jsonl", std::string("{\"run\": \"x\"}\n") + line), "run");
    ASSERT_FALSE(file.ok()) << line;
    EXPECT_NE(file.status().ToString().find("line 2"), std::string::npos) << file.status().ToString();
  }
}

}  // namespace
}  // namespace damask::evals
