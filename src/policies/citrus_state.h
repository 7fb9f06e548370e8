// What citrus remembers of a session: kept sets that the KV heads of a layer decide together.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>
#include <vector>

#include "policies/kept_keys.h"

namespace damask::policies {

// Whose attention decides about a set.
enum class CitrusCache {
  kStandard,  // the chunk's own rows
  kSingle,    // an instruction's rows
  kDouble,    // two sets: the text is read with the first and asked with the second
};

// Of one layer, or of one KV head where each has its own.
class CitrusSet {
 public:
  // `heads`: KV heads that decide together.
  CitrusSet(size_t heads, CitrusCache cache) : cache_(cache), sums_(heads) {}
  CitrusSet(CitrusSet&& other) noexcept : cache_(other.cache_), sums_(std::move(other.sums_)) {}  // before it is in use

  // The set that an instruction, drawn tokens (`asked`) or the text see.
  const KeptKeys& kept(bool asked) const { return asked && cache_ == CitrusCache::kDouble ? asked_ : text_; }
  bool Keeps(uint64_t begin, uint64_t end) const;

  // Attention of a chunk's rows, `head` being one of those that decide together. The last of them to come decides: of the keys
  // before the chunk the `budget` best stay. Called for all of them, in any order and on any threads.
  void AddChunk(Target target, const ChunkRequest& chunk, size_t head, size_t group, uint32_t own_window, uint64_t budget,
                KeptAttentionScratch* scratch);

  void Truncate(uint64_t length);
  uint64_t ExactLength(uint64_t length) const;
  uint64_t bytes() const;

 private:
  struct Sums {
    std::vector<float> text;  // of the chunk's rows over text_
    // Of the instruction's rows over the set it sees; with kDouble and no instruction of the chunk's rows over asked_.
    std::vector<float> asked;
  };

  bool Asked(const ChunkRequest& chunk) const;
  void Decide(const ChunkRequest& chunk, uint64_t budget);
  // Adds up what the heads have, in their order; keeps the best candidates below `border`.
  void DecideSet(const std::vector<float> Sums::*which, uint64_t border, uint64_t budget, KeptKeys* kept);

  CitrusCache cache_;
  KeptKeys text_;
  KeptKeys asked_;  // kDouble only
  std::vector<Sums> sums_;
  std::atomic<size_t> arrived_{0};
  uint64_t asked_at_ = 0;  // where the text ended when the instruction was last read; 0: not yet
};

}  // namespace damask::policies
