// From masks to plans: what the query heads of one KV head compute for a block of queries, at any position. A plan costs O(kept
// patterns) and what it holds itself: nothing grows with the text beyond the key blocks that are planned.
//
// Two modes:
//   kBlocks  whole 16-key quarters: a superset of the mask (it never loses mass and needs no mask of single pairs). Verticals
//            outside planned quarters stay single gathered columns, unless a quarter has kQuarterFromColumns of them. Which
//            keys a row gets follows from the query block of 64 positions it lies in, so chunking and decoding change nothing.
//   kExact   the mask to the letter (extend.h): quarters that only part of the pairs may use carry an exact mask.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/plan.h"
#include "masks/mask.h"
#include "masks/quarters.h"

namespace damask::masks {

enum class PlanMode { kBlocks, kExact };

// A quarter with this many verticals of a head is computed whole: gathering a column costs more than computing a key in place.
inline constexpr size_t kQuarterFromColumns = 8;

struct QueryRows {
  uint64_t first_position = 0;
  size_t rows = 0;      // 1 .. kQueryBlockRows; the rows lie in one query block: first_position % 64 + rows <= 64
  uint32_t window = 0;  // the model's own sliding window; 0: none
};

// Memory that one thread keeps between plans.
struct CompileScratch {
  std::vector<std::vector<QuarterRange>> ranges;  // per head
  std::vector<QuarterRange> bands;
  std::vector<size_t> cursors;
};

// The masks of the heads that share a KV head, made ready for plans. Immutable: threads share it.
class GroupMask {
 public:
  // heads: 1 .. kernels::kMaxGroup checked masks; they must outlive the object.
  GroupMask(std::span<const HeadMask> heads, const Parameters& parameters);

  // Overwrites `plan`: causal, sorted, without duplicates, no row without a key. `chosen`, where it is not empty, has for every
  // head null or the quarters that a content head chose for these rows (sorted, disjoint, the diagonal among them).
  using Chosen = std::span<const std::vector<QuarterRange>* const>;
  void MakePlan(const QueryRows& rows, PlanMode mode, CompileScratch* scratch, kernels::Plan* plan, Chosen chosen = {}) const;

  // Whether no row at or after `position` of any head gets key block `block`, in whatever mode; false where some head is dense
  // or chooses its keys.
  bool NeverReaches(uint64_t block, uint64_t position) const;

  size_t group() const { return heads_.size(); }
  // Bytes of what is prepared, over the masks themselves.
  uint64_t bytes() const;

 private:
  friend class ExactCompiler;

  struct Head {
    const HeadMask* mask = nullptr;
    bool full = false;                                     // dense, or content until blocks are chosen
    uint32_t corner = 0;                                   // rows below it follow the true mask: L, or 0
    uint32_t sinks = 0;                                    // first keys of every row
    std::vector<DiagonalInterval> bands;                   // kept offsets
    std::vector<uint32_t> verticals;                       // kept columns from `sinks` on, for rows >= corner
    std::vector<QuarterRange> sink_quarters;               // whole quarters of sinks
    std::vector<QuarterRange> fixed_quarters;              // those and quarters full of verticals
    std::vector<std::vector<QuarterRange>> corner_blocks;  // [corner / 64, rounded up]: quarters of a query block's corner rows
  };
  // A key that some heads want by itself: `always` as a sink, `beyond` as a vertical, from row `corner` on.
  struct Column {
    uint32_t position = 0;
    uint32_t always = 0;
    uint32_t beyond = 0;
  };

  void PrepareHead(const HeadMask& mask, Head* head) const;
  void PrepareCorner(Head* head) const;
  void PrepareColumns();
  void BlockRanges(size_t index, const QueryRows& rows, CompileScratch* scratch, std::vector<QuarterRange>* ranges) const;
  void ExactRanges(const Head& head, const QueryRows& rows, std::vector<QuarterRange>* ranges) const;
  void AddBlocks(const QueryRows& rows, CompileScratch* scratch, kernels::Plan* plan) const;
  void AddColumns(const QueryRows& rows, PlanMode mode, kernels::Plan* plan) const;

  Parameters parameters_;
  std::vector<Head> heads_;
  std::vector<Column> columns_;        // for kBlocks, ascending: sinks and verticals outside quarters that are computed whole
  std::vector<Column> exact_columns_;  // for kExact, ascending: every vertical
};

}  // namespace damask::masks
