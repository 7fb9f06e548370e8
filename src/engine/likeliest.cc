#include "engine/likeliest.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>

namespace damask::engine {
namespace {

constexpr size_t kBlock = 64;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

size_t Blocks(size_t count) { return (count + kBlock - 1) / kBlock; }
std::span<const float> BlockOf(std::span<const float> logits, size_t block) {
  return logits.subspan(block * kBlock, std::min(kBlock, logits.size() - block * kBlock));
}

// Lanes of their own, so that the compiler makes vectors of them: std::max_element takes one value after another.
float Largest(std::span<const float> block) {
  std::array<float, 16> lanes;
  lanes.fill(kNothing);
  size_t i = 0;
  for (; i + lanes.size() <= block.size(); i += lanes.size()) {
    for (size_t lane = 0; lane < lanes.size(); ++lane)
      lanes[lane] = block[i + lane] > lanes[lane] ? block[i + lane] : lanes[lane];
  }
  float largest = kNothing;
  for (; i < block.size(); ++i) largest = block[i] > largest ? block[i] : largest;
  for (const float lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

}  // namespace

TokenId Argmax(std::span<const float> logits) {
  if (logits.empty()) return 0;
  float largest = kNothing;
  size_t best = 0;
  for (size_t block = 0; block < Blocks(logits.size()); ++block) {
    const float here = Largest(BlockOf(logits, block));
    if (here > largest) best = block;
    largest = std::max(largest, here);
  }
  const std::span<const float> block = BlockOf(logits, best);
  const auto found = std::find(block.begin(), block.end(), largest);
  return found == block.end() ? 0 : static_cast<TokenId>(best * kBlock + static_cast<size_t>(found - block.begin()));
}

// What none of the `count` likeliest is below: so many blocks reach it, each with one token at least.
float Likeliest::Bar(std::span<const float> logits, size_t count) {
  maxima_.clear();
  for (size_t block = 0; block < Blocks(logits.size()); ++block) maxima_.push_back(Largest(BlockOf(logits, block)));
  if (count == 0 || maxima_.size() < count) return kNothing;
  ordered_ = maxima_;
  const auto last = ordered_.begin() + static_cast<std::ptrdiff_t>(count - 1);
  std::nth_element(ordered_.begin(), last, ordered_.end(), std::greater<>());
  return *last;
}

void Likeliest::Find(std::span<const float> logits, size_t count, std::vector<RankedToken>* best) {
  count = std::min(count, logits.size());
  const float bar = Bar(logits, count);
  best->clear();
  for (size_t block = 0; block < maxima_.size(); ++block) {
    if (maxima_[block] < bar) continue;
    for (size_t id = block * kBlock; id < std::min(logits.size(), (block + 1) * kBlock); ++id) {
      if (!(logits[id] < bar)) best->push_back({logits[id], static_cast<TokenId>(id)});
    }
  }
  const auto end = best->begin() + static_cast<std::ptrdiff_t>(count);
  if (end != best->end()) std::nth_element(best->begin(), end, best->end(), Likelier);
  best->erase(end, best->end());
}

}  // namespace damask::engine
