#include "policies/prompt_eviction.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/head_states.h"
#include "policies/kept_keys.h"
#include "policies/quarter_plan.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

using State = HeadStates<KeptKeys>;

struct Scratch {
  KeptAttentionScratch attention;
  std::vector<float> sums;
  std::vector<float> smooth;
  UnitScratch units;
  std::vector<uint32_t> chosen;
};

// smooth[i] = mean of sums[i - pool / 2 ..], zeros beyond the ends (as the authors' average pooling pads).
void Smooth(std::span<const float> sums, size_t pool, std::vector<float>* smooth) {
  smooth->assign(sums.size(), 0.0f);
  const size_t side = pool / 2;
  for (size_t i = 0; i < sums.size(); ++i) {
    const size_t end = std::min(sums.size(), i + side + 1);
    float sum = 0;
    for (size_t j = i - std::min(i, side); j < end; ++j) sum += sums[j];
    (*smooth)[i] = sum / static_cast<float>(pool);
  }
}

class PromptEvictionPolicy : public Policy {
 public:
  PromptEvictionPolicy(PromptEviction settings, const ModelShape& shape) : s_(std::move(settings)), shape_(shape) {}

  std::string Spec() const override {
    std::string spec = fmt::format("{}:cap={},rows={},pool={},unit={},prefill={},chunk={}", s_.name, s_.cap, s_.rows, s_.pool,
                                   s_.unit, s_.sparse ? "sparse" : "dense", s_.chunk);
    if (s_.taper != 0) spec += fmt::format(",taper={}", s_.taper);
    return spec;
  }

  // Since version 2 short prompts that are read densely have one budget in all layers.
  uint64_t ContentHash() const override { return s_.taper != 0 && !s_.sparse ? HashOfVersion(2) : 0; }
  std::unique_ptr<PolicyState> NewState() const override { return std::make_unique<State>(shape_); }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local QuarterChoice choice;
    choice.Reset(request, shape_.group(), shape_.window(request.layer));
    if (request.state != nullptr) {
      static_cast<const State*>(request.state)->at(request.layer, request.kv_head).AddTo(&choice);
    } else {
      const uint64_t length = s_.sparse ? request.first_position / s_.chunk * s_.chunk : 0;
      const uint64_t border = Border(length);
      const uint64_t budget = EvictionBudget(s_, request.layer, shape_.layers, length);
      AddShape(budget / s_.unit * s_.unit, border, &choice);
    }
    choice.MakePlan(plan);
  }

  size_t ChunkRows() const override { return s_.sparse ? s_.chunk : 0; }
  bool WantsChunks() const override { return true; }
  void ChunkDone(const ChunkRequest& chunk) const override {
    KeptKeys& kept = static_cast<State*>(chunk.state)->at(chunk.layer, chunk.kv_head);
    if (kept.IsDrawn(chunk)) return;
    kept.BeginChunk(chunk, shape_.group() * shape_.head_dim, s_.rows);
    if (chunk.prompt_end || s_.sparse) Evict(chunk, &kept);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* state) const override {
    const KeptKeys* const kept = state == nullptr ? nullptr : &static_cast<const State*>(state)->at(layer, kv_head);
    return MayReleasePage(kept, shape_.window(layer), block, position);
  }

 private:
  // All keys below are decided about when `length` keys have been read.
  uint64_t Border(uint64_t length) const {
    const uint64_t step = std::max<uint64_t>(s_.unit, kQuarterTokens);
    return (length - std::min(length, s_.rows)) / step * step;
  }

  void Evict(const ChunkRequest& chunk, KeptKeys* kept) const {
    const uint64_t border = std::max(Border(kept->end()), kept->low());
    const size_t candidates = kept->Candidates(border);
    const uint64_t budget = EvictionBudget(s_, chunk.layer, shape_.layers, kept->end());
    if (candidates <= budget) return;  // as long as everything fits nothing is decided
    thread_local Scratch scratch;
    KeptAttention(shape_.target, kept->rows().View(shape_.group() * shape_.head_dim), shape_.group(), chunk.keys, kept->kept(),
                  kept->low(), shape_.window(chunk.layer), kept->end(), &scratch.attention, &scratch.sums);
    Smooth({scratch.sums.data(), candidates}, s_.pool, &scratch.smooth);
    ChooseUnits(*kept, scratch.smooth, s_.unit, budget / s_.unit, &scratch.units, &scratch.chosen);
    kept->Decide(border, scratch.chosen);
  }

  PromptEviction s_;
  ModelShape shape_;
};

}  // namespace

std::vector<OptionInfo> PromptEvictionOptions() {
  return {{"cap", "2048", "keys that a KV head keeps of a prompt, the last rows included"},
          {"rows", "32", "last rows of a prompt whose attention decides; they stay themselves"},
          {"pool", "5", "neighbouring keys over which attention is averaged, an odd number"},
          {"unit", "1", "keys that stay or go together: 1, 16 or 64 (whole pages: memory goes down to what is kept)"},
          {"prefill", "dense", "dense: decided when the prompt has been read; sparse: after each chunk of it"},
          {"chunk", "512", "rows of a chunk with prefill=sparse: 64, 128, 256 or 512"}};
}

Result<PromptEviction> ReadPromptEviction(const Options& options, std::string_view name) {
  PromptEviction settings;
  settings.name = name;
  DAMASK_ASSIGN_OR_RETURN(settings.cap, options.Count("cap", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.rows, options.Count("rows", 1, kLongestChunk));
  DAMASK_ASSIGN_OR_RETURN(settings.pool, options.Count("pool", 1, 1023));
  DAMASK_ASSIGN_OR_RETURN(settings.unit, options.Count("unit", 1, kPageTokens));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse, options.Either("prefill", "dense", "sparse"));
  DAMASK_ASSIGN_OR_RETURN(settings.chunk, ChunkOption(options, name));
  if (settings.pool % 2 == 0) return InvalidArgument(fmt::format("policy {}: pool={} is not odd", name, settings.pool));
  if (settings.unit != 1 && settings.unit != kQuarterTokens && settings.unit != kPageTokens) {
    return InvalidArgument(fmt::format("policy {}: unit={} is not 1, 16 or 64", name, settings.unit));
  }
  return settings;
}

uint64_t EvictionBudget(const PromptEviction& settings, size_t layer, size_t layers, uint64_t length) {
  const uint64_t mean = settings.cap - std::min(settings.cap, settings.rows);
  if (settings.taper == 0 || layers < 2) return mean;
  // The authors give short prompts one budget in all layers. Not while a prompt is still read: what the first layers dropped
  // for it would be missing when, further on, they may keep up to twice as much.
  if (!settings.sparse && length < 2 * mean) return mean;
  const auto all = static_cast<int64_t>(length - std::min(length, settings.rows));
  auto least = static_cast<int64_t>(mean / settings.taper);
  int64_t most = 2 * static_cast<int64_t>(mean) - least;
  if (most >= all) {
    most = all;
    least = 2 * static_cast<int64_t>(mean) - most;
  }
  const int64_t step = (most - least) / static_cast<int64_t>(layers - 1);
  return static_cast<uint64_t>(std::max<int64_t>(0, most - static_cast<int64_t>(layer) * step));
}

std::unique_ptr<Policy> MakePromptEviction(PromptEviction settings, const ModelShape& shape) {
  return std::make_unique<PromptEvictionPolicy>(std::move(settings), shape);
}

}  // namespace damask::policies
