#include "policies/citrus_state.h"

#include <algorithm>

#include "policies/best.h"

namespace damask::policies {

using kernels::kQuarterTokens;

bool CitrusSet::Keeps(uint64_t begin, uint64_t end) const {
  return text_.Keeps(begin, end) || (cache_ == CitrusCache::kDouble && asked_.Keeps(begin, end));
}

void CitrusSet::AddChunk(Target target, const ChunkRequest& chunk, size_t head, size_t group, uint32_t own_window,
                         uint64_t budget, KeptAttentionScratch* scratch) {
  if (text_.IsDrawn(chunk)) return;
  Sums& sums = sums_[head];
  // An instruction that is read in front of a chunk is forgotten: what it keeps is for that chunk.
  const uint64_t next = chunk.queries.first_position + (chunk.aside ? 0 : chunk.queries.rows);
  const auto add = [&](const KeptKeys& kept, std::vector<float>* out) {
    KeptAttention(target, chunk.queries, group, chunk.keys, kept.kept(), kept.low(), own_window, next, scratch, out);
  };
  if (!chunk.aside) add(text_, &sums.text);
  if (chunk.closing && cache_ != CitrusCache::kStandard) add(kept(true), &sums.asked);
  // The second set's keys are not the first one's, whoever speaks for it.
  if (cache_ == CitrusCache::kDouble && !chunk.aside && !chunk.closing && !Asked(chunk)) add(asked_, &sums.asked);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 < sums_.size()) return;
  arrived_.store(0, std::memory_order_relaxed);
  if (chunk.closing) asked_at_ = chunk.queries.first_position;
  if (!chunk.aside) Decide(chunk, budget);
}

// Whether the instruction was read in front of this chunk. Without one (a text that nothing is asked of) the chunk speaks for
// it.
bool CitrusSet::Asked(const ChunkRequest& chunk) const {
  const uint64_t first = chunk.queries.first_position;
  return cache_ != CitrusCache::kStandard && asked_at_ == first && first > 0;
}

void CitrusSet::Decide(const ChunkRequest& chunk, uint64_t budget) {
  const bool asked = Asked(chunk);
  text_.BeginChunk(chunk, 0, 0);
  asked_.BeginChunk(chunk, 0, 0);
  const uint64_t border = chunk.queries.first_position / kQuarterTokens * kQuarterTokens;
  if (cache_ == CitrusCache::kDouble) DecideSet(&Sums::asked, border, budget, &asked_);
  DecideSet(asked && cache_ == CitrusCache::kSingle ? &Sums::asked : &Sums::text, border, budget, &text_);
}

void CitrusSet::DecideSet(const std::vector<float> Sums::*which, uint64_t border, uint64_t budget, KeptKeys* kept) {
  border = std::max(border, kept->low());
  const size_t candidates = kept->Candidates(border);
  if (candidates <= budget) return;  // as long as everything fits nothing is decided
  std::vector<float> sum(candidates, 0.0f);
  for (const Sums& head : sums_) {
    const std::vector<float>& part = head.*which;
    for (size_t i = 0; i < candidates; ++i) sum[i] += part[i];
  }
  std::vector<uint32_t> best;
  BestIndices(sum, budget, &best);
  kept->Decide(border, std::move(best));
}

void CitrusSet::Truncate(uint64_t length) {
  arrived_.store(0, std::memory_order_relaxed);
  if (asked_at_ > length) asked_at_ = 0;
  text_.Truncate(length);
  asked_.Truncate(length);
}

uint64_t CitrusSet::ExactLength(uint64_t length) const {
  return text_.ExactLength(length);  // the other set has seen the same chunks
}

uint64_t CitrusSet::bytes() const {
  uint64_t sum = text_.bytes() + asked_.bytes();
  for (const Sums& head : sums_) sum += (head.text.size() + head.asked.size()) * sizeof(float);
  return sum;
}

}  // namespace damask::policies
