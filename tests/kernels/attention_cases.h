// Random pages, queries and plans for the tests of attention.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "base/aligned.h"
#include "kernels/attention.h"

namespace damask::kernels {

// One KV head's cache of `context` random positions, in pages of its own.
class RandomCache {
 public:
  RandomCache(const PageLayout& layout, size_t context, uint32_t seed) : layout_(layout) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> key(layout.head_dim);
    std::vector<float> value(layout.head_dim);
    for (size_t position = 0; position < context; ++position) {
      if (position % kPageTokens == 0) AddPage();
      for (float& x : key) x = normal(random);
      for (float& x : value) x = normal(random);
      StoreSlot(layout, storage_.back().data(), position % kPageTokens, key.data(), value.data());
    }
  }

  const PageLayout& layout() const { return layout_; }
  const std::byte* const* pages() const { return pages_.data(); }
  std::byte* page(size_t block) { return storage_[block].data(); }
  size_t num_pages() const { return pages_.size(); }
  void DropPage(size_t block) { pages_[block] = nullptr; }

 private:
  void AddPage() {
    storage_.emplace_back(layout_.bytes());
    std::fill_n(storage_.back().data(), layout_.bytes(), std::byte{0});
    pages_.push_back(storage_.back().data());
  }

  PageLayout layout_;
  std::vector<AlignedArray<std::byte>> storage_;
  std::vector<const std::byte*> pages_;
};

// Means of 2, 4 and 8 of a cache's keys and values, slot by slot; slots whose keys are not all there stay zeros.
class PooledCache {
 public:
  PooledCache(const RandomCache& cache, size_t context) {
    for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) {
      for (size_t slot = 0; slot << shift < context; ++slot) AddSlot(cache, context, shift, slot);
    }
  }

  void GiveTo(Plan* plan) const {
    for (size_t shift = 1; shift <= kMaxPoolShift; ++shift) plan->pooled_pages[shift] = pages_[shift].data();
  }

 private:
  void AddSlot(const RandomCache& cache, size_t context, size_t shift, size_t slot) {
    const PageLayout& layout = cache.layout();
    if (slot % kPageTokens == 0) {
      storage_.emplace_back(layout.bytes());
      std::fill_n(storage_.back().data(), layout.bytes(), std::byte{0});
      pages_[shift].push_back(storage_.back().data());
    }
    if ((slot + 1) << shift > context) return;
    std::vector<float> numbers(layout.head_dim);
    std::vector<float> key(layout.head_dim);
    std::vector<float> value(layout.head_dim);
    for (size_t position = slot << shift; position < (slot + 1) << shift; ++position) {
      const std::byte* const page = cache.pages()[position / kPageTokens];
      LoadKey(layout, page, position % kPageTokens, numbers.data());
      for (size_t d = 0; d < key.size(); ++d) key[d] += numbers[d] / static_cast<float>(1u << shift);
      LoadValue(layout, page, position % kPageTokens, numbers.data());
      for (size_t d = 0; d < value.size(); ++d) value[d] += numbers[d] / static_cast<float>(1u << shift);
    }
    StoreSlot(layout, storage_.back().data(), slot % kPageTokens, key.data(), value.data());
  }

  std::vector<AlignedArray<std::byte>> storage_;
  std::array<std::vector<const std::byte*>, kMaxPoolShift + 1> pages_;
};

// Queries of `rows` rows from `first` on. The queries of a position depend on the seed and the position alone.
// Whether AMX's data flow runs here with tiles in plain C++ (AmxEmulatedBody).
inline bool CanEmulateAmx() { return TargetSupported(Target::kAvx512Bf16) && __builtin_cpu_supports("avx512vbmi") != 0; }

class RandomQueries {
 public:
  RandomQueries(size_t head_dim, size_t group, uint64_t first, size_t rows, uint32_t seed, float size = 1.0f)
      : width_(head_dim * group),
        rows_(rows),
        first_(first),
        q_(rows * width_),
        out_(q_.size(), kUntouched),
        lse_(rows * group, kUntouched) {
    for (size_t row = 0; row < rows; ++row) {
      std::mt19937 random(seed + 7919 * static_cast<uint32_t>(first + row));
      std::normal_distribution<float> normal(0.0f, size);
      // Rounded to bf16, so that tests see the error of the arithmetic and not of the operands.
      for (size_t i = 0; i < width_; ++i) q_[row * width_ + i] = ToFloat(ToBf16(normal(random)));
    }
  }

  QueryBlock block() {
    QueryBlock block;
    block.q = q_.data();
    block.q_stride = width_;
    block.out = out_.data();
    block.out_stride = width_;
    block.lse = lse_.data();
    block.sinks = sinks_.empty() ? nullptr : sinks_.data();
    block.rows = rows_;
    block.first_position = first_;
    return block;
  }
  void SetSinks(std::vector<float> sinks) { sinks_ = std::move(sinks); }  // [group]
  std::vector<float>& q() { return q_; }
  const std::vector<float>& out() const { return out_; }
  const std::vector<float>& lse() const { return lse_; }
  size_t width() const { return width_; }

 private:
  static constexpr float kUntouched = 12345.0f;
  size_t width_;
  size_t rows_;
  uint64_t first_;
  std::vector<float> q_;
  std::vector<float> out_;
  std::vector<float> lse_;
  std::vector<float> sinks_;
};

// A plan that keeps the promises of plan.h (sorted, disjoint, causal) and uses everything it has: head bits, quarters, windows,
// columns, blocks in two parts.
inline Plan RandomPlan(uint64_t first, size_t rows, size_t group, std::mt19937* random) {
  const auto chance = [&](double p) { return std::bernoulli_distribution(p)(*random); };
  const auto bits = [&] { return static_cast<uint32_t>((*random)()); };
  const uint32_t all = group >= kMaxGroup ? kAllHeads : (1u << group) - 1;
  const uint64_t last = first + rows - 1;
  Plan plan;
  for (uint64_t block = 0; block <= last / kPageTokens; ++block) {
    const bool edge = block * kPageTokens + kPageTokens - 1 > first;
    PlanEntry entry;
    entry.block = static_cast<uint32_t>(block);
    entry.causal = edge || chance(0.2);
    if (chance(0.3)) entry.quarters = static_cast<uint8_t>(bits() & 0xf);
    if (chance(0.3)) entry.window = 1 + bits() % 200;
    if (chance(0.4)) entry.heads = bits();
    if (chance(0.6)) {
      plan.entries.push_back(entry);
      PlanEntry rest = entry;
      rest.heads = ~entry.heads;
      rest.window = 0;
      if (chance(0.5) && (rest.heads & all) != 0) plan.entries.push_back(rest);
      continue;
    }
    // Single keys of a block that has no entry.
    for (size_t slot = 0; slot < kPageTokens && block * kPageTokens + slot <= last; ++slot) {
      if (!chance(0.2)) continue;
      plan.columns.push_back({static_cast<uint32_t>(block * kPageTokens + slot), chance(0.5) ? kAllHeads : bits()});
    }
  }
  return plan;
}

// A block of 128 keys as it is (shift 0) or at a level of means, for some heads.
inline void AddPyramidBlock(uint64_t block, size_t shift, uint32_t heads, uint64_t last, Plan* plan) {
  for (uint64_t page = 2 * block; shift == 0 && page < 2 * block + 2; ++page) {
    if (page * kPageTokens <= last) plan->entries.push_back({static_cast<uint32_t>(page), 0xf, heads, true});
  }
  if (shift == 0) return;
  const uint64_t quarter = block * 8 >> shift;
  const auto quarters = static_cast<uint8_t>(((1u << (8 >> shift)) - 1) << quarter % 4);
  plan->pooled.push_back({static_cast<uint32_t>(quarter / 4), quarters, static_cast<uint8_t>(shift), heads});
}

// Blocks of 128 keys at random levels, different ones for different heads. The diagonal runs through pooled blocks as well.
inline Plan RandomPyramidPlan(uint64_t first, size_t rows, std::mt19937* random) {
  const uint64_t last = first + rows - 1;
  Plan plan;
  for (uint64_t block = 0; block <= last / 128; ++block) {
    const uint32_t heads = (*random)() % 2 == 0 ? kAllHeads : (*random)();
    for (const uint32_t some : {heads, ~heads}) {
      const uint32_t level = (*random)() % 6;
      if (level < 5 && some != 0) AddPyramidBlock(block, level % 4, some, last, &plan);
    }
  }
  for (PooledEntry& entry : plan.pooled) {
    if ((*random)() % 5 == 0) entry.quarters = static_cast<uint8_t>(entry.quarters & (*random)());
  }
  SortEntries(&plan.entries);
  SortPooled(&plan.pooled);
  return plan;
}

// Gives some entries exact masks: nothing, everything, a band, or rows in pieces.
inline void AddExactMasks(Plan* plan, std::mt19937* random) {
  for (PlanEntry& entry : plan->entries) {
    const uint32_t kind = (*random)() % 6;
    if (kind >= 4) continue;
    ExactMask mask;
    for (size_t slot = 0; slot < kPageTokens; ++slot) {
      const auto word = [&] { return uint64_t{(*random)()} << 32 | (*random)(); };
      const uint64_t band = uint64_t{0xfff} << slot % 52;
      mask.rows[slot] = kind == 0 ? word() : kind == 1 ? band : kind == 2 ? ~uint64_t{0} : word() & word() & word() & word();
    }
    entry.exact = static_cast<uint32_t>(plan->exact_masks.size());
    plan->exact_masks.push_back(mask);
  }
}

}  // namespace damask::kernels
