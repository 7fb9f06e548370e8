// The forward pass. Prefill and decode are one path: a batch is a list of segments, each some consecutive tokens of one
// session; decode is a segment of one token. For each layer: norm, q/k/v product, rope, append to pages, plan, attention,
// output product, feed-forward.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "kernels/matmul.h"
#include "model/attention_step.h"
#include "model/audit.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/row_run.h"
#include "policies/policy.h"

namespace damask::model {

// Chunks of a prompt end at multiples of this position, so a row's result does not depend on where a prompt was cut.
inline constexpr size_t kChunkTokens = 512;
// Rows that go through the decode products together: those read the weights once for all of them. A decode batch holds at most
// this many.
inline constexpr size_t kDecodeRows = 8;
// Rows a worker takes at a time in the small steps between products.
inline constexpr size_t kRowGrain = 8;

enum class LogitsWanted {
  kNone,
  kLast,  // of each segment's last token
  kAll,
};

struct Segment {
  KvCache* cache = nullptr;
  std::span<const tokenizer::TokenId> tokens;  // at most kChunkTokens; they become positions cache->length() ...
  LogitsWanted logits = LogitsWanted::kNone;
  bool prompt_end = true;  // its last token is the last of a prompt, or a decoded one: for policies that look at those rows
  bool closing = false;    // an instruction's rows (policies::Instruction)
  bool aside = false;      // the cache forgets them again
  // One drawn token, and behind it guesses of those that follow. The segments of a batch are all of this kind (and at most
  // kDecodeRows) or none is: prompts and drawn tokens run different products, whose results differ in the last bits, and a
  // token's must not depend on its company.
  bool decode = false;
  // Of guesses: set by the sink to how many of the tokens stay, at least 1; the others are forgotten. Null: all.
  size_t* kept = nullptr;
};

// One session's rows of one layer, their keys already in the pages: what an observer sees before the attention.
struct LayerView {
  size_t layer = 0;
  uint64_t first_position = 0;
  size_t rows = 0;
  const float* q = nullptr;  // [rows, heads, head_dim], rotated
  const KvCache* cache = nullptr;
};

// Measured while running; sums over all calls since the last reset.
struct ForwardStats {
  uint64_t planned_pairs = 0;
  uint64_t causal_pairs = 0;
  double product_seconds = 0;
  double attention_seconds = 0;
  double other_seconds = 0;

  double density() const {
    return causal_pairs == 0 ? 1.0 : static_cast<double>(planned_pairs) / static_cast<double>(causal_pairs);
  }
};

class Forward {
 public:
  // `kv` is the type of all caches' pages (PageType). Nothing is owned; all outlive the object. One object serves one caller at
  // a time.
  Forward(const Model* model, const policies::Policy* policy, ThreadPool* pool, Target target, kernels::KvType kv);
  ~Forward();

  // The type of the pages where `wanted` was asked for: the scalar target has float32 in the place of bf16.
  static kernels::KvType PageType(Target target, kernels::KvType wanted);

  // Gets rows of logits [rows, vocab] for rows `first_row`.. of segment `segment`, in order; valid during the call.
  using LogitsSink = std::function<void(size_t segment, size_t first_row, size_t rows, const float* logits)>;

  // Runs a batch and commits its positions to the caches. Errors: OutOfMemory for pages, Cancelled (looked at between layers;
  // the caches then keep their old length), BadFormat when the model yields queries, keys, values (it names the layer) or
  // logits that are NaN or infinite. Token ids must be in range.
  Status Run(std::span<const Segment> batch, const LogitsSink& sink, const std::atomic<bool>* cancel);

  // The same in single layers, for callers that go through a model layer by layer (calibration). x [rows, width] is the
  // residual stream, in and out; rows are positions first_position .. of a cache whose earlier positions have gone through this
  // layer.
  void Embed(std::span<const tokenizer::TokenId> tokens, float* x);
  using LayerObserver = std::function<void(const LayerView&)>;
  Status RunLayer(size_t layer, KvCache* cache, uint64_t first_position, std::span<float> x, const LayerObserver& observer);

  // From the next Run on. Not owned.
  void SetPolicy(const policies::Policy* policy) { attention_.SetPolicy(policy); }
  // Starts a new report; no head is widened.
  void SetAudit(const AuditOptions& options) { attention_.SetAudit(options); }
  // Starts a new report; widened heads stay so.
  void ResetAudit() { attention_.ResetAudit(); }
  const AuditReport& audit() const { return attention_.audit(); }
  // Whether guesses leave no trace where they are wrong (Segment::kept): not where the policy remembers them, nor where the
  // audit of one row may widen a head for the next.
  bool MayGuess() const { return attention_.MayGuess(); }
  // Pages that no head can reach again are given back after every chunk.
  void SetRelease(bool release) { release_ = release; }

  // Keeps the layers' weights in the form that prefill wants, beside the file's (kernels::Matmul::Repack); the output layer,
  // which few rows go through, is left out. OutOfMemory where there is not enough.
  Status Repack();
  uint64_t repacked_bytes() const { return matmul_.repacked_bytes(); }

  // Of the segments of the last Run that ended well, in their order.
  std::span<const SegmentReport> segment_reports() const { return attention_.reports(); }

  const ForwardStats& stats() const { return stats_; }
  void ResetStats() { stats_ = {}; }
  kernels::ArithmeticUnit PrefillUnit(formats::TensorType type) const { return matmul_.PrefillUnit(type); }
  std::string DescribeProduct(kernels::Phase phase, formats::TensorType type) const { return matmul_.Describe(phase, type); }

 private:
  struct Buffers;
  // An expert that a row goes to, and what its answer counts.
  struct ChosenExpert {
    size_t expert = 0;
    float share = 0;
  };
  // The same seen from the expert.
  struct RoutedRow {
    size_t row = 0;
    float share = 0;
  };
  Status RunBatch(std::span<const Segment> batch, const LogitsSink& sink, const std::atomic<bool>* cancel);
  void EndBatch(std::span<const Segment> batch, const Status& status);
  Status Prepare(std::span<const Segment> batch);
  Status Layers(std::span<const Segment> batch, const std::atomic<bool>* cancel);
  void Attend(std::span<const Segment> batch, size_t layer);
  AttentionStep::Results AttentionResults();
  // Rows that a worker takes at a time in the small steps: of the few of a decode each is one's own.
  size_t RowGrain() const { return rows_ <= kDecodeRows ? 1 : kRowGrain; }
  const float* NormedRow(const FloatVector& weight, size_t row, float* buffer) const;
  // The residual stream's rows, normed, as activations; and as floats.
  void LoadNormed(const FloatVector& weight, size_t first_row, size_t rows);
  void NormRows(const FloatVector& weight);
  Status AttentionInputs(const LayerWeights& weights, size_t layer);
  Status RotateAndStore(const LayerWeights& weights, size_t layer);
  bool RotateAndStoreRow(const LayerWeights& weights, size_t layer, const RowRun& run, size_t row_of_run);
  // The rows whose logits are asked for, where they lie.
  std::vector<RowRun> WantedRuns(std::span<const Segment> batch) const;
  // Moves what attention gave for the rows of runs_ to the front of the buffers, and forgets all others.
  void KeepWantedRows();
  void LayerAfterAttention(const LayerWeights& weights);
  void Reserve(size_t rows);
  template <typename F>  // body(run, row of the run)
  void ForEachRow(const F& body);
  bool AllFinite(const float* x, size_t count) const;
  void FillRotations();
  void AttentionOutput(const LayerWeights& weights);
  void AddToResidual(const kernels::Activations& x, const kernels::WeightView& matrix, const FloatVector& bias,
                     const FloatVector& norm);
  void LoadGated(const FeedForwardWeights& network, size_t rows);
  void FeedForward(const LayerWeights& weights);
  void Network(const FeedForwardWeights& network, const FloatVector& post_norm);
  void Experts(const LayerWeights& weights);
  void ScoreExperts(const LayerWeights& weights);
  void GateExperts(float* scores) const;
  void ChooseExperts(const FloatVector& bias);
  void ChooseExpertsOfRow(float* shares, const FloatVector& bias, std::vector<size_t>* order, ChosenExpert* chosen) const;
  void RunExpert(const FeedForwardWeights& expert, std::span<const RoutedRow> rows);
  Status Logits(std::span<const Segment> batch, const LogitsSink& sink);
  void HandOutLogits(std::span<const Segment> batch, size_t first, size_t rows, const LogitsSink& sink) const;

  const Model* model_;
  ThreadPool* pool_;
  Target target_;
  kernels::Matmul matmul_;
  AttentionStep attention_;
  ForwardStats stats_;
  bool release_ = false;
  size_t rows_ = 0;  // rows of the buffers in use
  kernels::Phase phase_ = kernels::Phase::kPrefill;
  bool attended_as_tiles_ = false;  // what attention gave last lies in the activations
  std::vector<RowRun> runs_;
  std::vector<uint64_t> shown_before_;  // by segment: keys that its policy's state had seen before the run
  std::unique_ptr<Buffers> buffers_;
};

}  // namespace damask::model
