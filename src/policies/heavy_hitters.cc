#include "policies/heavy_hitters.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "policies/quarter_plan.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;

constexpr float kHidden = -std::numeric_limits<float>::infinity();

}  // namespace

uint64_t HeavyHitters::WindowBegin(uint64_t position, uint64_t low, uint64_t end, uint64_t recent) {
  // Keys that this state was never shown the attention of, because it came to a running session, stay until they are decided.
  // In the first kH2oChunk positions a query block does not tell whether its chunk began at 0: there it counts as if it did.
  const bool unseen = position >= end + kH2oChunk;
  const uint64_t begin = position + 1 > recent && !unseen ? (position + 1 - recent) / kQuarterTokens * kQuarterTokens : 0;
  return std::max(begin, low);
}

bool HeavyHitters::Keeps(uint64_t begin, uint64_t end) const {
  if (end > now_.low) return true;
  return std::any_of(now_.heads.begin(), now_.heads.end(), [&](const Head& head) {
    const auto key = std::lower_bound(head.heavy.begin(), head.heavy.end(), begin,
                                      [](const Key& a, uint64_t position) { return a.position < position; });
    return key != head.heavy.end() && key->position < end;
  });
}

void HeavyHitters::AddChunk(const ChunkRequest& chunk, uint32_t own_window, const H2oBudget& now, const H2oBudget& next,
                            Scratch* scratch) {
  const uint64_t first = chunk.queries.first_position;
  before_.Begin(now_, first);
  const uint64_t end = first + chunk.queries.rows;
  for (size_t head = 0; head < now_.heads.size(); ++head) {
    now_.heads[head].waiting.resize(end - now_.low, 0.0);
    const std::vector<Key>& heavy = now_.heads[head].heavy;
    scratch->packed.Pack(chunk.keys, heavy.size(), [&](size_t i) { return heavy[i].position; });
    for (size_t done = 0; done < chunk.queries.rows;) {
      const uint64_t position = first + done;
      const size_t rows = std::min<size_t>(chunk.queries.rows - done, kQueryBlockRows - position % kQueryBlockRows);
      AddRows(chunk, {done, rows, position}, head, own_window, now.recent, scratch);
      done += rows;
    }
  }
  now_.end = end;
  const uint64_t low = end + 1 > next.recent ? (end + 1 - next.recent) / kQuarterTokens * kQuarterTokens : 0;
  Decide(std::max(now_.low, low), next.heavy, own_window);
}

void HeavyHitters::AddRows(const ChunkRequest& chunk, const Rows& rows, size_t index, uint32_t own_window, uint64_t recent,
                           Scratch* scratch) {
  Head& head = now_.heads[index];
  const kernels::PageLayout& layout = *chunk.keys.layout;
  const size_t heavy = head.heavy.size();
  const uint64_t begin = WindowBegin(rows.position, recent);
  const uint64_t end = rows.position + rows.count;
  const size_t stride = heavy + (end - begin);
  scratch->scores.resize(rows.count * stride);
  float* scores = scratch->scores.data();
  const float* q = chunk.queries.row(rows.first, index, layout.head_dim);
  const float scale = 1.0f / std::sqrt(static_cast<float>(layout.head_dim));
  kernels::Scores(target_, layout, scratch->packed.pages.data(), 0, heavy, q, chunk.queries.stride, rows.count, scale, scores,
                  stride, &scratch->keys);
  kernels::Scores(target_, layout, chunk.keys.pages, begin, end, q, chunk.queries.stride, rows.count, scale, scores + heavy,
                  stride, &scratch->keys);
  const uint64_t lowest_heavy = LowestSingleKey(rows.position, own_window);  // as plans do
  for (size_t row = 0; row < rows.count; ++row) {
    float* const p = scores + row * stride;
    const uint64_t position = rows.position + row;
    if (own_window != 0) {
      for (size_t i = 0; i < heavy && head.heavy[i].position < lowest_heavy; ++i) p[i] = kHidden;
      const uint64_t lowest = kernels::LowestKey(position, own_window);
      if (lowest > begin) std::fill_n(p + heavy, lowest - begin, kHidden);
    }
    kernels::Softmax(target_, p, heavy + (position + 1 - begin));
    for (size_t i = 0; i < heavy; ++i) head.heavy[i].sum += static_cast<double>(p[i]);
    double* const waiting = head.waiting.data() + (begin - now_.low);
    for (size_t i = 0; i < position + 1 - begin; ++i) waiting[i] += static_cast<double>(p[heavy + i]);
  }
}

void HeavyHitters::Decide(uint64_t low, uint64_t heavy, uint32_t own_window) {
  const uint64_t lowest_heavy = LowestSingleKey(now_.end, own_window);
  for (Head& head : now_.heads) {
    const size_t decided = low - now_.low;
    for (size_t i = 0; i < decided; ++i) {
      head.heavy.push_back({static_cast<uint32_t>(now_.low + i), head.waiting[i]});
    }
    head.waiting.erase(head.waiting.begin(), head.waiting.begin() + static_cast<std::ptrdiff_t>(decided));
    // They would win by what they got once and keep out those that can still be seen.
    std::erase_if(head.heavy, [&](const Key& key) { return key.position < lowest_heavy; });
    if (head.heavy.size() <= heavy) continue;
    const auto kept = head.heavy.begin() + static_cast<std::ptrdiff_t>(heavy);
    std::nth_element(head.heavy.begin(), kept, head.heavy.end(),
                     [](const Key& a, const Key& b) { return a.sum != b.sum ? a.sum > b.sum : a.position < b.position; });
    head.heavy.erase(kept, head.heavy.end());
    std::sort(head.heavy.begin(), head.heavy.end(), [](const Key& a, const Key& b) { return a.position < b.position; });
  }
  now_.low = low;
}

void HeavyHitters::Truncate(uint64_t length) {
  if (length >= now_.end) return;
  if (before_.IsOf(length)) now_ = before_.kept;
  before_ = {.kept = {.heads = std::vector<Head>(now_.heads.size())}};
  if (length == 0) now_ = before_.kept;
  if (length >= now_.end) return;
  const uint64_t low = std::min(now_.low, length / kQuarterTokens * kQuarterTokens);
  for (Head& head : now_.heads) {
    std::vector<double> waiting(length - low, 0.0);
    for (size_t i = 0; i < waiting.size(); ++i) {
      if (low + i >= now_.low) waiting[i] = head.waiting[low + i - now_.low];
    }
    while (!head.heavy.empty() && head.heavy.back().position >= low) {
      if (head.heavy.back().position < length) waiting[head.heavy.back().position - low] = head.heavy.back().sum;
      head.heavy.pop_back();
    }
    head.waiting = std::move(waiting);
  }
  now_.low = low;
  now_.end = length;
}

uint64_t HeavyHitters::ExactLength(uint64_t length) const { return before_.ExactLength(now_, length); }

uint64_t HeavyHitters::bytes() const {
  uint64_t sum = 0;
  for (const Kept* kept : {&now_, &before_.kept}) {
    for (const Head& head : kept->heads) sum += head.heavy.size() * sizeof(Key) + head.waiting.size() * sizeof(double);
  }
  return sum;
}

}  // namespace damask::policies
