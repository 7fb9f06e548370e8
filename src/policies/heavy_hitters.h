// Kept sets by accumulated attention (H2O): which keys each query head of one KV head still sees, and what they have got.
#pragma once

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/scores.h"
#include "policies/before_chunk.h"
#include "policies/packed_keys.h"
#include "policies/policy.h"

namespace damask::policies {

// The longest chunk: what comes this far behind the last row that a state was shown, it has missed.
inline constexpr uint64_t kH2oChunk = 512;

// Budgets in keys at one point of a session.
struct H2oBudget {
  uint64_t heavy = 0;   // decided keys that stay
  uint64_t recent = 1;  // latest keys that every row sees, itself included, rounded up to whole quarters
};

// Of one KV head of one layer. Keys are decided chunk by chunk: those below low() are heavy hitters or dropped for good; the
// rest waits, and of it a query block sees the quarters from WindowBegin on.
class HeavyHitters {
 public:
  struct Key {
    uint32_t position = 0;
    double sum = 0;  // of the probabilities that rows gave it
  };

  HeavyHitters(size_t group, Target target) : target_(target) { now_.heads.resize(group), before_.kept.heads.resize(group); }

  // Keys below this are decided.
  uint64_t low() const { return now_.low; }
  // Rows whose attention has been added up.
  uint64_t end() const { return now_.end; }
  // Sorted by position, all below low().
  const std::vector<Key>& heavy(size_t head) const { return now_.heads[head].heavy; }
  bool Keeps(uint64_t begin, uint64_t end) const;  // some head has a key of [begin, end), or it is not all decided

  // What a query block that begins at `position` sees beside the heavy hitters: all keys from here on (a multiple of 16).
  static uint64_t WindowBegin(uint64_t position, uint64_t low, uint64_t end, uint64_t recent);
  uint64_t WindowBegin(uint64_t position, uint64_t recent) const { return WindowBegin(position, now_.low, now_.end, recent); }

  struct Scratch {
    PackedKeys packed;          // of the heavy hitters
    std::vector<float> scores;  // [rows][heavy hitters, then the window]
    kernels::ScoresScratch keys;
  };
  // Adds the attention of a chunk's rows over what their plans held with budget `now`, then decides with budget `next`. What
  // the model's own window hides from all later rows is dropped, however much it has got.
  void AddChunk(const ChunkRequest& chunk, uint32_t own_window, const H2oBudget& now, const H2oBudget& next, Scratch* scratch);

  // Back to where the last chunk began, or to the beginning. Elsewhere what lies before the cut keeps the sums it has.
  void Truncate(uint64_t length);
  // The longest length up to `length` at which Truncate gives the very state of that time.
  uint64_t ExactLength(uint64_t length) const;
  uint64_t bytes() const;

 private:
  struct Head {
    std::vector<Key> heavy;
    std::vector<double> waiting;  // sums of [low, end)
  };
  struct Kept {
    uint64_t low = 0;
    uint64_t end = 0;
    std::vector<Head> heads;
  };
  struct Rows {
    size_t first = 0;  // of the chunk
    size_t count = 0;
    uint64_t position = 0;
  };

  void AddRows(const ChunkRequest& chunk, const Rows& rows, size_t head, uint32_t own_window, uint64_t recent,
               Scratch* scratch);
  void Decide(uint64_t low, uint64_t heavy, uint32_t own_window);

  Target target_;
  Kept now_;
  BeforeChunk<Kept> before_;
};

}  // namespace damask::policies
