// Broken weights: no target may answer as if they were sound.
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

void SetNumber(const std::string& path, const std::string& tensor, size_t index, float value) {
  OverwriteNumbers(path, tensor, index, {&value, 1});
}

// What every target that this CPU has says to a text of `count` tokens.
void ExpectBroken(const TinyModelFile& file, size_t count, const std::string& what) {
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
    ASSERT_NE(engine, nullptr);
    Session session(engine.get());
    const Status status = session.Append(SomeIds(count), nullptr, nullptr);
    EXPECT_EQ(status.code(), StatusCode::kBadFormat) << TargetName(target);
    EXPECT_NE(status.message().find("NaN or infinite " + what), std::string::npos)
        << TargetName(target) << ": " << status.ToString();
    EXPECT_EQ(session.length(), 0u);
  }
}

TEST(Forward, G19OneBrokenNumberInTheWeightsOfAttentionIsAnErrorThatNamesTheLayer) {
  for (const char* tensor : {"attn_q", "attn_k", "attn_v"}) {
    for (const float broken : {kNan, kInfinity}) {
      SCOPED_TRACE(std::string(tensor) + " " + std::to_string(broken));
      const TinyModelFile file(make_model::ModelSpec{.type = "F32"});
      SetNumber(file.path(), std::string("blk.1.") + tensor + ".weight", 700, broken);
      ExpectBroken(file, 20, "queries, keys or values in layer 1");
      ExpectBroken(file, 1, "queries, keys or values in layer 1");
    }
  }
}

TEST(Forward, G19BrokenNormsOfQueriesAndKeysAreFoundAsWell) {
  const TinyModelFile file(make_model::ModelSpec{.arch = make_model::Arch::kQwen3, .type = "Q8_0"});
  SetNumber(file.path(), "blk.0.attn_k_norm.weight", 3, kNan);
  ExpectBroken(file, 20, "queries, keys or values in layer 0");
}

TEST(Forward, G19InfiniteLogitsAreAnErrorAsNanIs) {
  for (const float broken : {kNan, kInfinity}) {
    const TinyModelFile file(make_model::ModelSpec{.type = "F32"});
    SetNumber(file.path(), "output.weight", 700, broken);
    ExpectBroken(file, 20, "logits");
  }
}

// A page goes on with the slots that the broken chunk had begun to fill.
TEST(Forward, G19NothingOfABrokenChunkStaysInThePages) {
  constexpr TokenId kBroken = 500;
  const TinyModelFile file(make_model::ModelSpec{.type = "F32"});
  SetNumber(file.path(), "token_embd.weight", kBroken * 256 + 3, kNan);
  const std::vector<TokenId> begin = SomeIds(70, 400);
  const std::vector<TokenId> end = SomeIds(3, 400, 41);
  std::vector<TokenId> broken = SomeIds(40, 400, 43);
  broken[5] = kBroken;  // among the sixteen slots that bodies take together with those of `end`
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = LoadTiny(file, {.target = std::string(TargetName(target))});
    ASSERT_NE(engine, nullptr);
    Session untouched(engine.get());
    Session session(engine.get());
    ASSERT_TRUE(untouched.Append(begin, nullptr, nullptr).ok());
    ASSERT_TRUE(session.Append(begin, nullptr, nullptr).ok());
    EXPECT_EQ(session.Append(broken, nullptr, nullptr).code(), StatusCode::kBadFormat);
    ASSERT_EQ(session.length(), begin.size());
    ASSERT_TRUE(untouched.Append(end, nullptr, nullptr).ok());
    const Status status = session.Append(end, nullptr, nullptr);
    ASSERT_TRUE(status.ok()) << TargetName(target) << ": " << status.ToString();
    EXPECT_EQ(std::vector<float>(session.logits().begin(), session.logits().end()),
              std::vector<float>(untouched.logits().begin(), untouched.logits().end()))
        << TargetName(target);
  }
}

}  // namespace
}  // namespace damask::engine
