#include "policies/key_summaries.h"

#include <algorithm>
#include <cstring>

#include "base/bf16.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;

// The next bf16 that is smaller, or larger.
bf16 Below(bf16 x) {
  if (x.bits == 0) return bf16{0x8001};
  return bf16{static_cast<uint16_t>((x.bits & 0x8000u) != 0 ? x.bits + 1 : x.bits - 1)};
}
bf16 Above(bf16 x) {
  const bf16 below = Below(bf16{static_cast<uint16_t>(x.bits ^ 0x8000u)});
  return bf16{static_cast<uint16_t>(below.bits ^ 0x8000u)};
}

// Numbers of 8-bit keys lie between those of bf16: a bound must not be rounded to the inside.
bf16 Rounded(KeySummary::Kind kind, float number) {
  const bf16 nearest = ToBf16(number);
  if (kind == KeySummary::Kind::kLowest && ToFloat(nearest) > number) return Below(nearest);
  if (kind == KeySummary::Kind::kHighest && ToFloat(nearest) < number) return Above(nearest);
  return nearest;
}

void StoreRow(const kernels::PageLayout& layout, KeySummary::Kind kind, const std::vector<float>& numbers, std::byte* row) {
  if (layout.type == kernels::KvType::kF32) {
    std::memcpy(row, numbers.data(), numbers.size() * sizeof(float));
    return;
  }
  auto* const out = reinterpret_cast<bf16*>(row);
  for (size_t d = 0; d < numbers.size(); ++d) out[d] = Rounded(kind, numbers[d]);
}

}  // namespace

void KeySummary::Append(const KeyPages& keys, uint64_t first, uint64_t end) {
  layout_ = *keys.layout;
  if (layout_.type == kernels::KvType::kQ8) layout_.type = kernels::KvType::kBf16;
  key_.resize(layout_.head_dim);
  row_.resize(layout_.head_dim);
  const size_t rows = (end + keys_per_row_ - 1) / keys_per_row_;
  while (storage_.size() * kPageTokens < rows) {
    storage_.emplace_back(layout_.value_offset());  // the keys' half of a page
    std::memset(storage_.back().data(), 0, layout_.value_offset());
    table_.push_back(storage_.back().data());
  }
  for (size_t row = first / keys_per_row_; row < rows; ++row) MakeRow(keys, row, end);
  rows_ = std::max(rows_, rows);
}

void KeySummary::MakeRow(const KeyPages& keys, size_t row, uint64_t end) {
  const uint64_t begin = row * keys_per_row_;
  const uint64_t row_end = std::min<uint64_t>(end, begin + keys_per_row_);
  for (uint64_t position = begin; position < row_end; ++position) {
    const std::byte* page = keys.pages[position / kPageTokens];
    if (page != nullptr) {
      kernels::LoadKey(*keys.layout, page, position % kPageTokens, key_.data());
    } else {
      std::fill(key_.begin(), key_.end(), 0.0f);
    }
    for (size_t d = 0; d < key_.size(); ++d) {
      if (position == begin) {
        row_[d] = key_[d];
      } else if (kind_ == Kind::kMean) {
        row_[d] += key_[d];
      } else {
        row_[d] = kind_ == Kind::kLowest ? std::min(row_[d], key_[d]) : std::max(row_[d], key_[d]);
      }
    }
  }
  if (kind_ == Kind::kMean) {
    for (float& number : row_) number /= static_cast<float>(row_end - begin);
  }
  const size_t row_bytes = layout_.head_dim * layout_.element_bytes();
  StoreRow(layout_, kind_, row_, storage_[row / kPageTokens].data() + row % kPageTokens * row_bytes);
}

void KeySummary::Truncate(uint64_t length) {
  rows_ = std::min<size_t>(rows_, (length + keys_per_row_ - 1) / keys_per_row_);
  const size_t pages = (rows_ + kPageTokens - 1) / kPageTokens;
  storage_.resize(std::min(storage_.size(), pages));
  table_.resize(storage_.size());
}

void KeySummary::LoadRow(size_t row, float* numbers) const {
  kernels::LoadKey(layout_, storage_[row / kPageTokens].data(), row % kPageTokens, numbers);
}

uint64_t KeySummary::bytes() const { return storage_.size() * layout_.value_offset(); }

}  // namespace damask::policies
