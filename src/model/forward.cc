#include "model/forward.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/memory.h"
#include "base/text.h"
#include "kernels/ops.h"
#include "kernels/quant.h"
#include "model/forward_buffers.h"

namespace damask::model {
namespace {

// Rows of logits computed at once: 64 rows of a 128K vocabulary are 33 MB.
constexpr size_t kLogitRows = 64;
constexpr size_t kCheckedTogether = 32768;  // logits that a worker looks at in one go: some microseconds

// Which products a batch runs. A prompt runs those of a prefill even where a last chunk has few rows: how many it has depends
// on where reading began, and a row's bits must not. Only a whole text that is that short goes the cheaper way.
kernels::Phase PhaseOf(std::span<const Segment> batch) {
  const Segment& first = batch.front();
  const bool tiny = batch.size() == 1 && first.cache->length() == 0 && first.tokens.size() <= kDecodeRows;
  return first.decode || tiny ? kernels::Phase::kDecode : kernels::Phase::kPrefill;
}

// Bits of limits: float32 numbers order as their bits do, and infinity and NaN come behind all others.
constexpr uint32_t kInfinity = 0x7f800000u;
constexpr uint32_t kBeyondBf16 = 0x7f7f8000u;  // from here on a number rounds to an infinite bf16
// 2^59: products of 256 such pairs are below 2^127, so no score of attention overflows. (From some 10^9 nats on weights are no
// longer right, kernels/attention.h; no model comes near that.)
constexpr uint32_t kBeyondScores = 0x5d000000u;

// Whether the magnitude of every number is below the one with the bits `limit`: what is not carries into the sign. Without a
// branch, so that compilers take many at a time.
bool AllBelow(const float* x, size_t count, uint32_t limit) {
  const uint32_t rest = 0x80000000u - limit;
  uint32_t carries = 0;
  for (size_t i = 0; i < count; ++i) carries |= (std::bit_cast<uint32_t>(x[i]) & 0x7fffffffu) + rest;
  return carries >> 31 == 0;
}

Status BrokenNumbers(std::string_view what) {
  return BadFormat(
      fmt::format("the model computes NaN or infinite {}: its weights are broken (damask check names them)", what));
}

}  // namespace

kernels::KvType Forward::PageType(Target target, kernels::KvType wanted) {
  return target == Target::kScalar && wanted == kernels::KvType::kBf16 ? kernels::KvType::kF32 : wanted;
}

Forward::Forward(const Model* model, const policies::Policy* policy, ThreadPool* pool, Target target, kernels::KvType kv)
    : model_(model),
      pool_(pool),
      target_(target),
      matmul_(target, pool, model->weight_types(), model->router_types()),
      attention_(model, policy, pool, target, kv),
      buffers_(std::make_unique<Buffers>()) {}

Forward::~Forward() = default;

Status Forward::Repack() {
  const std::vector<kernels::WeightView> weights = model_->layer_matrices();
  const uint64_t wanted = matmul_.RepackedBytes(weights);
  // Memory that is not there would be missed when it is written, not when it is asked for.
  const uint64_t left = AvailableMemory();
  if (wanted > left)
    return OutOfMemory(fmt::format("--repack wants {} of memory, {} are left", FormatBytes(wanted), FormatBytes(left)));
  try {
    matmul_.Repack(weights);
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("--repack: no {} of memory", FormatBytes(wanted)));
  }
  return {};
}

Status Forward::Run(std::span<const Segment> batch, const LogitsSink& sink, const std::atomic<bool>* cancel) {
  Status status;
  std::exception_ptr broken;  // of a policy or the sink; the caches must not keep what it left undone
  attention_.StartBatch(batch.size());
  try {
    status = RunBatch(batch, sink, cancel);
  } catch (const std::bad_alloc&) {
    status = OutOfMemory(fmt::format("no memory for a batch of {} tokens", rows_));
  } catch (...) {
    broken = std::current_exception();
    status = Cancelled();
  }
  for (const SegmentReport& report : attention_.reports()) {
    stats_.planned_pairs += report.planned_pairs;
    stats_.causal_pairs += report.causal_pairs;
  }
  EndBatch(batch, status);
  if (broken != nullptr) std::rethrow_exception(broken);
  return status;
}

Status Forward::RunBatch(std::span<const Segment> batch, const LogitsSink& sink, const std::atomic<bool>* cancel) {
  DAMASK_RETURN_IF_ERROR(Prepare(batch));
  DAMASK_RETURN_IF_ERROR(Layers(batch, cancel));
  return Logits(batch, sink);
}

// Commits the batch's positions to the caches, or takes them back.
void Forward::EndBatch(std::span<const Segment> batch, const Status& status) {
  for (size_t s = 0; s < batch.size(); ++s) {
    const Segment& segment = batch[s];
    KvCache& cache = *segment.cache;
    if (!status.ok() || segment.aside) {
      cache.Truncate(cache.length());  // the policy's state may have seen keys of the broken chunk
      // Nor need it have seen what it was to be shown with them, pages that came from somewhere else.
      if (!status.ok() && s < shown_before_.size()) cache.ForgetShown(shown_before_[s]);
      continue;
    }
    const uint64_t before = cache.length();
    cache.Commit(before + (segment.kept == nullptr ? segment.tokens.size() : *segment.kept));
    if (segment.kept != nullptr) cache.Truncate(cache.length());
    // In decode only a full page can have moved what lies behind a window past a page: looking at every token would be waste.
    const bool full_page = before / kernels::kPageTokens != cache.length() / kernels::kPageTokens;
    if (release_ && (!segment.decode || full_page)) attention_.ReleasePages(&cache);
  }
}

void Forward::Reserve(size_t rows) {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  rows_ = rows;
  b.x.Reserve(rows_ * c.width);
  b.normed.Reserve(rows_ * c.width);
  b.q.Reserve(rows_ * c.q_width());
  b.k.Reserve(rows_ * c.kv_width());
  b.v.Reserve(rows_ * c.kv_width());
  b.attended.Reserve(rows_ * c.q_width());
  if (c.experts != 0) {
    b.routing.Reserve(rows_ * c.experts);
    b.gathered.Reserve(rows_ * c.width);
  }
  b.cos_sin.Reserve(rows_ * c.rope.dims);
  b.window_cos_sin.Reserve(rows_ * model_->window_rope().dims());
}

// All rows of the batch on all threads: run by run, a batch of many sessions' tokens would use one.
template <typename F>
void Forward::ForEachRow(const F& body) {
  pool_->ParallelFor(rows_, RowGrain(), [&](size_t begin, size_t end, size_t) {
    const auto is_before_end = [](size_t row, const RowRun& run) { return row < run.first_row + run.rows; };
    auto run = std::upper_bound(runs_.begin(), runs_.end(), begin, is_before_end);
    for (size_t row = begin; row < end; ++row) {
      if (row == run->first_row + run->rows) ++run;
      body(*run, row - run->first_row);
    }
  });
}

void Forward::FillRotations() {
  const size_t dims = model_->config().rope.dims;
  const size_t window_dims = model_->window_rope().dims();
  ForEachRow([&](const RowRun& run, size_t i) {
    const size_t row = run.first_row + i;
    model_->rope().Fill(run.first_position + i, buffers_->cos_sin.data() + row * dims);
    model_->window_rope().Fill(run.first_position + i, buffers_->window_cos_sin.data() + row * window_dims);
  });
}

Status Forward::Prepare(std::span<const Segment> batch) {
  runs_.clear();
  shown_before_.clear();
  size_t rows = 0;
  for (const Segment& segment : batch) {
    KvCache& cache = *segment.cache;
    if (cache.NeedsReleasedPages(attention_.policy())) {
      return InvalidArgument("another attention policy has released keys of this text: reading cannot go on with this one");
    }
    DAMASK_RETURN_IF_ERROR(cache.Reserve(cache.length() + segment.tokens.size(), PageStart::kAnything));
    runs_.push_back({.cache = &cache,
                     .first_row = rows,
                     .rows = segment.tokens.size(),
                     .first_position = cache.length(),
                     .state = cache.state(attention_.policy()),
                     .keys_seen = cache.state_length(),
                     .decode = segment.decode,
                     .prompt_end = segment.prompt_end,
                     .closing = segment.closing || segment.aside,
                     .aside = segment.aside,
                     .segment = runs_.size()});
    shown_before_.push_back(cache.state_length());
    cache.set_state_length(cache.length() + segment.tokens.size());
    rows += segment.tokens.size();
  }
  phase_ = PhaseOf(batch);
  Reserve(rows);
  FillRotations();
  return {};
}

Status Forward::Layers(std::span<const Segment> batch, const std::atomic<bool>* cancel) {
  const ModelConfig& c = model_->config();
  for (size_t s = 0; s < batch.size(); ++s) Embed(batch[s].tokens, buffers_->x.data() + runs_[s].first_row * c.width);
  for (size_t layer = 0; layer < c.layers; ++layer) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled();
    const LayerWeights& weights = model_->layers()[layer];
    DAMASK_RETURN_IF_ERROR(AttentionInputs(weights, layer));
    Attend(batch, layer);
    if (rows_ == 0) break;
    LayerAfterAttention(weights);
  }
  return {};
}

void Forward::Attend(std::span<const Segment> batch, size_t layer) {
  const Stopwatch watch(&stats_.attention_seconds);
  const float* q = buffers_->q.data();
  if (layer + 1 < model_->config().layers || runs_.front().decode) {
    attention_.ShowKeysAndRun(layer, runs_, q, AttentionResults());
    attention_.ShowChunk(layer, runs_, q);
    return;
  }
  attention_.ShowKeys(layer, runs_);
  // Behind the last layer's keys and values only the rows whose logits are asked for still matter.
  const std::vector<RowRun> all = std::exchange(runs_, WantedRuns(batch));
  attended_as_tiles_ = false;
  attention_.Run(layer, runs_, q, {.rows = buffers_->attended.data()});
  attention_.ShowChunk(layer, all, q);
  KeepWantedRows();
}

// Where the next product reads tiles, attention leaves its results as such: the layer's inputs, which its products have read,
// make room for them.
AttentionStep::Results Forward::AttentionResults() {
  const ModelConfig& c = model_->config();
  AttentionStep::Results results{.rows = buffers_->attended.data()};
  // Heads then begin at tiles.
  if (c.head_dim % 32 == 0) results.tiles = matmul_.PrepareTiles(phase_, rows_, c.q_width(), &buffers_->activations);
  attended_as_tiles_ = results.tiles.numbers != nullptr;
  return results;
}

void Forward::LayerAfterAttention(const LayerWeights& weights) {
  AttentionOutput(weights);
  FeedForward(weights);
}

Status Forward::RunLayer(size_t layer, KvCache* cache, uint64_t first_position, std::span<float> x,
                         const LayerObserver& observer) {
  const size_t rows = x.size() / model_->config().width;
  try {
    DAMASK_RETURN_IF_ERROR(cache->Reserve(first_position + rows));
    Reserve(rows);
    runs_ = {{.cache = cache, .rows = rows, .first_position = first_position}};
    phase_ = kernels::Phase::kPrefill;
    attention_.StartBatch(1);
    FillRotations();
    std::copy(x.begin(), x.end(), buffers_->x.data());
    const LayerWeights& weights = model_->layers()[layer];
    DAMASK_RETURN_IF_ERROR(AttentionInputs(weights, layer));
    if (observer) observer({layer, first_position, rows, buffers_->q.data(), cache});
    attention_.Run(layer, runs_, buffers_->q.data(), AttentionResults());
    attention_.ShowChunk(layer, runs_, buffers_->q.data());
    LayerAfterAttention(weights);
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("no memory for a batch of {} tokens", rows));
  }
  std::copy_n(buffers_->x.data(), x.size(), x.begin());
  return {};
}

void Forward::Embed(std::span<const tokenizer::TokenId> tokens, float* x) {
  const Stopwatch watch(&stats_.other_seconds);
  const kernels::WeightView& embedding = model_->embedding();
  const uint64_t row_bytes = formats::RowBytes(embedding.type, embedding.k);
  const float scale = model_->config().embedding_scale;
  pool_->ParallelFor(tokens.size(), kRowGrain, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const std::byte* row = embedding.data + static_cast<uint64_t>(tokens[i]) * row_bytes;
      float* out = x + i * embedding.k;
      kernels::DequantizeRow(target_, embedding.type, row, embedding.k, out);
      if (scale != 1.0f) std::transform(out, out + embedding.k, out, [scale](float value) { return value * scale; });
    }
  });
}

// The residual stream as a step reads it. Layers whose norms stand behind their products have none before: x as it is.
const float* Forward::NormedRow(const FloatVector& weight, size_t row, float* buffer) const {
  const ModelConfig& c = model_->config();
  const float* const x = buffers_->x.data() + row * c.width;
  if (weight.size() == 0) return x;
  kernels::RmsNorm(target_, x, weight.data(), c.rms_epsilon, c.width, buffer);
  return buffer;
}

void Forward::LoadNormed(const FloatVector& weight, size_t first_row, size_t rows) {
  const auto row_at = [&](size_t row, float* buffer) { return NormedRow(weight, first_row + row, buffer); };
  matmul_.Load(phase_, row_at, rows, model_->config().width, &buffers_->activations);
}

void Forward::NormRows(const FloatVector& weight) {
  const Stopwatch watch(&stats_.other_seconds);
  const size_t width = model_->config().width;
  pool_->ParallelFor(rows_, RowGrain(), [&](size_t begin, size_t end, size_t) {
    for (size_t row = begin; row < end; ++row) {
      float* const out = buffers_->normed.data() + row * width;
      const float* const normed = NormedRow(weight, row, out);
      if (normed != out) std::copy_n(normed, width, out);
    }
  });
}

Status Forward::AttentionInputs(const LayerWeights& weights, size_t layer) {
  {
    const Stopwatch watch(&stats_.product_seconds);
    const ModelConfig& c = model_->config();
    Buffers& b = *buffers_;
    LoadNormed(weights.attention_norm, 0, rows_);
    const kernels::Matmul::Factor factors[] = {
        {&weights.q, {.bias = weights.q_bias.data()}, b.q.data(), c.q_width()},
        {&weights.k, {.bias = weights.k_bias.data()}, b.k.data(), c.kv_width()},
        {&weights.v, {.bias = weights.v_bias.data()}, b.v.data(), c.kv_width()},
    };
    matmul_.MultiplyEach(b.activations, factors);
  }
  return RotateAndStore(weights, layer);
}

Status Forward::RotateAndStore(const LayerWeights& weights, size_t layer) {
  const Stopwatch watch(&stats_.other_seconds);
  std::atomic<bool> broken = false;
  ForEachRow([&](const RowRun& run, size_t row_of_run) {
    if (!RotateAndStoreRow(weights, layer, run, row_of_run)) broken.store(true, std::memory_order_relaxed);
  });
  if (broken.load(std::memory_order_relaxed)) return BrokenNumbers(fmt::format("queries, keys or values in layer {}", layer));
  return {};
}

// False where a number is NaN or infinite, or so large that a score or a value of the cache would be. The fast bodies of
// attention would give such a pair no weight, and what is broken must not look sound. Nor is it stored: a slot that is masked,
// or given up with its chunk, must not bring a NaN into a tile.
bool Forward::RotateAndStoreRow(const LayerWeights& weights, size_t layer, const RowRun& run, size_t row_of_run) {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  const size_t row = run.first_row + row_of_run;
  const uint64_t position = run.first_position + row_of_run;
  const float* cos_sin = (c.has_window_rope(layer) ? b.window_cos_sin : b.cos_sin).data() + row * c.rope.dims;
  float* q = b.q.data() + row * c.q_width();
  float* k = b.k.data() + row * c.kv_width();
  const float* v = b.v.data() + row * c.kv_width();
  const auto norm = [&](const FloatVector& weight, float* vectors, size_t width) {
    for (size_t done = 0; weight.size() != 0 && done < width; done += weight.size()) {
      kernels::RmsNorm(target_, vectors + done, weight.data(), c.rms_epsilon, weight.size(), vectors + done);
    }
  };
  norm(weights.q_norm, q, c.q_width());
  norm(weights.k_norm, k, c.kv_width());
  const float query_scale = c.query_scale_at(position);
  if (query_scale != 1.0f) std::transform(q, q + c.q_width(), q, [=](float value) { return value * query_scale; });
  if (c.rotates(layer)) {
    kernels::Rope(target_, c.rope.kind, q, c.heads, c.head_dim, c.rope.dims, cos_sin);
    kernels::Rope(target_, c.rope.kind, k, c.kv_heads, c.head_dim, c.rope.dims, cos_sin);
  }
  const bool sound = AllBelow(q, c.q_width(), kBeyondScores) && AllBelow(k, c.kv_width(), kBeyondScores) &&
                     AllBelow(v, c.kv_width(), kBeyondBf16);
  if (!sound) return false;
  for (size_t h = 0; h < c.kv_heads; ++h) {
    std::byte* page = run.cache->page(layer, h, position / kernels::kPageTokens);
    kernels::StoreSlot(attention_.layout(), page, position % kernels::kPageTokens, k + h * c.head_dim, v + h * c.head_dim);
  }
  return true;
}

std::vector<RowRun> Forward::WantedRuns(std::span<const Segment> batch) const {
  std::vector<RowRun> wanted;
  for (size_t s = 0; s < batch.size(); ++s) {
    const LogitsWanted logits = batch[s].logits;
    if (logits == LogitsWanted::kNone) continue;
    RowRun run = runs_[s];
    const size_t count = logits == LogitsWanted::kAll ? run.rows : 1;
    run.first_row += run.rows - count;
    run.first_position += run.rows - count;
    run.rows = count;
    run.answers = logits == LogitsWanted::kLast && !run.decode;
    wanted.push_back(run);
  }
  return wanted;
}

void Forward::KeepWantedRows() {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  size_t rows = 0;
  for (RowRun& run : runs_) {
    const auto move = [&](float* values, size_t width) {
      std::memmove(values + rows * width, values + run.first_row * width, run.rows * width * sizeof(float));
    };
    move(b.x.data(), c.width);
    move(b.attended.data(), c.q_width());
    run.first_row = rows;
    rows += run.rows;
  }
  rows_ = rows;
  if (rows_ <= kDecodeRows) phase_ = kernels::Phase::kDecode;  // decided by the wanted rows alone
}

void Forward::AttentionOutput(const LayerWeights& weights) {
  const Stopwatch watch(&stats_.product_seconds);
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  if (!attended_as_tiles_) matmul_.Load(phase_, b.attended.data(), rows_, c.q_width(), c.q_width(), &b.activations);
  AddToResidual(b.activations, weights.o, weights.o_bias, weights.attention_post_norm);
}

Status Forward::Logits(std::span<const Segment> batch, const LogitsSink& sink) {
  if (rows_ == 0) return {};
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  b.logits.Reserve(std::min(rows_, kLogitRows) * c.vocab);
  // All segments' rows together: the output matrix is large, and decoding reads it once for all.
  for (size_t done = 0; done < rows_; done += kLogitRows) {
    const size_t rows = std::min(kLogitRows, rows_ - done);
    {
      const Stopwatch watch(&stats_.product_seconds);
      LoadNormed(model_->output_norm(), done, rows);
      matmul_.Multiply(b.activations, model_->output(), {}, b.logits.data(), c.vocab);
    }
    if (!AllFinite(b.logits.data(), rows * c.vocab)) return BrokenNumbers("logits");
    if (sink) HandOutLogits(batch, done, rows, sink);
  }
  return {};
}

bool Forward::AllFinite(const float* x, size_t count) const {
  std::atomic<bool> finite = true;
  pool_->ParallelFor(count, kCheckedTogether, [&](size_t begin, size_t end, size_t) {
    if (!AllBelow(x + begin, end - begin, kInfinity)) finite.store(false, std::memory_order_relaxed);
  });
  return finite.load(std::memory_order_relaxed);
}

// Rows [first, first + rows) of the buffers, whose logits are at hand, segment by segment.
void Forward::HandOutLogits(std::span<const Segment> batch, size_t first, size_t rows, const LogitsSink& sink) const {
  const size_t vocab = model_->config().vocab;
  for (const RowRun& run : runs_) {
    const size_t begin = std::max(first, run.first_row);
    const size_t end = std::min(first + rows, run.first_row + run.rows);
    if (begin >= end) continue;
    const size_t skipped = batch[run.segment].tokens.size() - run.rows;  // rows of the segment before the first wanted one
    sink(run.segment, skipped + begin - run.first_row, end - begin, buffers_->logits.data() + (begin - first) * vocab);
  }
}

}  // namespace damask::model
