#include <gtest/gtest.h>

#include "base/log.h"
#include "policies/key_summaries.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// The rule as the paper has it, in double: softmax over kernels that a row sees whole, summed over rows and heads, the largest
// of the kernels that overlap a block.
std::vector<double> BlockScores(Text* text, uint64_t first, size_t rows, uint64_t block_keys, uint64_t window) {
  std::vector<double> kernels(text->length() / 16);
  for (uint64_t row = first; row < first + rows; ++row) {
    for (size_t head = 0; head < text->heads; ++head) {
      std::vector<double> p(kernels.size());
      double total = 0;
      for (uint64_t c = 0; 16 * c + 31 <= row; ++c) {
        if (window != 0 && 16 * c + window <= row) continue;
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) {
          double mean = 0;
          for (uint64_t key = 16 * c; key < 16 * c + 32; ++key) mean += static_cast<double>(text->key(key)[d]) / 32;
          score += mean * static_cast<double>(text->query(row, head)[d]);
        }
        total += p[c] = std::exp(score / 4);  // the root of kDim
      }
      for (uint64_t c = 0; c < p.size(); ++c) kernels[c] += total > 0 ? p[c] / total : 0;
    }
  }
  std::vector<double> blocks(text->length() / block_keys + 1);
  for (uint64_t block = 0; block < blocks.size(); ++block) {
    for (uint64_t c = 0; c < kernels.size(); ++c) {
      const bool overlaps = 16 * c < (block + 1) * block_keys && 16 * c + 32 > block * block_keys;
      if (overlaps) blocks[block] = std::max(blocks[block], kernels[c]);
    }
  }
  return blocks;
}

std::set<uint64_t> BestBlocks(const std::vector<double>& scores, uint64_t begin, uint64_t end, size_t count) {
  std::vector<uint64_t> order;
  for (uint64_t block = begin; block < end; ++block) order.push_back(block);
  std::stable_sort(order.begin(), order.end(), [&](uint64_t a, uint64_t b) { return scores[a] > scores[b]; });
  return {order.begin(), order.begin() + static_cast<std::ptrdiff_t>(std::min(count, order.size()))};
}

std::set<uint64_t> BlocksOf(const std::set<uint64_t>& keys, uint64_t block_keys) {
  std::set<uint64_t> blocks;
  for (const uint64_t key : keys) blocks.insert(key / block_keys);
  return blocks;
}

TEST(Infllm2Policy, ChoosesTheBlocksOfTheRule) {
  Text text(1000, 4, 1);
  for (float& q : text.queries) q *= 3.0f;
  PolicyRun run("infllm2:topk=7,window=128,dense=0", &text);
  for (const size_t count : {640, 300, 1}) run.Append(count);
  for (const uint64_t query : {700, 777, 940}) {
    const PlannedBlock& block = run.BlockOf(query);
    const uint64_t diagonal = query / 64;
    const std::vector<double> scores = BlockScores(&text, block.first, block.rows, 64, 0);
    std::set<uint64_t> expected = BestBlocks(scores, 1, diagonal - 2, 3);  // beside the first, the diagonal and two before
    for (const uint64_t always : {uint64_t{0}, diagonal - 2, diagonal - 1, diagonal}) expected.insert(always);
    EXPECT_EQ(BlocksOf(block.Keys(block.first + block.rows - 1, 0), 64), expected) << query;
  }
}

TEST(Infllm2Policy, ChoosesSmallBlocksWithinTheModelsOwnWindow) {
  Text text(900, 2, 1);
  for (float& q : text.queries) q *= 3.0f;
  PolicyRun run("infllm2:topk=12,window=32,dense=0,block=16", &text, 1, {500});
  run.Append(899);
  run.Append(1);
  std::set<uint64_t> expected = BestBlocks(BlockScores(&text, 899, 1, 16, 500), (899 - 499) / 16, 54, 9);
  for (const uint64_t always : {54, 55, 56}) expected.insert(always);
  EXPECT_EQ(BlocksOf(run.Keys(899), 16), expected);
}

TEST(Infllm2Policy, AGroupSharesItsBlocks) {
  Text text(1024, 4, 1);
  PolicyRun run("infllm2:budget=256,dense=0", &text);
  run.Append(1024);
  for (const PlannedBlock& block : run.blocks()) {
    for (const kernels::PlanEntry& entry : block.plan.entries) {
      EXPECT_EQ(entry.heads, kernels::kAllHeads);
      EXPECT_EQ(entry.quarters, 0xf);
    }
    EXPECT_LE(block.plan.entries.size(), 4u);
  }
}

TEST(Infllm2Policy, IsDenseUpToALength) {
  Text text(1024, 2, 1);
  PolicyRun run("infllm2:topk=3,window=0,dense=512", &text);
  run.Append(1024);
  EXPECT_EQ(run.Keys(511).size(), 512u);
  EXPECT_EQ(run.Keys(512).size(), 2 * 64 + 1u);
}

// Made for a look at its SPEC, or set to a budget later, it says nothing.
TEST(Infllm2Policy, SaysOnceThatNothingIsLeftToChooseWhenItRuns) {
  std::vector<std::string> warnings;
  SetLogSink([&](LogLevel, const std::string& line) { warnings.push_back(line); });
  const ModelShape shape = {1, 2, 1, Text::kDim, {}};
  for (const char* spec : {"infllm2", "infllm2:block=16,budget=512", "infllm2:topk=35", "infllm2:topk=131,block=16"}) {
    const auto policy = Create(spec, shape);
    ASSERT_TRUE(policy.ok());
    (*policy)->NewState();
  }
  const auto without = Create("infllm2:block=16", shape);
  ASSERT_TRUE(without.ok());
  EXPECT_TRUE(warnings.empty());
  for (int session = 0; session < 2; ++session) (*without)->NewState();
  SetLogSink({});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("topk=64 leaves no block to choose: 130 of 16 keys"), std::string::npos) << warnings[0];
}

TEST(Infllm2Policy, PooledKernelsFromAppendsEqualThoseFromBulk) {
  Text text(700, 2, 1);
  const kernels::PageLayout layout = {Text::kDim, kernels::KvType::kBf16};
  std::vector<std::vector<std::byte>> storage(11, std::vector<std::byte>(layout.bytes()));
  std::vector<const std::byte*> pages;
  pages.reserve(storage.size());
  for (const auto& page : storage) pages.push_back(page.data());
  for (uint64_t p = 0; p < 700; ++p) kernels::StoreSlot(layout, storage[p / 64].data(), p % 64, text.key(p), text.key(p));
  KeySummary bulk(KeySummary::Kind::kMean, 16);
  bulk.Append({pages.data(), &layout}, 0, 700);
  KeySummary pieces(KeySummary::Kind::kMean, 16);
  for (uint64_t end = 0, next = 1; end < 700; end = next) {
    next = std::min<uint64_t>(700, end * 2 + 1);
    pieces.Append({pages.data(), &layout}, end, next);
  }
  ASSERT_EQ(pieces.rows(), bulk.rows());
  std::vector<float> a(Text::kDim);
  std::vector<float> b(Text::kDim);
  for (size_t row = 0; row < bulk.rows(); ++row) {
    bulk.LoadRow(row, a.data());
    pieces.LoadRow(row, b.data());
    ASSERT_EQ(a, b) << row;
  }
}

}  // namespace
}  // namespace damask::policies
