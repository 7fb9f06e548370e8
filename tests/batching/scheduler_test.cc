// Many requests at once: each gets the text it gets alone, and everything that is accepted ends.
#include "batching/scheduler.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "engine/generate.h"
#include "tests/batching/collector.h"
#include "tests/model/tiny_model.h"
#include "tests/temp_dir.h"

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

  // The collector's type: Collector, or one that does more.
  template <typename Kind = Collector>
  std::shared_ptr<Kind> Submit(const Request& request, std::shared_ptr<Kind> collector = std::make_shared<Kind>()) {
    const Result<uint64_t> id = scheduler->Submit(request, collector);
    EXPECT_TRUE(id.ok()) << id.status().ToString();
    if (id.ok()) collector->request = *id;
    return collector;
  }

  TinyModelFile file{make_model::ModelSpec{.type = "Q8_0"}};
  std::unique_ptr<engine::Engine> engine;
  std::unique_ptr<Scheduler> scheduler;
};

// The same with a store of prefixes.
struct StoreFixture : Fixture {
  explicit StoreFixture(const PrefixStoreOptions& prefixes, const std::string& policy = "full") : Fixture({}, policy) {
    const model::ModelConfig& config = engine->model().config();
    const PrefixShape shape = {.binding = "test", .layers = config.layers, .kv_heads = config.kv_heads, .vocab = config.vocab};
    auto opened = PrefixStore::Open(prefixes, shape, engine->page_pool());
    EXPECT_TRUE(opened.ok()) << opened.status().ToString();
    if (opened.ok()) store = *std::move(opened);
    scheduler = nullptr;
    scheduler = std::make_unique<Scheduler>(engine.get(), store.get(), SchedulerOptions());
  }
  ~StoreFixture() { scheduler = nullptr; }  // before its store
  StoreFixture(const StoreFixture&) = delete;
  StoreFixture& operator=(const StoreFixture&) = delete;

  std::unique_ptr<PrefixStore> store;
};

std::vector<TokenId> Alone(const Request& request) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file);
  engine::Session session(engine.get());
  const auto result = engine::Generate(engine.get(), &session, request.prompt, request.options, {});
  EXPECT_TRUE(result.ok());
  return result->ids;
}

// An answer that is drawn alone is guessed ahead, one beside others is not; neither changes a word or a logarithm.
TEST(Scheduler, GuessesChangeNoAnswer) {
  Request request = EndlessRequest();
  request.prompt.assign(20, 48);  // the answer is led to repeat few words, whatever the logits of this machine's target
  request.options.max_tokens = 120;
  request.top_logprobs = 2;
  const auto run = [&](size_t guesses, size_t beside) {
    Fixture f({.guesses = guesses});
    std::vector<std::shared_ptr<Collector>> others;
    for (size_t i = 0; i < beside; ++i) others.push_back(f.Submit(MakeRequest(30, 40 + 40 * i, 11)));
    auto collector = f.Submit(request);
    collector->Wait();
    for (const auto& other : others) other->Wait();
    EXPECT_TRUE(collector->outcome.status.ok());
    EXPECT_EQ(collector->outcome.usage.completion_tokens, 120u);
    return collector;
  };
  const auto expected = run(0, 0);
  EXPECT_EQ(expected->outcome.usage.guessed, 0u);
  for (const size_t beside : {size_t{0}, size_t{2}}) {
    const auto guessed = run(7, beside);
    EXPECT_EQ(guessed->ids, expected->ids);
    EXPECT_EQ(guessed->text, expected->text);
    ASSERT_EQ(guessed->logprobs.size(), expected->logprobs.size());
    for (size_t i = 0; i < expected->logprobs.size(); ++i) {
      EXPECT_EQ(guessed->logprobs[i].id, expected->logprobs[i].id);
      EXPECT_EQ(guessed->logprobs[i].logprob, expected->logprobs[i].logprob);
    }
    EXPECT_GT(guessed->outcome.usage.guessed_right, 0u);
    EXPECT_GE(guessed->outcome.usage.guessed, guessed->outcome.usage.guessed_right);
  }
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

// Holds the compute thread up until Open: at the end of its first chunk, or with its first text, or at its end where it does
// not come so far.
class Gate : public Collector {
 public:
  enum class At { kChunk, kText };
  explicit Gate(At at = At::kChunk) : at_(at) {}

  void OnProgress(const Progress& step) override {
    Collector::OnProgress(step);
    if (at_ == At::kChunk) Hold();
  }
  void OnPiece(Piece&& piece) override {
    Collector::OnPiece(std::move(piece));
    if (at_ == At::kText) Hold();
  }
  void OnDone(const Outcome& result) override {
    Hold();
    Collector::OnDone(result);
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
  void Hold() {
    std::unique_lock lock(mutex_);
    reached_ = true;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
  }

  const At at_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool reached_ = false;
  bool open_ = false;
};

// Does something on the compute thread: between two steps of its work nothing else happens there.
class Hook : public Collector {
 public:
  void OnProgress(const Progress& step) override {
    Collector::OnProgress(step);
    if (on_progress) on_progress();
  }
  void OnPiece(Piece&& piece) override {
    Collector::OnPiece(std::move(piece));
    if (on_piece) on_piece();
  }
  void OnDone(const Outcome& result) override {
    if (on_done) on_done();
    Collector::OnDone(result);
  }

  std::function<void()> on_progress;
  std::function<void()> on_piece;
  std::function<void()> on_done;
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
  const auto stream = run.Submit(EndlessRequest(), std::make_shared<Gate>(Gate::At::kText));
  stream->WaitUntilReached();
  std::vector<std::shared_ptr<Observer>> observers;  // two of them do not fit into one chunk beside an answer
  for (size_t i = 0; i < 4; ++i) {
    observers.push_back(std::make_shared<Observer>(run.scheduler.get()));
    ASSERT_TRUE(run.scheduler->Submit(MakeRequest(100, 0, 39 + 2 * i), observers.back()).ok());
  }
  stream->Open();
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
  StoreFixture run({});
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
}

// Of tokens 0 to 1199 both have the same: 18 whole pages.
struct DocumentAndQuestion {
  DocumentAndQuestion() {
    for (size_t i = 1200; i < question.prompt.size(); ++i) question.prompt[i] = (question.prompt[i] + 1) % 512;
    question.options.ignore_eos = true;
  }
  // The question comes when the document has had its first turn; returns when both have ended.
  std::pair<std::shared_ptr<Collector>, std::shared_ptr<Collector>> BothIn(StoreFixture* run) const {
    const auto gate = run->Submit(document, std::make_shared<Gate>());
    gate->WaitUntilReached();
    const auto asked = run->Submit(question);
    gate->Open();
    gate->Wait();
    asked->Wait();
    return {gate, asked};
  }
  Request document = MakeRequest(1800, 1);
  Request question = MakeRequest(1205, 5);
};

TEST(Scheduler, ACommonBeginningIsComputedOnceWhoeverHasTheTurn) {
  const DocumentAndQuestion ask;
  for (const uint64_t memory : {uint64_t{0}, uint64_t{1} << 30}) {
    StoreFixture run({.memory_bytes = memory});
    const auto [document, question] = ask.BothIn(&run);
    constexpr uint64_t kShared = 18 * 64;
    EXPECT_EQ(run.scheduler->stats().prompt_tokens, 1800 + 1205 - kShared);
    EXPECT_EQ(run.scheduler->stats().cached_tokens, kShared);
    EXPECT_EQ(document->outcome.usage.cached_tokens + question->outcome.usage.cached_tokens, kShared);
    EXPECT_EQ(document->ids, Alone(ask.document));
    EXPECT_EQ(question->ids, Alone(ask.question));
  }
}

// What such a policy has seen is not in the pages alone.
TEST(Scheduler, NothingIsSharedUnderAPolicyThatWantsChunks) {
  const DocumentAndQuestion ask;
  StoreFixture run({}, "h2o");
  const auto [document, question] = ask.BothIn(&run);
  EXPECT_EQ(run.scheduler->stats().prompt_tokens, 1800u + 1205u);
  EXPECT_EQ(run.scheduler->stats().cached_tokens, 0u);
}

// A prompt of 15 whole blocks in a folder; each is read by itself.
struct PromptOnDisk {
  PromptOnDisk() {
    StoreFixture run(options);
    const auto collector = run.Submit(request);
    collector->Wait();
    ids = collector->ids;
  }

  const test::TempDir folder;
  const PrefixStoreOptions options = {.memory_bytes = 0, .directory = folder.File("kv"), .read_bytes = 1};
  const Request request = MakeRequest(1000, 2);
  std::vector<TokenId> ids;
};

TEST(Scheduler, APromptComesFromDiskInPiecesAndAnswersGoOnInBetween) {
  const PromptOnDisk prompt;
  StoreFixture run(prompt.options);
  const auto stream = run.Submit(EndlessRequest(), std::make_shared<Gate>(Gate::At::kText));
  stream->WaitUntilReached();
  std::vector<uint64_t> drawn;
  const auto reader = std::make_shared<Hook>();
  reader->on_progress = [&] { drawn.push_back(run.scheduler->stats().drawn_tokens); };
  run.Submit(prompt.request, reader);
  stream->Open();
  reader->Wait();
  EXPECT_EQ(reader->ids, prompt.ids);
  EXPECT_EQ(reader->outcome.usage.cached_tokens, 15u * 64);
  ASSERT_EQ(drawn.size(), 15u);  // 14 of pieces, the last one's with what was computed behind it
  for (size_t i = 0; i < 14; ++i) EXPECT_EQ(reader->progress[i].cached_tokens, (i + 1) * 64);
  for (size_t i = 1; i < drawn.size(); ++i) EXPECT_GT(drawn[i], drawn[i - 1]);
  run.scheduler->Stop();
}

TEST(Scheduler, L01_ACancelEndsARestoreFromDisk) {
  const PromptOnDisk prompt;
  StoreFixture run(prompt.options);
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0, 91));
  gate->WaitUntilReached();
  const auto reader = std::make_shared<Hook>();
  reader->on_progress = [&] { run.scheduler->Cancel(reader->request); };
  run.Submit(prompt.request, reader);
  gate->Open();
  reader->Wait();
  EXPECT_EQ(reader->outcome.finish, engine::FinishReason::kCancelled);
  EXPECT_EQ(reader->outcome.usage.cached_tokens, 64u);
}

TEST(Scheduler, AShortQuestionIsAnsweredBeforeALongDocumentIsRead) {
  Fixture run;
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0, 91));
  gate->WaitUntilReached();
  std::vector<std::string> ended;
  const auto document = std::make_shared<Hook>();
  const auto question = std::make_shared<Hook>();
  document->on_done = [&] { ended.emplace_back("document"); };
  question->on_done = [&] { ended.emplace_back("question"); };
  run.Submit(MakeRequest(2000, 1), document);
  run.Submit(MakeRequest(10, 2), question);
  gate->Open();
  question->Wait();
  document->Wait();
  EXPECT_EQ(ended, (std::vector<std::string>{"question", "document"}));
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
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0));
  gate->WaitUntilReached();
  std::vector<std::shared_ptr<Collector>> accepted;
  for (size_t i = 0; i < 2; ++i) accepted.push_back(run.Submit(MakeRequest(1500, 200)));
  EXPECT_EQ(run.scheduler->Submit(MakeRequest(3, 1), std::make_shared<Collector>()).status().code(), StatusCode::kTooLarge);
  EXPECT_EQ(run.scheduler->stats().refused, 1u);
  gate->Open();
  run.scheduler->Stop();
  for (const auto& collector : accepted) EXPECT_TRUE(collector->Done());
}

TEST(Scheduler, H13_RequestsForFreePlacesAreNoQueue) {
  Fixture run({.parallel = 3, .queue = 0});
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0));
  gate->WaitUntilReached();
  std::vector<std::shared_ptr<Collector>> accepted;
  for (size_t i = 0; i < 2; ++i) accepted.push_back(run.Submit(MakeRequest(1500, 200)));
  EXPECT_EQ(run.scheduler->Submit(MakeRequest(3, 1), std::make_shared<Collector>()).status().code(), StatusCode::kTooLarge);
  gate->Open();
  run.scheduler->Stop();
  for (const auto& collector : accepted) EXPECT_TRUE(collector->Done());
}

TEST(Scheduler, APromptIsSeenToBeReadBeforeItsFirstPartHasBeen) {
  Fixture run({.parallel = 2});
  const auto reading = std::make_shared<Hook>();
  std::vector<SchedulerStats> seen;
  reading->on_progress = [&] { seen.push_back(run.scheduler->stats()); };
  run.Submit(MakeRequest(1900, 1), reading);
  reading->Wait();
  ASSERT_GE(seen.size(), 2u);
  EXPECT_EQ(seen[0].queued, 0u);
  EXPECT_EQ(seen[0].reading, 1u);
  EXPECT_EQ(seen[0].slots[0].request, reading->request);
  EXPECT_EQ(seen[0].slots[0].usage.read_tokens, 0u);
  EXPECT_GT(seen[1].slots[0].usage.read_tokens, 0u);
}

TEST(Scheduler, L01_ACancelEndsTheWorkWhereverItIs) {
  Fixture run({.parallel = 2});
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0, 91));
  gate->WaitUntilReached();
  const auto drawing = run.Submit(EndlessRequest());
  const auto reading = std::make_shared<Hook>();
  run.Submit(MakeRequest(1900, 1), reading);
  const auto queued = run.Submit(MakeRequest(1900, 1));
  // Each where it is: in the queue, within its prompt, within its answer when the other has ended.
  run.scheduler->Cancel(queued->request);
  reading->on_progress = [&] { run.scheduler->Cancel(reading->request); };
  size_t still_drawing = 0;
  reading->on_done = [&] {
    still_drawing = run.scheduler->stats().drawing;
    run.scheduler->Cancel(drawing->request);
  };
  gate->Open();
  for (const auto& collector : {queued, drawing, std::static_pointer_cast<Collector>(reading)}) {
    collector->Wait();
    EXPECT_EQ(collector->outcome.finish, engine::FinishReason::kCancelled);
    EXPECT_TRUE(collector->outcome.status.ok());
  }
  EXPECT_EQ(queued->outcome.usage.read_tokens, 0u);
  EXPECT_GT(reading->outcome.usage.read_tokens, 0u);
  EXPECT_LT(reading->outcome.usage.read_tokens, 1900u);
  EXPECT_EQ(still_drawing, 1u);  // L02: a cancel is nobody else's
  EXPECT_GT(drawing->ids.size(), 0u);
  EXPECT_TRUE(run.scheduler->WaitIdle(60));
  EXPECT_EQ(run.scheduler->stats().cancelled, 3u);
  EXPECT_EQ(run.scheduler->stats().kv_bytes, 0u);
}

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

TEST(Scheduler, L05_AnAnswerThatTakesTooLongEndsWithWhatIsThere) {
  std::shared_ptr<Hook> drawing;
  // A slow machine may want more time before the answer has begun.
  for (double seconds = 0.2; drawing == nullptr || !drawing->outcome.status.ok(); seconds *= 2) {
    ASSERT_LT(seconds, 60);
    Fixture run({.parallel = 1, .timeout_seconds = seconds});
    drawing = std::make_shared<Hook>();
    drawing->on_piece = [&] { Sleep(seconds); };
    run.Submit(EndlessRequest(), drawing);
    drawing->Wait();
  }
  EXPECT_EQ(drawing->outcome.finish, engine::FinishReason::kLength);
  EXPECT_GT(drawing->ids.size(), 0u);
  EXPECT_LT(drawing->ids.size(), 20u);  // its own end is far away
}

TEST(Scheduler, L05_APromptThatIsNotReadInTimeIsAnError) {
  Fixture run({.parallel = 1, .timeout_seconds = 0.05});
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0));
  gate->WaitUntilReached();
  const auto waiting = run.Submit(MakeRequest(20, 1));
  Sleep(0.05);
  gate->Open();
  waiting->Wait();
  EXPECT_EQ(waiting->outcome.status.code(), StatusCode::kTooLarge);
  EXPECT_NE(waiting->outcome.status.message().find("within 0.05 s"), std::string::npos) << waiting->outcome.status.message();
  EXPECT_EQ(waiting->outcome.usage.read_tokens, 0u);
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
  const auto collector = run.Submit(request);
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

// Where in the text each of the tokens begins.
std::vector<size_t> BeginsOf(const tokenizer::Tokenizer& tokenizer, const std::vector<TokenId>& ids) {
  tokenizer::StreamDecoder decoder(&tokenizer, false);
  std::vector<size_t> begins;
  size_t bytes = 0;
  for (const TokenId id : ids) {
    begins.push_back(bytes);
    if (!tokenizer.IsControl(id)) bytes += decoder.Add(id).size();
  }
  return begins;
}

TEST(Scheduler, H19_LogprobsEndWhereTheStopStringBegins) {
  Fixture run;
  Request request = MakeRequest(30, 24);
  request.options.ignore_eos = true;
  request.top_logprobs = 0;
  const auto whole = run.Submit(request);
  whole->Wait();
  ASSERT_EQ(whole->logprobs.size(), 24u);
  const std::vector<size_t> begins = BeginsOf(run.engine->tokenizer(), whole->ids);
  size_t cut_tokens = 0;
  // Of one byte to more than a token, from every place of the text.
  for (size_t from = 0; from < whole->text.size(); ++from) {
    for (const size_t length : {1, 2, 7}) {
      const std::string stop = whole->text.substr(from, length);
      if (!std::all_of(stop.begin(), stop.end(), [](char c) { return static_cast<unsigned char>(c) < 128; })) continue;
      request.options.stop = {"never in it", stop};
      const auto stopped = run.Submit(request);
      stopped->Wait();
      const size_t end = whole->text.find(stop);
      ASSERT_EQ(stopped->text, whole->text.substr(0, end));
      std::vector<TokenId> listed;
      for (const DrawnToken& token : stopped->logprobs) listed.push_back(token.id);
      const auto behind = std::lower_bound(begins.begin(), begins.end(), end) - begins.begin();
      EXPECT_EQ(listed, std::vector<TokenId>(whole->ids.begin(), whole->ids.begin() + behind)) << end;
      cut_tokens += stopped->ids.size() - listed.size();
    }
  }
  EXPECT_GT(cut_tokens, 0u);
}

TEST(Scheduler, LogprobsHaveNoEndToken) {
  Fixture run;
  size_t ended = 0;
  for (size_t step = 37; step < 137 && ended == 0; step += 2) {
    Request request = MakeRequest(30, 400, step);
    request.top_logprobs = 0;
    const auto collector = run.Submit(request);
    collector->Wait();
    const bool at_end = collector->outcome.finish == engine::FinishReason::kStop;
    EXPECT_EQ(collector->logprobs.size(), collector->ids.size() - (at_end ? 1 : 0));
    ended += at_end ? 1 : 0;
  }
  EXPECT_EQ(ended, 1u);
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

class Thrower : public Collector {
 public:
  void OnPiece(Piece&&) override { throw std::bad_alloc(); }
  void OnDone(const Outcome& result) override {
    Collector::OnDone(result);
    throw std::bad_alloc();
  }
};

TEST(Scheduler, L09_AListenerThatThrowsEndsItsOwnRequestAndNobodyElses) {
  Fixture run;
  const auto other = run.Submit(MakeRequest(30, 20));
  const auto thrower = run.Submit<Thrower>(MakeRequest(20, 5));
  const auto cancelled = run.Submit<Thrower>(MakeRequest(1900, 1));
  run.scheduler->Cancel(cancelled->request);
  for (const auto& collector : {thrower, cancelled}) collector->Wait();
  EXPECT_EQ(thrower->outcome.status.code(), StatusCode::kOutOfMemory);
  other->Wait();
  EXPECT_TRUE(other->outcome.status.ok());
  EXPECT_GT(other->ids.size(), 0u);
}

TEST(Scheduler, WhatACancelledRequestHasReadIsKept) {
  StoreFixture run(PrefixStoreOptions{});
  const auto reading = std::make_shared<Hook>();
  reading->on_progress = [&] { run.scheduler->Cancel(reading->request); };
  const auto gate = run.Submit<Gate>(MakeRequest(12, 0, 91));  // the number is known before anything is read
  gate->WaitUntilReached();
  run.Submit(MakeRequest(1900, 1), reading);
  gate->Open();
  reading->Wait();
  const uint64_t read = reading->outcome.usage.read_tokens;
  ASSERT_TRUE(read > 0 && read < 1900) << read;
  const auto again = run.Submit(MakeRequest(1900, 1));
  again->Wait();
  EXPECT_EQ(again->outcome.usage.cached_tokens, read / 64 * 64);
}

}  // namespace
}  // namespace damask::batching
