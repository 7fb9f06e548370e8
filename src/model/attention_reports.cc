// What an attention step tells of itself: pairs, and the audit of a sample of its rows.
#include <utility>

#include "model/attention_step.h"

namespace damask::model {

void SegmentReport::Add(const SegmentReport& other) {
  planned_pairs += other.planned_pairs;
  causal_pairs += other.causal_pairs;
  audit.Add(other.audit);
}

void AttentionStep::Report(size_t layer, const Item& item, const kernels::Plan& plan, size_t worker_index) {
  SegmentReport& report = workers_[worker_index].reports[item.run->segment];
  report.planned_pairs += kernels::PlannedPairs(plan, item.first_position, item.rows, shape_.group);
  report.causal_pairs += kernels::CausalPairs(item.first_position, item.rows, shape_.group);
  if (audit_options_.enabled() && !item.run->aside) AuditItem(layer, item, plan, worker_index);
}

bool AttentionStep::Audits(size_t layer, const Item& item, size_t row) const {
  // Of the last layer a prefill computes this one row: a sample would leave the layer out.
  if (item.run->answers && audit_options_.prefill_every != 0) return true;
  return AuditsRow(audit_options_, item.run->decode, layer, item.kv_head, item.first_position + row);
}

bool AttentionStep::AuditsAnyRow(size_t layer, const Item& item) const {
  if (!audit_options_.enabled() || item.run->aside) return false;
  for (size_t row = 0; row < item.rows; ++row) {
    if (Audits(layer, item, row)) return true;
  }
  return false;
}

void AttentionStep::AuditItem(size_t layer, const Item& item, const kernels::Plan& plan, size_t worker_index) {
  const ModelConfig& c = model_->config();
  Worker& worker = workers_[worker_index];
  const kernels::QueryBlock block = BlockOf(layer, item);
  for (size_t row = 0; row < item.rows; ++row) {
    if (!Audits(layer, item, row)) continue;
    worker.audited.resize(c.heads);
    worker.row_audit.assign(c.group(), {});
    AuditRow(target_, shape_, layout_, block, plan, PagesOf(layer, item), row, c.window(layer), &worker.audit,
             worker.row_audit.data());
    for (size_t g = 0; g < c.group(); ++g) {
      worker.audited[item.kv_head * c.group() + g].Add(worker.row_audit[g]);
      worker.reports[item.run->segment].audit.Add(worker.row_audit[g]);
    }
  }
}

void AttentionStep::MergeReports() {
  for (Worker& worker : workers_) {
    for (size_t s = 0; s < worker.reports.size(); ++s) {
      reports_[s].Add(std::exchange(worker.reports[s], {}));
    }
  }
}

void AttentionStep::MergeAudits(size_t layer) {
  const ModelConfig& c = model_->config();
  const size_t layer_first = layer * c.heads;
  for (Worker& worker : workers_) {
    for (size_t h = 0; h < worker.audited.size(); ++h) audit_.heads[layer_first + h].Add(worker.audited[h]);
    worker.audited.clear();
    audit_.seconds += std::exchange(worker.audit.seconds, 0);
    audit_.skipped_rows += std::exchange(worker.audit.skipped_rows, 0);
  }
}

void AttentionStep::WidenHeads(size_t layer) {
  if (audit_options_.floor < 0) return;
  const ModelConfig& c = model_->config();
  for (size_t h = 0; h < c.heads; ++h) {
    HeadAudit& head = audit_.heads[layer * c.heads + h];
    head.widened = head.widened || (head.strong_rows >= kMinStrongRows && head.strong_key_hit() < audit_options_.floor);
  }
}

void AttentionStep::SetAudit(const AuditOptions& options) {
  const ModelConfig& c = model_->config();
  audit_options_ = options;
  audit_ = {};
  audit_.heads_per_layer = c.heads;
  if (options.enabled()) audit_.heads.resize(c.layers * c.heads);
}

void AttentionStep::ResetAudit() {
  std::vector<HeadAudit> heads(audit_.heads.size());
  for (size_t h = 0; h < heads.size(); ++h) heads[h].widened = audit_.heads[h].widened;
  audit_ = {.heads_per_layer = audit_.heads_per_layer, .heads = std::move(heads)};
}

}  // namespace damask::model
