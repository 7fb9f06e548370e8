// Attention over pages, driven by a plan: online softmax, never an n x n matrix; prefill and decode are one path.
// Source: Milakov & Gimelshein, Online normalizer calculation for softmax (arXiv 1805.02867); Dao et al., FlashAttention
// (arXiv 2205.14135). Sinks: OpenAI, gpt-oss-120b & gpt-oss-20b Model Card (arXiv 2508.10925).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "base/cpu.h"
#include "kernels/activation_tiles.h"
#include "kernels/page.h"
#include "kernels/plan.h"

namespace damask::kernels {

struct AttentionShape {
  size_t head_dim = 0;        // a multiple of 16, at most 256
  size_t group = 1;           // query heads of this KV head
  float scale = 1.0f;         // applied to q.k, usually 1 / sqrt(head_dim)
  KvType kv = KvType::kBf16;  // of the pages
};

// One query block of one KV head's group.
struct QueryBlock {
  const float* q = nullptr;  // [rows, group, head_dim], rotated; row stride q_stride floats
  size_t q_stride = 0;
  float* out = nullptr;  // [rows, group, head_dim]; row stride out_stride floats; overwritten; must not alias q
  size_t out_stride = 0;
  float* lse = nullptr;         // [rows, group] log-sum-exp of the scaled scores (natural log), or null
  size_t rows = 0;              // 1 .. kQueryBlockRows
  uint64_t first_position = 0;  // row r is position first_position + r
  // [group] The logit of a key without a value that every row of a head sees besides, or null.
  const float* sinks = nullptr;
  // Where these are, results go there instead of to `out`, rounded to bf16: row r, head g, dimension d to row tiles_row + r and
  // column tiles_column + g * head_dim + d. Only where FillsTiles says so.
  ActivationTiles tiles{};
  size_t tiles_row = 0;
  size_t tiles_column = 0;
};

// Per-thread memory of the kernels, kept between calls.
class AttentionScratch {
 public:
  AttentionScratch();
  ~AttentionScratch();
  AttentionScratch(AttentionScratch&&) noexcept;
  AttentionScratch& operator=(AttentionScratch&&) noexcept;
  struct Buffers;
  Buffers& buffers() { return *buffers_; }

 private:
  std::unique_ptr<Buffers> buffers_;
};

// Runs `plan`, its pooled entries over pages that the plan brings along. `pages[block]` is the page of key block `block`;
// entries of pages the plan does not name may be null. Queries, keys and values are finite (model/forward.cc looks before): of
// others some bodies make zeros, and so they do where scores (times shape.scale) pass 10^9. A (row, head) for which nothing is
// planned gives zeros and lse -infinity, or the sink's logit. Thread-safe for distinct `out` and scratch. Cost: 4 * head_dim *
// planned pairs flops. Error against the reference: see tests/kernels/attention_test.cc.
using AttentionFn = void (*)(const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
                             const std::byte* const* pages, AttentionScratch* scratch);

// Query blocks of at most so many lanes (rows times heads) are run by bodies of their own: above all decode. Rows of one block
// whose keys end in the same quarter get there to the last bit what each gets alone from its part of the plan.
inline constexpr size_t kFewLanes = 8;

// What `target` runs, for every head_dim and group; the scalar reference for f32 pages.
AttentionFn FindAttention(Target target, const AttentionShape& shape);

// Whether what `target` runs can leave this block's results as tiles.
bool FillsTiles(Target target, const AttentionShape& shape, const QueryBlock& block);

// "avx512bf16", "scalar", ...: the name of what FindAttention gives.
std::string AttentionName(Target target, const AttentionShape& shape);

// The scalar reference: double accumulators, one pair at a time.
void AttentionReference(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
                        AttentionScratch* scratch);

}  // namespace damask::kernels
