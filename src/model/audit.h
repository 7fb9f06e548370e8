// The audit: of a small sample of query rows also the dense attention is computed, and what the plans kept of it is recorded
// per layer and head. Definitions (docs/cli.md): recall, strong-key hit, output error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/attention.h"
#include "kernels/scores.h"

namespace damask::model {

struct AuditOptions {
  uint64_t prefill_every = 0;  // one row in N of a prefill, and in the last layer its last row; 0: none
  // From this position on rows of a prefill are rarer, in steps: one in 2 N, from twice as far on one in 3 N, ... A dense row
  // costs as much as its text is long; so all of them together grow as the text does, not with its square. 0: never rarer.
  uint64_t rarer_from = 0;
  uint64_t decode_every = 0;  // one decode step in N; 0: none
  // A head whose strong-key hit falls below this after kMinStrongRows such rows computes every key from then on; negative:
  // never.
  double floor = -1;

  bool enabled() const { return prefill_every != 0 || decode_every != 0; }
};

// A row's largest key, the first block aside, is strong where it holds more than this share. It is hit where it is computed
// itself: what it adds to a mean of pooled keys is not what the row asked for. Recall counts pooled keys as seen.
inline constexpr float kStrongShare = 0.2f;
inline constexpr uint64_t kMinStrongRows = 4;

struct HeadAudit {
  uint64_t rows = 0;
  double recall_sum = 0;
  double recall_min = 1;
  uint64_t strong_rows = 0;
  uint64_t strong_hits = 0;
  double error_sum = 0;
  bool widened = false;

  void Add(const HeadAudit& other);
  double recall() const { return rows == 0 ? 1 : recall_sum / static_cast<double>(rows); }
  double output_error() const { return rows == 0 ? 0 : error_sum / static_cast<double>(rows); }
  // 1 where no row had a strong key.
  double strong_key_hit() const {
    return strong_rows == 0 ? 1 : static_cast<double>(strong_hits) / static_cast<double>(strong_rows);
  }
};

struct AuditReport {
  size_t heads_per_layer = 0;
  std::vector<HeadAudit> heads;  // [layers * heads]; empty: nothing was audited
  double seconds = 0;            // summed over threads
  uint64_t skipped_rows = 0;     // chosen, but some of their keys had been released

  void Add(const AuditReport& other);
  HeadAudit Total() const;
  double recall_min() const;  // of the head with the lowest mean recall
  uint64_t widened() const;
};

// Whether the row at `position` is in the sample. Layers and heads look at different rows, so that few rows see much.
bool AuditsRow(const AuditOptions& options, bool decode, size_t layer, size_t kv_head, uint64_t position);

// Memory of one worker.
struct AuditScratch {
  std::vector<float> scores;  // [group][keys]
  std::vector<float> dense;   // [head_dim]
  std::vector<kernels::PositionRange> runs;
  kernels::ScoresScratch keys;
  double seconds = 0;
  uint64_t skipped_rows = 0;
};

// Audits one row of a query block whose sparse output is in block.out; adds to heads[0 .. group).
void AuditRow(Target target, const kernels::AttentionShape& shape, const kernels::PageLayout& layout,
              const kernels::QueryBlock& block, const kernels::Plan& plan, const std::byte* const* pages, size_t row,
              uint32_t window, AuditScratch* scratch, HeadAudit* heads);

}  // namespace damask::model
