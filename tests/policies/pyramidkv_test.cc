#include <gtest/gtest.h>

#include "policies/head_states.h"
#include "policies/kept_keys.h"
#include "policies/prompt_eviction.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

PromptEviction Pyramid(uint64_t cap) { return {.name = "pyramidkv", .cap = cap, .rows = 32, .taper = 20}; }

TEST(PyramidKvPolicy, BudgetsFallEvenlyFromLayerToLayerAndTheirMeanIsTheCap) {
  const PromptEviction settings = Pyramid(232);
  const uint64_t expected[] = {390, 264, 138, 12};  // least = 200 / 20 = 10, most = 390, step 126
  uint64_t sum = 0;
  for (size_t layer = 0; layer < 4; ++layer) {
    EXPECT_EQ(EvictionBudget(settings, layer, 4, 5000), expected[layer]);
    sum += EvictionBudget(settings, layer, 4, 5000);
  }
  EXPECT_NEAR(static_cast<double>(sum) / 4, 200.0, 1.0);
}

TEST(PyramidKvPolicy, WhereTheFirstLayerWouldKeepEverythingTheOthersGetItsRest) {
  const PromptEviction settings = Pyramid(232);
  EXPECT_EQ(EvictionBudget(settings, 0, 4, 402), 370u);  // most = 370, least = 30, step 113
  EXPECT_EQ(EvictionBudget(settings, 1, 4, 402), 257u);
  EXPECT_EQ(EvictionBudget(settings, 3, 4, 402), 31u);
}

// As in pyramidkv_utils.py: q_len < cap, q_len < 2 (cap - window), and the rest.
TEST(PyramidKvPolicy, ShortPromptsHaveOneBudgetInAllLayers) {
  const PromptEviction settings = Pyramid(232);
  for (size_t layer = 0; layer < 4; ++layer) {
    EXPECT_GE(EvictionBudget(settings, layer, 4, 231), 199u);  // everything but the last rows
    EXPECT_EQ(EvictionBudget(settings, layer, 4, 232), 200u);
    EXPECT_EQ(EvictionBudget(settings, layer, 4, 399), 200u);
  }
  EXPECT_EQ(EvictionBudget(settings, 0, 4, 400), 368u);
  Text text(400, 2, 1);
  PolicyRun run("pyramidkv:cap=232", &text, 4);
  run.Append(390);
  const auto* state = static_cast<HeadStates<KeptKeys>*>(run.state());
  for (size_t layer = 0; layer < 4; ++layer) EXPECT_EQ(state->at(layer, 0).kept().size(), 200u) << layer;
}

TEST(PyramidKvPolicy, WhileAPromptIsReadTheFirstLayerDropsNothingThatItMayStillKeep) {
  PromptEviction settings = Pyramid(232);
  settings.sparse = true;
  EXPECT_EQ(EvictionBudget(settings, 0, 4, 332), 300u);  // most = 300, least = 100, step 66
  EXPECT_EQ(EvictionBudget(settings, 3, 4, 332), 102u);
  Text text(900, 2, 1);
  PolicyRun run("pyramidkv:cap=232,prefill=sparse,chunk=64", &text, 4);
  run.Append(384);
  const auto* state = static_cast<HeadStates<KeptKeys>*>(run.state());
  EXPECT_EQ(state->at(0, 0).kept().size() + (384 - state->at(0, 0).low()), 384u);
  EXPECT_LT(state->at(3, 0).kept().size(), 200u);
}

TEST(PyramidKvPolicy, AnswersOfTheTimeBeforeThatAreNotItsOwn) {
  const ModelShape shape = {.layers = 4, .heads = 2, .kv_heads = 1, .head_dim = 16};
  EXPECT_NE((*Create("pyramidkv", shape))->ContentHash(), 0u);
  // Their plans did not change.
  EXPECT_EQ((*Create("pyramidkv:prefill=sparse", shape))->ContentHash(), 0u);
  EXPECT_EQ((*Create("snapkv", shape))->ContentHash(), 0u);
}

TEST(PyramidKvPolicy, AModelOfOneLayerAndACapBelowTheRowsAreNoTrouble) {
  EXPECT_EQ(EvictionBudget(Pyramid(232), 0, 1, 5000), 200u);
  EXPECT_EQ(EvictionBudget(Pyramid(10), 0, 4, 5000), 0u);
  EXPECT_EQ(EvictionBudget(Pyramid(10), 3, 4, 5000), 0u);
}

TEST(PyramidKvPolicy, LayersKeepTheirBudgets) {
  Text text(900, 2, 1);
  PolicyRun run("pyramidkv:cap=232", &text, 4);
  run.Append(800);
  const auto* state = static_cast<HeadStates<KeptKeys>*>(run.state());
  EXPECT_EQ(state->at(0, 0).kept().size(), 390u);
  EXPECT_EQ(state->at(3, 0).kept().size(), 12u);
}

TEST(PyramidKvPolicy, WithoutTaperItIsSnapKv) {
  Text text(900, 2, 1);
  PolicyRun pyramid("pyramidkv:cap=100,taper=1", &text, 2);
  PolicyRun snap("snapkv:cap=100", &text, 2);
  for (const size_t count : {800, 1, 50}) {
    pyramid.Append(count);
    snap.Append(count);
  }
  ExpectSamePlans(pyramid, snap);
}

}  // namespace
}  // namespace damask::policies
