#include "policies/key_summaries.h"

#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

class KeySummaryTest : public testing::Test {
 protected:
  KeySummaryTest() : text_(300, 1, 1), storage_(5, std::vector<std::byte>(layout_.bytes())) {
    for (const auto& page : storage_) pages_.push_back(page.data());
    Store();
  }
  void Store() {
    for (uint64_t p = 0; p < 300; ++p) kernels::StoreSlot(layout_, storage_[p / 64].data(), p % 64, text_.key(p), text_.key(p));
  }
  // Row by row against the keys [row * n, end).
  void ExpectRows(const KeySummary& summary, KeySummary::Kind kind, size_t keys_per_row, uint64_t end) {
    ASSERT_EQ(summary.rows(), (end + keys_per_row - 1) / keys_per_row);
    std::vector<float> row(Text::kDim);
    for (size_t r = 0; r < summary.rows(); ++r) {
      summary.LoadRow(r, row.data());
      const uint64_t row_end = std::min<uint64_t>(end, (r + 1) * keys_per_row);
      for (size_t d = 0; d < Text::kDim; ++d) {
        std::vector<float> numbers;
        for (uint64_t p = r * keys_per_row; p < row_end; ++p) numbers.push_back(text_.key(p)[d]);
        float sum = 0;
        for (const float number : numbers) sum += number;
        const float expected = kind == KeySummary::Kind::kMean     ? sum / static_cast<float>(numbers.size())
                               : kind == KeySummary::Kind::kLowest ? *std::min_element(numbers.begin(), numbers.end())
                                                                   : *std::max_element(numbers.begin(), numbers.end());
        ASSERT_NEAR(row[d], expected, 1e-5f) << "row " << r << " channel " << d;
      }
    }
  }

  kernels::PageLayout layout_{Text::kDim, kernels::KvType::kF32};
  Text text_;
  std::vector<std::vector<std::byte>> storage_;
  std::vector<const std::byte*> pages_;
};

constexpr KeySummary::Kind kKinds[] = {KeySummary::Kind::kMean, KeySummary::Kind::kLowest, KeySummary::Kind::kHighest};

TEST_F(KeySummaryTest, RowsFromManyAppendsEqualRowsFromOne) {
  for (const KeySummary::Kind kind : kKinds) {
    for (const size_t keys_per_row : {16, 64}) {
      KeySummary bulk(kind, keys_per_row);
      bulk.Append({pages_.data(), &layout_}, 0, 300);
      ExpectRows(bulk, kind, keys_per_row, 300);
      KeySummary grown(kind, keys_per_row);
      for (const auto& [first, end] :
           std::vector<std::pair<uint64_t, uint64_t>>{{0, 5}, {5, 16}, {16, 17}, {17, 200}, {200, 300}}) {
        grown.Append({pages_.data(), &layout_}, first, end);
        ExpectRows(grown, kind, keys_per_row, end);
      }
    }
  }
}

TEST_F(KeySummaryTest, ACutRowIsRightAgainAfterTheNextAppend) {
  for (const KeySummary::Kind kind : kKinds) {
    KeySummary summary(kind, 16);
    summary.Append({pages_.data(), &layout_}, 0, 300);
    summary.Truncate(100);
    for (uint64_t p = 100; p < 300; ++p) std::fill_n(text_.key(p), Text::kDim, 7.0f);
    Store();
    summary.Append({pages_.data(), &layout_}, 100, 105);
    ExpectRows(summary, kind, 16, 105);
    EXPECT_EQ(summary.bytes(), layout_.value_offset());
  }
}

TEST_F(KeySummaryTest, ReleasedPagesCountAsZeros) {
  pages_[0] = nullptr;
  KeySummary summary(KeySummary::Kind::kHighest, 16);
  summary.Append({pages_.data(), &layout_}, 0, 128);
  std::vector<float> row(Text::kDim);
  summary.LoadRow(0, row.data());
  EXPECT_EQ(row, std::vector<float>(Text::kDim, 0.0f));
}

TEST_F(KeySummaryTest, RowsOfEightBitKeysAreBf16) {
  const kernels::PageLayout q8 = {Text::kDim, kernels::KvType::kQ8};
  const kernels::PageLayout bf16 = {Text::kDim, kernels::KvType::kBf16};
  std::vector<std::vector<std::byte>> storage(5, std::vector<std::byte>(q8.bytes()));
  std::vector<const std::byte*> pages;
  pages.reserve(storage.size());
  for (const auto& page : storage) pages.push_back(page.data());
  for (uint64_t p = 0; p < 300; ++p) kernels::StoreSlot(q8, storage[p / 64].data(), p % 64, text_.key(p), text_.key(p));
  for (const KeySummary::Kind kind : kKinds) {
    KeySummary summary(kind, 1);
    summary.Append({pages.data(), &q8}, 0, 300);
    EXPECT_EQ(summary.layout().type, kernels::KvType::kBf16);
    EXPECT_EQ(summary.bytes(), 5 * bf16.value_offset());
    std::vector<float> key(Text::kDim);
    std::vector<float> row(Text::kDim);
    for (uint64_t p = 0; p < 300; ++p) {
      kernels::LoadKey(q8, pages[p / 64], p % 64, key.data());
      summary.LoadRow(p, row.data());
      for (size_t d = 0; d < Text::kDim; ++d) {
        const float nearest = ToFloat(ToBf16(key[d]));
        ASSERT_TRUE(kind != KeySummary::Kind::kMean || row[d] == nearest);
        ASSERT_TRUE(kind != KeySummary::Kind::kLowest || row[d] <= key[d]);
        ASSERT_TRUE(kind != KeySummary::Kind::kHighest || row[d] >= key[d]);
        ASSERT_NEAR(row[d], key[d], std::abs(key[d]) / 128);
      }
    }
  }
}

}  // namespace
}  // namespace damask::policies
