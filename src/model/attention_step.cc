#include "model/attention_step.h"

#include <cmath>
#include <utility>

namespace damask::model {

using kernels::kQueryBlockRows;

AttentionStep::AttentionStep(const Model* model, const policies::Policy* policy, ThreadPool* pool, Target target,
                             kernels::KvType kv)
    : model_(model), policy_(policy), pool_(pool), target_(target), workers_(pool->num_threads()) {
  const ModelConfig& c = model->config();
  shape_ = {.head_dim = c.head_dim, .group = c.group(), .scale = 1.0f / std::sqrt(static_cast<float>(c.head_dim)), .kv = kv};
  attention_ = kernels::FindAttention(target, shape_);
  layout_ = {c.head_dim, kv};
}

void AttentionStep::StartBatch(size_t segments) {
  reports_.assign(segments, {});
  for (Worker& worker : workers_) {
    worker.reports.assign(segments, {});
    worker.audited.clear();  // of a layer that ended in an exception
  }
}

void AttentionStep::ShowKeys(size_t layer, std::span<const RowRun> runs) {
  if (!policy_->WantsKeys()) return;
  const size_t kv_heads = model_->config().kv_heads;
  pool_->ParallelFor(runs.size() * kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const RowRun& run = runs[i / kv_heads];
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

void AttentionStep::ShowKeysAndRun(size_t layer, std::span<const RowRun> runs, const float* q, const Results& results) {
  const bool guesses = std::any_of(runs.begin(), runs.end(), [](const RowRun& run) { return run.decode && run.rows > 1; });
  if (!guesses || !policy_->WantsKeys()) {
    ShowKeys(layer, runs);
    Run(layer, runs, q, results);
    return;
  }
  std::vector<RowRun> single;
  for (size_t row = 0; row == 0 || !single.empty(); ++row) {
    single.clear();
    for (RowRun run : runs) {
      if (row >= run.rows) continue;
      run.first_row += row;
      run.first_position += row;
      if (row > 0) run.keys_seen = run.first_position;
      run.rows = 1;
      single.push_back(run);
    }
    ShowKeys(layer, single);
    Run(layer, single, q, results);
  }
}

// A guess is computed as the token that it may be, by itself; beside others only where that gives the same bits: keys are then
// read once for all of them.
size_t AttentionStep::DecodeRowsTogether(size_t layer, uint64_t position) const {
  const ModelConfig& c = model_->config();
  if (!policy_->SeesEverything() || c.window(layer) != 0) return 1;
  const size_t of_quarter = kernels::kQuarterTokens - position % kernels::kQuarterTokens;
  return std::clamp<size_t>(kernels::kFewLanes / c.group(), 1, of_quarter);
}

// Query blocks begin at multiples of kQueryBlockRows counted from position 0, so that plans do not depend on chunking.
void AttentionStep::MakeItems(size_t layer, std::span<const RowRun> runs) {
  const ModelConfig& c = model_->config();
  items_.clear();
  for (const RowRun& run : runs) {
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
                   [](const Item& a, const Item& b) { return a.first_position > b.first_position; });
}

void AttentionStep::Run(size_t layer, std::span<const RowRun> runs, const float* q, const Results& results) {
  q_ = q;
  results_ = results;
  MakeItems(layer, runs);
  if (decode_items_.size() < items_.size()) decode_items_.resize(items_.size());
  pool_->ParallelFor(items_.size(), 1, [&](size_t begin, size_t end, size_t worker) {
    for (size_t i = begin; i < end; ++i) RunItem(layer, i, worker);
  });
  RunParts(layer);
  MergeReports();
  if (audit_options_.enabled()) {
    MergeAudits(layer);
    WidenHeads(layer);
  }
}

kernels::QueryBlock AttentionStep::BlockOf(size_t layer, const Item& item) const {
  const ModelConfig& c = model_->config();
  const size_t offset = item.first_row * c.q_width() + item.kv_head * c.group() * c.head_dim;
  const FloatVector& sinks = model_->layers()[layer].sinks;
  return {.q = q_ + offset,
          .q_stride = c.q_width(),
          .out = results_.rows + offset,
          .out_stride = c.q_width(),
          .lse = nullptr,
          .rows = item.rows,
          .first_position = item.first_position,
          .sinks = sinks.size() == 0 ? nullptr : sinks.data() + item.kv_head * c.group()};
}

// Lets the kernel leave the item's results as tiles, where it can. The audit reads rows.
void AttentionStep::AskForTiles(size_t layer, const Item& item, kernels::QueryBlock* block) const {
  if (results_.tiles.numbers == nullptr || AuditsAnyRow(layer, item)) return;
  block->tiles_row = item.first_row;
  block->tiles_column = item.kv_head * shape_.group * shape_.head_dim;
  if (kernels::FillsTiles(target_, shape_, *block)) block->tiles = results_.tiles;
}

// What an item left as rows goes to the tiles, if there are any.
void AttentionStep::RowsToTiles(const Item& item) const {
  if (results_.tiles.numbers == nullptr) return;
  const size_t width = model_->config().q_width();
  const size_t columns = shape_.group * shape_.head_dim;
  const size_t column = item.kv_head * columns;
  kernels::StoreTiles(results_.rows + item.first_row * width + column, width, item.rows, columns, results_.tiles,
                      item.first_row, column);
}

void AttentionStep::MakePlan(size_t layer, const Item& item, kernels::Plan* plan) const {
  const ModelConfig& c = model_->config();
  policy_->MakePlan({.layer = layer,
                     .kv_head = item.kv_head,
                     .first_position = item.first_position,
                     .rows = item.rows,
                     .context = item.first_position + item.rows,
                     .decode = item.run->decode,
                     .closing = item.run->closing,
                     .keys = {PagesOf(layer, item), &layout_},
                     .queries = {BlockOf(layer, item).q, c.q_width(), item.rows, item.first_position},
                     .state = item.run->state},
                    plan);
  if (audit_.heads.empty()) return;
  for (size_t g = 0; g < c.group(); ++g) {
    if (!audit_.heads[layer * c.heads + item.kv_head * c.group() + g].widened) continue;
    kernels::WidenHead(item.first_position, item.rows, c.window(layer), g, plan);
  }
}

// Items of a decode are as many as there are KV heads, and long: those that are worth it are left to RunParts.
void AttentionStep::RunItem(size_t layer, size_t index, size_t worker_index) {
  const Item& item = items_[index];
  Worker& worker = workers_[worker_index];
  DecodeItem& decode = decode_items_[index];
  decode.parts.clear();
  kernels::Plan& plan = item.run->decode ? decode.plan : worker.plan;
  MakePlan(layer, item, &plan);
  if (item.run->decode) kernels::CutPlan(plan, &decode.parts);
  if (decode.parts.size() > 1) return;
  kernels::QueryBlock block = BlockOf(layer, item);
  AskForTiles(layer, item, &block);
  attention_(shape_, block, plan, PagesOf(layer, item), &worker.attention);
  if (block.tiles.numbers == nullptr) RowsToTiles(item);
  Report(layer, item, plan, worker_index);
}

void AttentionStep::RunParts(size_t layer) {
  parts_.clear();
  for (size_t i = 0; i < items_.size(); ++i) {
    if (decode_items_[i].parts.size() < 2) continue;
    decode_items_[i].first_part = parts_.size();
    for (size_t p = 0; p < decode_items_[i].parts.size(); ++p) parts_.push_back({i, p});
  }
  if (parts_.empty()) return;
  part_outs_.Reserve(parts_.size() * part_lanes() * shape_.head_dim);
  part_lses_.Reserve(parts_.size() * part_lanes());
  pool_->ParallelFor(parts_.size(), 1, [&](size_t begin, size_t end, size_t worker) {
    for (size_t i = begin; i < end; ++i) RunPart(layer, parts_[i], worker);
  });
  pool_->ParallelFor(items_.size(), 1, [&](size_t begin, size_t end, size_t worker) {
    for (size_t i = begin; i < end; ++i) MergeItem(layer, i, worker);
  });
}

void AttentionStep::RunPart(size_t layer, const Part& part, size_t worker_index) {
  const Item& item = items_[part.item];
  const DecodeItem& decode = decode_items_[part.item];
  Worker& worker = workers_[worker_index];
  kernels::CopyPart(decode.plan, decode.parts[part.part], &worker.plan);
  kernels::QueryBlock block = BlockOf(layer, item);
  block.out = PartOut(decode.first_part + part.part);
  block.out_stride = shape_.group * shape_.head_dim;
  block.lse = PartLse(decode.first_part + part.part);
  block.sinks = nullptr;
  attention_(shape_, block, worker.plan, PagesOf(layer, item), &worker.attention);
}

void AttentionStep::MergeItem(size_t layer, size_t index, size_t worker_index) {
  const DecodeItem& decode = decode_items_[index];
  if (decode.parts.size() < 2) return;
  kernels::MergeParts(shape_, BlockOf(layer, items_[index]), decode.parts.size(), part_lanes(), PartOut(decode.first_part),
                      PartLse(decode.first_part));
  RowsToTiles(items_[index]);
  Report(layer, items_[index], decode.plan, worker_index);
}

void AttentionStep::ShowChunk(size_t layer, std::span<const RowRun> runs, const float* q) {
  if (!policy_->WantsChunks()) return;
  const ModelConfig& c = model_->config();
  const size_t group_width = c.group() * c.head_dim;
  pool_->ParallelFor(runs.size() * c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const RowRun& run = runs[i / c.kv_heads];
      const size_t kv_head = i % c.kv_heads;
      const float* queries = q + run.first_row * c.q_width() + kv_head * group_width;
      policy_->ChunkDone({.layer = layer,
                          .kv_head = kv_head,
                          .queries = {queries, c.q_width(), run.rows, run.first_position},
                          .prompt_end = run.prompt_end,
                          .closing = run.closing,
                          .aside = run.aside,
                          .keys = {run.cache->pages(layer, kv_head), &layout_},
                          .state = run.state});
    }
  });
}

void AttentionStep::ReleasePages(KvCache* cache) const {
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

void AttentionStep::SetPolicy(const policies::Policy* policy) {
  policy_ = policy;
  SetAudit(audit_options_);
}

}  // namespace damask::model
