// Many requests at once: each gets the text it gets alone, and everything that is accepted ends.
#include "batching/scheduler.h"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "engine/generate.h"
#include "tests/batching/collector.h"
#include "tests/model/tiny_model.h"

namespace damask::batching {
namespace {

using engine::SomeIds;

Request MakeRequest(size_t prompt, uint64_t max_tokens, size_t step = 37) {
  Request request;
  request.prompt = SomeIds(prompt, 512, step);
  request.options.max_tokens = max_tokens;
  request.options.sampler.temperature = 0;
  return request;
}

// Greedy answers of a random model meet the end token sooner or later; one that is led to repeat itself does not.
Request EndlessRequest() {
  Request request = MakeRequest(20, 100000);
  request.options.sampler.repeat_penalty = 0.01f;
  return request;
}

struct Fixture {
  explicit Fixture(const SchedulerOptions& options = {}, const std::string& policy = "full")
      : engine(LoadTiny(file, {.policy = policy})), scheduler(std::make_unique<Scheduler>(engine.get(), nullptr, options)) {}

  std::shared_ptr<Collector> Submit(Request request) {
    auto collector = std::make_shared<Collector>();
    const Result<uint64_t> id = scheduler->Submit(std::move(request), collector);
    EXPECT_TRUE(id.ok()) << id.status().ToString();
    if (id.ok()) collector->request = *id;
    return collector;
  }

  TinyModelFile file{make_model::ModelSpec{.type = "Q8_0"}};
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<Scheduler> scheduler;
};

std::vector<TokenId> Alone(const Request& request) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file);
  engine::Session session(engine.get());
  const auto result = engine::Generate(engine.get(), &session, request.prompt, request.options, {});
  EXPECT_TRUE(result.ok());
  return result->ids;
}

TEST(Scheduler, ManyTogetherGiveWhatEachGivesAlone) {
  Fixture run({.parallel = 12});
  std::vector<Request> requests;
  std::vector<std::shared_ptr<Collector>> collectors;
  for (size_t i = 0; i < 20; ++i) {
    requests.push_back(MakeRequest(3 + 71 * i % 900, 5 + i % 7, 37 + 2 * i));
    collectors.push_back(run.Submit(requests.back()));
  }
  for (size_t i = 0; i < requests.size(); ++i) {
    collectors[i]->Wait();
    EXPECT_TRUE(collectors[i]->outcome.status.ok());
    EXPECT_EQ(collectors[i]->ids, Alone(requests[i])) << i;
    EXPECT_EQ(collectors[i]->outcome.usage.prompt_tokens, requests[i].prompt.size());
    EXPECT_EQ(collectors[i]->outcome.usage.completion_tokens, collectors[i]->ids.size());
  }
  EXPECT_TRUE(run.scheduler->WaitIdle(60));
  EXPECT_EQ(run.scheduler->stats().finished, 20u);
  EXPECT_EQ(run.scheduler->stats().kv_bytes, 0u);
}

// Holds the compute thread up at the end of its first chunk until Open.
class Gate : public Collector {
 public:
  void OnProgress(const Progress& step) override {
    Collector::OnProgress(step);
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }
  void WaitUntilReached() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return reached_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

// Every request of these while one before them is computed; ends when all have ended.
std::vector<std::shared_ptr<Collector>> SubmitWaiting(Scheduler* scheduler, const std::vector<Request>& requests) {
  const auto gate = std::make_shared<Gate>();
  EXPECT_TRUE(scheduler->Submit(MakeRequest(12, 0, 91), gate).ok());
  gate->WaitUntilReached();
  std::vector<std::shared_ptr<Collector>> collectors;
  for (const Request& request : requests) {
    collectors.push_back(std::make_shared<Collector>());
    EXPECT_TRUE(scheduler->Submit(request, collectors.back()).ok());
  }
  gate->Open();
  for (const auto& collector : collectors) collector->Wait();
  EXPECT_TRUE(scheduler->WaitIdle(60));
  return collectors;
}

TEST(Scheduler, ShortPromptsThatWaitTogetherAreReadInOneBatch) {
  Fixture run({.parallel = 16});
  std::vector<Request> requests;
  for (size_t i = 0; i < 8; ++i) requests.push_back(MakeRequest(20 + 5 * i, 6, 37 + 2 * i));
  const auto collectors = SubmitWaiting(run.scheduler.get(), requests);
  EXPECT_EQ(run.scheduler->stats().prompt_batches, 2u);  // the one before them, and theirs
  uint64_t tokens = 12;
  for (size_t i = 0; i < requests.size(); ++i) {
    tokens += requests[i].prompt.size();
    EXPECT_EQ(collectors[i]->ids, Alone(requests[i])) << i;
    EXPECT_EQ(collectors[i]->outcome.usage.read_tokens, requests[i].prompt.size());
  }
  EXPECT_EQ(run.scheduler->stats().prompt_tokens, tokens);
}

// Notes how many tokens have been drawn in all when its own prompt is whole.
class Observer : public Collector {
 public:
  explicit Observer(Scheduler* scheduler) : scheduler_(scheduler) {}
  void OnProgress(const Progress&) override { drawn = scheduler_->stats().drawn_tokens; }
  uint64_t drawn = 0;

 private:
  Scheduler* const scheduler_;
};

TEST(Scheduler, BetweenShortPromptsThatWaitOnlyOneTokenIsDrawn) {
  Fixture run;
  const auto stream = run.Submit(EndlessRequest());
  stream->WaitForText();
  const auto gate = std::make_shared<Gate>();
  ASSERT_TRUE(run.scheduler->Submit(MakeRequest(12, 0), gate).ok());
  gate->WaitUntilReached();
  std::vector<std::shared_ptr<Observer>> observers;  // two of them do not fit into one chunk beside an answer
  for (size_t i = 0; i < 4; ++i) {
    observers.push_back(std::make_shared<Observer>(run.scheduler.get()));
    ASSERT_TRUE(run.scheduler->Submit(MakeRequest(100, 0, 39 + 2 * i), observers.back()).ok());
  }
  gate->Open();
  for (const auto& observer : observers) observer->Wait();
  std::vector<uint64_t> drawn;
  drawn.reserve(observers.size());
  for (const auto& observer : observers) drawn.push_back(observer->drawn);
  std::sort(drawn.begin(), drawn.end());
  for (size_t i = 1; i < drawn.size(); ++i) EXPECT_EQ(drawn[i], drawn[i - 1] + 1);
  run.scheduler->Stop();
}

TEST(Scheduler, NoMoreAreReadTogetherThanAChunkHolds) {
  Fixture run({.parallel = 16});
  const std::vector<Request> requests(5, MakeRequest(200, 0));
  SubmitWaiting(run.scheduler.get(), requests);
  EXPECT_EQ(run.scheduler->stats().prompt_batches, 1u + 3u);  // 2 + 2 + 1 of them
}

// It would have been computed twice.
TEST(Scheduler, APromptThatBeginsLikeAnotherWaitsForItsPages) {
  Fixture run;
  PrefixShape shape = {.binding = "test",
                       .layers = run.engine->model().config().layers,
                       .kv_heads = run.engine->model().config().kv_heads,
                       .vocab = run.engine->model().config().vocab};
  auto store = PrefixStore::Open({}, shape, run.engine->page_pool());
  ASSERT_TRUE(store.ok());
  run.scheduler = nullptr;
  run.scheduler = std::make_unique<Scheduler>(run.engine.get(), store->get(), SchedulerOptions());
  Request longer = MakeRequest(150, 3);
  Request shorter = MakeRequest(140, 3);
  ASSERT_TRUE(std::equal(shorter.prompt.begin(), shorter.prompt.end(), longer.prompt.begin()));
  const auto collectors = SubmitWaiting(run.scheduler.get(), {longer, shorter, MakeRequest(50, 3, 41)});
  EXPECT_EQ(collectors[0]->outcome.usage.cached_tokens + collectors[1]->outcome.usage.cached_tokens, 128u);
  EXPECT_EQ(collectors[0]->ids, Alone(longer));
  EXPECT_EQ(collectors[1]->ids, Alone(shorter));
  EXPECT_EQ(run.scheduler->stats().cached_tokens, 128u);
  EXPECT_EQ(run.scheduler->stats().prefix.misses, 3u);
  EXPECT_EQ(run.scheduler->stats().prefix.hits, 1u);
  run.scheduler = nullptr;  // before its store
}

TEST(Scheduler, AShortQuestionIsAnsweredBeforeALongDocumentIsRead) {
  Fixture run;
  const auto document = run.Submit(MakeRequest(2000, 1));
  const auto question = run.Submit(MakeRequest(10, 2));
  question->Wait();
  EXPECT_FALSE(document->Done());
  document->Wait();
  EXPECT_EQ(document->ids.size(), 1u);
}

TEST(Scheduler, ProgressGrowsToTheWholePrompt) {
  Fixture run;
  const auto collector = run.Submit(MakeRequest(1300, 1));
  collector->Wait();
  ASSERT_EQ(collector->progress.size(), 3u);
  EXPECT_EQ(collector->progress[0].read_tokens, 512u);
  EXPECT_EQ(collector->progress[1].read_tokens, 1024u);
  EXPECT_EQ(collector->progress[2].read_tokens, 1300u);
  EXPECT_EQ(collector->progress[2].prompt_tokens, 1300u);
}

TEST(Scheduler, H13_AFullQueueRefuses) {
  Fixture run({.parallel = 1, .queue = 2});
  std::vector<std::shared_ptr<Collector>> accepted;
  Status refused;
  for (size_t i = 0; i < 50 && refused.ok(); ++i) {
    auto collector = std::make_shared<Collector>();
    const Result<uint64_t> id = run.scheduler->Submit(MakeRequest(1500, 200), collector);
    if (id.ok()) {
      accepted.push_back(collector);
    } else {
      refused = id.status();
    }
  }
  EXPECT_EQ(refused.code(), StatusCode::kTooLarge);
  EXPECT_EQ(run.scheduler->stats().refused, 1u);
  run.scheduler->Stop();
  for (const auto& collector : accepted) EXPECT_TRUE(collector->Done());
}

TEST(Scheduler, H13_RequestsForFreePlacesAreNoQueue) {
  Fixture run({.parallel = 3, .queue = 0});
  std::vector<std::shared_ptr<Collector>> accepted;
  for (size_t i = 0; i < 3; ++i) accepted.push_back(run.Submit(MakeRequest(1500, 200)));
  EXPECT_EQ(run.scheduler->Submit(MakeRequest(3, 1), std::make_shared<Collector>()).status().code(), StatusCode::kTooLarge);
  run.scheduler->Stop();
  for (const auto& collector : accepted) EXPECT_TRUE(collector->Done());
}

TEST(Scheduler, L01_ACancelEndsTheWorkWhereverItIs) {
  Fixture run({.parallel = 2});
  const auto drawing = run.Submit(EndlessRequest());
  drawing->WaitForText();
  const auto reading = run.Submit(MakeRequest(1900, 1));
  const auto queued = run.Submit(MakeRequest(1900, 1));
  run.scheduler->Cancel(queued->request);
  queued->Wait();
  EXPECT_EQ(queued->outcome.finish, engine::FinishReason::kCancelled);
  run.scheduler->Cancel(reading->request);
  reading->Wait();
  EXPECT_FALSE(drawing->Done());  // L02: nobody else's
  run.scheduler->Cancel(drawing->request);
  drawing->Wait();
  EXPECT_EQ(drawing->outcome.finish, engine::FinishReason::kCancelled);
  EXPECT_TRUE(run.scheduler->WaitIdle(60));
  EXPECT_EQ(run.scheduler->stats().cancelled, 3u);
  EXPECT_EQ(run.scheduler->stats().kv_bytes, 0u);
}

TEST(Scheduler, L05_ARequestThatTakesTooLongEnds) {
  Fixture run({.parallel = 1, .timeout_seconds = 0.2});
  const auto drawing = run.Submit(EndlessRequest());
  const auto waiting = run.Submit(MakeRequest(20, 1));
  drawing->Wait();
  EXPECT_TRUE(drawing->outcome.status.ok());
  EXPECT_EQ(drawing->outcome.finish, engine::FinishReason::kLength);
  waiting->Wait();
}

TEST(Scheduler, L10_DrainFinishesWhatWasAcceptedAndTakesNothingNew) {
  Fixture run;
  const auto collector = run.Submit(MakeRequest(600, 20));
  run.scheduler->Drain();
  EXPECT_EQ(run.scheduler->Submit(MakeRequest(3, 1), std::make_shared<Collector>()).status().code(), StatusCode::kCancelled);
  EXPECT_TRUE(run.scheduler->WaitIdle(60));
  EXPECT_EQ(collector->ids.size(), 20u);
}

TEST(Scheduler, BadRequestsAreRefusedAtTheDoor) {
  Fixture run;
  for (Request request : {MakeRequest(0, 1), MakeRequest(5000, 1)}) {
    EXPECT_EQ(run.scheduler->Submit(std::move(request), nullptr).status().code(), StatusCode::kInvalidArgument);
  }
  Request outside = MakeRequest(3, 1);
  outside.prompt[1] = 512;
  EXPECT_EQ(run.scheduler->Submit(std::move(outside), nullptr).status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(run.scheduler->stats().accepted, 0u);
}

TEST(Scheduler, ReadingOnlyDrawsNothing) {
  Fixture run;
  const auto collector = run.Submit(MakeRequest(700, 0));
  collector->Wait();
  EXPECT_TRUE(collector->ids.empty());
  EXPECT_EQ(collector->outcome.usage.read_tokens, 700u);
}

TEST(Scheduler, AContextThatFillsUpEndsTheAnswer) {
  Fixture run;
  const uint64_t context = run.engine->context();
  const auto collector = run.Submit(MakeRequest(context - 5, 100));
  collector->Wait();
  EXPECT_EQ(collector->ids.size(), 6u);
  EXPECT_EQ(collector->outcome.finish, engine::FinishReason::kLength);
}

TEST(Scheduler, LogprobsSumToOneAndTheGreedyTokenIsTheLikeliest) {
  Fixture run;
  Request request = MakeRequest(30, 4);
  request.top_logprobs = 512;
  const auto collector = run.Submit(std::move(request));
  collector->Wait();
  ASSERT_EQ(collector->logprobs.size(), 4u);
  for (const DrawnToken& token : collector->logprobs) {
    double sum = 0;
    for (const TokenLogprob& top : token.top) sum += std::exp(static_cast<double>(top.logprob));
    EXPECT_NEAR(sum, 1, 1e-4);
    EXPECT_EQ(token.id, token.top.front().id);
    EXPECT_EQ(token.logprob, token.top.front().logprob);
  }
}

TEST(Scheduler, DensityAndRecallAreOfEachRequest) {
  TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "streaming:sinks=4,window=64", .audit = {.prefill_every = 8}});
  Scheduler scheduler(engine.get(), nullptr, {});
  auto brief = std::make_shared<Collector>();
  auto lengthy = std::make_shared<Collector>();
  ASSERT_TRUE(scheduler.Submit(MakeRequest(40, 3), brief).ok());
  ASSERT_TRUE(scheduler.Submit(MakeRequest(1000, 3), lengthy).ok());
  brief->Wait();
  lengthy->Wait();
  EXPECT_EQ(brief->outcome.usage.prefill.density(), 1.0);
  EXPECT_LT(lengthy->outcome.usage.prefill.density(), 0.4);
  EXPECT_GT(lengthy->outcome.usage.audit.rows, 0u);
  EXPECT_LT(lengthy->outcome.usage.audit.recall(), 1.0);
}

}  // namespace
}  // namespace damask::batching
