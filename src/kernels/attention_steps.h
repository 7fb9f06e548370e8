// Inside of attention: how a plan becomes steps over keys, and what a body (one per instruction set) does with a step.
//
// All query heads of a KV head's group are flattened with the rows into lanes (lane = head * rows + row), so that each key and
// value that is loaded serves all of them. Lanes are cut into lane blocks of at most kLanes. For every step (a few runs of
// consecutive keys) and every lane block a body computes S^T = K Q^T, one online softmax step, and O^T = O^T scale + V^T P^T:
// maximum, sum and rescale run down columns, without any horizontal step.
//
// Plain structs and pointers only: the bodies are compiled with their own instruction sets and must not share inline functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/aligned.h"
#include "kernels/attention.h"
#include "kernels/expand.h"

namespace damask::kernels {

inline constexpr size_t kLanes = 64;          // lanes of a block; row stride of S^T, P^T, O^T and Q^T
inline constexpr size_t kMaxStepKeys = 1024;  // keys of a step at most

// Which (row, head) may use one key.
struct KeyMask {
  uint32_t heads;
  uint16_t row_begin;
  uint16_t row_end;
};

// `granule` consecutive keys of one page.
struct KeyRun {
  const void* keys;      // bf16 [granule][head_dim]
  const void* values;    // bf16 V^T lines: the line of dimension d begins at d * 32
  const KeyMask* masks;  // [granule], or null: every lane uses every key
  // For a body without `expand`, whose keys and values are int8; as in Q8Run.
  const uint16_t* key_scales = nullptr;
  const uint16_t* value_scales = nullptr;
};

// Up to kLanes flattened queries and their state. Between steps all that was accumulated lies in `sum` and `out`, as sums of
// weights and of weighted values: the driver may multiply both by the same number.
struct LaneBlock {
  size_t lanes;    // used; the others hold zero queries and nobody reads their results
  uint32_t heads;  // all head bits in it
  void* q;         // packed queries, as the body wants them
  float* max;      // [kLanes] running maximum of the unscaled scores
  float* sum;      // [kLanes] running sum of exp; bodies of fewer lanes use the first half at most
  float* out;      // O^T [head_dim][kLanes], not yet divided by sum; bodies of fewer lanes use (head_dim + 16) * lanes at most
  int32_t* row;    // [kLanes]
  int32_t* head_bit;  // [kLanes]
};

// Rows of lanes that are to be fetched: queries that the next lane block packs, or where this one's results go.
struct RowFetch {
  const void* rows[kLanes];  // [num_rows]
  size_t num_rows;
  size_t row_bytes;
  size_t row;     // where it goes on: in this row
  size_t offset;  // from this byte
};

// The whole pages that a plan names next. A body that is bound by memory fetches them ahead, or does so by FetchPortion
// (page_fetch-inl.h), a few lines at a time while something else computes: many at once would wait for each other.
struct PageFetch {
  const void* pages[kMaxStepKeys / kPageTokens];
  size_t num_pages;
  size_t page_bytes;
  size_t page;     // where it goes on: in this page
  size_t offset;   // from this byte
  size_t portion;  // bytes to fetch on one occasion, of which a page holds a whole number
  RowFetch reads;  // a line on each occasion
  RowFetch writes;
};
// Occasions that a lane block has for every kPageTokens keys of a step.
inline constexpr size_t kFetchesPerUnit = 8;

// Memory that a body uses within one step, and what comes after it.
struct StepScratch {
  float* scores;     // [kMaxStepKeys][kLanes]
  void* weights;     // [kMaxStepKeys][kLanes] floats or half as many bf16 pairs
  float* rescale;    // [kLanes]
  float* unpacked;   // [unpacked_keys][2 * head_dim]; only for bodies with `unpack`
  PageFetch* fetch;  // of the next step
};

struct AttentionBody {
  const char* name;
  size_t lanes;        // lanes of a block, at most kLanes
  size_t granule;      // keys of a run: 16 or 32
  size_t step_keys;    // keys of a step, a multiple of granule
  size_t query_bytes;  // of a packed lane block, per dimension (head_dim rounded up to 32)
  // Packs queries and clears the state. `queries[lane]` is the row of a lane.
  void (*pack)(const float* const* queries, size_t head_dim, float sign, LaneBlock* block);
  // Called once per step before its lane blocks; may replace keys and values by copies in scratch. Null: nothing to do.
  void (*unpack)(KeyRun* runs, size_t count, size_t head_dim, const StepScratch& scratch);
  // `log2_scale` turns a score into the exponent of 2.
  void (*step)(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
               LaneBlock* block);
  // Divides by the sum and writes the rows; leaves max and sum in lane order.
  void (*finish)(LaneBlock* block, size_t head_dim, float* const* outs);
  // Around all steps of a query block: what the thread needs for them (tile configuration). Null: nothing.
  void (*enter)();
  void (*leave)();
  ExpandFn expand;  // q8 keys and values to the bf16 ones of a KeyRun; null: the body reads q8 pages, and nothing else
  // As `finish`, where every sixteen lanes are rows of one tile: their lines (ActivationTiles) begin at lines[lane / 16]. Null:
  // the body does not fill tiles.
  void (*finish_tiles)(LaneBlock* block, size_t head_dim, uint16_t* const* lines) = nullptr;
};

// Runs `plan` with `body`: the driver shared by all bodies.
void RunPlan(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
             const std::byte* const* pages, AttentionScratch* scratch);

// Bodies of the instruction sets, each in its own file. Only to be called where the CPU has them.
const AttentionBody& Avx2Body();
const AttentionBody& FewLanesAvx2Body();    // at most 8 lanes
const AttentionBody& FewLanesQ8Avx2Body();  // the same over q8 pages
const AttentionBody& Avx512Body();
const AttentionBody& Avx512Bf16Body();
const AttentionBody& FewLanesBody();    // avx512bf16, at most 8 lanes: decode
const AttentionBody& FewLanesQ8Body();  // the same over q8 pages
const AttentionBody& AmxBody();
const AttentionBody& AmxEmulatedBody();  // AMX's data flow with tiles in plain C++, on any CPU with avx512bf16

// 2^x as the bodies compute it, for the test of its accuracy.
void Avx2Exp2(const float* x, size_t n, float* out);
void Avx512Exp2(const float* x, size_t n, float* out);
void Avx512Bf16Exp2(const float* x, size_t n, float* out);
void AmxExp2(const float* x, size_t n, float* out);  // where there is AVX-512 bf16 and VBMI

// Cuts a plan into steps.
class StepBuilder {
 public:
  struct Run {
    KeyRun key_run;
    uint32_t heads_any = 0;  // heads that use some key of the run
    uint32_t heads_all = 0;  // heads that may use every key
    bool rows_all = false;   // every row uses every key
  };

  void Begin(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
             const std::byte* const* pages);
  // The next step's runs; empty at the end. Valid until the next call. Pooled keys come first, the coarsest before the others.
  const std::vector<Run>& Next();
  // True: no step follows.
  bool Done() const {
    return next_pooled_ == plan_->pooled.size() && next_entry_ == plan_->entries.size() &&
           next_column_ == plan_->columns.size();
  }
  // Each key of the last step stands for 1 << shift() positions; 0 at the end.
  unsigned shift() const { return shift_; }
  // The whole pages among the `max` entries that follow; returns how many.
  size_t Upcoming(const void** pages, size_t max) const;

 private:
  template <class MaskOf>
  void AddSlots(const std::byte* page, uint32_t heads, uint8_t quarters, bool whole, const MaskOf& mask_of);
  void AddPooled();
  void AddPooledEntry(const PooledEntry& entry);
  void AddEntry(const PlanEntry& entry);
  void AddExactEntry(const PlanEntry& entry);
  void AddColumns(size_t count);
  void GatherColumn(uint32_t position, size_t index);
  void ReserveExpanded();
  Q8Run Q8RunAt(const std::byte* page, size_t slot) const;
  size_t Expanded(const std::byte* page, size_t slot);
  void AddRun(const std::byte* page, size_t slot, const KeyMask* masks);
  void AddWholeRun(const std::byte* page, size_t slot, uint32_t heads, KeyMask* masks);
  KeyRun PointTo(const std::byte* page, size_t slot, const KeyMask* masks);

  const AttentionBody* body_ = nullptr;
  const QueryBlock* block_ = nullptr;
  const Plan* plan_ = nullptr;
  const std::byte* const* pages_ = nullptr;
  PageLayout layout_;      // of the pages
  PageLayout run_layout_;  // of what runs point into: bf16
  uint32_t group_bits_ = 0;
  size_t max_runs_ = 0;
  unsigned shift_ = 0;
  size_t next_pooled_ = 0;
  size_t next_entry_ = 0;
  size_t next_slot_ = 0;   // within that entry, or pooled entry
  size_t next_range_ = 0;  // within that entry's exact mask
  size_t next_column_ = 0;
  std::vector<Run> runs_;
  std::vector<KeyMask> masks_;                   // [max_runs][granule]
  AlignedArray<std::byte> gathered_;             // pages of gathered columns
  AlignedArray<std::byte> expanded_;             // q8 pages: the step's runs one behind the other, as the slots of bf16 pages
  std::vector<const std::byte*> expanded_keys_;  // of each of them, where its q8 keys lie
};

struct AttentionScratch::Buffers {
  StepBuilder steps;
  std::vector<LaneBlock> blocks;
  std::vector<KeyRun> step_runs;   // of one step, unpacked if the body wants it
  std::vector<KeyRun> block_runs;  // those that concern one lane block
  std::vector<const float*> queries;
  std::vector<float*> outs;
  std::vector<uint16_t*> lines;    // of each sixteen lanes, where results go to tiles
  AlignedArray<std::byte> packed;  // queries of all lane blocks
  AlignedArray<float> state;       // max, sum, O^T of all lane blocks
  AlignedArray<int32_t> lane_ids;  // row, head bit
  AlignedArray<float> scores;
  AlignedArray<float> weights;
  AlignedArray<float> rescale;
  AlignedArray<float> unpacked;
};

}  // namespace damask::kernels
