// A row's result does not depend on how the text was cut into calls, on the number of threads, or on what was in the cache
// before.
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <span>

#include <gtest/gtest.h>

#include "engine/conversation.h"
#include "engine/evaluate.h"
#include "engine/generate.h"
#include "tests/engine/logits.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

TEST(Session, ThreadsDoNotChangeABit) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto one = LoadTiny(file, {.threads = 1});
  const auto three = LoadTiny(file, {.threads = 3});
  const std::vector<TokenId> ids = SomeIds(100, 512);
  EXPECT_EQ(LogitsOf(one.get(), ids), LogitsOf(three.get(), ids));
}

TEST(Session, TheSamePromptGivesTheSameBitsTwice) {
  const TinyModelFile file(make_model::ModelSpec{.type = "BF16"});
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> ids = SomeIds(700, 512);
  EXPECT_EQ(LogitsOf(engine.get(), ids), LogitsOf(engine.get(), ids));
}

TEST(Session, CutsAtChunkBordersDoNotChangeABit) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> ids = SomeIds(model::kChunkTokens + 40, 512);
  Session session(engine.get());
  ASSERT_TRUE(session.Append(std::span(ids).first(model::kChunkTokens), nullptr, nullptr).ok());
  ASSERT_TRUE(session.Append(std::span(ids).subspan(model::kChunkTokens), nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<float>(session.logits().begin(), session.logits().end()), LogitsOf(engine.get(), ids));
}

// Decode token by token against one prefill, per target. The scalar target computes in float32 throughout: only the order of
// sums differs. The others round activations to bf16 (prefill) or 8 bits (decode).
TEST(Session, DecodingEqualsPrefilling) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const std::vector<TokenId> ids = SomeIds(70, 512);
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
    Session session(engine.get());
    for (const TokenId id : ids) ASSERT_TRUE(session.Decode(id, nullptr).ok());
    const double error = Nmse(session.logits(), LogitsOf(engine.get(), ids));
    EXPECT_LT(error, target == Target::kScalar ? 1e-9 : 2e-3) << TargetName(target);
  }
}

TEST(Session, TargetsAgree) {
  for (const char* type : {"F32", "Q8_0", "Q4_K"}) {
    const TinyModelFile file(make_model::ModelSpec{.type = type});
    const std::vector<TokenId> ids = SomeIds(130, 512);
    const auto scalar = LoadTiny(file, {.target = "scalar"});
    const std::vector<float> expected = LogitsOf(scalar.get(), ids);
    for (const Target target : AllTargets()) {
      if (!TargetSupported(target) || target == Target::kScalar) continue;
      const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
      EXPECT_LT(Nmse(LogitsOf(engine.get(), ids), expected), 2e-3) << type << " " << TargetName(target);
    }
  }
}

TEST(Session, EveryArchitectureRuns) {
  for (const make_model::Arch arch : make_model::kArchs) {
    const TinyModelFile file(make_model::ModelSpec{.arch = arch});
    const auto engine = LoadTiny(file);
    ASSERT_NE(engine, nullptr);
    const std::vector<float> logits = LogitsOf(engine.get(), SomeIds(20, 512));
    EXPECT_TRUE(std::all_of(logits.begin(), logits.end(), [](float v) { return std::isfinite(v); }));
  }
}

// Every architecture; in one file and in shards with an index.
TEST(Session, AHuggingFaceFolderGivesTheSameLogits) {
  const std::vector<TokenId> ids = SomeIds(30, 512);
  std::vector<make_model::ModelSpec> specs;
  for (const make_model::Arch arch : make_model::kArchs) {
    specs.push_back({.arch = arch, .type = "F32"});
    if (!specs.back().has_hugging_face_form()) specs.pop_back();
  }
  for (make_model::ModelSpec& spec : specs) {
    if (spec.arch != make_model::Arch::kGemma3) continue;
    spec.window = 16;  // shorter than the text
    spec.rope_base = 1e6;
  }
  specs.push_back({.arch = make_model::Arch::kLlama, .type = "F32", .biases = true});
  specs.push_back({.arch = make_model::Arch::kLlama, .experts = 5, .experts_used = 3, .type = "F32"});  // Mixtral
  for (make_model::ModelSpec& spec : specs) {
    const TinyModelFile file(spec);
    const auto gguf = LoadTiny(file, {.target = "scalar"});
    const std::vector<float> expected = LogitsOf(gguf.get(), ids);
    for (const size_t split : {size_t{0}, size_t{5}}) {
      spec.split = split;
      ThreadPool pool(1);
      const std::string folder = file.folder() + "/hf" + std::to_string(split);
      ASSERT_TRUE(make_model::WriteHuggingFaceModel(spec, folder, &pool).ok());
      const auto hf = Engine::Load({.model_path = folder, .threads = 1, .target = "scalar"});
      ASSERT_TRUE(hf.ok()) << hf.status().ToString();
      EXPECT_LT(Nmse(LogitsOf(hf->get(), ids), expected), 1e-10) << make_model::ArchName(spec.arch) << " " << split;
    }
  }
}

// Shares of all experts add up to 1 by themselves; those of some only where the configuration says so.
TEST(Session, SharesOfExpertsMayBeLeftAsTheyAre) {
  const std::vector<TokenId> ids = SomeIds(30, 512);
  for (const size_t used : {size_t{2}, size_t{8}}) {
    const TinyModelFile file(make_model::ModelSpec{.arch = make_model::Arch::kQwen3Moe, .experts_used = used, .type = "F32"});
    ThreadPool pool(1);
    const std::string folder = file.folder() + "/hf";
    const auto logits = [&](bool normalised) {
      const make_model::ModelSpec spec{
          .arch = make_model::Arch::kQwen3Moe, .experts_used = used, .shares_sum_to_one = normalised, .type = "F32"};
      EXPECT_TRUE(make_model::WriteHuggingFaceModel(spec, folder, &pool).ok());
      const auto engine = Engine::Load({.model_path = folder, .threads = 1, .target = "scalar"});
      EXPECT_TRUE(engine.ok()) << engine.status().ToString();
      return LogitsOf(engine->get(), ids);
    };
    const double difference = Nmse(logits(true), logits(false));
    if (used == 8) {
      EXPECT_LT(difference, 1e-10);
    } else {
      EXPECT_GT(difference, 1e-3);
    }
  }
}

// Factors from tensors and from config.json, of which the context chooses; a rotation that leaves a quarter of each head.
TEST(Session, LongRopeIsTheSameInBothFormats) {
  const std::vector<TokenId> ids = SomeIds(30, 512);
  const make_model::ModelSpec spec{.arch = make_model::Arch::kPhi3,
                                   .context = 1024,
                                   .type = "F32",
                                   .rope_scaling = make_model::RopeScaling::kLongRope,
                                   .rope_factor = 8.0,
                                   .rope_dims = 48};
  const TinyModelFile file(spec);
  ThreadPool pool(1);
  const std::string folder = file.folder() + "/hf";
  ASSERT_TRUE(make_model::WriteHuggingFaceModel(spec, folder, &pool).ok());
  std::vector<std::vector<float>> logits;
  for (const uint64_t context : {uint64_t{0}, spec.original_context(), spec.original_context() + 1}) {
    const auto gguf = LoadTiny(file, {.target = "scalar", .context = context});
    logits.push_back(LogitsOf(gguf.get(), ids));
    const auto from_folder = Engine::Load({.model_path = folder, .threads = 1, .target = "scalar", .context = context});
    ASSERT_TRUE(from_folder.ok()) << from_folder.status().ToString();
    EXPECT_LT(Nmse(LogitsOf(from_folder->get(), ids), logits.back()), 1e-10) << context;
  }
  EXPECT_EQ(logits[0], logits[2]) << "the model's own context is longer than the trained one";
  EXPECT_GT(Nmse(logits[1], logits[0]), 1e-3);
}

TEST(Session, G19NanWeightsAreAnErrorAndNoTokens) {
  const TinyModelFile file(make_model::ModelSpec{.type = "F32"});
  const std::vector<float> nan(make_model::ModelSpec{}.width, std::numeric_limits<float>::quiet_NaN());
  OverwriteNumbers(file.path(), "blk.1.ffn_norm.weight", 0, nan);
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
    ASSERT_NE(engine, nullptr);
    Session session(engine.get());
    const Status status = session.Append(SomeIds(20, 512), nullptr, nullptr);
    EXPECT_EQ(status.code(), StatusCode::kBadFormat) << TargetName(target);
    EXPECT_NE(status.ToString().find("NaN"), std::string::npos) << status.ToString();
  }
}

TEST(Session, ASlidingWindowForgetsWhatLiesBefore) {
  const TinyModelFile windowed(make_model::ModelSpec{.arch = make_model::Arch::kMistral, .layers = 1, .window = 32});
  const auto engine = LoadTiny(windowed, {.target = "scalar"});
  std::vector<TokenId> ids = SomeIds(100, 512);
  const std::vector<float> before = LogitsOf(engine.get(), ids);
  ids[100 - 33] = 500;  // one position outside the last query's window
  EXPECT_EQ(LogitsOf(engine.get(), ids), before);
  ids[100 - 32] = 500;  // the oldest position inside
  EXPECT_NE(LogitsOf(engine.get(), ids), before);
}

// Which rows share an expert with a row depends on the rest of its chunk. (Cut where query blocks end: few rows of a block may
// take another body of attention.)
TEST(Session, ExpertsGiveARowTheSameBitsInAnyCompany) {
  const TinyModelFile file(make_model::ModelSpec{.arch = make_model::Arch::kQwen3Moe, .type = "Q8_0"});
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
    const std::vector<TokenId> ids = SomeIds(150, 512);
    const std::vector<float> whole = LogitsOf(engine.get(), ids);
    Session session(engine.get());
    ASSERT_TRUE(session.Append(std::span(ids).first(64), nullptr, nullptr).ok());
    ASSERT_TRUE(session.Append(std::span(ids).subspan(64), nullptr, nullptr).ok());
    EXPECT_TRUE(std::equal(whole.begin(), whole.end(), session.logits().begin())) << TargetName(target);
  }
}

// Six layers of seven have a window of 64 tokens: with --kv-release they hold two pages of 64 positions at most.
TEST(Session, WhatLiesBehindAModelsOwnWindowsLeavesTheCache) {
  const TinyModelFile file(make_model::ModelSpec{.arch = make_model::Arch::kGemma3, .layers = 7, .window = 64});
  const std::vector<TokenId> ids = SomeIds(600, 512);
  const auto engine = LoadTiny(file);
  const auto releasing = LoadTiny(file, {.kv_release = true});
  Session keeping(engine.get());
  Session session(releasing.get());
  ASSERT_TRUE(keeping.Append(ids, nullptr, nullptr).ok());
  ASSERT_TRUE(session.Append(ids, nullptr, nullptr).ok());
  for (TokenId id = 3; id < 90; ++id) {
    ASSERT_TRUE(keeping.Decode(id, nullptr).ok());
    ASSERT_TRUE(session.Decode(id, nullptr).ok());
  }
  EXPECT_TRUE(std::equal(session.logits().begin(), session.logits().end(), keeping.logits().begin()));
  EXPECT_EQ(keeping.kv_bytes(), 11 * 64 * engine->kv_bytes_per_token());
  EXPECT_LE(session.kv_bytes(), (11 + 6 * 2) * 64 * engine->kv_bytes_per_token() / 7);
}

TEST(Session, TruncateThenContinueEqualsAFreshSession) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.target = "scalar"});
  const std::vector<TokenId> ids = SomeIds(90, 512);
  const std::vector<TokenId> other = SomeIds(120, 300);
  Session session(engine.get());
  ASSERT_TRUE(session.Append(other, nullptr, nullptr).ok());
  session.Truncate(0);
  ASSERT_TRUE(session.Append(ids, nullptr, nullptr).ok());
  EXPECT_EQ(std::vector<float>(session.logits().begin(), session.logits().end()), LogitsOf(engine.get(), ids));
}

// Pages come back from other sessions as they are: what a chunk does not write must not be read, whatever it was.
TEST(Session, WhatPagesHeldBeforeDoesNotChangeABit) {
  const TinyModelFile file(make_model::ModelSpec{});
  const std::vector<TokenId> ids = SomeIds(700, 512);
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    for (const kernels::KvType kv : {kernels::KvType::kBf16, kernels::KvType::kQ8}) {
      std::vector<std::vector<float>> logits;
      for (const bool spoilt : {false, true}) {
        const auto engine = LoadTiny(file, {.target = std::string(TargetName(target)), .kv = kv});
        model::PagePool* const pool = engine->page_pool();
        std::vector<std::byte*> pages(spoilt ? 500 : 0);
        for (std::byte*& page : pages) {
          page = pool->Allocate();
          std::memset(page, 0xff, pool->layout().bytes());  // NaN in every type
        }
        for (std::byte* page : pages) pool->Free(page);
        Session session(engine.get());
        const std::atomic<bool> cancel = true;
        EXPECT_EQ(session.Append(ids, nullptr, &cancel).code(), StatusCode::kCancelled);
        for (const size_t tokens : {100, 64, 3, 400}) {
          ASSERT_TRUE(session.Append(std::span(ids).subspan(session.length(), tokens), nullptr, nullptr).ok());
          logits.emplace_back(session.logits().begin(), session.logits().end());
        }
        for (int i = 0; i < 80; ++i) ASSERT_TRUE(session.Decode(ids[session.length()], nullptr).ok());
        logits.emplace_back(session.logits().begin(), session.logits().end());
      }
      const auto half = logits.begin() + static_cast<std::ptrdiff_t>(logits.size() / 2);
      EXPECT_TRUE(std::equal(logits.begin(), half, half)) << TargetName(target) << " " << kernels::KvTypeName(kv);
    }
  }
}

TEST(Session, AppendAllGivesEveryPosition) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.target = "scalar"});
  const std::vector<TokenId> ids = SomeIds(model::kChunkTokens + 70, 512);
  std::map<uint64_t, std::vector<float>> rows;
  Session session(engine.get());
  ASSERT_TRUE(session
                  .AppendAll(
                      ids,
                      [&](uint64_t first, size_t count, const float* logits) {
                        for (size_t r = 0; r < count; ++r) rows[first + r].assign(logits + r * 512, logits + (r + 1) * 512);
                      },
                      nullptr, nullptr)
                  .ok());
  ASSERT_EQ(rows.size(), ids.size());
  for (const size_t position : {size_t{0}, size_t{63}, size_t{64}, model::kChunkTokens, ids.size() - 1}) {
    EXPECT_LT(Nmse(rows[position], LogitsOf(engine.get(), std::span(ids).first(position + 1))), 1e-9) << position;
  }
}

TEST(Session, RefusesMoreThanTheContextAndStaysUsable) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.context = 50});
  Session session(engine.get());
  EXPECT_EQ(session.Append(SomeIds(51, 512), nullptr, nullptr).code(), StatusCode::kTooLarge);
  EXPECT_EQ(session.length(), 0u);
  EXPECT_TRUE(session.Append(SomeIds(50, 512), nullptr, nullptr).ok());
}

TEST(Session, RefusesIdsOutsideTheVocabulary) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  for (const TokenId id : {-1, 512, 1 << 30})
    EXPECT_EQ(session.Append({&id, 1}, nullptr, nullptr).code(), StatusCode::kInvalidArgument);
}

TEST(Session, ACancelLeavesItAsLongAsBefore) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  const std::vector<TokenId> ids = SomeIds(100, 512);
  const std::atomic<bool> cancel{true};
  EXPECT_EQ(session.Append(ids, nullptr, &cancel).code(), StatusCode::kCancelled);
  EXPECT_EQ(session.length(), 0u);
  EXPECT_TRUE(session.Append(ids, nullptr, nullptr).ok());
}

TEST(Session, TheDensityOfFullAttentionIsOne) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  LogitsOf(engine.get(), SomeIds(300, 512));
  EXPECT_DOUBLE_EQ(engine->stats().density(), 1.0);
  EXPECT_GT(engine->stats().causal_pairs, 0u);
}

TEST(Generate, TheSameSeedGivesTheSameText) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> prompt = SomeIds(20, 512);
  const GenerateOptions options = {.max_tokens = 24, .sampler = {.seed = 7}};
  std::vector<std::vector<TokenId>> runs;
  for (int i = 0; i < 2; ++i) {
    Session session(engine.get());
    const auto result = Generate(engine.get(), &session, prompt, options, {});
    ASSERT_TRUE(result.ok()) << result.status().ToString();
    runs.push_back(result->ids);
  }
  EXPECT_EQ(runs[0], runs[1]);
  Session session(engine.get());
  GenerateOptions other = options;
  other.sampler.seed = 8;
  EXPECT_NE(Generate(engine.get(), &session, prompt, other, {})->ids, runs[0]);
}

TEST(Generate, StreamsExactlyTheText) {
  const auto engine = Engine::Load({.threads = 2});
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  Session session(engine->get());
  std::string streamed;
  const auto ids = tokenizer::EncodePrompt((*engine)->tokenizer(), "The book of", tokenizer::Special::kParse);
  ASSERT_TRUE(ids.ok());
  const GenerateCallbacks callbacks = {.progress = nullptr, .text = [&](std::string_view text) { streamed += text; }};
  const auto result = Generate(engine->get(), &session, *ids, {.max_tokens = 30, .sampler = {.temperature = 0}}, callbacks);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(streamed.empty());
  EXPECT_EQ(streamed, result->text);
}

TEST(Generate, StopsAtTheContextLimit) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.context = 30});
  Session session(engine.get());
  const auto result =
      Generate(engine.get(), &session, SomeIds(20, 512), {.max_tokens = 100, .sampler = {.seed = 1}, .ignore_eos = true}, {});
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->finish, FinishReason::kLength);
  EXPECT_EQ(result->ids.size(), 11u);  // ten more positions, and one token drawn from the last
}

TEST(Generate, RefusesAnEmptyPrompt) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  EXPECT_EQ(Generate(engine.get(), &session, {}, {}, {}).status().code(), StatusCode::kInvalidArgument);
}

TEST(ReusePrefix, KeepsWhatIsSharedAndLeavesOneToken) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  const std::vector<TokenId> ids = SomeIds(80, 512);
  ASSERT_TRUE(session.Append(ids, nullptr, nullptr).ok());
  std::vector<TokenId> next(ids.begin(), ids.begin() + 60);
  next.push_back(5);
  EXPECT_EQ(ReusePrefix(&session, next), 60u);
  EXPECT_EQ(session.length(), 60u);
  EXPECT_EQ(ReusePrefix(&session, std::span(ids).first(60)), 59u);
}

TEST(Perplexity, EqualsTheMeanOfTheLogProbabilities) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.target = "scalar"});
  const std::vector<TokenId> ids = SomeIds(40, 512);
  double sum = 0;
  for (size_t i = 1; i < ids.size(); ++i) {
    std::vector<TokenId> prefix = {*engine->tokenizer().special().bos};
    prefix.insert(prefix.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(i));
    const std::vector<float> logits = LogitsOf(engine.get(), prefix);
    double total = 0;
    for (const float v : logits) total += std::exp(static_cast<double>(v));
    sum += std::log(total) - logits[static_cast<size_t>(ids[i])];
  }
  const auto result = Perplexity(engine.get(), ids, 100, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->tokens, 39u);
  EXPECT_NEAR(result->nll, sum / 39, 1e-4);
}

TEST(Perplexity, ACancelLeavesTheFiguresOfTheWindowsThatWereFinished) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> ids = SomeIds(300, 512);
  std::atomic<bool> cancel = false;
  const auto after_a_window = [&](uint64_t, uint64_t, double) { cancel = true; };
  const auto part = Perplexity(engine.get(), ids, 100, after_a_window, &cancel);
  ASSERT_TRUE(part.ok()) << part.status().ToString();
  EXPECT_TRUE(part->cancelled);
  // A window is a BOS token and 99 others.
  const auto one_window = Perplexity(engine.get(), std::span(ids).first(99), 100, nullptr, nullptr);
  ASSERT_TRUE(one_window.ok());
  EXPECT_FALSE(one_window->cancelled);
  EXPECT_EQ(part->tokens, one_window->tokens);
  EXPECT_EQ(part->nll, one_window->nll);
  const auto nothing = Perplexity(engine.get(), ids, 100, nullptr, &cancel);
  ASSERT_TRUE(nothing.ok() && nothing->cancelled);
  EXPECT_EQ(nothing->tokens, 0u);
}

TEST(Perplexity, NamesTheCacheThatItsLargestWindowHeld) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const auto whole = Perplexity(engine.get(), SomeIds(410, 512), 200, nullptr, nullptr);
  ASSERT_TRUE(whole.ok()) << whole.status().ToString();
  EXPECT_EQ(whole->kv_bytes, 256 * engine->kv_bytes_per_token());  // four pages; the last window is short
  const auto released = LoadTiny(file, {.policy = "streaming:sinks=16,window=64", .kv_release = true});
  const auto flat = Perplexity(released.get(), SomeIds(599, 512), 600, nullptr, nullptr);
  ASSERT_TRUE(flat.ok()) << flat.status().ToString();
  EXPECT_GT(flat->kv_bytes, 0u);
  EXPECT_LT(flat->kv_bytes, 300 * released->kv_bytes_per_token());
}

TEST(Perplexity, RefusesATextThatCannotBeScored) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  EXPECT_EQ(Perplexity(engine.get(), SomeIds(1, 512), 64, nullptr, nullptr).status().code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace damask::engine
