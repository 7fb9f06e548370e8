#include <gtest/gtest.h>

#include "policies/page_bounds.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

float Dot(const float* a, const float* b) {
  float sum = 0;
  for (size_t d = 0; d < Text::kDim; ++d) sum += a[d] * b[d];
  return sum;
}

// A key that the query at `query` of every head likes far better than all others.
void PlaceNeedle(Text* text, uint64_t position, uint64_t query) {
  for (size_t d = 0; d < Text::kDim; ++d) {
    for (size_t head = 0; head < text->heads; ++head) text->query(query, head)[d] = d % 2 == 0 ? 1.0f : -1.0f;
    text->key(position)[d] = d % 2 == 0 ? 10.0f : -10.0f;
  }
}

TEST(QuestPolicy, ADecodedTokenFindsANeedle) {
  Text text(2000, 2, 1);
  PlaceNeedle(&text, 777, 1999);
  PolicyRun run("quest:budget=64,skip=0", &text);
  run.Append(1999);
  run.Append(1);
  for (size_t head = 0; head < 2; ++head) {
    const std::set<uint64_t> keys = run.Keys(1999, head);
    EXPECT_EQ(keys.size(), 64u);
    EXPECT_TRUE(keys.contains(777));
    EXPECT_TRUE(keys.contains(0));
    EXPECT_TRUE(keys.contains(1999));
  }
}

TEST(QuestPolicy, PromptsAreDenseAndSoAreTheFirstLayers) {
  Text text(601, 2, 1);
  PolicyRun run("quest:budget=64", &text, 3);
  run.Append(600);
  EXPECT_EQ(run.planned_pairs(), run.causal_pairs());
  run.Append(1);
  EXPECT_EQ(run.Keys(600, 0, 0).size(), 601u);
  EXPECT_EQ(run.Keys(600, 0, 1).size(), 601u);
  EXPECT_EQ(run.Keys(600, 0, 2).size(), 3 * 16 + 9u);  // three whole pages and what is there of the last
}

TEST(QuestPolicy, RowsOfAPromptChooseTogether) {
  Text text(1024, 2, 1);
  PlaceNeedle(&text, 300, 970);
  PolicyRun run("quest:budget=112,skip=0,prefill=sparse", &text);
  run.Append(1024);
  EXPECT_TRUE(run.Keys(970).contains(300));
  EXPECT_TRUE(run.Keys(961).contains(300));
  // 7 pages: the first, four of the diagonal, two chosen.
  EXPECT_EQ(run.Keys(1023).size(), 112u);
}

TEST(QuestPolicy, HeadsChooseForThemselves) {
  Text text(1000, 2, 1);
  PlaceNeedle(&text, 333, 999);
  for (size_t d = 0; d < Text::kDim; ++d) text.query(999, 1)[d] = -text.query(999, 0)[d];
  for (size_t d = 0; d < Text::kDim; ++d) text.key(555)[d] = -text.key(333)[d];
  PolicyRun run("quest:budget=48,skip=0", &text);
  run.Append(999);
  run.Append(1);
  EXPECT_TRUE(run.Keys(999, 0).contains(333));
  EXPECT_FALSE(run.Keys(999, 0).contains(555));
  EXPECT_TRUE(run.Keys(999, 1).contains(555));
  EXPECT_FALSE(run.Keys(999, 1).contains(333));
}

TEST(PageBounds, NoKeyOfAPageScoresHigherThanItsBound) {
  Text text(500, 1, 1);
  for (const kernels::KvType type : {kernels::KvType::kF32, kernels::KvType::kBf16, kernels::KvType::kQ8}) {
    const kernels::PageLayout layout = {Text::kDim, type};
    const auto load = [&](const std::byte* page, size_t slot, float* key) { kernels::LoadKey(layout, page, slot, key); };
    std::vector<std::vector<std::byte>> storage(8, std::vector<std::byte>(layout.bytes()));
    std::vector<const std::byte*> pages;
    pages.reserve(storage.size());
    for (const auto& page : storage) pages.push_back(page.data());
    for (uint64_t p = 0; p < 500; ++p) kernels::StoreSlot(layout, storage[p / 64].data(), p % 64, text.key(p), text.key(p));
    PageBounds bounds(16);
    bounds.Append({pages.data(), &layout}, 0, 300);
    bounds.Append({pages.data(), &layout}, 300, 500);
    ASSERT_EQ(bounds.pages(), 32u);
    PageBounds::Scratch scratch;
    std::vector<float> upper;
    bounds.Upper(BestTarget(), {text.query(100), Text::kDim, 8, 100}, 0, &scratch, &upper);
    std::vector<float> key(Text::kDim);
    for (uint64_t page = 0; page < 32; ++page) {
      // The bound itself, and every key below it.
      float expected = -1e30f;
      for (uint64_t row = 100; row < 108; ++row) {
        float bound = 0;
        for (size_t d = 0; d < Text::kDim; ++d) {
          float best = -1e30f;
          for (uint64_t p = page * 16; p < std::min<uint64_t>(500, page * 16 + 16); ++p) {
            load(pages[p / 64], p % 64, key.data());
            best = std::max(best, key[d] * text.query(row)[d]);
          }
          bound += best;
        }
        expected = std::max(expected, bound);
        for (uint64_t p = page * 16; p < std::min<uint64_t>(500, page * 16 + 16); ++p) {
          load(pages[p / 64], p % 64, key.data());
          ASSERT_LE(Dot(text.query(row), key.data()), upper[page] + 1e-4f);
        }
      }
      // Bounds of 8-bit keys are rounded outwards, each number by up to 2^-7 of it.
      EXPECT_NEAR(upper[page], expected, type == kernels::KvType::kQ8 ? 0.3f : 1e-3f) << page;
    }
  }
}

}  // namespace
}  // namespace damask::policies
