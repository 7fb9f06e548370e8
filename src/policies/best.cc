#include "policies/best.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <iterator>

namespace damask::policies {
namespace {

// A number that orders as the scores do.
uint32_t Order(float score) {
  const auto bits = std::bit_cast<uint32_t>(score + 0.0f);  // -0 is 0
  return score == score ? bits ^ (static_cast<uint32_t>(-(bits >> 31)) | 0x80000000u) : 0;
}

// One number that orders by score, then by index: comparing these is what the time goes into.
uint64_t OrderedKey(uint32_t order, size_t index) {
  return uint64_t{order} << 32 | (0xffffffffu - static_cast<uint32_t>(index));
}
uint64_t OrderedKey(float score, size_t index) { return OrderedKey(Order(score), index); }

uint32_t IndexOf(uint64_t key) { return 0xffffffffu - static_cast<uint32_t>(key); }

constexpr size_t kSample = 128;
// A sample's bound pays where less than one in so many is taken.
constexpr size_t kFew = 4;

// A score that most likely no less than `count` reach, and not many more: from a sample. NaN where that would save little.
float LikelyBound(std::span<const float> scores, size_t count) {
  constexpr size_t kSpare = 6;
  const size_t rank = count * kSample * 5 / (scores.size() * 4) + kSpare;
  if (scores.size() < 4 * kSample || rank >= kSample / 2) return NAN;
  uint64_t sample[kSample];
  const size_t step = scores.size() / kSample;
  for (size_t i = 0; i < kSample; ++i) sample[i] = OrderedKey(scores[i * step], i * step);
  std::nth_element(sample, sample + rank, sample + kSample, std::greater<>());
  return scores[IndexOf(sample[rank])];
}

// Keys in the order of their indices, the `count` best among them; count is at most scores.size(). Valid until the thread's
// next call.
std::span<uint64_t> Candidates(std::span<const float> scores, size_t count) {
  thread_local std::vector<uint32_t> indices;
  thread_local std::vector<uint64_t> keys;
  if (indices.size() < scores.size()) indices.resize(scores.size());
  const float bound = LikelyBound(scores, count);
  uint32_t* const out = indices.data();
  size_t kept = 0;
  for (size_t i = 0; i < scores.size(); ++i) {  // without a jump, which would be mispredicted
    out[kept] = static_cast<uint32_t>(i);
    kept += scores[i] >= bound ? 1 : 0;
  }
  keys.clear();
  if (kept < count) {
    for (size_t i = 0; i < scores.size(); ++i) keys.push_back(OrderedKey(scores[i], i));
  } else {
    for (size_t i = 0; i < kept; ++i) keys.push_back(OrderedKey(scores[out[i]], out[i]));
  }
  return keys;
}

// The key that `count` of `scores` are no less than, for a count that is a good part of all: by the numbers of scores with the
// same upper bits, where comparing each with a pivot would be mispredicted half of the time. orders: Order of each score.
uint64_t LeastOfMany(std::span<const float> scores, size_t count, std::vector<uint32_t>* orders) {
  constexpr uint32_t kShift = 21;
  uint32_t sizes[uint32_t{1} << (32 - kShift)] = {};
  orders->resize(scores.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    (*orders)[i] = Order(scores[i]);
    ++sizes[(*orders)[i] >> kShift];
  }
  uint32_t bin = static_cast<uint32_t>(std::size(sizes)) - 1;
  size_t left = count;
  for (; sizes[bin] < left; --bin) left -= sizes[bin];
  thread_local std::vector<uint64_t> keys;
  keys.clear();
  for (size_t i = 0; i < scores.size(); ++i) {
    if ((*orders)[i] >> kShift == bin) keys.push_back(OrderedKey((*orders)[i], i));
  }
  const auto last = keys.begin() + static_cast<std::ptrdiff_t>(left - 1);
  std::nth_element(keys.begin(), last, keys.end(), std::greater<>());
  return *last;
}

void AscendingOfMany(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  thread_local std::vector<uint32_t> orders;
  const uint64_t least = LeastOfMany(scores, count, &orders);
  indices->resize(count);
  uint32_t* const out = indices->data();
  size_t kept = 0;
  for (size_t i = 0; i < scores.size() && kept < count; ++i) {
    out[kept] = static_cast<uint32_t>(i);
    kept += OrderedKey(orders[i], i) >= least ? 1 : 0;
  }
}

}  // namespace

void BestIndices(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  count = std::min(count, scores.size());
  indices->resize(count);
  if (count == 0) return;
  const std::span<uint64_t> keys = Candidates(scores, count);
  const auto end = keys.begin() + static_cast<std::ptrdiff_t>(count);
  if (count < keys.size()) std::nth_element(keys.begin(), end, keys.end(), std::greater<>());
  std::sort(keys.begin(), end, std::greater<>());
  for (size_t i = 0; i < count; ++i) (*indices)[i] = IndexOf(keys[i]);
}

void BestIndicesAscending(std::span<const float> scores, size_t count, std::vector<uint32_t>* indices) {
  count = std::min(count, scores.size());
  indices->clear();
  if (count == 0) return;
  if (scores.size() >= 4 * kSample && count >= scores.size() / kFew) return AscendingOfMany(scores, count, indices);
  const std::span<uint64_t> keys = Candidates(scores, count);
  uint64_t least = 0;
  if (count < keys.size()) {
    thread_local std::vector<uint64_t> order;
    order.assign(keys.begin(), keys.end());
    const auto last = order.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(order.begin(), last, order.end(), std::greater<>());
    least = *last;
  }
  for (const uint64_t key : keys) {
    if (key >= least) indices->push_back(IndexOf(key));
  }
}

}  // namespace damask::policies
