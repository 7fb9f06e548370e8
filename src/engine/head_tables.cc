#include "engine/head_tables.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/timer.h"
#include "engine/capture.h"
#include "engine/effect.h"
#include "engine/fingerprint.h"
#include "engine/layer_pass.h"
#include "policies/registry.h"
#include "policies/tca.h"

namespace damask::engine {
namespace {

constexpr uint64_t kSharesLength = 4096;
constexpr uint64_t kGatesLength = 2048;

Result<uint64_t> LengthOf(const Engine& engine, uint64_t wanted, uint64_t usual, uint64_t least) {
  const uint64_t length = wanted == 0 ? std::min(usual, engine.context()) : wanted;
  if (length > engine.context()) {
    return InvalidArgument(fmt::format("--length is {}, longer than the model's context of {}", length, engine.context()));
  }
  if (length < least) return InvalidArgument(fmt::format("--length is {}, expected {} at least", length, least));
  return length;
}

policies::HeadTable EmptyTable(const Engine& engine) {
  const model::ModelConfig& c = engine.model().config();
  policies::HeadTable table;
  table.values.assign(c.layers * c.kv_heads, 0.0f);
  table.weights_hash = FingerprintOf(engine.model()).weights_hash;
  return table;
}

// All texts through all layers with full attention: `observe` sees each chunk, `done` each text of a layer when it is through.
Status GoThroughLayers(Engine* engine, const std::vector<std::vector<TokenId>>& texts,
                       const std::function<void(size_t text, const model::LayerView& view)>& observe,
                       const std::function<void(size_t layer, size_t text)>& done, const HeadTableProgress& progress,
                       const std::atomic<bool>* cancel) {
  const Timer timer;
  const size_t layers = engine->model().config().layers;
  DAMASK_RETURN_IF_ERROR(engine->SetPolicy("full"));
  LayerPass pass(engine, &texts);
  DAMASK_RETURN_IF_ERROR(pass.Begin(cancel));
  for (size_t layer = 0; layer < layers; ++layer) {
    for (size_t text = 0; text < texts.size(); ++text) {
      DAMASK_RETURN_IF_ERROR(pass.Run(
          layer, text, [&](const model::LayerView& view) { observe(text, view); }, cancel));
      done(layer, text);
      if (progress) progress(layer * texts.size() + text + 1, layers * texts.size(), timer.Seconds());
    }
  }
  return {};
}

// In nats or as a share: what the order of additions makes of bf16 numbers stays below this.
constexpr float kNoise = 1e-4f;

// The highest becomes 1; where there is none, all become 0.
void Normalise(std::vector<float>* gates) {
  const float highest = *std::max_element(gates->begin(), gates->end());
  for (float& gate : *gates) gate = highest > kNoise ? gate / highest : 0.0f;
}

// Sums over the rows of one head: what a window and sinks would not hold.
class LostMass {
 public:
  LostMass(const GatesOptions& options, size_t heads) : options_(options), lost_(heads) {}

  void Add(size_t head, std::span<const float> probabilities) {
    const size_t keys = probabilities.size();
    const size_t first = std::min<size_t>(options_.sinks, keys);
    const size_t last = std::max<size_t>(first, keys - std::min<size_t>(options_.recent, keys));
    for (size_t key = first; key < last; ++key) lost_[head] += static_cast<double>(probabilities[key]);
  }
  // Of the `group` heads from `first` on the one that lost most; they begin anew.
  double TakeMost(size_t first, size_t group) {
    double most = 0;
    for (size_t head = first; head < first + group; ++head) most = std::max(most, std::exchange(lost_[head], 0.0));
    return most;
  }

 private:
  const GatesOptions& options_;
  std::vector<double> lost_;
};

Status GatesByMass(Engine* engine, const GatesOptions& options, const std::vector<EffectText>& texts,
                   const HeadTableProgress& progress, const std::atomic<bool>* cancel, std::vector<float>* gates) {
  const model::ModelConfig& c = engine->model().config();
  std::vector<std::vector<TokenId>> ids;
  size_t rows = 0;
  for (const EffectText& text : texts) {
    ids.push_back(text.ids);
    rows += text.scored.size();
  }
  LostMass lost(options, c.heads);
  const auto observe = [&](size_t text, const model::LayerView& view) {
    ForRows(engine, view, texts[text].scored, [&](size_t kv_head, size_t g, uint64_t, std::span<const float> probabilities) {
      lost.Add(kv_head * c.group() + g, probabilities);
    });
  };
  const auto done = [&](size_t layer, size_t text) {
    if (text + 1 < texts.size()) return;
    for (size_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
      const double most = lost.TakeMost(kv_head * c.group(), c.group());
      (*gates)[layer * c.kv_heads + kv_head] = static_cast<float>(most / static_cast<double>(rows));
    }
  };
  return GoThroughLayers(engine, ids, observe, done, progress, cancel);
}

// Policy duo with one KV head that streams.
std::string OneStreams(size_t head, size_t heads, const GatesOptions& options) {
  std::string list;
  for (size_t h = 0; h < heads; ++h) list += fmt::format("{}{}", h == 0 ? "" : "/", h == head ? 0 : 1);
  return fmt::format("duo:heads={},full={},sinks={},recent={}", list, heads - 1, options.sinks, options.recent);
}

Status GatesByEffect(Engine* engine, const GatesOptions& options, std::vector<EffectText> texts,
                     const HeadTableProgress& progress, const std::atomic<bool>* cancel, std::vector<float>* gates) {
  const Timer timer;
  EffectMeter meter(engine, std::move(texts));
  DAMASK_RETURN_IF_ERROR(meter.MeasureReference(cancel));
  for (size_t head = 0; head < gates->size(); ++head) {
    DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<policies::Policy> policy,
                            policies::Create(OneStreams(head, gates->size(), options), engine->shape()));
    DAMASK_ASSIGN_OR_RETURN(const Effect effect, meter.Measure(std::move(policy), kNeverEnough, cancel));
    (*gates)[head] = static_cast<float>(effect.retrieval);
    if (progress) progress(head + 1, gates->size(), timer.Seconds());
  }
  return {};
}

// EffectTexts makes as much prose with them, which is dropped.
Result<std::vector<EffectText>> RetrievalTexts(const Engine& engine, uint64_t samples, uint64_t length, uint64_t seed,
                                               const std::atomic<bool>* cancel) {
  DAMASK_RETURN_IF_ERROR(CheckHiddenStatesFit(engine, samples, length, "--samples"));
  DAMASK_ASSIGN_OR_RETURN(std::vector<EffectText> texts, EffectTexts(engine, samples, length, seed, cancel));
  std::erase_if(texts, [](const EffectText& text) { return text.kind != TextKind::kRetrieval; });
  if (!ScoreAnswers(texts))
    return InvalidArgument(
        fmt::format("--length is {}, too short for a question and its answer: some 150 tokens are enough", length));
  return texts;
}

}  // namespace

double ShareThatHolds(std::vector<float> weights, double tau) {
  if (tau >= 1 || weights.empty()) return 1;
  std::sort(weights.begin(), weights.end(), std::greater<>());
  const double wanted = tau * std::accumulate(weights.begin(), weights.end(), 0.0);
  double held = 0;
  size_t keys = 0;
  while (keys < weights.size() && held < wanted) held += static_cast<double>(weights[keys++]);
  return static_cast<double>(keys) / static_cast<double>(weights.size());
}

Result<HeadTableResult> HeadShares(Engine* engine, const SharesOptions& options, const HeadTableProgress& progress,
                                   const std::atomic<bool>* cancel) {
  const Timer timer;
  if (options.samples == 0 || options.rows == 0) return InvalidArgument("--samples and --rows want 1 at least");
  if (!(options.tau > 0 && options.tau <= 1)) return InvalidArgument(fmt::format("--tau is {}, not in (0, 1]", options.tau));
  for (const double share : {options.least, options.mean}) {
    if (!(share >= 0 && share <= 1)) return InvalidArgument(fmt::format("a share of {} is not between 0 and 1", share));
  }
  HeadTableResult result;
  DAMASK_ASSIGN_OR_RETURN(result.length, LengthOf(*engine, options.length, kSharesLength, options.rows + 1));
  DAMASK_RETURN_IF_ERROR(CheckHiddenStatesFit(*engine, options.samples, result.length, "--samples"));
  std::vector<std::vector<TokenId>> texts;
  if (options.texts.empty()) {
    DAMASK_ASSIGN_OR_RETURN(texts, BuiltInSamples(*engine, options.samples, result.length, options.seed, cancel));
  } else {
    DAMASK_ASSIGN_OR_RETURN(texts, SamplesOf(*engine, options.texts, options.samples, result.length, cancel));
  }
  result.texts = texts.size();
  result.table = EmptyTable(*engine);
  const model::ModelConfig& c = engine->model().config();
  std::vector<uint32_t> last_rows(options.rows);
  std::iota(last_rows.begin(), last_rows.end(), static_cast<uint32_t>(result.length - options.rows));
  std::vector<std::vector<float>> sums(c.kv_heads, std::vector<float>(result.length));
  const auto observe = [&](size_t, const model::LayerView& view) {
    ForRows(engine, view, last_rows, [&](size_t kv_head, size_t, uint64_t, std::span<const float> probabilities) {
      for (size_t key = 0; key < probabilities.size(); ++key) sums[kv_head][key] += probabilities[key];
    });
  };
  const auto done = [&](size_t layer, size_t) {
    for (size_t kv_head = 0; kv_head < c.kv_heads; ++kv_head) {
      const double share = ShareThatHolds(sums[kv_head], options.tau) / static_cast<double>(texts.size());
      result.table.values[layer * c.kv_heads + kv_head] += static_cast<float>(share);
      std::fill(sums[kv_head].begin(), sums[kv_head].end(), 0.0f);
    }
  };
  DAMASK_RETURN_IF_ERROR(GoThroughLayers(engine, texts, observe, done, progress, cancel));
  for (float& share : result.table.values) share = std::clamp(share, static_cast<float>(options.least), 1.0f);
  if (options.mean > 0) result.table.values = policies::ScaleShares(std::move(result.table.values), options.mean);
  result.seconds = timer.Seconds();
  return result;
}

Result<HeadTableResult> HeadGates(Engine* engine, const GatesOptions& options, const HeadTableProgress& progress,
                                  const std::atomic<bool>* cancel) {
  const Timer timer;
  if (options.samples == 0) return InvalidArgument("--samples is 0, expected 1 at least");
  if (options.recent == 0) return InvalidArgument("--recent is 0, a head sees at least itself");
  HeadTableResult result;
  DAMASK_ASSIGN_OR_RETURN(result.length, LengthOf(*engine, options.length, kGatesLength, options.sinks + options.recent + 1));
  DAMASK_ASSIGN_OR_RETURN(std::vector<EffectText> texts,
                          RetrievalTexts(*engine, options.samples, result.length, options.seed, cancel));
  result.texts = texts.size();
  result.table = EmptyTable(*engine);
  std::vector<float>* const gates = &result.table.values;
  const Status status = options.by == GateBy::kMass ? GatesByMass(engine, options, texts, progress, cancel, gates)
                                                    : GatesByEffect(engine, options, std::move(texts), progress, cancel, gates);
  DAMASK_RETURN_IF_ERROR(engine->SetPolicy("full"));
  DAMASK_RETURN_IF_ERROR(status);
  Normalise(gates);
  result.seconds = timer.Seconds();
  return result;
}

}  // namespace damask::engine
