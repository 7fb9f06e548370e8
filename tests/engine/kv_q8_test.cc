// Whole models over 8-bit pages: what must not change by a bit, and how much the logits may.
#include <cmath>
#include <numeric>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "tests/engine/logits.h"
#include "tests/model/tiny_model.h"
#include "texts/prose.h"

namespace damask::engine {
namespace {

constexpr auto kQ8 = kernels::KvType::kQ8;

std::vector<float> Logits(const Session& session) { return {session.logits().begin(), session.logits().end()}; }

TEST(KvQ8, TheCacheTakesABitMoreThanHalf) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto bf16 = LoadTiny(file);
  const auto q8 = LoadTiny(file, {.kv = kQ8});
  EXPECT_EQ(q8->kv_type(), kQ8);
  if (bf16->kv_type() == kernels::KvType::kBf16) {
    EXPECT_EQ(q8->kv_bytes_per_token() * 256, bf16->kv_bytes_per_token() * (128 + 8));  // head_dim 64
  }
  Session session(q8.get());
  ASSERT_TRUE(session.Append(SomeIds(128), nullptr, nullptr).ok());
  EXPECT_EQ(session.kv_bytes(), 128 * q8->kv_bytes_per_token());
  EXPECT_EQ(q8->kv_bytes(), session.kv_bytes());
}

TEST(KvQ8, WhereAPromptIsCutAndHowManyThreadsReadItDoesNotChangeABit) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const auto engine = LoadTiny(file, {.kv = kQ8});
  const auto three = LoadTiny(file, {.threads = 3, .kv = kQ8});
  const std::vector<TokenId> prompt = SomeIds(707);
  const std::vector<float> whole = LogitsOf(engine.get(), prompt);
  EXPECT_EQ(LogitsOf(three.get(), prompt), whole);
  for (const size_t border : {size_t{64}, size_t{320}}) {
    Session session(engine.get());
    for (size_t done = 0; done < prompt.size();) {
      const Result<size_t> count = session.AppendChunk(std::span(prompt).subspan(done), border, nullptr);
      ASSERT_TRUE(count.ok()) << count.status().ToString();
      done += *count;
    }
    EXPECT_EQ(Logits(session), whole) << "border " << border;
  }
}

TEST(KvQ8, DecodingEqualsPrefillingOnEveryTarget) {
  const TinyModelFile file(make_model::ModelSpec{.type = "Q8_0"});
  const std::vector<TokenId> ids = SomeIds(70);
  const auto reference = LoadTiny(file, {.target = "scalar"});
  const std::vector<float> expected = LogitsOf(reference.get(), ids);
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target)), .kv = kQ8});
    EXPECT_EQ(engine->kv_type(), kQ8);  // of the scalar target as well
    Session session(engine.get());
    for (const TokenId id : ids) ASSERT_TRUE(session.Decode(id, nullptr).ok());
    const std::vector<float> prefill = LogitsOf(engine.get(), ids);
    EXPECT_LT(Nmse(session.logits(), prefill), 2e-3) << TargetName(target);
    EXPECT_LT(Nmse(prefill, expected), 2e-3) << TargetName(target);
  }
}

TEST(KvQ8, AfterATruncationTheTextGoesOnAsIfItHadNeverBeenLonger) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.kv = kQ8});
  const std::vector<TokenId> ids = SomeIds(256);
  Session session(engine.get());
  ASSERT_TRUE(session.Append(std::span(ids).first(128), nullptr, nullptr).ok());
  ASSERT_TRUE(session.Append(SomeIds(100, 512, 41), nullptr, nullptr).ok());
  session.Truncate(128);
  ASSERT_TRUE(session.Append(std::span(ids).subspan(128), nullptr, nullptr).ok());
  EXPECT_EQ(Logits(session), LogitsOf(engine.get(), ids));
}

TEST(KvQ8, SharedPagesAreReadByBothAndWrittenByNone) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.kv = kQ8});
  const std::vector<TokenId> ids = SomeIds(200);
  Session first(engine.get());
  ASSERT_TRUE(first.Append(ids, nullptr, nullptr).ok());
  const std::vector<float> expected = Logits(first);
  Session second(engine.get());
  const auto share = [&](model::KvCache* cache) -> Result<uint64_t> {
    std::vector<std::byte*> pages;
    for (size_t block = 0; block < 3; ++block) {
      EXPECT_TRUE(first.cache().BlockPages(block, &pages));
      EXPECT_TRUE(cache->AppendShared(pages).ok());
    }
    return cache->length();
  };
  ASSERT_TRUE(second.Restore(ids, share).ok());
  ASSERT_TRUE(second.Append(std::span(ids).subspan(192), nullptr, nullptr).ok());
  EXPECT_EQ(Logits(second), expected);
  // Another end within a shared page: it is copied first.
  second.Truncate(150);
  ASSERT_TRUE(second.Append(SomeIds(30, 512, 41), nullptr, nullptr).ok());
  first.Truncate(128);
  ASSERT_TRUE(first.Append(std::span(ids).subspan(128), nullptr, nullptr).ok());
  EXPECT_EQ(Logits(first), expected);
}

TEST(KvQ8, TheReferenceModelsLogitsHardlyMove) {
  const auto bf16 = Engine::Load({.threads = 2});
  const auto q8 = Engine::Load({.threads = 2, .kv = kQ8});
  ASSERT_TRUE(bf16.ok() && q8.ok());
  const Result<std::vector<TokenId>> prose = texts::ProseTokens((*bf16)->tokenizer(), 1200, 1);
  ASSERT_TRUE(prose.ok());
  const size_t vocab = (*bf16)->model().config().vocab;
  const auto all_logits = [&](Engine* engine) {
    std::vector<float> logits;
    Session session(engine);
    const auto take = [&](uint64_t, size_t rows, const float* row) { logits.insert(logits.end(), row, row + rows * vocab); };
    EXPECT_TRUE(session.AppendAll(*prose, take, nullptr, nullptr).ok());
    return logits;
  };
  const std::vector<float> expected = all_logits(bf16->get());
  const std::vector<float> actual = all_logits(q8->get());
  ASSERT_EQ(actual.size(), expected.size());
  size_t same = 0;
  for (size_t row = 0; row < prose->size(); ++row) {
    const std::span<const float> a(actual.data() + row * vocab, vocab);
    const std::span<const float> b(expected.data() + row * vocab, vocab);
    same += Argmax(a) == Argmax(b) ? 1 : 0;
  }
  const double nmse = Nmse(actual, expected);
  RecordProperty("nmse", std::to_string(nmse));
  EXPECT_LT(nmse, 1e-3);
  EXPECT_GT(same, prose->size() * 97 / 100);  // near ties turn, 24 of 1200 with AVX2
}

}  // namespace
}  // namespace damask::engine
