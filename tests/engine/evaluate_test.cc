// Perplexity: windows stand for themselves.
#include "engine/evaluate.h"

#include <gtest/gtest.h>

namespace damask::engine {
namespace {

std::unique_ptr<Engine> LoadEmbedded(double floor) {
  auto engine =
      Engine::Load({.threads = 1, .policy = "streaming:sinks=4,window=64", .audit = {.prefill_every = 4, .floor = floor}});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

// One window of a text that repeats itself, which heads look back for.
std::vector<TokenId> Window(const Engine& engine, uint64_t context) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += "In the beginning was the word, and the word was long. ";
  std::vector<TokenId> ids = engine.tokenizer().Encode(text, tokenizer::Special::kPlain).value();
  ids.resize(context - (engine.tokenizer().special().puts_bos() ? 1 : 0));
  return ids;
}

TEST(Perplexity, HeadsThatAWindowWidenedAreNotSoInTheNext) {
  constexpr uint64_t kContext = 300;
  const auto engine = LoadEmbedded(1);
  const std::vector<TokenId> window = Window(*engine, kContext);
  std::vector<TokenId> twice = window;
  twice.insert(twice.end(), window.begin(), window.end());
  const auto one = Perplexity(engine.get(), window, kContext, nullptr, nullptr);
  const auto two = Perplexity(engine.get(), twice, kContext, nullptr, nullptr);
  ASSERT_TRUE(one.ok() && two.ok());
  ASSERT_GT(one->audit.widened(), 0U);
  EXPECT_EQ(two->tokens, 2 * one->tokens);
  EXPECT_DOUBLE_EQ(two->nll, one->nll);
  EXPECT_EQ(two->density, one->density);
  // What the audit found is of both.
  EXPECT_EQ(two->audit.widened(), one->audit.widened());
  EXPECT_EQ(two->audit.Total().rows, 2 * one->audit.Total().rows);
  EXPECT_DOUBLE_EQ(two->audit.Total().recall(), one->audit.Total().recall());
}

TEST(Perplexity, SaysWhatTheWindowsAreAndMayBe) {
  const auto engine = LoadEmbedded(-1);
  const std::vector<TokenId> window = Window(*engine, 64);
  const auto result = Perplexity(engine.get(), window, 2, nullptr, nullptr);
  ASSERT_EQ(result.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(result.status().ToString().find("--ctx-size is 2"), std::string::npos) << result.status().ToString();
}

}  // namespace
}  // namespace damask::engine
