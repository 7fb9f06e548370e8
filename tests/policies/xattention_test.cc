#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// The estimate as the paper has it, in double, for a query block of whole strides.
std::vector<double> Estimate(Text* text, uint64_t first, size_t rows, size_t head, uint64_t stride, uint64_t block) {
  std::vector<double> blocks((first + rows - 1) / block + 1);
  for (uint64_t n = first / stride; n < (first + rows) / stride; ++n) {
    std::vector<double> p(n + 1);
    double total = 0;
    for (uint64_t m = 0; m <= n; ++m) {
      double sum = 0;
      for (uint64_t a = 0; a < stride; ++a) {
        const float* q = text->query(n * stride + stride - 1 - a, head);
        for (size_t d = 0; d < Text::kDim; ++d) sum += static_cast<double>(q[d]) * text->key(m * stride + a)[d];
      }
      total += p[m] = std::exp(sum / (static_cast<double>(stride) * 4));  // the root of kDim
    }
    for (uint64_t m = 0; m <= n; ++m) blocks[m * stride / block] += p[m] / total;
  }
  return blocks;
}

Text Peaky(size_t length, size_t heads) {
  Text text(length, heads, 1);
  for (float& q : text.queries) q *= 4.0f;
  return text;
}

TEST(XattentionPolicy, ChoosesTheFewestBlocksThatHoldTheThreshold) {
  Text text = Peaky(1024, 2);
  for (const uint64_t block_keys : {64, 16}) {
    for (const uint64_t stride : {8, 16}) {
      PolicyRun run("xattention:threshold=0.7,stride=" + std::to_string(stride) + ",block=" + std::to_string(block_keys),
                    &text);
      run.Append(1024);
      for (const uint64_t first : {192, 640, 960}) {
        for (size_t head = 0; head < 2; ++head) {
          const std::vector<double> blocks = Estimate(&text, first, 64, head, stride, block_keys);
          std::set<uint64_t> chosen;
          for (const uint64_t key : run.Keys(first + 63, head)) chosen.insert(key / block_keys);
          double all = 0;
          double held = 0;
          double least = 1e9;  // of those that had to be chosen
          for (uint64_t b = 0; b < blocks.size(); ++b) {
            all += blocks[b];
            if (!chosen.contains(b)) continue;
            held += blocks[b];
            if (b != 0 && b < first / block_keys) least = std::min(least, blocks[b]);
          }
          EXPECT_GE(held, 0.7 * all - 1e-5);
          EXPECT_LE(held - least, 0.7 * all + 1e-5);
          for (uint64_t b = 0; b < blocks.size(); ++b) {
            EXPECT_LE(chosen.contains(b) ? 0.0 : blocks[b], least + 1e-6) << b;  // the best ones
          }
          EXPECT_TRUE(chosen.contains(0));
          EXPECT_LT(chosen.size(), blocks.size());
        }
      }
    }
  }
}

TEST(XattentionPolicy, ABudgetTakesTheBestBlocks) {
  Text text = Peaky(1024, 2);
  PolicyRun run("xattention:threshold=1,budget=384", &text);
  run.Append(1024);
  const std::vector<double> blocks = Estimate(&text, 960, 64, 1, 16, 64);
  std::vector<uint64_t> order;
  for (uint64_t b = 1; b < 15; ++b) order.push_back(b);
  std::sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return blocks[a] > blocks[b]; });
  std::set<uint64_t> expected = {0, 15};
  expected.insert(order.begin(), order.begin() + 4);
  std::set<uint64_t> chosen;
  for (const uint64_t key : run.Keys(1023, 1)) chosen.insert(key / 64);
  EXPECT_EQ(chosen, expected);
}

TEST(XattentionPolicy, HeadsChooseForThemselvesOrTogether) {
  Text text = Peaky(1024, 2);
  PolicyRun each("xattention:threshold=0.6", &text);
  PolicyRun joint("xattention:threshold=0.6,heads=joint", &text);
  each.Append(1024);
  joint.Append(1024);
  EXPECT_NE(each.Keys(1023, 0), each.Keys(1023, 1));
  EXPECT_EQ(joint.Keys(1023, 0), joint.Keys(1023, 1));
}

// A decoded token stands for all queries of its stride, so a stride scores as the mean of its keys.
TEST(XattentionPolicy, ADecodedTokenSeesEverythingUnlessItIsToldOtherwise) {
  Text text = Peaky(1000, 1);
  for (uint64_t p = 336; p < 352; ++p) std::copy_n(text.query(999), Text::kDim, text.key(p));
  PolicyRun dense("xattention", &text);
  PolicyRun sparse("xattention:decode=sparse,block=16", &text);
  for (PolicyRun* run : {&dense, &sparse}) {
    run->Append(999);
    run->Append(1);
  }
  EXPECT_EQ(dense.Keys(999).size(), 1000u);
  EXPECT_EQ(sparse.Keys(999).size(), 16 + 16 + 8u);
  EXPECT_TRUE(sparse.Keys(999).contains(340));
}

// Slots of a page behind the text may hold what was cut away.
TEST(XattentionPolicy, KeysBehindTheTextChangeNothing) {
  Text text = Peaky(704, 1);
  PolicyRun fresh("xattention:threshold=0.5", &text);
  fresh.Append(600);
  Text other = text;
  for (uint64_t p = 600; p < 704; ++p) std::fill_n(other.key(p), Text::kDim, 100.0f);
  PolicyRun cut("xattention:threshold=0.5", &other);
  cut.Append(704);
  cut.Truncate(576);
  cut.Append(24);
  EXPECT_EQ(cut.Keys(599), fresh.Keys(599));
}

}  // namespace
}  // namespace damask::policies
