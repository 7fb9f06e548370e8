// Short stand-ins for the keys of a session, kept by policies that choose by content: one vector for every few consecutive
// keys.
#pragma once

#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "policies/policy.h"

namespace damask::policies {

// Of one KV head of one layer. Row r stands for keys [r n, (r + 1) n), the last row for as many as there are; rows lie as the
// keys of a page do, so that kernels::Scores runs over them; those of 8-bit keys are bf16. Keys of released pages count as
// zeros.
class KeySummary {
 public:
  enum class Kind {
    kMean,     // rounded as keys are
    kLowest,   // of each channel, of the keys as attention reads them; exact, of 8-bit keys rounded down
    kHighest,  // the same, rounded up
  };

  KeySummary(Kind kind, size_t keys_per_row) : kind_(kind), keys_per_row_(keys_per_row) {}

  // Takes in keys [first, end). A row begun before is made again from all its keys, so after Truncate it is right once more.
  void Append(const KeyPages& keys, uint64_t first, uint64_t end);
  // Rows past this one's are forgotten; a row that is cut waits for the next Append.
  void Truncate(uint64_t length);

  size_t rows() const { return rows_; }
  // For kernels::Scores: of our own rows. Page p holds rows [64 p, 64 p + 64); no values behind them.
  const kernels::PageLayout& layout() const { return layout_; }
  const std::byte* const* pages() const { return table_.data(); }
  void LoadRow(size_t row, float* numbers) const;
  uint64_t bytes() const;

 private:
  void MakeRow(const KeyPages& keys, size_t row, uint64_t end);

  Kind kind_;
  size_t keys_per_row_;
  size_t rows_ = 0;
  kernels::PageLayout layout_;
  std::vector<AlignedArray<std::byte>> storage_;
  std::vector<const std::byte*> table_;
  std::vector<float> key_;  // scratch [head_dim]
  std::vector<float> row_;  // scratch [head_dim]
};

}  // namespace damask::policies
