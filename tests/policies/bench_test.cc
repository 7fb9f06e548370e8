#include "policies/bench.h"

#include <gtest/gtest.h>

namespace damask::policies {
namespace {

PolicyBenchOptions Small() { return {.head_dim = 32, .group = 2, .contexts = {1024, 2048}}; }

TEST(BenchPolicy, TimesEveryContextAndCountsWhatADrawnTokenSees) {
  const std::atomic<bool>* const never = nullptr;
  const auto full = BenchPolicy("full", Small(), never);
  ASSERT_TRUE(full.ok()) << full.status().ToString();
  ASSERT_EQ(full->size(), 2U);
  // The 64th token behind a prompt, and the prompt goes on behind those.
  EXPECT_EQ(full->at(0).planned_keys, 1024 + 64);
  EXPECT_EQ(full->at(1).planned_keys, 2048 + 64);
  for (const char* spec :
       {"hip:budget=256,skip=0", "quest:budget=256,skip=0,prefill=sparse", "h2o:budget=256", "content-heads:rank=16",
        "content-heads:rank=16,rows=8", "snapkv:cap=256,prefill=sparse,chunk=64", "citrus:keep=256,chunk=64"}) {
    const auto results = BenchPolicy(spec, Small(), never);
    ASSERT_TRUE(results.ok()) << results.status().ToString();
    for (const PolicyBenchResult& result : *results) {
      EXPECT_GT(result.prefill_seconds, 0);
      EXPECT_GT(result.decode_seconds, 0);
      EXPECT_GE(result.planned_keys, 128) << spec;
      EXPECT_LE(result.planned_keys, 512) << spec;
    }
  }
}

// The keys that stay are chosen at the prompt's end, so the last quarter of it is there, and not after a drawn token.
TEST(BenchPolicy, APromptEndsAtTheContext) {
  PolicyBenchOptions options = Small();
  options.contexts = {1024, 1024 + 576};
  const auto results = BenchPolicy("snapkv:cap=256,rows=1", options, nullptr);
  ASSERT_TRUE(results.ok()) << results.status().ToString();
  for (const PolicyBenchResult& result : *results) EXPECT_EQ(result.planned_keys, 255 + 16 + 64) << result.context;
}

TEST(BenchPolicy, RefusesInOneSentence) {
  for (const char* spec : {"nothing", "content-heads:rank=", "content-heads:rank=0", "content-heads:rank=33",
                           "content-heads:rank=1x", "content-heads:rank=16,rows=5"}) {
    EXPECT_EQ(BenchPolicy(spec, Small(), nullptr).status().code(), StatusCode::kInvalidArgument) << spec;
  }
  for (const auto change : {+[](PolicyBenchOptions* options) {
                              options->contexts = {2048, 1024};
                            },
                            +[](PolicyBenchOptions* options) { options->contexts = {}; },
                            +[](PolicyBenchOptions* options) { options->contexts = {512}; },
                            // The 64 tokens drawn at one are among the 512 that are timed at the other.
                            +[](PolicyBenchOptions* options) {
                              options->contexts = {1024, 2048, 2048 + 575};
                            },
                            +[](PolicyBenchOptions* options) { options->head_dim = 20; },
                            +[](PolicyBenchOptions* options) { options->group = 0; }}) {
    PolicyBenchOptions options = Small();
    change(&options);
    EXPECT_EQ(BenchPolicy("full", options, nullptr).status().code(), StatusCode::kInvalidArgument);
  }
  const std::atomic<bool> cancel = true;
  EXPECT_EQ(BenchPolicy("full", Small(), &cancel).status().code(), StatusCode::kCancelled);
}

}  // namespace
}  // namespace damask::policies
