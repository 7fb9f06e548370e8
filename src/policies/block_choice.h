// Plans of policies that choose whole blocks of 16 or 64 keys: the first ones and the latest always, of the rest the best.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "policies/options.h"
#include "policies/quarter_plan.h"

namespace damask::policies {

// The option "block": 16 or 64 keys.
Result<uint64_t> BlockOption(const Options& options);

// What one query block computes, in blocks.
struct BlockShare {
  uint64_t total = 0;  // with those that are always there, which stay even where there are more of them
  uint64_t sinks = 0;  // first blocks
  uint64_t local = 0;  // latest blocks before that of the query block's first row

  // At most `budget` keys: a quarter of them for the local blocks, an eighth, or one block, for the sinks.
  BlockShare Within(uint64_t budget, uint64_t block_keys) const;
};

// Memory is kept between uses.
class BlockChoice {
 public:
  // Takes the blocks that are always there, those of the rows themselves among them, for all heads. `local_begin` is the first
  // of the latest ones. Blocks lie in the order of positions; a multiple of 16 keys is a block.
  void Reset(const PlanRequest& request, size_t group, uint32_t own_window, uint64_t block_keys, uint64_t sinks,
             uint64_t local_begin);
  // The same with `share.local` latest blocks.
  void Reset(const PlanRequest& request, size_t group, uint32_t own_window, uint64_t block_keys, const BlockShare& share);

  uint64_t forced() const { return forced_; }
  // The others that may be chosen, ascending: none of released pages and none behind the model's own window.
  const std::vector<uint32_t>& candidates() const { return candidates_; }
  // How many of them `share` leaves room for.
  size_t Room(const BlockShare& share) const;

  void Add(uint64_t block, uint32_t heads) { choice_.AddQuarters(block * quarters_, (block + 1) * quarters_, heads); }
  // The `count` best candidates (all, where there are fewer), best first. scores[block - first] is a block's.
  std::span<const uint32_t> Best(std::span<const float> scores, uint64_t first, size_t count);
  // Where nothing is known: the latest candidates stand for any.
  void AddLatest(size_t count, uint32_t heads);

  // The first block that some row may see, and the last one.
  uint64_t begin_block() const { return choice_.begin_quarter() / quarters_; }
  uint64_t last_block() const { return last_; }

  void MakePlan(kernels::Plan* plan) { choice_.MakePlan(plan); }

 private:
  QuarterChoice choice_;
  uint64_t quarters_ = 1;  // of a block
  uint64_t last_ = 0;
  uint64_t forced_ = 0;
  std::vector<uint32_t> candidates_;
  std::vector<float> scores_;   // of the candidates
  std::vector<uint32_t> best_;  // blocks
};

}  // namespace damask::policies
