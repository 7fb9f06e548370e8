// What the forward pass shows to policies, and pages that leave the cache.
#include <atomic>
#include <mutex>
#include <set>

#include <gtest/gtest.h>

#include "kernels/plan.h"
#include "policies/dam.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

struct Recorder : policies::PolicyState {
  void Truncate(uint64_t length) override { truncated_to = length; }
  uint64_t truncated_to = ~uint64_t{0};
  std::mutex mutex;
  std::set<std::pair<uint64_t, uint64_t>> keys;     // [first, end) of layer 1, KV head 0
  std::vector<std::pair<uint64_t, size_t>> chunks;  // first position, rows of layer 1, KV head 0
  std::vector<bool> prompt_ends;
  std::atomic<uint64_t> plans_before_keys{0};
  std::atomic<uint64_t> decodes{0};
  uint64_t keys_end = 0;
};

// Full attention that writes down what it is shown; keys of block 1 may be released from position 256 on.
class RecordingPolicy : public policies::Policy {
 public:
  std::string Spec() const override { return "recording"; }
  std::unique_ptr<policies::PolicyState> NewState() const override { return std::make_unique<Recorder>(); }
  bool WantsKeys() const override { return true; }
  bool WantsChunks() const override { return true; }

  void KeysAppended(const policies::KeysRequest& request) const override {
    if (request.layer != 1 || request.kv_head != 0) return;
    auto* state = static_cast<Recorder*>(request.state);
    state->keys.insert({request.first, request.end});
    state->keys_end = request.end;
  }
  void MakePlan(const policies::PlanRequest& request, kernels::Plan* plan) const override {
    auto* state = static_cast<Recorder*>(request.state);
    if (request.layer == 1 && request.kv_head == 0 && state->keys_end < request.context) ++state->plans_before_keys;
    if (request.decode) ++state->decodes;
    kernels::FullPlan(request.first_position, request.rows, 0, plan);
    if (request.first_position >= 256) std::erase_if(plan->entries, [](const auto& entry) { return entry.block == 1; });
  }
  void ChunkDone(const policies::ChunkRequest& request) const override {
    if (request.layer != 1 || request.kv_head != 0) return;
    auto* state = static_cast<Recorder*>(request.state);
    state->chunks.emplace_back(request.queries.first_position, request.queries.rows);
    state->prompt_ends.push_back(request.prompt_end);
  }
  bool MayRelease(size_t, size_t, size_t block, uint64_t position, const policies::PolicyState*) const override {
    return block == 1 && position >= 256;
  }
};

struct Fixture {
  explicit Fixture(bool release = false) : engine(LoadTiny(file, {.kv_release = release})), session(engine.get()) {
    engine->SetPolicy(std::make_unique<RecordingPolicy>());
  }
  Recorder* state() { return static_cast<Recorder*>(session.policy_state()); }

  TinyModelFile file{make_model::ModelSpec{}};
  std::unique_ptr<Engine> engine;
  Session session;
};

TEST(PolicyHooks, KeysComeBeforePlansAndEveryKeyOnce) {
  Fixture run;
  ASSERT_TRUE(run.session.Append(SomeIds(700), nullptr, nullptr).ok());
  ASSERT_TRUE(run.session.Decode(1, nullptr).ok());
  const std::set<std::pair<uint64_t, uint64_t>> expected = {{0, 512}, {512, 700}, {700, 701}};
  EXPECT_EQ(run.state()->keys, expected);
  EXPECT_EQ(run.state()->plans_before_keys, 0u);
  EXPECT_GT(run.state()->decodes, 0u);
}

TEST(PolicyHooks, ChunksComeWholeAndTheLastOneOfThePromptIsMarked) {
  Fixture run;
  ASSERT_TRUE(run.session.Append(SomeIds(700), nullptr, nullptr).ok());
  const std::vector<std::pair<uint64_t, size_t>> expected = {{0, 512}, {512, 188}};
  EXPECT_EQ(run.state()->chunks, expected);
  EXPECT_EQ(run.state()->prompt_ends, (std::vector<bool>{false, true}));
}

TEST(PolicyHooks, ANewPolicyIsShownAllKeysOfARunningSession) {
  Fixture run;
  ASSERT_TRUE(run.session.Append(SomeIds(600), nullptr, nullptr).ok());
  run.engine->SetPolicy(std::make_unique<RecordingPolicy>());
  ASSERT_TRUE(run.session.Append(SomeIds(10), nullptr, nullptr).ok());
  EXPECT_EQ(run.state()->keys, (std::set<std::pair<uint64_t, uint64_t>>{{0, 610}}));
}

TEST(PolicyHooks, AStateForgetsWhatACancelledChunkHadShown) {
  Fixture run;
  ASSERT_TRUE(run.session.Append(SomeIds(100), nullptr, nullptr).ok());
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(run.session.Append(SomeIds(50), nullptr, &cancel).code(), StatusCode::kCancelled);
  EXPECT_EQ(run.state()->truncated_to, 100u);
  ASSERT_TRUE(run.session.Append(SomeIds(50), nullptr, nullptr).ok());
  EXPECT_TRUE(run.state()->keys.contains({100, 150}));
}

TEST(PolicyHooks, ANewPolicyIsShownAllKeysAlsoBehindACancelledChunk) {
  Fixture run;
  ASSERT_TRUE(run.session.Append(SomeIds(600), nullptr, nullptr).ok());
  run.engine->SetPolicy(std::make_unique<RecordingPolicy>());
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(run.session.Append(SomeIds(10), nullptr, &cancel).code(), StatusCode::kCancelled);
  ASSERT_TRUE(run.session.Append(SomeIds(10), nullptr, nullptr).ok());
  EXPECT_TRUE(run.state()->keys.contains({0, 610}));
}

TEST(PolicyHooks, ReleasedPagesLeaveTheCacheAndTheAnswerStays) {
  Fixture kept;
  Fixture released(true);
  ASSERT_TRUE(kept.session.Append(SomeIds(700), nullptr, nullptr).ok());
  ASSERT_TRUE(released.session.Append(SomeIds(700), nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<float>(kept.session.logits().begin(), kept.session.logits().end()),
            std::vector<float>(released.session.logits().begin(), released.session.logits().end()));
  const uint64_t page_row = kept.session.kv_bytes() / 11;  // of all layers and KV heads: 700 positions are 11 pages
  EXPECT_EQ(released.session.kv_bytes(), kept.session.kv_bytes() - page_row);
}

TEST(PolicyHooks, ASessionWithReleasedPagesBeginsAnewWhenItIsCut) {
  Fixture run(true);
  ASSERT_TRUE(run.session.Append(SomeIds(700), nullptr, nullptr).ok());
  run.session.Truncate(650);
  EXPECT_EQ(run.session.length(), 0u);
  EXPECT_TRUE(run.session.tokens().empty());
  EXPECT_EQ(run.session.kv_bytes(), 0u);
  EXPECT_EQ(run.engine->kv_bytes(), 0u);
}

TEST(PolicyHooks, ASessionWhosePagesAnotherPolicyReleasedCannotGoOn) {
  Fixture run(true);
  ASSERT_TRUE(run.session.Append(SomeIds(700), nullptr, nullptr).ok());
  ASSERT_TRUE(run.engine->SetPolicy("full").ok());
  run.session.policy_state();  // whoever asks for it makes the new policy's, which does not bring pages back
  EXPECT_EQ(run.session.Append(SomeIds(10), nullptr, nullptr).code(), StatusCode::kInvalidArgument);
}

// All heads windows: pages leave as the text goes by, and nothing else changes.
masks::Mask WindowMask(const policies::ModelShape& shape) {
  masks::Mask mask;
  mask.fingerprint = {.layers = static_cast<uint32_t>(shape.layers),
                      .heads = static_cast<uint32_t>(shape.heads),
                      .kv_heads = static_cast<uint32_t>(shape.kv_heads),
                      .head_dim = static_cast<uint32_t>(shape.head_dim)};
  mask.parameters.capture_length = 1;
  mask.heads.resize(shape.layers * shape.heads);
  for (masks::HeadMask& head : mask.heads) {
    head.true_mask.AppendRow({});
    head.patterns.diagonals = {{0, 1, 1.0f}};
    head.form = masks::StaticForm::kWindow;
    head.window_sinks = 16;
    head.window = 64;
  }
  return mask;
}

TEST(PolicyHooks, AMaskOfWindowsHoldsTheKvCacheFlatAndAnswersTheSame) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto kept = LoadTiny(file);
  const auto released = LoadTiny(file, {.kv_release = true});
  std::vector<uint64_t> bytes;
  Session a(kept.get());
  Session b(released.get());
  kept->SetPolicy(*policies::MakeDam(WindowMask(kept->shape()), "windows", {}, kept->shape()));
  released->SetPolicy(*policies::MakeDam(WindowMask(released->shape()), "windows", {}, released->shape()));
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(a.Append(SomeIds(512), nullptr, nullptr).ok());
    ASSERT_TRUE(b.Append(SomeIds(512), nullptr, nullptr).ok());
    bytes.push_back(b.kv_bytes());
    EXPECT_EQ(std::vector<float>(a.logits().begin(), a.logits().end()),
              std::vector<float>(b.logits().begin(), b.logits().end()));
  }
  EXPECT_EQ(bytes[0], bytes[2]);
  EXPECT_LT(8 * bytes[2], a.kv_bytes());
}

TEST(PolicyHooks, AnAuditOfFullAttentionFindsNothingLost) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.audit = {.prefill_every = 16, .decode_every = 1}});
  Session session(engine.get());
  ASSERT_TRUE(session.Append(SomeIds(600), nullptr, nullptr).ok());
  ASSERT_TRUE(session.Append(SomeIds(1), nullptr, nullptr).ok());
  const model::HeadAudit total = engine->audit().Total();
  EXPECT_GT(total.rows, 60u);
  EXPECT_NEAR(total.recall(), 1.0, 1e-4);
  EXPECT_LT(total.output_error(), 0.02);  // bf16 probabilities in the kernel
}

// A kernel may leave what no audit reads in another form, and rows that begin in the middle of a block differ again.
TEST(PolicyHooks, AnAuditChangesNoBitOfWhatFollows) {
  const TinyModelFile file(make_model::ModelSpec{.layers = 3});
  const auto engine = LoadTiny(file, {.policy = "streaming:sinks=4,window=64"});
  const auto logits = [&](uint64_t every, size_t first_chunk) {
    engine->SetAudit({.prefill_every = every});
    Session session(engine.get());
    EXPECT_TRUE(session.Append(SomeIds(first_chunk), nullptr, nullptr).ok());
    EXPECT_TRUE(session.Append(SomeIds(300), nullptr, nullptr).ok());
    EXPECT_TRUE(session.Append(SomeIds(1), nullptr, nullptr).ok());
    return std::vector<float>(session.logits().begin(), session.logits().end());
  };
  for (const size_t first_chunk : {16, 64, 71, 90}) {
    const std::vector<float> unwatched = logits(0, first_chunk);
    EXPECT_EQ(logits(1, first_chunk), unwatched) << first_chunk;
    EXPECT_EQ(logits(100, first_chunk), unwatched) << first_chunk;
  }
}

// Behind the last layer's keys only the row that is asked for is computed, whatever the policy remembers; and it is audited.
TEST(PolicyHooks, OfTheLastLayerThePromptsLastRowCountsUnderEveryPolicy) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.audit = {.prefill_every = 16}});
  const size_t heads = engine->model().config().heads;
  ASSERT_EQ(engine->model().config().layers, 2u);
  for (const char* spec : {"streaming:window=64", "h2o:budget=64", "tca:keep=200,window=64,chunk=64"}) {
    ASSERT_TRUE(engine->SetPolicy(spec).ok());
    engine->ResetStats();
    engine->SetAudit({.prefill_every = 16});
    Session session(engine.get());
    ASSERT_TRUE(session.Append(SomeIds(1000), nullptr, nullptr).ok());
    EXPECT_EQ(engine->stats().causal_pairs, heads * (1000 * 1001 / 2 + 1000)) << spec;
    for (size_t head = 0; head < heads; ++head) {
      EXPECT_GT(engine->audit().heads[head].rows, 50u) << spec;
      EXPECT_EQ(engine->audit().heads[heads + head].rows, 1u) << spec;
    }
  }
}

TEST(PolicyHooks, AnAuditOfAShortWindowFindsLostMass) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "streaming:sinks=4,window=32", .audit = {.prefill_every = 8}});
  Session session(engine.get());
  ASSERT_TRUE(session.Append(SomeIds(1024), nullptr, nullptr).ok());
  EXPECT_LT(engine->audit().Total().recall(), 0.9);
  EXPECT_GT(engine->audit().Total().output_error(), 0.05);
  EXPECT_EQ(engine->audit().widened(), 0u);
}

}  // namespace
}  // namespace damask::engine
