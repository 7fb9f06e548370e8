#include "policies/content_keys.h"

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "base/checked.h"
#include "tests/kernels/attention_cases.h"

namespace damask::policies {
namespace {

constexpr size_t kDim = 64;

// The first `rank` coordinates: scores by them are exact where keys or queries have no others.
masks::KeyDirections Coordinates(uint32_t rank) {
  masks::KeyDirections directions{.rank = rank, .head_dim = kDim};
  directions.values.resize(rank * kDim);
  for (uint32_t r = 0; r < rank; ++r) directions.values[r * kDim + r] = 1.0f;
  return directions;
}

struct Text {
  explicit Text(size_t tokens, uint32_t seed = 3) : cache({kDim, kernels::KvType::kF32}, tokens, seed) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0f, 0.1f);
    q.resize(kernels::kQueryBlockRows * kDim);
    for (float& x : q) x = normal(random);
  }
  KeyPages pages() const { return {cache.pages(), &cache.layout()}; }
  // Row `row` of the queries asks for the key at `position`.
  void Ask(size_t row, size_t position) {
    std::vector<float> key(kDim);
    kernels::LoadKey(cache.layout(), cache.pages()[position / 64], position % 64, key.data());
    for (size_t d = 0; d < kDim; ++d) q[row * kDim + d] = 2.0f * key[d];
  }
  std::vector<masks::QuarterRange> Choose(const ContentKeys& keys, const Projection& projection, const ContentOptions& options,
                                          uint64_t first, size_t rows, uint32_t own_window = 0) {
    ContentScratch scratch;
    std::vector<masks::QuarterRange> chosen;
    ChooseQuarters(Target::kScalar, options, projection, keys, {q.data(), kDim, rows, first}, 0, own_window, &scratch, &chosen);
    return chosen;
  }

  kernels::RandomCache cache;
  std::vector<float> q;  // [64, kDim]
};

bool SameQuarter(const ContentKeys& a, const ContentKeys& b, size_t quarter, size_t rank) {
  const kernels::ByteQuarter x = a.quarter(quarter);
  const kernels::ByteQuarter y = b.quarter(quarter);
  return std::equal(x.bytes, x.bytes + rank * 16, y.bytes) && std::equal(x.offsets, x.offsets + 16, y.offsets) &&
         x.scale == y.scale;
}

bool SameMeans(const ContentKeys& a, const ContentKeys& b, size_t quarters, size_t rank) {
  const size_t groups = CeilDiv(quarters, kernels::kByteGroup);
  const kernels::ByteGroups x = a.means().Groups(0, groups);
  const kernels::ByteGroups y = b.means().Groups(0, groups);
  const size_t vectors = groups * kernels::kByteGroup;
  return std::equal(x.bytes, x.bytes + vectors * rank, y.bytes) && std::equal(x.offsets, x.offsets + vectors, y.offsets) &&
         std::equal(x.scales, x.scales + vectors, y.scales);
}

size_t Count(const std::vector<masks::QuarterRange>& ranges) {
  size_t quarters = 0;
  for (const masks::QuarterRange& range : ranges) quarters += range.end - range.begin;
  return quarters;
}

TEST(ContentKeys, AKeyThatARowAsksForIsFoundWhereverItStands) {
  const Projection projection(Coordinates(kDim));
  for (const size_t position : {100u, 777u, 1500u, 1850u}) {
    Text text(2048);
    text.Ask(17, position);
    ContentKeys keys;
    keys.Append(Target::kScalar, projection, text.pages(), 0, 2048);
    const auto chosen = text.Choose(keys, projection, {.sinks = 16, .local = 64, .max_quarters = 4}, 1984, 64);
    EXPECT_TRUE(masks::Contains(chosen, static_cast<uint32_t>(position / 16))) << position;
  }
}

TEST(ContentKeys, SinksAndLocalKeysUpToTheDiagonalAreAlwaysChosen) {
  const Projection projection(Coordinates(16));
  Text text(1024);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 1024);
  const auto chosen = text.Choose(keys, projection, {.sinks = 20, .local = 64, .max_quarters = 3}, 960, 40);
  for (const uint32_t quarter : {0u, 1u, 57u, 58u, 59u, 60u, 61u, 62u})
    EXPECT_TRUE(masks::Contains(chosen, quarter)) << quarter;
  EXPECT_FALSE(masks::Contains(chosen, 63)) << "behind the diagonal";
  EXPECT_LE(Count(chosen), 2u + 7u + 3u);
  for (size_t i = 1; i < chosen.size(); ++i) EXPECT_GT(chosen[i].begin, chosen[i - 1].end);
}

TEST(ContentKeys, ABudgetThatCoversEverythingChoosesEverything) {
  const Projection projection(Coordinates(kDim));
  Text text(512);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 512);
  const ContentOptions all{.max_quarters = 1000, .target = 2.0, .coarse_keep = 1.0};
  EXPECT_EQ(Count(text.Choose(keys, projection, all, 448, 64)), 32u);
}

// With a target that is never reached as many quarters are chosen as may be.
TEST(ContentKeys, MostQuartersAreAsManyAsAreChosenAtMost) {
  const Projection projection(Coordinates(16));
  Text text(1024);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 1024);
  for (const uint32_t blocks : {0u, 3u, 1000u}) {
    const ContentOptions options{.sinks = 16, .local = 40, .max_quarters = blocks, .target = 2.0};
    for (const uint32_t window : {0u, 100u, 300u}) {
      for (const auto& [first, rows] : {std::pair<uint64_t, size_t>{0, 1}, {0, 64}, {64, 33}, {960, 64}, {1023, 1}}) {
        std::vector<masks::QuarterRange> most;
        MostQuarters(options, first, rows, window, &most);
        const auto chosen = text.Choose(keys, projection, options, first, rows, window);
        EXPECT_EQ(Count(most), Count(chosen)) << blocks << " blocks, window " << window << ", row " << first;
        EXPECT_EQ(most.back().end, chosen.back().end);
      }
    }
  }
}

TEST(ContentKeys, MostQuartersAreNoMoreThanTheCoarsePassLeaves) {
  const Projection projection(Coordinates(16));
  Text text(4096);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 4096);
  for (const ContentOptions& options : {ContentOptions{.max_quarters = 1000, .target = 2.0, .coarse_keep = 0.25},
                                        ContentOptions{.max_quarters = 1000, .target = 2.0, .max_survivors = 30}}) {
    for (const uint64_t first : {320u, 1088u, 4032u}) {  // 20, 68 and 252 quarters before it
      std::vector<masks::QuarterRange> most;
      MostQuarters(options, first, 64, 0, &most);
      EXPECT_EQ(Count(most), Count(text.Choose(keys, projection, options, first, 64))) << first;
    }
  }
}

TEST(ContentKeys, ShortTextsHaveNothingToChoose) {
  const Projection projection(Coordinates(16));
  Text text(64);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 1);
  EXPECT_EQ(Count(text.Choose(keys, projection, {}, 0, 1)), 1u);
}

TEST(ContentKeys, KeysAppendedInPiecesAreThoseAppendedAtOnce) {
  constexpr uint64_t kTokens = 926;
  for (const uint32_t rank : {16u, 32u, 64u}) {
    const Projection projection(Coordinates(rank));
    for (const kernels::KvType type : {kernels::KvType::kF32, kernels::KvType::kBf16}) {
      const kernels::RandomCache cache({kDim, type}, kTokens, 3);
      const KeyPages pages = {cache.pages(), &cache.layout()};
      for (const Target target : AllTargets()) {
        if (!TargetSupported(target)) continue;
        ContentKeys whole;
        whole.Append(target, projection, pages, 0, kTokens);
        for (const std::vector<uint64_t>& ends :
             {std::vector<uint64_t>{5, 300, 301, 700, kTokens}, {512, kTokens}, {128, 256, 384, 512, 640, 768, 896, kTokens}}) {
          ContentKeys pieces;
          uint64_t first = 0;
          for (const uint64_t end : ends) {
            pieces.Append(target, projection, pages, first, end);
            first = end;
          }
          const size_t quarters = CeilDiv(kTokens, 16);
          for (size_t quarter = 0; quarter < quarters; ++quarter) {
            EXPECT_TRUE(SameQuarter(whole, pieces, quarter, rank))
                << TargetName(target) << ", rank " << rank << ", " << quarter;
          }
          EXPECT_TRUE(SameMeans(whole, pieces, quarters, rank)) << TargetName(target) << ", rank " << rank;
        }
      }
    }
  }
}

TEST(ContentKeys, AfterATruncationTheTextGoesOnAsIfNothingElseHadBeenThere) {
  const Projection projection(Coordinates(32));
  Text text(700);
  Text other(700, 99);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 200);
  keys.Append(Target::kScalar, projection, other.pages(), 200, 700);
  keys.Truncate(200);
  keys.Append(Target::kScalar, projection, text.pages(), 200, 700);
  ContentKeys fresh;
  fresh.Append(Target::kScalar, projection, text.pages(), 0, 700);
  for (size_t quarter = 0; quarter * 16 < 700; ++quarter) EXPECT_TRUE(SameQuarter(fresh, keys, quarter, 32)) << quarter;
}

TEST(ContentKeys, EveryTargetChoosesTheSame) {
  const Projection projection(Coordinates(32));
  Text text(2048);
  for (size_t row = 0; row < 64; row += 9) text.Ask(row, 20 * row + 50);
  std::vector<masks::QuarterRange> expected;
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    ContentKeys keys;
    keys.Append(target, projection, text.pages(), 0, 2048);
    ContentScratch scratch;
    std::vector<masks::QuarterRange> chosen;
    ChooseQuarters(target, {}, projection, keys, {text.q.data(), kDim, 64, 1984}, 0, 0, &scratch, &chosen);
    if (target == Target::kScalar) expected = chosen;
    EXPECT_EQ(chosen, expected) << TargetName(target);
  }
}

TEST(ContentKeys, QuartersBehindTheModelsWindowTakeNobodysPlace) {
  const Projection projection(Coordinates(kDim));
  Text text(2048);
  text.Ask(17, 100);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 2048);
  const ContentOptions options{.sinks = 16, .local = 64, .max_quarters = 4, .target = 2.0};
  const auto chosen = text.Choose(keys, projection, options, 1984, 64, 300);
  EXPECT_GE(chosen.front().begin, (1984 - 299) / 16);
  EXPECT_EQ(Count(chosen), 4u + 8u);  // as many as may be chosen, and the local ones
}

TEST(ContentKeys, AQuarterDoesNotCountForRowsThatTheModelsWindowHidesItFrom) {
  const Projection projection(Coordinates(kDim));
  Text text(2048);
  text.Ask(63, 1700);  // the last row sees keys from 1748 on
  for (size_t d = 0; d < kDim; ++d) text.q[63 * kDim + d] *= 4.0f;
  text.Ask(40, 1760);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 2048);
  const ContentOptions options{.sinks = 16, .local = 32, .max_quarters = 1, .target = 2.0};
  const auto chosen = text.Choose(keys, projection, options, 1984, 64, 300);
  EXPECT_TRUE(masks::Contains(chosen, 1760 / 16));
  EXPECT_FALSE(masks::Contains(chosen, 1700 / 16));
}

TEST(ContentKeys, TheCoarsePassKeepsToTheModelsWindow) {
  const Projection projection(Coordinates(kDim));
  for (const size_t rows : {size_t{1}, size_t{64}}) {
    Text text(4096);
    text.Ask(0, 2000);
    ContentKeys keys;
    keys.Append(Target::kScalar, projection, text.pages(), 0, 4096);
    const ContentOptions options{.max_quarters = 200, .target = 2.0, .coarse_keep = 0.5};
    const auto chosen = text.Choose(keys, projection, options, 4032, rows, 3000);
    const size_t begin = (4032 - 2999) / 16;
    const size_t local = (4032 - 31) / 16;
    const size_t end = (4032 + rows - 1) / 16 + 1;
    EXPECT_TRUE(masks::Contains(chosen, 2000 / 16)) << rows;
    EXPECT_GE(chosen.front().begin, begin) << rows;
    EXPECT_EQ(Count(chosen), (local - begin + 1) / 2 + end - local) << rows;
  }
}

// The quarters that have the largest shares of any row, each by the best of its four means, in floats and of all means.
std::vector<uint32_t> BestByExactMeans(const Text& text, uint64_t first, size_t rows, size_t sinks, size_t local,
                                       size_t count) {
  constexpr size_t kKeys = 4;  // of a mean
  const size_t means = ((first + rows - 1) / 16 + 1) * 16 / kKeys;
  std::vector<float> mean(means * kDim);
  std::vector<float> key(kDim);
  for (size_t position = 0; position < means * kKeys; ++position) {
    kernels::LoadKey(text.cache.layout(), text.cache.pages()[position / 64], position % 64, key.data());
    for (size_t d = 0; d < kDim; ++d) mean[position / kKeys * kDim + d] += key[d] / kKeys;
  }
  std::vector<double> best(means * kKeys / 16, 0.0);
  std::vector<double> scores(means);
  for (size_t r = 0; r < rows; ++r) {
    double sum = 0;
    for (size_t i = 0; i < means; ++i) {
      double score = 0;
      for (size_t d = 0; d < kDim; ++d) score += double{text.q[r * kDim + d]} * double{mean[i * kDim + d]};
      scores[i] = std::exp(score / 8.0);
      sum += scores[i];
    }
    for (size_t i = 0; i < means; ++i) best[i * kKeys / 16] = std::max(best[i * kKeys / 16], scores[i] / sum);
  }
  std::vector<uint32_t> order;
  for (size_t quarter = sinks; quarter < local; ++quarter) order.push_back(static_cast<uint32_t>(quarter));
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) { return best[a] > best[b]; });
  order.resize(count);
  return order;
}

// In bytes, and with sums of rows that a sample of the means estimates: nearly the same quarters.
TEST(ContentKeys, TheCoarsePassLeavesTheQuartersWithTheLargestSharesOfMeans) {
  constexpr size_t kTokens = 20480;  // 320 groups of means, of which every tenth counts for the sums
  constexpr uint64_t kFirst = kTokens - 64;
  const Projection projection(Coordinates(kDim));
  for (const size_t rows : {size_t{1}, size_t{64}}) {
    Text text(kTokens);
    for (float& x : text.q) x *= 15.0f;
    // Every other row goes for a sink and for nothing else, with larger scores everywhere.
    for (size_t r = 1; r < rows; r += 2) {
      text.Ask(r, 3);
      for (size_t d = 0; d < kDim; ++d) text.q[r * kDim + d] *= 8.0f;
    }
    ContentKeys keys;
    keys.Append(BestTarget(), projection, text.pages(), 0, kTokens);
    const ContentOptions options{.max_quarters = 10000, .target = 2.0, .coarse_keep = 0.1};
    ContentScratch scratch;
    std::vector<masks::QuarterRange> chosen;
    ChooseQuarters(BestTarget(), options, projection, keys, {text.q.data(), kDim, rows, kFirst}, 0, 0, &scratch, &chosen);
    const size_t local = (kFirst + 1 - 32) / 16;
    const size_t survivors = (local - 1 + 9) / 10;
    size_t found = 0;
    for (const uint32_t quarter : BestByExactMeans(text, kFirst, rows, 1, local, survivors)) {
      found += masks::Contains(chosen, quarter) ? 1 : 0;
    }
    EXPECT_EQ(Count(chosen), survivors + 1 + (kFirst + rows - 1) / 16 + 1 - local);
    // Scores of random keys lie close together: rounding and the sample exchange some. By scores alone it would be a sixth.
    EXPECT_GE(found, survivors * 7 / 10) << rows;
  }
}

TEST(ContentKeys, FewerRowsChooseForAll) {
  const Projection projection(Coordinates(kDim));
  Text text(2048);
  text.Ask(31, 500);   // every 16th row by position is asked,
  text.Ask(40, 900);   // this one not,
  text.Ask(61, 1300);  // but the last one of a block always
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 2048);
  ContentOptions options{.max_quarters = 3, .target = 2.0};
  const auto by_all = text.Choose(keys, projection, options, 1984, 62);
  for (const size_t position : {500, 900, 1300}) EXPECT_TRUE(masks::Contains(by_all, position / 16)) << position;
  options.rows = 4;
  const auto by_few = text.Choose(keys, projection, options, 1984, 62);
  for (const size_t position : {500, 1300}) EXPECT_TRUE(masks::Contains(by_few, position / 16)) << position;
  EXPECT_FALSE(masks::Contains(by_few, 900 / 16));
  EXPECT_EQ(Count(by_few), Count(by_all));
  EXPECT_EQ(text.Choose(keys, projection, options, 2014, 1),
            text.Choose(keys, projection, {.max_quarters = 3, .target = 2.0}, 2014, 1))
      << "a drawn token's row is always asked";
}

TEST(ContentKeys, AWindowThatHidesNothingChangesNothing) {
  const Projection projection(Coordinates(32));
  Text text(2048);
  for (size_t row = 0; row < 64; row += 9) text.Ask(row, 20 * row + 50);
  ContentKeys keys;
  keys.Append(Target::kScalar, projection, text.pages(), 0, 2048);
  for (const double coarse : {0.3, 1.0}) {
    const ContentOptions options{.coarse_keep = coarse};
    EXPECT_EQ(text.Choose(keys, projection, options, 1984, 64, 2048), text.Choose(keys, projection, options, 1984, 64));
  }
}

}  // namespace
}  // namespace damask::policies
