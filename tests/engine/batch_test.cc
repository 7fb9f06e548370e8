// Several sessions at once, and prompts cut and restored in other places: no bit may change.
#include <algorithm>
#include <deque>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/sampler.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

std::vector<float> Copy(std::span<const float> values) { return {values.begin(), values.end()}; }

// The greedy continuation of a prompt, alone, with the logits of every step.
std::vector<std::vector<float>> Alone(Engine* engine, std::span<const TokenId> prompt, size_t steps) {
  Session session(engine);
  EXPECT_TRUE(session.Append(prompt, nullptr, nullptr).ok());
  std::vector<std::vector<float>> logits = {Copy(session.logits())};
  for (size_t i = 0; i < steps; ++i) {
    EXPECT_TRUE(session.Decode(Argmax(session.logits()), nullptr).ok());
    logits.push_back(Copy(session.logits()));
  }
  return logits;
}

class Batch : public testing::TestWithParam<make_model::ModelSpec> {};

TEST_P(Batch, SessionsTogetherGiveTheBitsOfEachAlone) {
  const TinyModelFile file(GetParam());
  const auto engine = LoadTiny(file);
  constexpr size_t kSessions = model::kDecodeRows;
  constexpr size_t kSteps = 3;
  std::deque<Session> sessions;
  std::vector<Session*> pointers;
  std::vector<std::vector<std::vector<float>>> expected;
  for (size_t s = 0; s < kSessions; ++s) {
    std::vector<TokenId> prompt = SomeIds(20 + 37 * s, 512);
    std::rotate(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(s), prompt.end());
    expected.push_back(Alone(engine.get(), prompt, kSteps));
    sessions.emplace_back(engine.get());
    ASSERT_TRUE(sessions.back().Append(prompt, nullptr, nullptr).ok());
    pointers.push_back(&sessions.back());
  }
  for (size_t step = 1; step <= kSteps; ++step) {
    std::vector<TokenId> ids;
    ids.reserve(sessions.size());
    for (const Session& session : sessions) ids.push_back(Argmax(session.logits()));
    // Also another number of them in every step.
    const size_t first = std::min<size_t>(step, kSessions);
    ASSERT_TRUE(engine->Decode(std::span(pointers).first(first), std::span(ids).first(first), nullptr).ok());
    ASSERT_TRUE(engine->Decode(std::span(pointers).subspan(first), std::span(ids).subspan(first), nullptr).ok());
    for (size_t s = 0; s < kSessions; ++s) {
      EXPECT_EQ(Copy(sessions[s].logits()), expected[s][step]) << "session " << s << ", step " << step;
    }
  }
}

TEST_P(Batch, WhereAPromptIsCutDoesNotChangeABit) {
  const TinyModelFile file(GetParam());
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> prompt = SomeIds(707, 512);
  const std::vector<float> whole = Alone(engine.get(), prompt, 0).front();
  for (const size_t border : {size_t{64}, size_t{128}, size_t{320}}) {
    Session session(engine.get());
    for (size_t done = 0; done < prompt.size();) {
      const Result<size_t> count = session.AppendChunk(std::span(prompt).subspan(done), border, nullptr);
      ASSERT_TRUE(count.ok()) << count.status().ToString();
      done += *count;
      EXPECT_TRUE(done % border == 0 || done == prompt.size());
    }
    EXPECT_EQ(Copy(session.logits()), whole) << "border " << border;
  }
}

// The last rows of a prompt are few where reading begins late: they still go through the products of a prefill.
TEST_P(Batch, ALateStartDoesNotChangeABit) {
  const TinyModelFile file(GetParam());
  const auto engine = LoadTiny(file);
  const std::vector<TokenId> prompt = SomeIds(131, 512);
  const std::vector<float> whole = Alone(engine.get(), prompt, 0).front();
  Session session(engine.get());
  ASSERT_TRUE(session.Append(std::span(prompt).first(128), nullptr, nullptr).ok());
  ASSERT_TRUE(session.Append(std::span(prompt).subspan(128), nullptr, nullptr).ok());
  EXPECT_EQ(Copy(session.logits()), whole);
}

// Prompts of which some end in the batch and some go on, begin at their start or behind pages of theirs.
TEST_P(Batch, PromptsReadTogetherGiveTheBitsOfEachAlone) {
  const TinyModelFile file(GetParam());
  const auto engine = LoadTiny(file);
  std::deque<Session> sessions;
  std::vector<Session*> pointers;
  std::vector<std::vector<TokenId>> prompts;
  std::vector<std::vector<std::vector<float>>> expected;
  for (size_t s = 0; s < model::kDecodeRows; ++s) {
    prompts.push_back(SomeIds(9 + 61 * s, 512, 37 + 2 * s));
    expected.push_back(Alone(engine.get(), prompts[s], 2));
    pointers.push_back(&sessions.emplace_back(engine.get()));
    if (s % 3 != 2) continue;
    ASSERT_TRUE(sessions[s].AppendChunk(prompts[s], 64, nullptr).ok());
  }
  for (size_t first = 0; first < sessions.size();) {
    // Those that are not whole yet, at most five of them, the chunks all of other lengths.
    std::vector<Session*> readers;
    std::vector<std::span<const TokenId>> texts;
    for (size_t s = first; s < sessions.size() && readers.size() < 5; ++s) {
      if (sessions[s].length() == prompts[s].size()) continue;
      readers.push_back(&sessions[s]);
      texts.push_back(std::span(prompts[s]).subspan(sessions[s].length()));
    }
    ASSERT_TRUE(engine->AppendChunks(readers, texts, 256, nullptr).ok());
    while (first < sessions.size() && sessions[first].length() == prompts[first].size()) ++first;
  }
  for (size_t s = 0; s < sessions.size(); ++s) {
    EXPECT_EQ(sessions[s].tokens(), prompts[s]);
    EXPECT_EQ(Copy(sessions[s].logits()), expected[s][0]) << "session " << s;
  }
  // The pages as well: what is drawn from them is the same.
  for (size_t step = 1; step <= 2; ++step) {
    std::vector<TokenId> ids;
    ids.reserve(sessions.size());
    for (const Session& session : sessions) ids.push_back(Argmax(session.logits()));
    ASSERT_TRUE(engine->Decode(pointers, ids, nullptr).ok());
    for (size_t s = 0; s < sessions.size(); ++s) EXPECT_EQ(Copy(sessions[s].logits()), expected[s][step]) << "session " << s;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, Batch,
                         testing::Values(make_model::ModelSpec{.type = "F32"}, make_model::ModelSpec{.type = "BF16"},
                                         make_model::ModelSpec{.type = "Q8_0"}, make_model::ModelSpec{.type = "Q4_K_M"},
                                         make_model::ModelSpec{.arch = make_model::Arch::kQwen3Moe, .type = "Q8_0"},
                                         make_model::ModelSpec{
                                             .arch = make_model::Arch::kGptOss, .type = "MXFP4_MOE", .window = 100},
                                         make_model::ModelSpec{.arch = make_model::Arch::kGlm4Moe, .type = "Q8_0"},
                                         make_model::ModelSpec{.arch = make_model::Arch::kOlmo2, .layers = 4, .window = 100},
                                         make_model::ModelSpec{.arch = make_model::Arch::kGemma3, .window = 100}),
                         [](const testing::TestParamInfo<make_model::ModelSpec>& spec) {
                           std::string name = std::string(make_model::ArchName(spec.param.arch)) + "_" + spec.param.type;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// What a policy chooses for one prompt does not depend on those beside it: by queries, by summaries of keys, by position.
TEST(Batch, PoliciesSeeEachPromptAlone) {
  const TinyModelFile file(make_model::ModelSpec{});
  for (const std::string policy :
       {"a-shape:sinks=20,window=100", "vertical-slash:verticals=20,slashes=40", "quest:budget=64,skip=0,prefill=sparse",
        "infllm2:budget=64,dense=0", "hip:budget=64,skip=0", "xattention:threshold=0.6", "psa:budget=150,similar=none",
        "flexprefill:gamma=0.3,least=64"}) {
    const auto engine = LoadTiny(file, {.policy = policy});
    std::deque<Session> sessions;
    std::vector<Session*> pointers;
    std::vector<std::vector<TokenId>> prompts;
    std::vector<std::span<const TokenId>> texts;
    for (const size_t length : {150, 90, 260}) {
      prompts.push_back(SomeIds(length, 512, 37 + length % 8 * 2));
      pointers.push_back(&sessions.emplace_back(engine.get()));
      ASSERT_TRUE(pointers.back()->ReadsInCompany(prompts.back())) << policy;
    }
    texts.assign(prompts.begin(), prompts.end());
    ASSERT_TRUE(engine->AppendChunks(pointers, texts, 512, nullptr).ok()) << policy;
    for (size_t s = 0; s < sessions.size(); ++s) {
      EXPECT_EQ(Copy(sessions[s].logits()), Alone(engine.get(), prompts[s], 0)[0]) << policy << ", session " << s;
      EXPECT_EQ(sessions[s].tokens(), prompts[s]);
    }
    EXPECT_LT(sessions[2].TakeReport().density(), 1.0) << policy;
  }
}

// A whole text of a few tokens runs other products alone, and other policies see other chunks: they are refused, and nothing
// moves.
TEST(Batch, WhatMustBeReadAloneIsRefusedInCompany) {
  const TinyModelFile file(make_model::ModelSpec{});
  for (const std::string policy : {"full", "h2o:budget=64"}) {
    const auto engine = LoadTiny(file, {.policy = policy});
    Session tiny(engine.get());
    Session other(engine.get());
    const std::vector<TokenId> few = SomeIds(policy == "full" ? model::kDecodeRows : 100, 512);
    const std::vector<TokenId> many = SomeIds(100, 512);
    EXPECT_FALSE(tiny.ReadsInCompany(few));
    EXPECT_EQ(other.ReadsInCompany(many), policy == "full");
    std::vector<Session*> both = {&other, &tiny};
    const std::vector<std::span<const TokenId>> texts = {many, few};
    EXPECT_EQ(engine->AppendChunks(both, texts, 512, nullptr).code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(tiny.length() + other.length(), 0u);
    EXPECT_TRUE(tiny.AppendChunk(few, 512, nullptr).ok());
  }
}

// An error of one prompt (an id that is none) leaves all of them where they were.
TEST(Batch, AnErrorMovesNoSession) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session good(engine.get());
  Session bad(engine.get());
  std::vector<TokenId> wrong = SomeIds(30, 512);
  wrong.back() = 512;
  const std::vector<TokenId> right = SomeIds(30, 512);
  std::vector<Session*> both = {&good, &bad};
  const std::vector<std::span<const TokenId>> texts = {right, wrong};
  EXPECT_EQ(engine->AppendChunks(both, texts, 512, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(good.length() + bad.length(), 0u);
  EXPECT_TRUE(good.tokens().empty());
  EXPECT_TRUE(good.AppendChunk(right, 512, nullptr).ok());
}

// Where a policy asks for a prompt's last tokens, more is read than a chunk.
TEST(Batch, IdsThatAreReadAheadAreLookedAt) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "citrus:keep=60,chunk=64,last=200"});
  for (const size_t length : {200, 600}) {
    std::vector<TokenId> ids = SomeIds(length);
    ids[length - 50] = 1 << 30;
    Session session(engine.get());
    Status status;
    while (status.ok() && session.length() < length) {
      const uint64_t done = session.length();
      status = session.AppendChunk(std::span(ids).subspan(done), 128, nullptr).status();
      if (status.ok() && session.length() == done) break;
    }
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument) << status.ToString();
    EXPECT_LT(session.length(), length);
  }
}

TEST(Batch, WhatDoesNotFitABatchIsRefused) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  std::deque<Session> sessions;
  std::vector<Session*> pointers;
  for (size_t i = 0; i <= model::kDecodeRows; ++i) pointers.push_back(&sessions.emplace_back(engine.get()));
  const std::vector<TokenId> ids = SomeIds(pointers.size(), 512);
  const std::span<Session* const> all(pointers);
  EXPECT_EQ(engine->Decode(all, ids, nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(engine->Decode(all.first(3), std::span(ids).first(2), nullptr).code(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(engine->Decode({}, {}, nullptr).ok());
  for (const size_t border : {size_t{0}, size_t{1}, size_t{100}, 2 * model::kChunkTokens}) {
    EXPECT_EQ(sessions[0].AppendChunk(ids, border, nullptr).status().code(), StatusCode::kInvalidArgument) << border;
  }
  EXPECT_EQ(sessions[0].AppendChunk({}, 512, nullptr).status().code(), StatusCode::kInvalidArgument);
  for (const Session& session : sessions) EXPECT_EQ(session.length(), 0u);
}

// A session that became another goes on with the same bits, and neither notices what the other does.
TEST(Batch, ASharedTextGoesOnWithTheSameBits) {
  const TinyModelFile file(make_model::ModelSpec{});
  for (const char* policy : {"full", "streaming:sinks=4,window=64", "quest:budget=128"}) {
    const auto engine = LoadTiny(file, {.policy = policy});
    const std::vector<TokenId> ids = SomeIds(300, 512);
    const auto text = std::span(ids).first(200);
    const auto next = std::span(ids).subspan(200);
    Session whole(engine.get());
    ASSERT_TRUE(whole.Append(text, nullptr, nullptr).ok());
    ASSERT_TRUE(whole.Append(next, nullptr, nullptr).ok());
    Session first(engine.get());
    ASSERT_TRUE(first.Append(text, nullptr, nullptr).ok());
    const uint64_t bytes = engine->kv_bytes();
    Session second(engine.get());
    ASSERT_TRUE(second.Share(first).ok());
    EXPECT_EQ(engine->kv_bytes(), bytes);
    EXPECT_EQ(second.tokens(), first.tokens());
    EXPECT_EQ(Copy(second.logits()), Copy(first.logits()));
    ASSERT_TRUE(first.Append(SomeIds(64, 300), nullptr, nullptr).ok());
    ASSERT_TRUE(second.Append(next, nullptr, nullptr).ok());
    EXPECT_EQ(Copy(second.logits()), Copy(whole.logits())) << policy;
    first.Truncate(200);
    ASSERT_TRUE(first.Append(next, nullptr, nullptr).ok());
    EXPECT_EQ(Copy(first.logits()), Copy(whole.logits())) << policy;
  }
  const auto engine = LoadTiny(file, {.policy = "h2o:budget=64"});
  Session first(engine.get());
  ASSERT_TRUE(first.Append(SomeIds(100, 512), nullptr, nullptr).ok());
  Session second(engine.get());
  EXPECT_EQ(second.Share(first).code(), StatusCode::kUnsupported);
  EXPECT_EQ(second.length(), 0u);
}

TEST(Batch, ReportsAreOfEachSession) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file, {.policy = "streaming:sinks=4,window=64"});
  engine->SetAudit({.prefill_every = 16, .decode_every = 1});
  Session brief(engine.get());
  Session lengthy(engine.get());
  ASSERT_TRUE(brief.Append(SomeIds(30, 512), nullptr, nullptr).ok());
  ASSERT_TRUE(lengthy.Append(SomeIds(600, 512), nullptr, nullptr).ok());
  EXPECT_EQ(brief.TakeReport().density(), 1.0);
  const model::SegmentReport prefill = lengthy.TakeReport();
  EXPECT_LT(prefill.density(), 0.5);
  EXPECT_GT(prefill.audit.rows, 0u);
  std::vector<Session*> both = {&brief, &lengthy};
  const std::vector<TokenId> ids = {1, 2};
  ASSERT_TRUE(engine->Decode(both, ids, nullptr).ok());
  EXPECT_EQ(brief.TakeReport().density(), 1.0);
  const model::SegmentReport decode = lengthy.TakeReport();
  EXPECT_LT(decode.density(), 0.3);
  EXPECT_GT(decode.audit.rows, 0u);
  EXPECT_EQ(lengthy.TakeReport().causal_pairs, 0u);
}

}  // namespace
}  // namespace damask::engine
