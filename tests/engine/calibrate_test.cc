#include "engine/calibrate.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include <gtest/gtest.h>

#include "base/memory.h"
#include "engine/capture.h"
#include "engine/fingerprint.h"
#include "engine/key_directions.h"
#include "engine/layer_pass.h"
#include "policies/dam.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

// Softmax probabilities of one row, one pair at a time, in double.
std::vector<double> RowByHand(Engine* engine, const model::LayerView& view, size_t row, size_t head) {
  const model::ModelConfig& c = engine->model().config();
  const uint64_t position = view.first_position + row;
  const float* q = view.q + row * c.q_width() + head * c.head_dim;
  std::vector<double> p(position + 1);
  std::vector<float> key(c.head_dim);
  double sum = 0;
  for (uint64_t k = 0; k <= position; ++k) {
    const std::byte* page = view.cache->pages(view.layer, head / c.group())[k / kernels::kPageTokens];
    kernels::LoadKey(engine->page_pool()->layout(), page, k % kernels::kPageTokens, key.data());
    double score = 0;
    for (size_t d = 0; d < c.head_dim; ++d) score += static_cast<double>(q[d]) * static_cast<double>(key[d]);
    p[k] = std::exp(score / std::sqrt(static_cast<double>(c.head_dim)));
    sum += p[k];
  }
  const auto& sinks = engine->model().layers()[view.layer].sinks;
  if (sinks.size() != 0) sum += std::exp(static_cast<double>(sinks.data()[head]));
  for (double& x : p) x /= sum;
  return p;
}

class CaptureOf : public ::testing::TestWithParam<make_model::Arch> {};
INSTANTIATE_TEST_SUITE_P(Capture, CaptureOf, ::testing::Values(make_model::Arch::kLlama, make_model::Arch::kGptOss));

// Of gpt-oss a learned sink has its share of them.
TEST_P(CaptureOf, RowsAreThoseOfDenseAttentionAndInTheirOrder) {
  const TinyModelFile file(
      make_model::ModelSpec{.arch = GetParam(), .window = GetParam() == make_model::Arch::kGptOss ? 1000u : 0u});
  const auto engine = LoadTiny(file);
  const std::vector<std::vector<TokenId>> texts = {SomeIds(700)};
  const std::vector<uint32_t> positions = {0, 63, 511, 512, 698};
  const model::ModelConfig& c = engine->model().config();
  LayerPass pass(engine.get(), &texts);
  ASSERT_TRUE(pass.Begin(nullptr).ok());
  std::vector<std::vector<uint64_t>> seen(c.heads);
  const auto observe = [&](const model::LayerView& view) {
    ForRows(engine.get(), view, positions, [&](size_t kv_head, size_t g, uint64_t position, std::span<const float> row) {
      const size_t head = kv_head * c.group() + g;
      seen[head].push_back(position);
      const std::vector<double> expected = RowByHand(engine.get(), view, position - view.first_position, head);
      ASSERT_EQ(row.size(), expected.size());
      for (size_t key = 0; key < row.size(); ++key) ASSERT_NEAR(row[key], expected[key], 1e-4);
    });
  };
  ASSERT_TRUE(pass.Run(0, 0, observe, nullptr).ok());
  for (const std::vector<uint64_t>& rows : seen) EXPECT_EQ(rows, (std::vector<uint64_t>{0, 63, 511, 512, 698}));
}

TEST(Capture, HoldsTheSumsOfTheProbabilitiesOfEverySample) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<std::vector<TokenId>> texts = {SomeIds(90), SomeIds(90, 512, 53)};
  const model::ModelConfig& c = engine->model().config();
  LayerPass pass(engine.get(), &texts);
  ASSERT_TRUE(pass.Begin(nullptr).ok());
  for (size_t layer = 0; layer < 2; ++layer) {
    masks::LayerCapture capture(c.heads, 70);
    std::vector<double> expected(c.heads);
    for (size_t text = 0; text < 2; ++text) {
      const auto observe = [&](const model::LayerView& view) {
        CaptureMaps(engine.get(), view, &capture);
        for (size_t h = 0; h < c.heads; ++h) expected[h] += RowByHand(engine.get(), view, 66, h)[13];
      };
      ASSERT_TRUE(pass.Run(layer, text, observe, nullptr).ok());
    }
    for (size_t h = 0; h < c.heads; ++h) {
      EXPECT_EQ(capture.head(h).count(69), 2u);
      EXPECT_NEAR(capture.head(h).row(66)[13], expected[h], 1e-6 + 1e-4 * expected[h]) << layer << " " << h;
      double row = 0;
      for (const double sum : capture.head(h).row(40)) row += sum;
      EXPECT_NEAR(row, 2.0, 1e-5);
    }
  }
}

TEST(LayerPass, EndsWithTheHiddenStatesOfTheForwardPass) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<std::vector<TokenId>> texts = {SomeIds(600)};
  // The keys of the last layer depend on everything below it.
  LayerPass pass(engine.get(), &texts);
  ASSERT_TRUE(pass.Begin(nullptr).ok());
  std::vector<float> key(engine->model().config().head_dim);
  std::vector<float> expected(key.size());
  for (size_t layer = 0; layer < engine->model().config().layers; ++layer) {
    const auto observe = [&](const model::LayerView& view) {
      if (view.first_position == 0) return;
      kernels::LoadKey(engine->page_pool()->layout(), view.cache->pages(layer, 0)[9], 20, key.data());
    };
    ASSERT_TRUE(pass.Run(layer, 0, observe, nullptr).ok());
  }
  model::KvCache cache(engine->model().config(), engine->page_pool());
  for (const size_t first : {0u, 512u}) {
    const std::span<const TokenId> chunk = std::span(texts[0]).subspan(first, std::min<size_t>(512, 600 - first));
    const model::Segment segment = {&cache, chunk, model::LogitsWanted::kAll};
    ASSERT_TRUE(engine->forward().Run({&segment, 1}, nullptr, nullptr).ok());
  }
  kernels::LoadKey(engine->page_pool()->layout(), cache.pages(engine->model().config().layers - 1, 0)[9], 20, expected.data());
  EXPECT_EQ(key, expected);
}

TEST(LayerPass, ACancelStopsItBeforeTheNextText) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<std::vector<TokenId>> texts = {SomeIds(20)};
  LayerPass pass(engine.get(), &texts);
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(pass.Begin(&cancel).code(), StatusCode::kCancelled);
}

TEST(HiddenStates, ThatMemoryDoesNotHoldAreRefusedWithWhatTheyWant) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  EXPECT_TRUE(CheckHiddenStatesFit(*engine, 16, 256, "--samples").ok());
  // Beside others that fill the memory nothing fits.
  EXPECT_FALSE(CheckHiddenStatesFit(*engine, 16, 256, "--samples", AvailableMemory()).ok());
  // Tokens that no machine holds, bytes that no 64 bits hold, and tokens that none hold.
  for (const uint64_t samples : {uint64_t{1} << 40, uint64_t{1} << 55, UINT64_MAX}) {
    const Status status = CheckHiddenStatesFit(*engine, samples, 256, "--samples");
    EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << samples;
    EXPECT_EQ(status.message().find("--samples: "), 0u) << status.message();
  }
}

TEST(Losses, AWindowOfTheWholeTextLosesNothingAndAShortOneDoes) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<std::vector<TokenId>> texts = {SomeIds(300)};
  const model::ModelConfig& c = engine->model().config();
  masks::Parameters parameters;
  parameters.capture_length = 64;
  std::vector<masks::HeadMask> heads(c.heads);
  for (masks::HeadMask& head : heads) {
    for (size_t row = 0; row < 64; ++row) head.true_mask.AppendRow({});
    head.patterns.diagonals = {{0, 8, 1.0f}};
  }
  const std::vector<WindowForm> forms = {{4, 16}, {0, 300}};
  LayerPass pass(engine.get(), &texts);
  ASSERT_TRUE(pass.Begin(nullptr).ok());
  std::vector<HeadLosses> losses;
  const auto observe = [&](const model::LayerView& view) {
    MeasureLosses(engine.get(), view, heads, parameters, forms, 100, 10, &losses);
  };
  ASSERT_TRUE(pass.Run(0, 0, observe, nullptr).ok());
  for (const HeadLosses& head : losses) {
    EXPECT_EQ(head.rows, 20u);
    EXPECT_NEAR(head.windows[1].mass(head.rows), 1.0, 1e-5);
    EXPECT_LT(head.windows[0].mass(head.rows), 0.9);
    EXPECT_LT(head.patterns.mass(head.rows), head.windows[1].mass(head.rows));
  }
}

constexpr size_t kDim = 32;

// Of one key and one query, all zeros.
Moments NoMoments(size_t dim = kDim) {
  return {.keys = std::vector<double>(dim * dim),
          .queries = std::vector<double>(dim * dim),
          .key_sum = std::vector<double>(dim),
          .key_count = 1,
          .query_count = 1};
}

TEST(KeyDirections, FindThePlaneThatKeysAndQueriesLieIn) {
  Moments moments = NoMoments();
  for (const size_t d : {3u, 17u}) {
    moments.keys[d * kDim + d] = 4.0;
    moments.queries[d * kDim + d] = 2.0;
  }
  const masks::KeyDirections found = FindDirections(moments, nullptr, 1, 2, kDim, 0.1);
  EXPECT_EQ(found.rank, 16u);
  EXPECT_NEAR(found.error, 0.0, 1e-6);
  double inside = 0;
  for (size_t r = 0; r < 2; ++r) {
    for (const size_t d : {3u, 17u}) inside += std::pow(static_cast<double>(found.values[r * kDim + d]), 2);
  }
  EXPECT_NEAR(inside, 2.0, 1e-6);
}

TEST(KeyDirections, NoiseInAllDirectionsCannotBeKeptInHalfOfThem) {
  Moments moments = NoMoments();
  for (size_t d = 0; d < kDim; ++d) moments.keys[d * kDim + d] = moments.queries[d * kDim + d] = 1.0;
  const masks::KeyDirections found = FindDirections(moments, nullptr, 0, 0, kDim, 0.1);
  EXPECT_EQ(found.rank, 16u);
  EXPECT_NEAR(found.error, std::sqrt(0.5), 1e-6);
}

TEST(KeyDirections, ALongerContextRaisesTheRankThatDoesNotHoldThere) {
  constexpr size_t kLargeDim = 64;
  Moments near = NoMoments(kLargeDim);
  Moments far = NoMoments(kLargeDim);
  for (size_t d = 0; d < 26; ++d) {
    near.keys[d * kLargeDim + d] = near.queries[d * kLargeDim + d] = d < 10 ? 4.0 : 1e-3;
    far.keys[d * kLargeDim + d] = far.queries[d * kLargeDim + d] = 1.0;
  }
  EXPECT_EQ(FindDirections(near, nullptr, 0, 0, kLargeDim, 0.1).rank, 16u);
  const masks::KeyDirections checked = FindDirections(near, &far, 0, 0, kLargeDim, 0.1);
  EXPECT_EQ(checked.rank, 32u);
  EXPECT_NEAR(checked.error, 0.0, 1e-6);
  // What no rank reaches is said: the larger error of the two.
  const Moments noise = [&] {
    Moments all = far;
    for (size_t d = 0; d < kLargeDim; ++d) all.keys[d * kLargeDim + d] = all.queries[d * kLargeDim + d] = 1.0;
    return all;
  }();
  const masks::KeyDirections missed = FindDirections(near, &noise, 0, 0, kLargeDim, 0.1);
  EXPECT_EQ(missed.rank, 32u);
  EXPECT_NEAR(missed.error, std::sqrt(0.5), 1e-6);
}

// The embedded model's calibration with few and short texts.
CalibrateOptions Short() {
  CalibrateOptions options;
  options.parameters.capture_length = 64;
  options.parameters.sink_keys = 16;
  options.parameters.match.min_cells = 16;
  options.parameters.max_kl = 0.05;
  options.samples = 4;
  options.effect_length = 512;
  return options;
}

std::unique_ptr<Engine> Embedded() {
  auto engine = Engine::Load({.threads = 2});
  EXPECT_TRUE(engine.ok());
  return *std::move(engine);
}

TEST(Calibrate, TheJointEffectOfTheReferenceModelsMaskIsBelowTheLimit) {
  const auto engine = Embedded();
  uint64_t steps = 0;
  std::string stage;
  double last_seconds = 0;
  const auto progress = [&](std::string_view now, uint64_t done, uint64_t total, double seconds) {
    EXPECT_LE(done, total);
    // Each stage has a clock of its own: time left follows from it.
    EXPECT_GT(seconds, 0);
    if (now == stage) {
      EXPECT_GE(seconds, last_seconds);
    } else if (!stage.empty()) {
      EXPECT_LT(seconds, last_seconds);
    }
    stage = now;
    last_seconds = seconds;
    ++steps;
  };
  const auto result = Calibrate(engine.get(), Short(), progress, nullptr);
  EXPECT_GT(steps, 20u);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_LE(result->treatments.joint.worst(), 0.05);
  EXPECT_GT(result->treatments.joint.worst(), 0.0);
  EXPECT_LT(result->density, 0.9);
  size_t fixed = 0;
  for (const masks::HeadMask& head : result->mask.heads) fixed += head.treatment == masks::Treatment::kStatic ? 1 : 0;
  EXPECT_GT(2 * fixed, result->mask.heads.size());
  EXPECT_EQ(engine->policy().Spec(), "full");
  // What was measured is what the mask does.
  auto texts = EffectTexts(*engine, 2, 512, 1001, nullptr);
  ASSERT_TRUE(texts.ok());
  EffectMeter meter(engine.get(), *std::move(texts));
  ASSERT_TRUE(meter.MeasureReference(nullptr).ok());
  auto policy = policies::MakeDam(result->mask, "test", {}, engine->shape());
  ASSERT_TRUE(policy.ok());
  const auto effect = meter.Measure(*std::move(policy), kNeverEnough, nullptr);
  ASSERT_TRUE(effect.ok());
  EXPECT_NEAR(effect->worst(), result->mask.parameters.joint_effect, 1e-9);
}

size_t ContentHeads(const masks::Mask& mask) {
  return static_cast<size_t>(std::count_if(mask.heads.begin(), mask.heads.end(), [](const masks::HeadMask& head) {
    return head.treatment == masks::Treatment::kContent;
  }));
}

TEST(Calibrate, ATighterLimitGivesContentHeadsMoreBlocks) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.effect_length = 1024;
  options.parameters.max_kl = 0.01;
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_LE(result->treatments.joint.worst(), 0.01);
  EXPECT_GT(result->mask.parameters.content_blocks, masks::kUsualContentBlocks);
  // As few blocks as usual leave more heads with full attention.
  options.content_blocks = masks::kUsualContentBlocks;
  const auto few = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(few.ok()) << few.status().ToString();
  EXPECT_EQ(few->mask.parameters.content_blocks, masks::kUsualContentBlocks);
  EXPECT_LT(ContentHeads(few->mask), ContentHeads(result->mask));
}

TEST(Calibrate, WithoutAnyToleranceNothingIsMasked) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.parameters.max_kl = 0;
  options.content = false;
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  for (const masks::HeadMask& head : result->mask.heads) EXPECT_EQ(head.treatment, masks::Treatment::kDense);
  EXPECT_EQ(result->mask.parameters.content_blocks, masks::kUsualContentBlocks);
}

// Of seven layers the sixth has no window of its own.
TEST(Calibrate, HeadsOfLayersWithANarrowWindowDoNotChoose) {
  const TinyModelFile file(make_model::ModelSpec{.arch = make_model::Arch::kGemma3, .layers = 7, .window = 128});
  const auto engine = LoadTiny(file);
  CalibrateOptions options = Short();
  options.effect = false;
  options.effect_length = 2000;  // small words are many tokens here
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  const size_t heads = engine->model().config().heads;
  for (size_t h = 0; h < result->mask.heads.size(); ++h) {
    const bool chooses = result->mask.heads[h].treatment == masks::Treatment::kContent;
    if (h / heads != 5) {
      EXPECT_FALSE(chooses) << "head " << h;
    }
  }
  EXPECT_GT(ContentHeads(result->mask), 0u);
  EXPECT_LT(result->density, 0.5) << "windows count";
}

TEST(Calibrate, TextsTooShortForAQuestionAreRefused) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.effect_length = 64;
  for (const bool effect : {true, false}) {
    options.effect = effect;
    const Status status = Calibrate(engine.get(), options, nullptr, nullptr).status();
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.ToString().find("--effect-length is 64"), std::string::npos) << status.ToString();
  }
}

TEST(Calibrate, PatternsOnlyIsThePapersMask) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.goal = Goal::kPatterns;
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  for (const masks::HeadMask& head : result->mask.heads) {
    EXPECT_EQ(head.treatment, masks::Treatment::kStatic);
    EXPECT_EQ(head.form, masks::StaticForm::kPatterns);
  }
}

TEST(Calibrate, ACancelStopsItAndLeavesFullAttention) {
  const auto engine = Embedded();
  const std::atomic<bool> cancel{true};
  const auto result = Calibrate(engine.get(), Short(), nullptr, &cancel);
  EXPECT_EQ(result.status().code(), StatusCode::kCancelled);
  EXPECT_EQ(engine->policy().Spec(), "full");
}

// So many that none is made: to make them would take days.
TEST(Calibrate, MoreSamplesThanMemoryHoldsAreRefusedBeforeAnyIsMade) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.samples = uint64_t{1} << 40;
  for (const bool own : {false, true}) {
    if (own) options.texts = {{"a.txt", std::string(4000, 'a')}};
    const Status status = Calibrate(engine.get(), options, nullptr, nullptr).status();
    EXPECT_EQ(status.code(), StatusCode::kOutOfMemory) << own;
    EXPECT_NE(status.message().find("--samples: hidden states of 70368744177664 tokens want"), std::string::npos)
        << status.message();
  }
}

// As above: a test that waits for all of them does not end.
TEST(CalibrationTexts, LookForACancelBeforeEachText) {
  const auto engine = Embedded();
  constexpr uint64_t kMany = uint64_t{1} << 40;
  const std::atomic<bool> cancel{true};
  const std::vector<NamedText> own = {{"a.txt", std::string(4000, 'a')}};
  EXPECT_EQ(BuiltInSamples(*engine, kMany, 64, 1, &cancel).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(SamplesOf(*engine, own, kMany, 64, &cancel).status().code(), StatusCode::kCancelled);
  EXPECT_EQ(EffectTexts(*engine, kMany, 512, 1, &cancel).status().code(), StatusCode::kCancelled);
}

TEST(CalibrationTexts, MoreTextsThanSamplesAreRefused) {
  const auto engine = Embedded();
  const std::vector<NamedText> own(3, {"a.txt", std::string(4000, 'a')});
  const Status status = SamplesOf(*engine, own, 2, 64, nullptr).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_NE(status.message().find("--samples is 2, fewer than the 3 texts"), std::string::npos) << status.message();
}

TEST(Calibrate, M07ATextShorterThanTheCaptureLengthIsRefusedByName) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.texts = {{"long.txt", std::string(4000, 'a')}, {"short.txt", "a b c"}};
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.status().ToString().find("short.txt"), std::string::npos);
  EXPECT_NE(result.status().ToString().find("a sample of 64 wants"), std::string::npos) << result.status().ToString();
}

TEST(Calibrate, M07ATextOfOneRepeatedTokenStillGivesAMask) {
  const auto engine = Embedded();
  CalibrateOptions options = Short();
  options.effect = false;
  options.texts = {{"a.txt", std::string(4000, 'a')}};
  const auto result = Calibrate(engine.get(), options, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(masks::CheckMask(result->mask).ok());
}

TEST(Effect, OfTheSameAttentionIsZeroAndOfAShortWindowIsNot) {
  const auto engine = Embedded();
  auto texts = EffectTexts(*engine, 1, 512, 7, nullptr);
  ASSERT_TRUE(texts.ok());
  EffectMeter meter(engine.get(), *std::move(texts));
  ASSERT_TRUE(meter.MeasureReference(nullptr).ok());
  const auto measure = [&](const std::string& spec) {
    return *meter.Measure(*policies::Create(spec, engine->shape()), kNeverEnough, nullptr);
  };
  EXPECT_EQ(measure("full").worst(), 0.0);
  const Effect window = measure("streaming:sinks=4,window=32");
  EXPECT_GT(window.prose, 0.0);
  EXPECT_GT(window.retrieval, 0.5) << "answers stand far behind their facts";

  const double enough = window.prose / 4;
  const Effect cut = *meter.Measure(*policies::Create("streaming:sinks=4,window=32", engine->shape()), enough, nullptr);
  EXPECT_GT(cut.prose, enough);
  EXPECT_EQ(cut.retrieval, 0.0) << "the text behind the prose was not read";
}

// As docs/mask-format.md has it, written anew.
uint64_t HashByThePage(const model::Model& model) {
  uint64_t hash = 14695981039346656037u;
  const auto byte = [&](uint8_t x) { hash = (hash ^ x) * 1099511628211u; };
  const auto number = [&](uint64_t x) {
    for (int shift = 0; shift < 64; shift += 8) byte(static_cast<uint8_t>(x >> shift));
  };
  const auto text = [&](const std::string& x) {
    number(x.size());
    for (const char c : x) byte(static_cast<uint8_t>(c));
  };
  const auto matrix = [&](const std::string& name, const kernels::WeightView& w) {
    text(name);
    text("Q8_0");
    const uint64_t size = w.n * w.k / 32 * 34;
    number(size);
    const auto part = [&](uint64_t begin, uint64_t count) {
      for (uint64_t i = begin; i < begin + count; ++i) byte(std::to_integer<uint8_t>(w.data[i]));
    };
    if (size <= 12288) return part(0, size);
    part(0, 4096);
    part((size - 4096) / 2, 4096);
    part(size - 4096, 4096);
  };
  matrix("embedding", model.embedding());
  matrix("output", model.output());
  for (const model::LayerWeights& layer : model.layers()) {
    matrix("q", layer.q);
    matrix("k", layer.k);
    matrix("v", layer.v);
    matrix("o", layer.o);
    matrix("gate", layer.feed_forward.front().gate);
    matrix("up", layer.feed_forward.front().up);
    matrix("down", layer.feed_forward.front().down);
  }
  return hash;
}

TEST(Fingerprint, WeightsAreHashedAsThePageOfTheFormatSays) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file);
  EXPECT_EQ(FingerprintOf(engine->model()).weights_hash, HashByThePage(engine->model()));
}

TEST(Fingerprint, TellsWeightsAndVocabulariesApart) {
  const TinyModelFile one(make_model::ModelSpec{.type = "Q8_0"});
  const TinyModelFile other(make_model::ModelSpec{.type = "F32"});
  const auto a = LoadTiny(one);
  const auto b = LoadTiny(other);
  const masks::Fingerprint first = FingerprintOf(a->model());
  EXPECT_EQ(first, FingerprintOf(LoadTiny(one)->model()));
  EXPECT_NE(first.weights_hash, FingerprintOf(b->model()).weights_hash);
  EXPECT_EQ(first.tokenizer_hash, FingerprintOf(b->model()).tokenizer_hash);
}

}  // namespace
}  // namespace damask::engine
