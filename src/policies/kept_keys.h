// Kept sets: which keys of a text stay in sight once it has been decided about them, for policies that drop the others for good
// (snapkv, pyramidkv, tca, citrus).
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "kernels/scores.h"
#include "policies/before_chunk.h"
#include "policies/options.h"
#include "policies/packed_keys.h"
#include "policies/policy.h"
#include "policies/quarter_plan.h"

namespace damask::policies {

// The longest chunk, and the sizes of chunks that a policy may ask for (Policy::ChunkRows).
inline constexpr uint64_t kLongestChunk = 512;
Result<uint64_t> ChunkOption(const Options& options, std::string_view policy);

// The last rows of queries of consecutive positions.
struct LastRows {
  std::vector<float> q;  // [rows][group][head_dim]
  uint64_t first = 0;
  size_t rows = 0;

  // Takes in the rows of a chunk and keeps `limit` of them.
  void Add(const QueryRows& queries, size_t width, size_t limit);
  QueryRows View(size_t width) const { return {q.data(), width, rows, first}; }
};

// Of one KV head (or of a layer, where its heads share one set). Keys below low() are decided: kept or dropped.
class KeptKeys {
 public:
  // What a state is made of.
  struct Kept {
    uint64_t low = 0;                 // a multiple of kernels::kQuarterTokens
    uint64_t end = 0;                 // behind the last row that changed this state
    bool reading = false;             // the last chunk was not the end of its prompt
    std::vector<uint32_t> positions;  // kept, ascending, all below low
    LastRows rows;
  };

  uint64_t low() const { return now_.low; }
  uint64_t end() const { return now_.end; }
  const std::vector<uint32_t>& kept() const { return now_.positions; }
  const LastRows& rows() const { return now_.rows; }
  bool Keeps(uint64_t begin, uint64_t end) const;  // some key of [begin, end), or it is not all decided

  // Whether a chunk is a token that was drawn, and not the rest of a prompt.
  bool IsDrawn(const ChunkRequest& chunk) const;
  // A chunk is done: the state before it is what Truncate can bring back, with the drawn tokens up to where it began. Remembers
  // up to `limit` of its last rows.
  void BeginChunk(const ChunkRequest& chunk, size_t width, size_t limit);

  // Candidates of a decision about all keys below `border`: the kept ones, then [low, border).
  size_t Candidates(uint64_t border) const { return now_.positions.size() + (border - now_.low); }
  uint32_t CandidatePosition(size_t index) const {
    return index < now_.positions.size() ? now_.positions[index]
                                         : static_cast<uint32_t>(now_.low + (index - now_.positions.size()));
  }
  // Keeps the candidates with these indices, in any order, and drops the others. `border` is a multiple of kQuarterTokens.
  void Decide(uint64_t border, std::vector<uint32_t> chosen);

  void AddTo(QuarterChoice* choice) const;

  // Back to where the last chunk began, to a token drawn just before it, or to 0; elsewhere what lies before the cut stays as
  // it was decided.
  void Truncate(uint64_t length);
  // The longest length up to `length` at which Truncate gives the very state of that time.
  uint64_t ExactLength(uint64_t length) const;
  uint64_t bytes() const;

 private:
  Kept now_;
  BeforeChunk<Kept> before_;
};

// Whether a page can never be read again: it lies behind the model's own window, or a set (KeptKeys and what is made of them,
// HeavyHitters; null: not known yet) has decided about all its keys and kept none.
template <typename Set>
bool MayReleasePage(const Set* set, uint32_t own_window, size_t block, uint64_t position) {
  const uint64_t begin = block * kernels::kPageTokens;
  if (kernels::IsBehindWindow(block, position, own_window)) return true;
  return set != nullptr && !set->Keeps(begin, begin + kernels::kPageTokens);
}

struct UnitScratch {
  std::vector<float> scores;     // of the units
  std::vector<uint32_t> begins;  // their first candidates, and the number of candidates
  std::vector<uint32_t> best;
};
// Of `scores`, one for each candidate: the candidates of the `count` best units. Candidates whose positions fall into the same
// `unit` keys stay or go together, and a unit has the sum of what its candidates have.
void ChooseUnits(const KeptKeys& kept, std::span<const float> scores, uint64_t unit, size_t count, UnitScratch* scratch,
                 std::vector<uint32_t>* chosen);

// A plan as after a decision, where there is no state: the first `kept` keys and all from `low` on.
void AddShape(uint64_t kept, uint64_t low, QuarterChoice* choice);

struct KeptAttentionScratch {
  PackedKeys packed;               // of the kept positions
  std::vector<uint32_t> released;  // indices of those whose page is gone
  std::vector<float> scores;       // [rows][kept, then the others]
  kernels::ScoresScratch keys;
};
// Causal attention of `queries` over the keys at `kept` and those from `low` on, within the model's own window (0: none), added
// up over rows and the heads of the group: sums[i] of kept[i], then of low, low + 1, ... up to the last row. Overwrites `sums`.
// Keys that row `next`, the first to see what stays, can no longer see, count for none: their pages may have been released,
// which must change nothing. Keys of released pages get nothing. Cost: 2 head_dim flops a row, head and key.
void KeptAttention(Target target, const QueryRows& queries, size_t group, const KeyPages& keys, std::span<const uint32_t> kept,
                   uint64_t low, uint32_t own_window, uint64_t next, KeptAttentionScratch* scratch, std::vector<float>* sums);

}  // namespace damask::policies
