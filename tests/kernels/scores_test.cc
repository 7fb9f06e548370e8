#include "kernels/scores.h"

#include <cmath>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/cpu.h"
#include "kernels/scores_targets.h"

namespace damask::kernels {
namespace {

struct Pages {
  Pages(PageLayout page_layout, size_t tokens, uint32_t seed) : layout(page_layout) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> key(layout.head_dim);
    std::vector<float> value(layout.head_dim);
    storage.resize((tokens + kPageTokens - 1) / kPageTokens, std::vector<std::byte>(layout.bytes()));
    for (std::vector<std::byte>& page : storage) table.push_back(page.data());
    for (size_t t = 0; t < tokens; ++t) {
      for (float& x : key) x = normal(random);
      for (float& x : value) x = normal(random);
      StoreSlot(layout, storage[t / kPageTokens].data(), t % kPageTokens, key.data(), value.data());
    }
  }
  std::vector<float> Key(size_t t) const {
    std::vector<float> key(layout.head_dim);
    LoadKey(layout, table[t / kPageTokens], t % kPageTokens, key.data());
    return key;
  }
  std::vector<float> Value(size_t t) const {
    std::vector<float> value(layout.head_dim);
    LoadValue(layout, table[t / kPageTokens], t % kPageTokens, value.data());
    return value;
  }

  PageLayout layout;
  std::vector<std::vector<std::byte>> storage;
  std::vector<const std::byte*> table;
};

std::vector<Target> Targets() {
  std::vector<Target> targets = {Target::kScalar};
  for (const Target target : {Target::kAvx2, Target::kAvx512, Target::kAmx}) {
    if (target <= BestTarget()) targets.push_back(target);
  }
  return targets;
}

// What Scores does, by some body of its.
using ScoresFunction =
    std::function<void(const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end, const float* q,
                       size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride, ScoresScratch* scratch)>;

void ExpectDotProducts(const ScoresFunction& function, const PageLayout& layout, const std::string& what) {
  constexpr uint64_t kFirst = 16;
  constexpr uint64_t kEnd = 203;
  constexpr size_t kStride = 200;
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const Pages pages(layout, kEnd, 7);
  const size_t q_stride = layout.head_dim + 3;
  for (const size_t rows : {1, 4, 9, 16, 33}) {
    std::vector<float> q(rows * q_stride);
    for (float& x : q) x = normal(random);
    ScoresScratch scratch;
    std::vector<float> scores(rows * kStride, -7.0f);
    function(layout, pages.table.data(), kFirst, kEnd, q.data(), q_stride, rows, 0.5f, scores.data(), kStride, &scratch);
    for (size_t r = 0; r < rows; ++r) {
      for (size_t key = kFirst; key < kEnd; ++key) {
        const std::vector<float> k = pages.Key(key);
        double expected = 0;
        double lengths[2] = {};
        for (size_t d = 0; d < layout.head_dim; ++d) {
          const double x = q[r * q_stride + d];
          expected += 0.5 * x * static_cast<double>(k[d]);
          lengths[0] += x * x;
          lengths[1] += static_cast<double>(k[d]) * static_cast<double>(k[d]);
        }
        ASSERT_NEAR(scores[r * kStride + key - kFirst], expected, 1e-5 * 0.5 * std::sqrt(lengths[0] * lengths[1]))
            << what << ", head_dim " << layout.head_dim << ", row " << r << " of " << rows << ", key " << key;
      }
      EXPECT_EQ(scores[r * kStride + kEnd - kFirst], -7.0f) << "a score behind the last key was touched";
    }
  }
}

TEST(Scores, EqualTheDotProductsForEveryTargetTypeAndLength) {
  for (const KvType type : {KvType::kBf16, KvType::kF32, KvType::kQ8}) {
    for (const size_t dim : {16, 64, 80, 128}) {
      for (const Target target : Targets()) {
        const auto scores = [target](auto&&... arguments) { Scores(target, arguments...); };
        ExpectDotProducts(scores, {dim, type}, std::string(TargetName(target)));
      }
    }
  }
}

TEST(Scores, EqualTheDotProductsByEmulatedTiles) {
  if (!TargetSupported(Target::kAvx512Bf16)) GTEST_SKIP() << "wants AVX-512 bf16";
  for (const size_t dim : {32, 64, 256}) ExpectDotProducts(amx::TileScoresEmulated, {dim, KvType::kBf16}, "emulated tiles");
}

TEST(Scores, KeysOfAReleasedPageCannotBeSeen) {
  for (const Target target : Targets()) {
    for (const size_t released : {0, 1, 2}) {
      for (const size_t rows : {1, 18}) {
        Pages pages({64, KvType::kBf16}, 192, 3);
        pages.table[released] = nullptr;
        const std::vector<float> q(rows * 64, 1.0f);
        std::vector<float> scores(rows * 176);
        ScoresScratch scratch;
        Scores(target, pages.layout, pages.table.data(), 16, 190, q.data(), 64, rows, 1.0f, scores.data(), 176, &scratch);
        for (size_t key = 16; key < 190; ++key) {
          for (size_t r = 0; r < rows; ++r) {
            const float score = scores[r * 176 + key - 16];
            EXPECT_EQ(std::isfinite(score), key / kPageTokens != released) << TargetName(target) << ", key " << key;
            EXPECT_LE(score, 1e3f) << "hidden keys get -infinity";
          }
        }
      }
    }
  }
}

// Scores of runs [first, end / run) with `rows` queries, as RunScores gives them or a body of it.
struct RunCase {
  RunCase(PageLayout layout, size_t run_keys, size_t num_rows, uint64_t first_run, uint64_t last_key)
      : pages(layout, 260, 7),
        run(run_keys),
        rows(num_rows),
        first(first_run),
        end(last_key),
        runs((end + run - 1) / run - first),
        width(run * layout.head_dim + 5),
        q(rows * width) {
    std::mt19937 random(2);
    std::normal_distribution<float> normal;
    for (float& x : q) x = normal(random);
  }
  void ExpectSums(const std::vector<float>& scores, size_t stride, const std::string& what) const {
    const size_t dim = pages.layout.head_dim;
    for (size_t r = 0; r < rows; ++r) {
      for (size_t i = first; i < first + runs; ++i) {
        const float found = scores[r * stride + i - first];
        if (pages.table[i * run / kPageTokens] == nullptr) {
          ASSERT_EQ(found, -INFINITY) << what << ", run " << i;
          continue;
        }
        double expected = 0;
        for (size_t a = 0; a < run && i * run + a < end; ++a) {
          const std::vector<float> k = pages.Key(i * run + a);
          for (size_t d = 0; d < dim; ++d) expected += 0.5 * static_cast<double>(q[r * width + a * dim + d]) * k[d];
        }
        ASSERT_NEAR(found, expected, 1e-3) << what << ", run " << i << " of " << run << " keys, row " << r;
      }
      ASSERT_EQ(scores[r * stride + runs], -7.0f) << "a score behind the last run was touched";
    }
  }

  Pages pages;
  size_t run;
  size_t rows;
  uint64_t first;
  uint64_t end;
  size_t runs;
  size_t width;
  std::vector<float> q;
};

TEST(RunScores, EqualTheSumsOfDotProductsForEveryTargetTypeAndLength) {
  for (const KvType type : {KvType::kBf16, KvType::kF32, KvType::kQ8}) {
    for (const size_t dim : {16, 64, 80}) {
      for (const size_t run : {2, 4, 16, 64}) {
        for (const size_t end : {192, 199}) {
          for (const size_t rows : {3, 18}) {
            if (rows == 18 && type != KvType::kBf16) continue;
            RunCase c({dim, type}, run, rows, 1, end);
            for (const bool released : {false, true}) {
              if (released) c.pages.table[1] = nullptr;
              for (const Target target : Targets()) {
                ScoresScratch scratch;
                const size_t stride = c.runs + 1;
                std::vector<float> scores(rows * stride, -7.0f);
                RunScores(target, c.pages.layout, c.pages.table.data(), run, 1, end, c.q.data(), c.width, rows, 0.5f,
                          scores.data(), stride, &scratch);
                c.ExpectSums(scores, stride, std::string(TargetName(target)));
              }
            }
          }
        }
      }
    }
  }
}

TEST(RunScores, EqualTheSumsOfDotProductsByEmulatedTiles) {
  if (!TargetSupported(Target::kAvx512Bf16)) GTEST_SKIP() << "wants AVX-512 bf16";
  for (const size_t run : {4, 8, 64}) {
    for (const size_t rows : {1, 18}) {
      const RunCase c({32, KvType::kBf16}, run, rows, 0, 256);
      ScoresScratch scratch;
      const size_t stride = c.runs + 1;
      std::vector<float> scores(rows * stride, -7.0f);
      amx::TileRunScoresEmulated(c.pages.layout, c.pages.table.data(), run, 0, 4, c.q.data(), c.width, rows, 0.5f,
                                 scores.data(), stride, &scratch);
      c.ExpectSums(scores, stride, "emulated tiles");
    }
  }
}

TEST(RowProducts, EqualTheDotProductsForEveryTargetAndLength) {
  constexpr size_t kRows = 5;
  constexpr size_t kStride = 300;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> rows(kRows * kStride);
  std::vector<float> x(256);
  for (float& number : rows) number = normal(random);
  for (float& number : x) number = normal(random);
  for (const size_t n : {16u, 32u, 48u, 64u, 80u, 112u, 128u, 256u}) {
    for (const Target target : AllTargets()) {
      if (!TargetSupported(target)) continue;
      std::vector<float> out(kRows);
      RowProducts(target, x.data(), n, rows.data(), kStride, kRows, 0.25f, out.data());
      for (size_t row = 0; row < kRows; ++row) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(rows[row * kStride + i]);
        EXPECT_NEAR(out[row], 0.25 * sum, 1e-6 * static_cast<double>(n)) << TargetName(target) << " " << n;
      }
    }
  }
}

TEST(Softmax, EqualsTheDoubleOneForEveryTargetAndLength) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0.0f, 6.0f);
  for (const Target target : Targets()) {
    for (const size_t n : {1, 2, 15, 16, 17, 1000, 1024, 2500}) {
      std::vector<float> scores(n);
      for (float& x : scores) x = normal(random);
      const std::vector<float> before = scores;
      const double lse = Softmax(target, scores.data(), n);
      double sum = 0;
      for (const float x : before) sum += std::exp(static_cast<double>(x));
      EXPECT_NEAR(lse, std::log(sum), 1e-5);
      for (size_t i = 0; i < n; ++i) {
        const double expected = std::exp(static_cast<double>(before[i])) / sum;
        // Of which the rounding of score - largest to float is the larger part: 6e-8 of up to 50.
        ASSERT_NEAR(scores[i], expected, 6e-6 * expected + 1e-30) << TargetName(target) << " " << n << " " << i;
      }
    }
  }
}

TEST(Softmax, ARowWithoutAnyKeyBecomesZeros) {
  for (const Target target : Targets()) {
    std::vector<float> scores(20, -INFINITY);
    EXPECT_EQ(Softmax(target, scores.data(), scores.size()), -INFINITY);
    EXPECT_EQ(scores, std::vector<float>(20, 0.0f));
  }
}

TEST(WeightedValues, EqualTheSumOfValuesForEveryTargetTypeAndLength) {
  for (const KvType type : {KvType::kBf16, KvType::kF32, KvType::kQ8}) {
    for (const size_t n : {1, 31, 32, 33, 64, 65, 150}) {
      const Pages pages({64, type}, n, 11);
      constexpr size_t kRows = 7;  // four together, and single ones
      const size_t stride = n + 3;
      std::vector<float> probabilities(kRows * stride);
      for (size_t i = 0; i < probabilities.size(); ++i) probabilities[i] = 1.0f / static_cast<float>((i * 5) % 41 + 1);
      std::vector<double> expected(kRows * 64);
      for (size_t t = 0; t < n; ++t) {
        const std::vector<float> value = pages.Value(t);
        for (size_t i = 0; i < expected.size(); ++i) {
          expected[i] += static_cast<double>(probabilities[i / 64 * stride + t]) * static_cast<double>(value[i % 64]);
        }
      }
      for (const Target target : Targets()) {
        ScoresScratch scratch;
        for (const size_t rows : {size_t{1}, size_t{4}, kRows}) {
          std::vector<float> out(rows * 64, 9.0f);
          WeightedValues(target, pages.layout, pages.table.data(), probabilities.data(), stride, rows, n, out.data(), &scratch);
          for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], expected[i], 3e-4) << TargetName(target) << " " << n;
        }
      }
    }
  }
}

}  // namespace
}  // namespace damask::kernels
