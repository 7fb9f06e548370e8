// Allocations of the compute thread fail, a different one in each run: requests may end with an error, but all end, those that
// do not end so have the right answer, no page is lost, and the process goes on.
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/log.h"
#include "batching/scheduler.h"
#include "tests/batching/collector.h"
#include "tests/batching/failing_new.h"
#include "tests/model/tiny_model.h"
#include "tests/temp_dir.h"

namespace damask::batching {
namespace {

using engine::SomeIds;

// Holds the compute thread until all requests are there; from then on its allocations are counted.
class Starter : public Collector {
 public:
  void OnDone(const Outcome& result) override {
    const std::lock_guard wait(all_there);
    Collector::OnDone(result);
    test::may_fail = true;
  }
  std::mutex all_there;
};

// What the test itself notes does not fail.
class Noting : public Collector {
 public:
  void OnDone(const Outcome& result) override {
    const bool before = std::exchange(test::may_fail, false);
    Collector::OnDone(result);
    test::may_fail = before;
  }
};

std::vector<Request> Requests() {
  Request longer;
  longer.prompt = SomeIds(150, 512, 37);
  longer.options.max_tokens = 6;
  longer.options.ignore_eos = true;
  longer.options.sampler = {.top_k = 0, .repeat_penalty = 1.1f, .presence_penalty = 0.5f, .seed = 3};
  longer.top_logprobs = 2;
  Request shorter = longer;
  shorter.prompt.resize(140);
  shorter.options.stop = {"never in it"};
  Request alone = longer;  // quotes itself: it is guessed ahead
  alone.prompt = SomeIds(20, 512, 41);
  alone.options.max_tokens = 40;
  alone.options.sampler = {.temperature = 0, .repeat_penalty = 0.01f};
  return {longer, shorter, alone};
}

struct Attempt {
  std::vector<std::shared_ptr<Noting>> collectors;
  long left = 0;        // of the allocations that should go well
  uint64_t leaked = 0;  // bytes of pages
};

// `failing`: how many allocations go well before one does not.
Attempt RunWith(engine::Engine* engine, const std::string& directory, long failing) {
  Attempt run;
  const model::ModelConfig& config = engine->model().config();
  const PrefixShape shape = {.binding = "test", .layers = config.layers, .kv_heads = config.kv_heads, .vocab = config.vocab};
  auto store = PrefixStore::Open({.directory = directory}, shape, engine->page_pool());
  EXPECT_TRUE(store.ok());
  {
    Scheduler scheduler(engine, store->get(), {.parallel = 2, .guesses = 4});
    const auto starter = std::make_shared<Starter>();
    Request first;
    first.prompt = SomeIds(3, 512, 91);
    first.options.max_tokens = 0;
    {
      const std::lock_guard wait(starter->all_there);
      EXPECT_TRUE(scheduler.Submit(first, starter).ok());
      for (const Request& request : Requests()) {
        run.collectors.push_back(std::make_shared<Noting>());
        EXPECT_TRUE(scheduler.Submit(request, run.collectors.back()).ok());
      }
      test::allocations_left = failing;
    }
    for (const auto& collector : run.collectors) collector->Wait();
    EXPECT_TRUE(scheduler.WaitIdle(60));
  }
  run.left = test::allocations_left.exchange(test::kNeverFails);
  store->reset();
  run.leaked = engine->kv_bytes();
  return run;
}

TEST(MissingMemory, EndsARequestAtMost) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file, {.threads = 1});
  SetLogSink({});
  const auto run_at = [&](long failing) {
    const damask::test::TempDir folder;
    return RunWith(engine.get(), folder.File("kv"), failing);
  };
  const Attempt whole = run_at(test::kNeverFails);
  for (const auto& collector : whole.collectors) ASSERT_TRUE(collector->outcome.status.ok());
  EXPECT_GT(whole.collectors[2]->outcome.usage.guessed, 0u);
  const long all = test::kNeverFails - whole.left;
  ASSERT_GT(all, 100);
  size_t ended = 0;
  // Every seventh: with all of them it takes minutes under sanitizers.
  for (long failing = 0; failing < all; failing += 7) {
    const Attempt run = run_at(failing);
    EXPECT_EQ(run.leaked, 0u) << failing;
    for (size_t i = 0; i < run.collectors.size(); ++i) {
      const Outcome& outcome = run.collectors[i]->outcome;
      if (outcome.status.ok()) {
        EXPECT_EQ(run.collectors[i]->ids, whole.collectors[i]->ids) << failing;
      } else {
        ++ended;
        EXPECT_EQ(outcome.status.code(), StatusCode::kOutOfMemory) << failing << ' ' << outcome.status.ToString();
      }
    }
    if (HasFailure()) break;
  }
  EXPECT_GT(ended, 10u);
}

}  // namespace
}  // namespace damask::batching
