// The key blocks of one query block, before anything is estimated: which are computed anyway and which are to be chosen.
#pragma once

#include <cstdint>
#include <vector>

#include "policies/level_caps.h"
#include "policies/pyramid_choice.h"

namespace damask::policies {

// Of a policy over the pyramid.
struct PyramidSettings {
  uint64_t local = 0;   // latest keys before the rows' own key block that are computed as they are, in whole blocks
  uint64_t budget = 0;  // pairs that a row computes at most; 0: no limit
};

// What a session knows of one KV head of one layer.
struct Pyramid {
  PooledPages pages;
  LevelCaps caps;

  void Truncate(uint64_t length) {
    pages.Truncate(length);
    caps.Truncate(length);
  }
  uint64_t bytes() const { return pages.bytes() + caps.bytes(); }
};

// Memory is kept between uses.
class PyramidRow {
 public:
  // Adds to `choice`, which it resets, what is computed anyway at level 1: the first key block, the rows' own and the latest
  // before that. Within a budget the latest take a quarter of it at most, and of the first block as many of its eight quarters
  // stay as there is room for beside them, one at least.
  //   caps           of the key blocks, or null: `unknown_cap` for all
  void Reset(const PlanRequest& request, const ModelShape& shape, const PyramidSettings& settings, const LevelCaps* caps,
             uint8_t unknown_cap, PyramidChoice* choice);

  // Key blocks from the first that some row may see to the rows' own.
  uint64_t first_block() const { return first_; }
  uint64_t own_block() const { return own_; }
  size_t blocks() const { return own_ - first_ + 1; }
  // How many of them are computed anyway.
  size_t forced() const { return forced_; }
  // Keys that the budget leaves for the candidates; all of them where there is no budget.
  uint64_t room() const { return room_; }
  // The others, ascending, without those on released pages, and the coarsest level that each may have. One that some row sees
  // only in part is never pooled.
  const std::vector<uint32_t>& candidates() const { return candidates_; }
  const std::vector<uint8_t>& caps() const { return caps_; }

 private:
  void Force(const PlanRequest& request, const PyramidSettings& settings, PyramidChoice* choice);

  uint64_t first_ = 0;
  uint64_t own_ = 0;
  uint64_t begin_ = 0;  // of the blocks that are not forced
  uint64_t end_ = 0;
  size_t forced_ = 0;
  uint64_t room_ = 0;
  std::vector<uint32_t> candidates_;
  std::vector<uint8_t> caps_;
};

}  // namespace damask::policies
