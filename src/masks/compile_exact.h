// Plans that keep a mask to the letter: the part of compile.h that builds exact masks.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "masks/compile.h"

namespace damask::masks {

class ExactCompiler {
 public:
  ExactCompiler(const std::vector<GroupMask::Head>& heads, const QueryRows& rows, kernels::Plan* plan);

  // Adds the entries of all blocks that scratch->ranges names. Heads with the same pairs of a block share an entry; entries
  // whose pairs are what `causal` and `window` say anyway carry no exact mask.
  void AddBlocks(CompileScratch* scratch);

 private:
  using KeyRows = std::array<uint64_t, kernels::kPageTokens>;  // per slot the rows that use it

  void AddBlock(uint64_t block, const uint8_t* quarters);
  void AddEntry(uint64_t block, const KeyRows& rows_of_key, uint32_t heads);
  KeyRows FindPairs(const GroupMask::Head& head, uint64_t block, uint8_t quarters) const;
  uint64_t PatternRows(const GroupMask::Head& head, uint64_t key) const;
  void AddCorner(const GroupMask::Head& head, uint64_t block, KeyRows* rows_of_key) const;
  uint64_t RowBits(uint64_t begin, uint64_t end) const;
  uint64_t VisibleRows(uint64_t key) const;

  const std::vector<GroupMask::Head>& heads_;
  QueryRows rows_;
  uint64_t first_;
  uint64_t end_;  // behind the last row
  kernels::Plan* plan_;
};

}  // namespace damask::masks
