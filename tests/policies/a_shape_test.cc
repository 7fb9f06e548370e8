#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

TEST(AShapePolicy, APromptSeesWholeBlocksOfSinksAndOfTheWindow) {
  Text text(700, 2, 1);
  PolicyRun run("a-shape:sinks=70,window=100", &text);
  run.Append(700);
  for (uint64_t query = 0; query < 700; ++query) {
    const std::set<uint64_t> keys = run.Keys(query);
    // The window of the query block's first row, in whole blocks; 70 sinks are two blocks.
    const uint64_t first = query / 64 * 64;
    const uint64_t window_begin = first >= 100 ? (first - 99) / 64 * 64 : 0;
    for (uint64_t key = 0; key <= query; ++key) {
      ASSERT_EQ(keys.contains(key), key < 128 || key >= window_begin) << "query " << query << " key " << key;
    }
  }
}

TEST(AShapePolicy, DecodingSeesEverythingUnlessItIsToldOtherwise) {
  Text text(501, 2, 1);
  PolicyRun dense("a-shape:sinks=64,window=64", &text);
  PolicyRun sparse("a-shape:sinks=64,window=64,decode=sparse", &text);
  for (PolicyRun* run : {&dense, &sparse}) {
    run->Append(500);
    run->Append(1);
  }
  EXPECT_EQ(dense.Keys(500).size(), 501u);
  // Sinks, the block of the window's first key, and what is there of the last block.
  EXPECT_EQ(sparse.Keys(500).size(), 64u + 64u + (501u - 448u));
}

TEST(AShapePolicy, CutsAnywhereChangeNothing) {
  Text text(600, 2, 1);
  PolicyRun whole("a-shape:sinks=20,window=90", &text);
  PolicyRun cut("a-shape:sinks=20,window=90", &text);
  whole.Append(600);
  for (const size_t count : {100, 33, 200, 267}) cut.Append(count);
  for (uint64_t query = 0; query < 600; ++query) ASSERT_EQ(whole.Keys(query), cut.Keys(query)) << query;
}

}  // namespace
}  // namespace damask::policies
