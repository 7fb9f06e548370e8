#include "masks/kept_keys.h"

#include <gtest/gtest.h>

#include "masks/extend.h"
#include "masks/quarters.h"
#include "tests/masks/mask_cases.h"

namespace damask::masks {
namespace {

// Ranges that ascend, lie apart, and hold exactly the keys that Keeps() keeps, for every row up to `length`.
void ExpectAsKeeps(const HeadMask& head, const Parameters& parameters, uint64_t length) {
  std::vector<KeySpan> keys;
  for (uint64_t query = 0; query < length; ++query) {
    KeptKeys(head, parameters, query, &keys);
    std::vector<bool> kept(query + 1, false);
    uint64_t free = 0;
    for (const KeySpan& span : keys) {
      ASSERT_LT(span.begin, span.end) << "row " << query;
      ASSERT_GE(span.begin, free) << "row " << query;
      ASSERT_LE(span.end, query + 1) << "row " << query;
      free = span.end + 1;
      for (uint64_t key = span.begin; key < span.end; ++key) kept[key] = true;
    }
    for (uint64_t key = 0; key <= query; ++key) {
      ASSERT_EQ(kept[key], Keeps(head, parameters, query, key)) << "query " << query << " key " << key;
    }
  }
}

TEST(SortAndJoin, JoinsRangesOfAnyUnitAndDropsEmptyOnes) {
  std::vector<KeySpan> keys = {{7, 9}, {0, 2}, {20, 20}, {9, 12}, {1, 1}, {8, 10}, {14, 15}};
  SortAndJoin(&keys);
  EXPECT_EQ(keys, (std::vector<KeySpan>{{0, 2}, {7, 12}, {14, 15}}));
  std::vector<QuarterRange> quarters = {{5, 6}, {3, 3}, {6, 8}, {1, 2}};
  SortAndJoin(&quarters);
  EXPECT_EQ(quarters, (std::vector<QuarterRange>{{1, 2}, {5, 8}}));
}

TEST(KeptKeys, AreThePairsOfTheRuleForRandomPatterns) {
  std::mt19937 random(11);
  for (const uint32_t capture : {1u, 2u, 17u, 40u}) {
    for (const double fill : {0.0, 0.1, 0.6, 1.0}) {
      Parameters parameters;
      parameters.capture_length = capture;
      parameters.sink_keys = 1 + capture / 5;
      ExpectAsKeeps(RandomHead(capture, fill, &random), parameters, 4 * capture);
    }
  }
}

TEST(KeptKeys, FollowTheWindowWhereThatIsTheForm) {
  HeadMask head;
  head.form = StaticForm::kWindow;
  head.window_sinks = 3;
  head.window = 7;
  ExpectAsKeeps(head, {}, 50);
}

TEST(KeptKeys, AreAllKeysOfContentAndDenseHeads) {
  HeadMask head;
  head.treatment = Treatment::kContent;
  ExpectAsKeeps(head, {}, 5);
  head.treatment = Treatment::kDense;
  ExpectAsKeeps(head, {}, 5);
}

}  // namespace
}  // namespace damask::masks
