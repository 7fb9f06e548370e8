// The attention of a layer for all rows of a batch: what the policy is shown, plans, kernels, the audit, and pages that go
// back.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "base/thread_pool.h"
#include "kernels/attention.h"
#include "kernels/plan_parts.h"
#include "model/audit.h"
#include "model/model.h"
#include "model/row_run.h"
#include "policies/policy.h"

namespace damask::model {

// What one segment of a batch cost and what the audit found in its rows.
struct SegmentReport {
  uint64_t planned_pairs = 0;
  uint64_t causal_pairs = 0;
  HeadAudit audit;  // summed over layers and heads

  void Add(const SegmentReport& other);
  double density() const {
    return causal_pairs == 0 ? 1.0 : static_cast<double>(planned_pairs) / static_cast<double>(causal_pairs);
  }
};

class AttentionStep {
 public:
  // `kv` is the type of all caches' pages. Nothing is owned; all outlive the object.
  AttentionStep(const Model* model, const policies::Policy* policy, ThreadPool* pool, Target target, kernels::KvType kv);

  const kernels::PageLayout& layout() const { return layout_; }
  const policies::Policy& policy() const { return *policy_; }
  // As Forward's.
  void SetPolicy(const policies::Policy* policy);
  void SetAudit(const AuditOptions& options);
  void ResetAudit();
  const AuditReport& audit() const { return audit_; }
  bool MayGuess() const { return policy_->RewindsExactly() && audit_options_.floor < 0; }

  // A batch of so many segments begins.
  void StartBatch(size_t segments);
  // By segment, since the batch began.
  std::span<const SegmentReport> reports() const { return reports_; }

  // The keys of `runs`, which lie in their pages, become the policy's; without a Run of their own where nobody asks for their
  // answers.
  void ShowKeys(size_t layer, std::span<const RowRun> runs);
  // Where results go: floats of the queries' shape, or where these are, the tiles that the next product reads. `rows` is used
  // either way.
  struct Results {
    float* rows = nullptr;
    kernels::ActivationTiles tiles{};
  };
  // Rotated queries q [rows, heads, head_dim] to results.
  void Run(size_t layer, std::span<const RowRun> runs, const float* q, const Results& results);
  // Both. Of a drawn token and guesses behind it a policy sees for each row what it would see without those that follow.
  void ShowKeysAndRun(size_t layer, std::span<const RowRun> runs, const float* q, const Results& results);
  // The layer's attention for the chunk is done.
  void ShowChunk(size_t layer, std::span<const RowRun> runs, const float* q);
  // Gives back pages that no head can reach again.
  void ReleasePages(KvCache* cache) const;

 private:
  // One unit of work: a query block of one KV head.
  struct Item {
    const RowRun* run = nullptr;
    size_t kv_head = 0;
    size_t first_row = 0;
    size_t rows = 0;
    uint64_t first_position = 0;
  };
  // What an item of a decode computes: its plan, whole or in parts.
  struct DecodeItem {
    kernels::Plan plan;
    std::vector<kernels::PlanPart> parts;  // at most one: done by whoever made the plan
    size_t first_part = 0;                 // among those of all items
  };
  struct Part {
    size_t item = 0;
    size_t part = 0;
  };
  struct Worker {
    kernels::AttentionScratch attention;
    kernels::Plan plan;
    std::vector<SegmentReport> reports;  // [segments]
    AuditScratch audit;
    std::vector<HeadAudit> row_audit;  // [group] of the row at hand
    std::vector<HeadAudit> audited;    // [heads] of the layer at hand; empty where nothing is audited
  };

  size_t DecodeRowsTogether(size_t layer, uint64_t position) const;
  void MakeItems(size_t layer, std::span<const RowRun> runs);
  kernels::QueryBlock BlockOf(size_t layer, const Item& item) const;
  bool Audits(size_t layer, const Item& item, size_t row) const;
  bool AuditsAnyRow(size_t layer, const Item& item) const;
  void AskForTiles(size_t layer, const Item& item, kernels::QueryBlock* block) const;
  void RowsToTiles(const Item& item) const;
  void MakePlan(size_t layer, const Item& item, kernels::Plan* plan) const;
  void RunItem(size_t layer, size_t item, size_t worker);
  void RunParts(size_t layer);
  void RunPart(size_t layer, const Part& part, size_t worker);
  void MergeItem(size_t layer, size_t item, size_t worker);
  float* PartOut(size_t part) { return part_outs_.data() + part * part_lanes() * shape_.head_dim; }
  float* PartLse(size_t part) { return part_lses_.data() + part * part_lanes(); }
  size_t part_lanes() const { return std::max(kernels::kFewLanes, shape_.group); }  // at least an item's rows times heads
  void Report(size_t layer, const Item& item, const kernels::Plan& plan, size_t worker);
  void AuditItem(size_t layer, const Item& item, const kernels::Plan& plan, size_t worker);
  void MergeReports();
  void MergeAudits(size_t layer);
  void WidenHeads(size_t layer);
  static const std::byte* const* PagesOf(size_t layer, const Item& item) { return item.run->cache->pages(layer, item.kv_head); }

  const Model* model_;
  const policies::Policy* policy_;
  ThreadPool* pool_;
  Target target_;
  kernels::AttentionShape shape_;
  kernels::AttentionFn attention_;
  kernels::PageLayout layout_;
  AuditOptions audit_options_;
  AuditReport audit_;
  std::vector<SegmentReport> reports_;
  std::vector<Item> items_;
  const float* q_ = nullptr;  // of the Run at hand
  Results results_;
  std::vector<DecodeItem> decode_items_;  // [items], and memory of batches before
  std::vector<Part> parts_;
  AlignedArray<float> part_outs_;  // [parts][part_lanes][head_dim]
  AlignedArray<float> part_lses_;  // [parts][part_lanes]
  std::vector<Worker> workers_;
};

}  // namespace damask::model
