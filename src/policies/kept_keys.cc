#include "policies/kept_keys.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "policies/best.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

// Rows that are scored together: enough to make them cheap, few enough for long texts.
constexpr size_t kRowsAtOnce = 32;

}  // namespace

Result<uint64_t> ChunkOption(const Options& options, std::string_view policy) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t chunk, options.Count("chunk", kernels::kQueryBlockRows, kLongestChunk));
  if ((chunk & (chunk - 1)) == 0) return chunk;
  return InvalidArgument(fmt::format("policy {}: chunk={} is not 64, 128, 256 or 512", policy, chunk));
}

void LastRows::Add(const QueryRows& queries, size_t width, size_t limit) {
  if (first + rows != queries.first_position) rows = 0;
  const size_t taken = std::min(queries.rows, limit);
  const size_t stay = std::min(rows, limit - taken);
  if (stay > 0) std::memmove(q.data(), q.data() + (rows - stay) * width, stay * width * sizeof(float));
  q.resize((stay + taken) * width);
  for (size_t i = 0; i < taken; ++i) {
    std::copy_n(queries.row(queries.rows - taken + i, 0, 0), width, q.data() + (stay + i) * width);
  }
  rows = stay + taken;
  first = queries.first_position + queries.rows - rows;
}

bool KeptKeys::Keeps(uint64_t begin, uint64_t end) const {
  if (end > now_.low) return true;
  const auto key = std::lower_bound(now_.positions.begin(), now_.positions.end(), begin);
  return key != now_.positions.end() && *key < end;
}

bool KeptKeys::IsDrawn(const ChunkRequest& chunk) const { return chunk.queries.rows == 1 && chunk.prompt_end && !now_.reading; }

void KeptKeys::BeginChunk(const ChunkRequest& chunk, size_t width, size_t limit) {
  before_.Begin(now_, chunk.queries.first_position);
  now_.end = chunk.queries.first_position + chunk.queries.rows;
  now_.reading = !chunk.prompt_end;
  if (limit > 0) now_.rows.Add(chunk.queries, width, limit);
}

void KeptKeys::Decide(uint64_t border, std::vector<uint32_t> chosen) {
  std::sort(chosen.begin(), chosen.end());
  for (uint32_t& index : chosen) index = CandidatePosition(index);
  now_.positions = std::move(chosen);
  now_.low = border;
}

void KeptKeys::AddTo(QuarterChoice* choice) const {
  choice->AddQuarters(now_.low / kQuarterTokens, ~uint64_t{0}, kernels::kAllHeads);
  for (const uint32_t position : now_.positions) choice->AddKey(position, kernels::kAllHeads);
}

void KeptKeys::Truncate(uint64_t length) {
  if (length >= now_.end) return;
  if (before_.IsOf(length)) now_ = before_.kept;
  before_ = {};
  if (length == 0) now_ = {};
  if (length >= now_.end) return;
  now_.low = std::min(now_.low, length / kPageTokens * kPageTokens);  // some decide page by page
  now_.end = length;
  now_.rows = {};
  std::erase_if(now_.positions, [this](uint32_t position) { return position >= now_.low; });
}

uint64_t KeptKeys::ExactLength(uint64_t length) const { return before_.ExactLength(now_, length); }

uint64_t KeptKeys::bytes() const {
  uint64_t sum = 0;
  for (const Kept* kept : {&now_, &before_.kept}) {
    sum += kept->positions.size() * sizeof(uint32_t) + kept->rows.q.size() * sizeof(float);
  }
  return sum;
}

void ChooseUnits(const KeptKeys& kept, std::span<const float> scores, uint64_t unit, size_t count, UnitScratch* scratch,
                 std::vector<uint32_t>* chosen) {
  scratch->scores.clear();
  scratch->begins.clear();
  const auto candidates = static_cast<uint32_t>(scores.size());
  for (uint32_t i = 0; i < candidates; ++i) {
    if (i == 0 || kept.CandidatePosition(i) / unit != kept.CandidatePosition(i - 1) / unit) {
      scratch->begins.push_back(i);
      scratch->scores.push_back(0.0f);
    }
    scratch->scores.back() += scores[i];
  }
  scratch->begins.push_back(candidates);
  BestIndices(scratch->scores, count, &scratch->best);
  chosen->clear();
  for (const uint32_t best : scratch->best) {
    for (uint32_t i = scratch->begins[best]; i < scratch->begins[best + 1]; ++i) chosen->push_back(i);
  }
}

void AddShape(uint64_t kept, uint64_t low, QuarterChoice* choice) {
  choice->AddQuarters(low / kQuarterTokens, ~uint64_t{0}, kernels::kAllHeads);
  for (uint64_t key = 0; key < std::min(kept, low); ++key) choice->AddKey(key, kernels::kAllHeads);
}

void KeptAttention(Target target, const QueryRows& queries, size_t group, const KeyPages& keys, std::span<const uint32_t> kept,
                   uint64_t low, uint32_t own_window, uint64_t next, KeptAttentionScratch* scratch, std::vector<float>* sums) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const size_t dim = keys.layout->head_dim;
  const uint64_t end = queries.first_position + queries.rows;
  const size_t stride = kept.size() + (end - low);
  const float scale = 1.0f / std::sqrt(static_cast<float>(dim));
  sums->assign(stride, 0.0f);
  scratch->scores.resize(kRowsAtOnce * stride);
  scratch->packed.Pack(keys, kept.size(), [&](size_t i) { return kept[i]; });
  scratch->released.clear();
  for (size_t i = 0; i < kept.size(); ++i) {
    if (keys.pages[kept[i] / kPageTokens] == nullptr) scratch->released.push_back(static_cast<uint32_t>(i));
  }
  // Rows below `low` have seen keys that are decided about by now: they have no say any more.
  const size_t begin = static_cast<size_t>(std::clamp(low, queries.first_position, end) - queries.first_position);
  for (size_t done = begin; done < queries.rows; done += kRowsAtOnce) {
    const size_t rows = std::min(kRowsAtOnce, queries.rows - done);
    for (size_t head = 0; head < group; ++head) {
      const float* q = queries.row(done, head, dim);
      float* const scores = scratch->scores.data();
      kernels::Scores(target, *keys.layout, scratch->packed.pages.data(), 0, kept.size(), q, queries.stride, rows, scale,
                      scores, stride, &scratch->keys);
      kernels::Scores(target, *keys.layout, keys.pages, low, end, q, queries.stride, rows, scale, scores + kept.size(), stride,
                      &scratch->keys);
      for (size_t row = 0; row < rows; ++row) {
        float* const p = scores + row * stride;
        const uint64_t position = queries.first_position + done + row;
        const uint64_t lowest = kernels::LowestKey(std::max(position, next), own_window);
        for (size_t i = 0; lowest > 0 && i < kept.size(); ++i) p[i] = kept[i] < lowest ? kHidden : p[i];
        for (const uint32_t i : scratch->released) p[i] = kHidden;
        const size_t seen = kept.size() + (position + 1 - low);
        if (lowest > low) std::fill(p + kept.size(), p + kept.size() + (std::min(lowest, position + 1) - low), kHidden);
        kernels::Softmax(target, p, seen);
        for (size_t i = 0; i < seen; ++i) (*sums)[i] += p[i];
      }
    }
  }
}

}  // namespace damask::policies
