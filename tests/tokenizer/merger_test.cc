// BAD_INPUT section 3, row T04: lists of merges made to be slow.
#include "tokenizer/merger.h"

#include <ctime>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace damask::tokenizer {
namespace {

using Pairs = std::vector<std::pair<Symbol, Symbol>>;

// Adds and finds all pairs; gives the processor time.
double FillTable(const Pairs& pairs) {
  const std::clock_t start = std::clock();
  MergeTable table;
  for (size_t i = 0; i < pairs.size(); ++i) {
    table.Add(pairs[i].first, pairs[i].second, {static_cast<uint32_t>(i), static_cast<Symbol>(i + 1)});
  }
  EXPECT_EQ(table.size(), pairs.size());
  for (size_t i = 0; i < pairs.size(); ++i) {
    const MergeTable::Entry* entry = table.Find(pairs[i].first, pairs[i].second);
    EXPECT_TRUE(entry != nullptr && entry->rank == i && entry->result == i + 1) << i;
  }
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

Pairs RandomPairs(size_t count) {
  std::mt19937_64 random(5);
  Pairs pairs;
  for (size_t i = 0; i < count; ++i) {
    const uint64_t key = random() & 0x7fffffffffffffff;
    pairs.emplace_back(static_cast<Symbol>(key >> 32), static_cast<Symbol>(key));
  }
  return pairs;
}

// Keys whose product with an odd constant, the usual hash of a table, has equal upper halves: the inverse of the constant
// undoes the product.
Pairs PairsOfOneProduct(size_t count) {
  constexpr uint64_t kConstant = 0x9e3779b97f4a7c15;
  uint64_t inverse = kConstant;
  for (int i = 0; i < 6; ++i) inverse *= 2 - kConstant * inverse;
  Pairs pairs;
  for (uint64_t low = 0; pairs.size() < count; ++low) {
    const uint64_t key = ((uint64_t{7} << 32) | low) * inverse;
    const auto left = static_cast<Symbol>(key >> 32);
    const auto right = static_cast<Symbol>(key);
    if (left != kNoSymbol && right != kNoSymbol) pairs.emplace_back(left, right);
  }
  return pairs;
}

TEST(MergeTable, T04APairHasItsFirstEntry) {
  MergeTable table;
  EXPECT_EQ(table.Find(1, 2), nullptr);
  table.Add(1, 2, {0, 3});
  table.Add(1, 2, {1, 4});
  ASSERT_NE(table.Find(1, 2), nullptr);
  EXPECT_EQ(table.Find(1, 2)->result, 3u);
  EXPECT_EQ(table.Find(2, 1), nullptr);
  EXPECT_EQ(table.Find(1, kNoSymbol), nullptr);
  EXPECT_EQ(table.size(), 1u);
}

TEST(MergeTable, T04PairsMadeToCollideTakeNoLonger) {
  constexpr size_t kPairs = 60'000;  // all in one chain: some 4e9 steps
  const double usual = FillTable(RandomPairs(kPairs));
  EXPECT_LT(FillTable(PairsOfOneProduct(kPairs)), 10 * usual + 0.2);
}

}  // namespace
}  // namespace damask::tokenizer
