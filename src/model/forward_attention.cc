// The attention step of the forward pass: what the policy is shown, plans, kernels, the audit, and pages that go back.
#include <algorithm>
#include <utility>

#include "model/forward.h"
#include "model/forward_buffers.h"

namespace damask::model {

using kernels::kQueryBlockRows;

void Forward::ShowKeysToPolicy(size_t layer) {
  if (!policy_->WantsKeys()) return;
  const Stopwatch watch(&stats_.attention_seconds);
  const size_t kv_heads = model_->config().kv_heads;
  pool_->ParallelFor(runs_.size() * kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const RowRun& run = runs_[i / kv_heads];
      const size_t kv_head = i % kv_heads;
      policy_->KeysAppended({.layer = layer,
                             .kv_head = kv_head,
                             .first = run.keys_seen,
                             .end = run.first_position + run.rows,
                             .keys = {run.cache->pages(layer, kv_head), &layout_},
                             .state = run.state});
    }
  });
}

// A guess is computed as the token that it may be, by itself; beside others only where that gives the same bits: keys are then
// read once for all of them.
size_t Forward::DecodeRowsTogether(size_t layer, uint64_t position) const {
  const ModelConfig& c = model_->config();
  if (!policy_->SeesEverything() || c.window(layer) != 0) return 1;
  const size_t of_quarter = kernels::kQuarterTokens - position % kernels::kQuarterTokens;
  return std::clamp<size_t>(kernels::kFewLanes / c.group(), 1, of_quarter);
}

// Query blocks begin at multiples of kQueryBlockRows counted from position 0, so that plans do not depend on chunking.
void Forward::MakeItems(size_t layer) {
  const ModelConfig& c = model_->config();
  items_.clear();
  for (const RowRun& run : runs_) {
    for (size_t done = 0; done < run.rows;) {
      const uint64_t position = run.first_position + done;
      const size_t most = run.decode ? DecodeRowsTogether(layer, position) : kQueryBlockRows - position % kQueryBlockRows;
      const size_t rows = std::min(run.rows - done, most);
      for (size_t h = 0; h < c.kv_heads; ++h) items_.push_back({&run, h, run.first_row + done, rows, position});
      done += rows;
    }
  }
  // Late blocks see the most keys: start with them, so that threads end together.
  std::stable_sort(items_.begin(), items_.end(),
                   [](const AttentionItem& a, const AttentionItem& b) { return a.first_position > b.first_position; });
}

// Of a drawn token and guesses behind it a policy sees for each row what it would see without those that follow; of one that
// does not look at keys all rows go together.
void Forward::ShowKeysAndAttend(size_t layer) {
  const bool guesses = std::any_of(runs_.begin(), runs_.end(), [](const RowRun& run) { return run.decode && run.rows > 1; });
  if (!guesses || !policy_->WantsKeys()) {
    ShowKeysToPolicy(layer);
    Attend(layer);
    return;
  }
  const std::vector<RowRun> all = std::exchange(runs_, {});
  for (size_t row = 0; row == 0 || !runs_.empty(); ++row) {
    runs_.clear();
    for (RowRun run : all) {
      if (row >= run.rows) continue;
      run.first_row += row;
      run.first_position += row;
      if (row > 0) run.keys_seen = run.first_position;
      run.rows = 1;
      runs_.push_back(run);
    }
    ShowKeysToPolicy(layer);
    Attend(layer);
  }
  runs_ = all;
}

void Forward::Attend(size_t layer) {
  const Stopwatch watch(&stats_.attention_seconds);
  MakeItems(layer);
  pool_->ParallelFor(items_.size(), 1, [&](size_t begin, size_t end, size_t worker) {
    for (size_t i = begin; i < end; ++i) AttendItem(layer, items_[i], worker);
  });
  MergeReports();
  if (audit_options_.enabled()) {
    MergeAudits(layer);
    WidenHeads(layer);
  }
}

void Forward::AttendItem(size_t layer, const AttentionItem& item, size_t worker_index) {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  Buffers::Worker& worker = b.workers[worker_index];
  const std::byte* const* pages = item.run->cache->pages(layer, item.kv_head);
  const size_t offset = item.first_row * c.q_width() + item.kv_head * c.group() * c.head_dim;
  const float* q = b.q.data() + offset;
  policy_->MakePlan({.layer = layer,
                     .kv_head = item.kv_head,
                     .first_position = item.first_position,
                     .rows = item.rows,
                     .context = item.first_position + item.rows,
                     .decode = item.run->decode,
                     .closing = item.run->closing,
                     .keys = {pages, &layout_},
                     .queries = {q, c.q_width(), item.rows, item.first_position},
                     .state = item.run->state},
                    &worker.plan);
  if (!audit_.heads.empty()) {
    for (size_t g = 0; g < c.group(); ++g) {
      if (!audit_.heads[layer * c.heads + item.kv_head * c.group() + g].widened) continue;
      kernels::WidenHead(item.first_position, item.rows, c.window(layer), g, &worker.plan);
    }
  }
  const FloatVector& sinks = model_->layers()[layer].sinks;
  const kernels::QueryBlock block = {.q = q,
                                     .q_stride = c.q_width(),
                                     .out = b.attended.data() + offset,
                                     .out_stride = c.q_width(),
                                     .lse = nullptr,
                                     .rows = item.rows,
                                     .first_position = item.first_position,
                                     .sinks = sinks.size() == 0 ? nullptr : sinks.data() + item.kv_head * c.group()};
  attention_(shape_, block, worker.plan, pages, &worker.attention);
  SegmentReport& report = worker.reports[item.run->segment];
  report.planned_pairs += kernels::PlannedPairs(worker.plan, item.first_position, item.rows, c.group());
  report.causal_pairs += kernels::CausalPairs(item.first_position, item.rows, c.group());
  if (audit_options_.enabled() && !item.run->aside) AuditItem(layer, item, block, worker_index);
}

void Forward::AuditItem(size_t layer, const AttentionItem& item, const kernels::QueryBlock& block, size_t worker_index) {
  const ModelConfig& c = model_->config();
  Buffers::Worker& worker = buffers_->workers[worker_index];
  for (size_t row = 0; row < item.rows; ++row) {
    // Of the last layer a prefill computes this one row: a sample would leave the layer out.
    const bool always = item.run->answers && audit_options_.prefill_every != 0;
    if (!always && !AuditsRow(audit_options_, item.run->decode, layer, item.kv_head, item.first_position + row)) continue;
    worker.audited.resize(c.heads);
    worker.row_audit.assign(c.group(), {});
    AuditRow(target_, shape_, layout_, block, worker.plan, item.run->cache->pages(layer, item.kv_head), row, c.window(layer),
             &worker.audit, worker.row_audit.data());
    for (size_t g = 0; g < c.group(); ++g) {
      worker.audited[item.kv_head * c.group() + g].Add(worker.row_audit[g]);
      worker.reports[item.run->segment].audit.Add(worker.row_audit[g]);
    }
  }
}

void SegmentReport::Add(const SegmentReport& other) {
  planned_pairs += other.planned_pairs;
  causal_pairs += other.causal_pairs;
  audit.Add(other.audit);
}

void Forward::MergeReports() {
  for (Buffers::Worker& worker : buffers_->workers) {
    for (size_t s = 0; s < worker.reports.size(); ++s) {
      const SegmentReport report = std::exchange(worker.reports[s], {});
      segment_reports_[s].Add(report);
      stats_.planned_pairs += report.planned_pairs;
      stats_.causal_pairs += report.causal_pairs;
    }
  }
}

void Forward::MergeAudits(size_t layer) {
  const ModelConfig& c = model_->config();
  const size_t layer_first = layer * c.heads;
  for (Buffers::Worker& worker : buffers_->workers) {
    for (size_t h = 0; h < worker.audited.size(); ++h) audit_.heads[layer_first + h].Add(worker.audited[h]);
    worker.audited.clear();
    audit_.seconds += std::exchange(worker.audit.seconds, 0);
    audit_.skipped_rows += std::exchange(worker.audit.skipped_rows, 0);
  }
}

void Forward::WidenHeads(size_t layer) {
  if (audit_options_.floor < 0) return;
  const ModelConfig& c = model_->config();
  for (size_t h = 0; h < c.heads; ++h) {
    HeadAudit& head = audit_.heads[layer * c.heads + h];
    head.widened = head.widened || (head.strong_rows >= kMinStrongRows && head.strong_key_hit() < audit_options_.floor);
  }
}

void Forward::ShowChunkToPolicy(size_t layer, const std::vector<RowRun>& runs) {
  if (!policy_->WantsChunks()) return;
  const ModelConfig& c = model_->config();
  const size_t group_width = c.group() * c.head_dim;
  pool_->ParallelFor(runs.size() * c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const RowRun& run = runs[i / c.kv_heads];
      const size_t kv_head = i % c.kv_heads;
      const float* q = buffers_->q.data() + run.first_row * c.q_width() + kv_head * group_width;
      policy_->ChunkDone({.layer = layer,
                          .kv_head = kv_head,
                          .queries = {q, c.q_width(), run.rows, run.first_position},
                          .prompt_end = run.prompt_end,
                          .closing = run.closing,
                          .aside = run.aside,
                          .keys = {run.cache->pages(layer, kv_head), &layout_},
                          .state = run.state});
    }
  });
}

void Forward::ReleasePages(KvCache* cache) const {
  const ModelConfig& c = model_->config();
  const uint64_t length = cache->length();
  for (size_t layer = 0; layer < c.layers; ++layer) {
    for (size_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
      for (size_t block = 0; (block + 1) * kernels::kPageTokens <= length; ++block) {
        if (cache->pages(layer, kv_head)[block] == nullptr) continue;
        if (policy_->MayRelease(layer, kv_head, block, length, cache->state(*policy_))) {
          cache->Release(layer, kv_head, block, policy_->id());
        }
      }
    }
  }
}

void Forward::SetAudit(const AuditOptions& options) {
  const ModelConfig& c = model_->config();
  audit_options_ = options;
  audit_ = {};
  audit_.heads_per_layer = c.heads;
  if (options.enabled()) audit_.heads.resize(c.layers * c.heads);
}

void Forward::ResetAudit() {
  std::vector<HeadAudit> heads(audit_.heads.size());
  for (size_t h = 0; h < heads.size(); ++h) heads[h].widened = audit_.heads[h].widened;
  audit_ = {.heads_per_layer = audit_.heads_per_layer, .heads = std::move(heads)};
}

void Forward::SetPolicy(const policies::Policy* policy) {
  policy_ = policy;
  SetAudit(audit_options_);
}

}  // namespace damask::model
