#include "evals/run.h"

#include <atomic>
#include <set>

#include <gtest/gtest.h>

#include "base/write_file.h"
#include "engine/conversation.h"
#include "formats/json.h"
#include "tests/model/tiny_model.h"

namespace damask::evals {
namespace {

std::unique_ptr<engine::Engine> LoadEmbedded(const std::string& policy = "full", uint64_t context = 0) {
  auto engine = engine::Engine::Load({.threads = 1, .context = context, .policy = policy});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

TaskResult Finished(engine::Engine* engine, const TaskRun& run) {
  auto result = RunTask(engine, run, nullptr, nullptr);
  EXPECT_TRUE(result.ok()) << result.status().ToString();
  return result.ok() ? *std::move(result) : TaskResult{};
}

TEST(RunTask, TheTrainedModelFindsMostLines) {
  const auto engine = LoadEmbedded();
  const TaskResult result = Finished(engine.get(), {.task = texts::Task::kLines, .contexts = {512}, .samples = 10});
  ASSERT_EQ(result.contexts.size(), 1U);
  const Summary& summary = result.contexts[0].summary;
  EXPECT_EQ(summary.samples, 10U);
  EXPECT_GE(summary.accuracy, 0.7);
  EXPECT_LE(summary.interval.low, summary.accuracy);
  EXPECT_GE(summary.interval.high, summary.accuracy);
  EXPECT_EQ(summary.density, 1.0);
  EXPECT_GT(summary.kv_bytes, 0U);
  EXPECT_FALSE(summary.recall_mean.has_value());
}

TEST(RunTask, AWindowLosesWhatLiesOutsideIt) {
  const auto engine = LoadEmbedded("streaming:sinks=4,window=64");
  const TaskResult result =
      Finished(engine.get(), {.task = texts::Task::kLines, .contexts = {768}, .samples = 5, .depths = {0, 0.5}});
  EXPECT_LE(result.contexts[0].summary.accuracy, 0.2);
  EXPECT_LT(result.contexts[0].summary.density, 0.5);
}

TEST(RunTask, PromptAndAnswerFitTheContextAndFillIt) {
  const auto engine = LoadEmbedded("full", 600);
  for (const texts::TaskInfo& info : texts::AllTasks()) {
    const TaskResult result = Finished(engine.get(), {.task = info.task, .contexts = {600}, .samples = 2});
    for (const AskedSample& sample : result.contexts[0].samples) {
      EXPECT_GT(sample.answered.prompt_tokens, 400U) << info.name;
      EXPECT_LT(sample.answered.prompt_tokens, 600U) << info.name;
    }
  }
}

engine::EngineOptions SparseAudit() {
  return {.threads = 1, .policy = "streaming:sinks=4,window=64", .audit = {.prefill_every = 4}};
}

TEST(RunTask, RecallIsNotGivenWhereRowsCouldNotBeAudited) {
  const TaskRun run = {.task = texts::Task::kKv, .contexts = {600}, .samples = 1};
  engine::EngineOptions options = SparseAudit();
  const auto keeping = engine::Engine::Load(options);
  ASSERT_TRUE(keeping.ok());
  const Summary all = Finished(keeping->get(), run).contexts.at(0).summary;
  EXPECT_TRUE(all.recall_mean.has_value());
  EXPECT_EQ(all.released_rows, 0U);
  options.kv_release = true;
  const auto releasing = engine::Engine::Load(options);
  ASSERT_TRUE(releasing.ok());
  const Summary some = Finished(releasing->get(), run).contexts.at(0).summary;
  EXPECT_GT(some.released_rows, 0U);
  EXPECT_FALSE(some.recall_mean.has_value());
  EXPECT_FALSE(some.strong_key_hit.has_value());
}

// Planned pairs of a sample's prompt.
uint64_t PlannedPairs(engine::Engine* engine) {
  const TaskResult result = Finished(engine, {.task = texts::Task::kKv, .contexts = {600}, .samples = 1});
  return result.contexts.at(0).samples.at(0).answered.prefill.planned_pairs;
}

TEST(RunTask, HeadsThatASampleWidenedAreNotSoInTheNext) {
  engine::EngineOptions options = SparseAudit();
  options.audit.floor = 1;
  const auto widening = engine::Engine::Load(options);
  ASSERT_TRUE(widening.ok());
  const uint64_t first = PlannedPairs(widening->get());
  EXPECT_EQ(PlannedPairs(widening->get()), first);
  const auto plain = engine::Engine::Load(SparseAudit());
  ASSERT_TRUE(plain.ok());
  EXPECT_LT(PlannedPairs(plain->get()), first) << "no head was widened";
}

TEST(RunTask, EveryDepthGetsAllSamplesAndItsOwnRow) {
  const auto engine = LoadEmbedded();
  const TaskResult result =
      Finished(engine.get(), {.task = texts::Task::kKv, .contexts = {200, 300}, .samples = 2, .depths = {0, 0.5, 1}});
  ASSERT_EQ(result.contexts.size(), 2U);
  EXPECT_EQ(result.contexts[1].context, 300U);
  EXPECT_EQ(result.contexts[0].summary.samples, 6U);
  ASSERT_EQ(result.contexts[0].depths.size(), 3U);
  for (const DepthSummary& depth : result.contexts[0].depths) EXPECT_EQ(depth.samples, 2U);
}

TEST(RunTask, DepthBandsHoldEverySampleOnce) {
  const auto engine = LoadEmbedded();
  const TaskResult result = Finished(engine.get(), {.task = texts::Task::kKv, .contexts = {200}, .samples = 10});
  uint64_t samples = 0;
  for (const DepthSummary& depth : result.contexts[0].depths) samples += depth.samples;
  EXPECT_EQ(samples, 10U);
  EXPECT_EQ(result.contexts[0].depths.size(), 5U);
}

TEST(RunTask, TheSameSeedAsksTheSameQuestions) {
  const auto engine = LoadEmbedded();
  const auto questions = [&](uint64_t seed) {
    const TaskResult result = Finished(engine.get(), {.task = texts::Task::kKv, .contexts = {200}, .samples = 3, .seed = seed});
    std::vector<std::string> all;
    for (const AskedSample& sample : result.contexts[0].samples) all.push_back(sample.question);
    return all;
  };
  EXPECT_EQ(questions(4), questions(4));
  EXPECT_NE(questions(4), questions(5));
}

TEST(RunTask, MoreSamplesGoOnWhereFewerEnded) {
  const std::vector<Placement> few = Placements({.samples = 4});
  const std::vector<Placement> many = Placements({.samples = 9});
  std::set<uint64_t> seeds;
  for (size_t i = 0; i < many.size(); ++i) {
    EXPECT_TRUE(seeds.insert(many[i].seed).second);
    if (i >= few.size()) continue;
    EXPECT_EQ(few[i].seed, many[i].seed);
    EXPECT_EQ(few[i].depth, many[i].depth);
  }
}

TEST(RunTask, CancelKeepsWhatIsFinished) {
  const auto engine = LoadEmbedded();
  std::atomic<bool> cancel = false;
  size_t asked = 0;
  const auto progress = [&](uint64_t, uint64_t, double) { cancel = ++asked == 2; };
  const auto result =
      RunTask(engine.get(), {.task = texts::Task::kKv, .contexts = {200, 300}, .samples = 5}, progress, &cancel);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(result->cancelled);
  ASSERT_EQ(result->contexts.size(), 1U);
  EXPECT_EQ(result->contexts[0].summary.samples, 2U);
}

TEST(RunTask, ProgressEndsAtTheTotal) {
  const auto engine = LoadEmbedded();
  uint64_t last = 0;
  uint64_t end = 1;
  const auto progress = [&](uint64_t done, uint64_t total, double) {
    last = done;
    end = total;
  };
  ASSERT_TRUE(RunTask(engine.get(), {.task = texts::Task::kKv, .contexts = {200}, .samples = 3}, progress, nullptr).ok());
  EXPECT_EQ(last, end);
}

TEST(RunTask, NamesWhatDoesNotFit) {
  const auto engine = LoadEmbedded("full", 512);
  const auto refused = [&](const TaskRun& run) { return RunTask(engine.get(), run, nullptr, nullptr).status(); };
  EXPECT_NE(refused({.contexts = {1024}}).ToString().find("--context is 1024"), std::string::npos);
  EXPECT_NE(refused({.contexts = {20}}).ToString().find("too few"), std::string::npos);
  EXPECT_NE(refused({.task = texts::Task::kCwe, .contexts = {512}, .depths = {0.5}}).ToString().find("--depths"),
            std::string::npos);
  EXPECT_NE(refused({.contexts = {256, 300, 256}}).ToString().find("--context: 256 is there twice"), std::string::npos);
  EXPECT_NE(refused({.contexts = {300}, .depths = {0, 0.5, 0}}).ToString().find("--depths: 0 is there twice"),
            std::string::npos);
  EXPECT_EQ(refused({.contexts = {}}).code(), StatusCode::kInvalidArgument);
}

// A random model with a ChatML template, as a Hugging Face folder under `dir`.
std::unique_ptr<engine::Engine> LoadChatModel(const test::TempDir& dir) {
  ThreadPool pool(1);
  const Status written = make_model::WriteHuggingFaceModel(make_model::ModelSpec{}, dir.File("model"), &pool);
  EXPECT_TRUE(written.ok()) << written.ToString();
  const std::string config = dir.File("model") + "/tokenizer_config.json";
  auto json = formats::ReadJsonFile(config);
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  if (!json.ok()) return nullptr;
  (*json)["chat_template"] = "{% for m in messages %}<|im_start|>{{ m.role }}{% endfor %}";
  EXPECT_TRUE(WriteFileAtomically(config, json->dump()).ok());
  auto engine = engine::Engine::Load({.model_path = dir.File("model"), .threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

TEST(Prompts, AChatModelGetsTextAndQuestionInItsTemplate) {
  const test::TempDir dir;
  const auto engine = LoadChatModel(dir);
  ASSERT_NE(engine, nullptr);
  const Prompts prompts(engine.get(), PromptForm::kAuto);
  ASSERT_TRUE(prompts.chat());
  texts::Sample sample;
  sample.text = "fact one\n";
  sample.question = "what?\n";
  sample.prefix = "the answer is";
  const auto ids = prompts.Encode(sample);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  const std::string text = engine->tokenizer().Decode(*ids, true);
  EXPECT_NE(text.find("fact one\nwhat?<"), std::string::npos) << text;
  EXPECT_EQ(text.find("the answer is"), std::string::npos) << text;
  EXPECT_FALSE(Prompts(engine.get(), PromptForm::kRaw).chat());
}

TEST(Prompts, RawTextEndsWithThePrefixAndHasNoControlTokens) {
  const auto engine = LoadEmbedded();
  const Prompts prompts(engine.get(), PromptForm::kAuto);
  EXPECT_FALSE(prompts.chat());
  texts::Sample sample;
  sample.text = "a <s> mark\n";
  sample.question = "what?\n";
  sample.prefix = "the answer is";
  const auto ids = prompts.Encode(sample);
  ASSERT_TRUE(ids.ok());
  size_t control = 0;
  for (const engine::TokenId id : *ids) control += engine->tokenizer().IsControl(id) ? 1 : 0;
  EXPECT_EQ(control, engine->tokenizer().special().add_bos ? 1U : 0U);
  const std::string text = engine->tokenizer().Decode(*ids, true);
  EXPECT_EQ(text.substr(text.size() - sample.prefix.size()), sample.prefix);
}

}  // namespace
}  // namespace damask::evals
