#include <gtest/gtest.h>

#include "policies/tree_search.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

TreeSearch::Score Table(const std::vector<float>* table, size_t* looks) {
  return [table, looks](std::span<const uint32_t> blocks, float* scores) {
    *looks += blocks.size();
    for (size_t i = 0; i < blocks.size(); ++i) scores[i] = (*table)[blocks[i]];
  };
}

std::vector<uint32_t> Find(const std::vector<float>& table, uint32_t begin, uint32_t end, uint32_t count) {
  TreeSearch search;
  size_t looks = 0;
  const std::span<const uint32_t> found = search.Find(begin, end, count, Table(&table, &looks));
  return {found.begin(), found.end()};
}

TEST(TreeSearch, TakesAllWhereTheNodesCover) {
  const std::vector<float> table(30, 1.0f);
  EXPECT_EQ(Find(table, 3, 7, 4), (std::vector<uint32_t>{3, 4, 5, 6}));
  EXPECT_EQ(Find(table, 3, 7, 9), (std::vector<uint32_t>{3, 4, 5, 6}));
  EXPECT_TRUE(Find(table, 5, 5, 3).empty());
}

TEST(TreeSearch, IsExactUpToTwiceAsManyBlocksAsNodes) {
  std::mt19937 random(5);
  std::vector<float> table(64);
  for (float& x : table) x = static_cast<float>(random() % 9);  // with ties
  for (uint32_t length = 20; length <= 40; ++length) {
    std::vector<uint32_t> expected(length);
    for (uint32_t i = 0; i < length; ++i) expected[i] = 7 + i;
    std::stable_sort(expected.begin(), expected.end(), [&](uint32_t a, uint32_t b) { return table[a] > table[b]; });
    expected.resize(20);
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(Find(table, 7, 7 + length, 20), expected) << length;
  }
}

TEST(TreeSearch, FindsAHillWithFewLooks) {
  std::vector<float> table(4096);
  for (size_t i = 0; i < table.size(); ++i) table[i] = -std::abs(static_cast<float>(i) - 2717.0f);
  TreeSearch search;
  size_t looks = 0;
  const std::span<const uint32_t> found = search.Find(0, 4096, 16, Table(&table, &looks));
  EXPECT_EQ(
      std::vector<uint32_t>(found.begin(), found.end()),
      (std::vector<uint32_t>{2709, 2710, 2711, 2712, 2713, 2714, 2715, 2716, 2717, 2718, 2719, 2720, 2721, 2722, 2723, 2724}));
  EXPECT_EQ(looks, 2u * 16 * 8);
}

// From `begin` on `count` keys that head `head` of every later query likes.
void PlaceField(Text* text, uint64_t begin, uint64_t count, size_t head) {
  for (uint64_t p = begin; p < begin + count; ++p) text->key(p)[head] = 12.0f;
  for (uint64_t p = begin + count; p < text->length(); ++p) text->query(p, head)[head] = 6.0f;
}

TEST(HipPolicy, EqualsTheExactChoiceWhereTheNodesCoverHalf) {
  Text text(1024, 1, 1);
  PolicyRun run("hip:keys=240,sinks=16,window=64,skip=0,stride=1", &text);
  run.Append(600);
  // The block of rows 512..575: sink 0, window from 448 on, 27 blocks between, 15 of them found.
  std::vector<std::pair<double, uint64_t>> order;
  for (uint64_t block = 1; block < 28; ++block) {
    double best = -1e30;
    for (uint64_t row = 512; row < 576; ++row) {
      for (uint64_t key = block * 16; key < block * 16 + 16; ++key) {
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) score += static_cast<double>(text.query(row)[d]) * text.key(key)[d];
        best = std::max(best, score);
      }
    }
    order.emplace_back(-best, block);
  }
  std::sort(order.begin(), order.end());
  std::set<uint64_t> expected;
  for (size_t i = 0; i < 15; ++i) {
    for (uint64_t key = 0; key < 16; ++key) expected.insert(order[i].second * 16 + key);
  }
  for (uint64_t key = 0; key < 16; ++key) expected.insert(key);
  for (uint64_t key = 448; key <= 575; ++key) expected.insert(key);
  EXPECT_EQ(run.Keys(575), expected);
}

TEST(HipPolicy, HeadsSearchForThemselvesOrTogether) {
  for (const bool joint : {false, true}) {
    Text text(2000, 2, 1);
    PlaceField(&text, 640, 160, 0);
    PlaceField(&text, 1280, 160, 1);
    PolicyRun run(std::string("hip:keys=160,sinks=16,window=64,skip=0,heads=") + (joint ? "joint" : "each"), &text);
    run.Append(1999);
    run.Append(1);
    // Halves that the field reaches into without filling their middle are lost.
    const auto found = [&](uint64_t query, size_t head, uint64_t begin) {
      const std::set<uint64_t> keys = run.Keys(query, head);
      return std::distance(keys.lower_bound(begin), keys.lower_bound(begin + 160));
    };
    for (const uint64_t query : {1900, 1999}) {
      EXPECT_GE(found(query, 0, 640), joint ? 16 : 96) << query;
      EXPECT_GE(found(query, 1, 1280), joint ? 16 : 96) << query;
      EXPECT_EQ(run.Keys(query, 0) == run.Keys(query, 1), joint) << query;
    }
  }
}

TEST(HipPolicy, DecodedTokensShareASearchAndTheWindowGrowsMeanwhile) {
  Text text(1100, 2, 1);
  PolicyRun run("hip:keys=96,sinks=16,window=64,skip=0", &text);
  run.Append(1003);
  for (size_t i = 0; i < 14; ++i) run.Append(1);  // 1003 .. 1016
  const auto far = [&](uint64_t query) {
    std::set<uint64_t> keys = run.Keys(query);
    keys.erase(keys.lower_bound(928), keys.end());
    return keys;
  };
  for (uint64_t query = 1003; query < 1017; ++query) {
    const std::set<uint64_t> keys = run.Keys(query);
    for (uint64_t key = query - 64; key <= query; ++key) ASSERT_TRUE(keys.contains(key)) << query;
    // A sink block and six found, four of the window, the one being filled, and what came while a search was shared.
    EXPECT_LE(keys.size(), 12 * 16 + 8u) << query;
    const bool searched = query % 8 == 0 || query == 1003;
    if (searched) continue;
    EXPECT_EQ(far(query), far(query - 1)) << query;
  }
  EXPECT_NE(far(1007), far(1008));
  EXPECT_NE(far(1015), far(1016));
}

TEST(HipPolicy, ASearchThatWasCutAwayIsForgotten) {
  Text text(1100, 2, 1);
  PolicyRun once("hip:keys=96,sinks=16,window=64,skip=0", &text);
  once.Append(1002);
  once.Append(1);
  PolicyRun again("hip:keys=96,sinks=16,window=64,skip=0", &text);
  again.Append(1001);
  again.Append(1);
  again.Append(1);
  again.Truncate(1001);
  again.Append(1);  // at 1001, as before
  const std::set<uint64_t> shared = again.Keys(1001);
  again.Append(1);
  EXPECT_EQ(again.Keys(1002).size(), shared.size() + 1);
  EXPECT_NE(again.Keys(1002), once.Keys(1002));
  Text other = text;
  for (size_t d = 0; d < Text::kDim; ++d) other.query(1000)[d] = -other.query(1002)[d];
  PolicyRun cut("hip:keys=96,sinks=16,window=64,skip=0", &other);
  cut.Append(1000);
  cut.Append(1);
  cut.Truncate(1000);
  cut.Append(2);
  cut.Append(1);
  EXPECT_EQ(cut.Keys(1002), once.Keys(1002));
}

TEST(HipPolicy, TheFirstLayersAreDense) {
  Text text(700, 2, 1);
  PolicyRun run("hip:keys=32,sinks=16,window=16,skip=1", &text, 2);
  run.Append(700);
  EXPECT_EQ(run.Keys(699, 0, 0).size(), 700u);
  EXPECT_LE(run.Keys(699, 0, 1).size(), 16 + 32 + 16 + 64u);
}

TEST(HipPolicy, ASearchServesNoTokenBehindAPromptThatCameInBetween) {
  Text text(1100, 2, 1);
  PolicyRun between("hip:keys=96,sinks=16,window=64,skip=0,refresh=64", &text);
  between.Append(980);
  between.Append(1);
  between.Append(40);
  between.Append(1);
  PolicyRun fresh("hip:keys=96,sinks=16,window=64,skip=0,refresh=64", &text);
  fresh.Append(1021);
  fresh.Append(1);
  for (size_t head = 0; head < 2; ++head) EXPECT_EQ(between.Keys(1021, head), fresh.Keys(1021, head));
}

// Decodes from 995 on, where it has not got there yet it reads up to it.
void DecodeTo(uint64_t end, PolicyRun* run) {
  if (run->length() < 995) run->Append(995 - run->length());
  while (run->length() < end) run->Append(1);
}

TEST(HipPolicy, AStateSaysHowFarItCanGoBackExactly) {
  Text text(1100, 2, 1);
  const std::string spec = "hip:keys=96,sinks=16,window=64,skip=0";  // searches at 995, 1000 and 1008
  PolicyRun fresh(spec, &text);
  DecodeTo(1012, &fresh);
  for (const uint64_t end : {1007, 1009}) {
    for (const uint64_t length : {990, 995, 996, 998, 1000, 1004, 1007, 1008}) {
      if (length > end) continue;
      PolicyRun run(spec, &text);
      DecodeTo(end, &run);
      const uint64_t exact = run.state()->ExactLength(length);
      // The search at 995 was lost to that at 1000, and this one to that at 1008.
      const bool lost = (length > 995 && length < 1000) || (end > 1008 && length > 1000 && length < 1008);
      EXPECT_EQ(exact, lost ? (length < 1000 ? 995 : 1000) : length) << end;
      run.Truncate(exact);
      EXPECT_EQ(run.state()->ExactLength(exact), exact);
      DecodeTo(1012, &run);
      for (uint64_t query = std::max<uint64_t>(exact, 995); query < 1012; ++query) {
        for (size_t head = 0; head < 2; ++head) {
          ASSERT_EQ(run.Keys(query, head), fresh.Keys(query, head)) << end << " cut at " << length << ", query " << query;
        }
      }
    }
  }
}

// What was served from a search that is gone cannot be brought back later either.
TEST(HipPolicy, ACutInTheMiddleDoesNotMakeEarlierOnesExact) {
  Text text(1100, 1, 1);
  PolicyRun run("hip:keys=96,sinks=16,window=64,skip=0", &text);
  DecodeTo(1012, &run);
  run.Truncate(1004);
  EXPECT_EQ(run.state()->ExactLength(1003), 1000u);
  EXPECT_EQ(run.state()->ExactLength(994), 994u);
  // Before the first search nothing is lost, and that is a later one now.
  run.Truncate(990);
  run.Append(13);
  run.Append(1);
  EXPECT_EQ(run.state()->ExactLength(1001), 1001u);
}

}  // namespace
}  // namespace damask::policies
