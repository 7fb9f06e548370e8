#include "engine/calibrate.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/timer.h"
#include "engine/fingerprint.h"
#include "engine/key_directions.h"
#include "engine/layer_pass.h"
#include "masks/density.h"

namespace damask::engine {
namespace {

// Windows that static heads may get instead of their patterns.
constexpr uint32_t kWindows[] = {16, 32, 64, 128, 256};
// One row in so many of an effect text is looked at densely.
constexpr size_t kLossStride = 8;
// Low-rank scores may differ from the full ones by so much of their spread.
constexpr double kMaxDirectionError = 0.1;
// Every so many-th position enters the moments that directions are found from.
constexpr size_t kMomentStride = 4;
// Rotation turns the slow pairs further in a longer context: the rank is checked again there, on fewer positions.
constexpr uint64_t kCheckedContext = 32768;
constexpr size_t kCheckStride = 16;
// Texts of prose and of retrieval: longer ones hold more answers, so one of each does.
constexpr uint64_t kEffectPairs = 2;
constexpr uint64_t kLongEffectText = 2048;

// Everything a calibration goes through, step by step.
class Calibration {
 public:
  Calibration(Engine* engine, const CalibrateOptions& options, const CalibrateProgress& progress,
              const std::atomic<bool>* cancel)
      : engine_(engine), options_(options), progress_(progress), cancel_(cancel), config_(engine->model().config()) {}

  Result<CalibrateResult> Run() {
    DAMASK_RETURN_IF_ERROR(Prepare());
    DAMASK_RETURN_IF_ERROR(GoThroughLayers());
    result_.capture_seconds = timer_.Seconds();
    DAMASK_RETURN_IF_ERROR(Choose());
    result_.effect_seconds = timer_.Seconds() - result_.capture_seconds;
    result_.density = masks::PlannedDensity(result_.mask, options_.cost_length, masks::PlanMode::kBlocks, config_.windows);
    DAMASK_RETURN_IF_ERROR(masks::CheckMask(result_.mask));
    return std::move(result_);
  }

 private:
  masks::Parameters& parameters() { return result_.mask.parameters; }
  bool by_effect() const { return options_.goal == Goal::kEffect; }

  Status Prepare() {
    parameters() = options_.parameters;
    DAMASK_RETURN_IF_ERROR(masks::CheckParameters(parameters()));
    const uint64_t length = parameters().capture_length;
    if (options_.samples == 0) return InvalidArgument("--samples is 0, expected 1 at least");
    if (length > engine_->context()) {
      return InvalidArgument(
          fmt::format("--capture-length is {}, longer than the model's context of {}", length, engine_->context()));
    }
    DAMASK_RETURN_IF_ERROR(CheckHiddenStatesFit(*engine_, options_.samples, length, "--samples"));
    if (options_.texts.empty()) {
      DAMASK_ASSIGN_OR_RETURN(texts_, BuiltInSamples(*engine_, options_.samples, length, options_.seed, cancel_));
    } else {
      DAMASK_ASSIGN_OR_RETURN(texts_, SamplesOf(*engine_, options_.texts, options_.samples, length, cancel_));
    }
    samples_ = texts_.size();
    parameters().samples = static_cast<uint32_t>(samples_);
    parameters().tokens = samples_ * length;
    result_.mask.fingerprint = FingerprintOf(engine_->model());
    if (!by_effect()) return {};
    if (options_.effect_length > engine_->context()) {
      return InvalidArgument(
          fmt::format("--effect-length is {}, longer than the model's context of {} (-c and --rope-scaling raise it)",
                      options_.effect_length, engine_->context()));
    }
    parameters().effect_length = std::min(EffectLength(), engine_->context());
    // Without effects the texts only show which strong keys static forms lose: a few hundred rows tell, and prose has none.
    const uint64_t pairs = options_.effect && parameters().effect_length <= kLongEffectText ? kEffectPairs : 1;
    DAMASK_RETURN_IF_ERROR(
        CheckHiddenStatesFit(*engine_, 2 * pairs, parameters().effect_length, "--effect-length", samples_ * length));
    DAMASK_ASSIGN_OR_RETURN(effect_texts_,
                            EffectTexts(*engine_, pairs, parameters().effect_length, options_.seed + 1000, cancel_));
    if (!ScoreAnswers(effect_texts_)) {
      return InvalidArgument(
          fmt::format("--effect-length is {}, too short for a question and its answer: some 150 tokens are enough",
                      parameters().effect_length));
    }
    if (!options_.effect) std::erase_if(effect_texts_, [](const EffectText& text) { return text.kind == TextKind::kProse; });
    for (const EffectText& text : effect_texts_) texts_.push_back(text.ids);
    return {};
  }

  uint64_t EffectLength() const {
    if (options_.effect_length != 0) return options_.effect_length;
    const uint64_t length = options_.parameters.capture_length;
    return options_.effect ? std::max<uint64_t>(2048, 4 * length) : std::max<uint64_t>(1024, 2 * length);
  }

  Status GoThroughLayers() {
    DAMASK_RETURN_IF_ERROR(engine_->SetPolicy("full"));
    LayerPass pass(engine_, &texts_);
    DAMASK_RETURN_IF_ERROR(pass.Begin(cancel_));
    masks::LayerCapture capture(config_.heads, parameters().capture_length);
    for (uint32_t window : kWindows) forms_.push_back({parameters().sink_keys, window});
    for (size_t layer = 0; layer < config_.layers; ++layer) {
      capture.Clear();
      for (size_t text = 0; text < samples_; ++text) {
        const auto observe = [&](const model::LayerView& view) { CaptureMaps(engine_, view, &capture); };
        DAMASK_RETURN_IF_ERROR(pass.Run(layer, text, observe, cancel_));
        Report("layers", layer * texts_.size() + text + 1, config_.layers * texts_.size());
      }
      const auto for_each = [&](size_t count, FunctionRef<void(size_t)> body) {
        engine_->pool().ParallelFor(count, 1, [&](size_t begin, size_t end, size_t) {
          for (size_t h = begin; h < end; ++h) body(h);
        });
      };
      DAMASK_RETURN_IF_ERROR(masks::CalibrateLayer(capture, for_each, &result_.mask));
      DAMASK_RETURN_IF_ERROR(LookFurther(&pass, layer));
    }
    return {};
  }

  // The effect texts through one layer: what static forms lose there, and the moments for low-rank keys.
  Status LookFurther(LayerPass* pass, size_t layer) {
    std::vector<HeadLosses> losses;
    std::vector<Moments> moments;
    std::vector<Moments> far;  // empty where the context itself is as long
    const uint64_t context = std::max<uint64_t>(engine_->context(), options_.cost_length);
    const std::span<const masks::HeadMask> heads = std::span(result_.mask.heads).subspan(layer * config_.heads);
    for (size_t text = samples_; text < texts_.size(); ++text) {
      const auto observe = [&](const model::LayerView& view) {
        MeasureLosses(engine_, view, heads, parameters(), forms_, parameters().effect_length / 4, kLossStride, &losses);
        AddMoments(engine_, view, context, kMomentStride, options_.seed + layer, &moments);
        if (context < kCheckedContext) AddMoments(engine_, view, kCheckedContext, kCheckStride, options_.seed + layer, &far);
      };
      DAMASK_RETURN_IF_ERROR(pass->Run(layer, text, observe, cancel_));
      Report("layers", layer * texts_.size() + text + 1, config_.layers * texts_.size());
    }
    for (size_t h = 0; h < losses.size(); ++h) {
      static_options_.push_back(StaticOptions(heads[h], parameters(), losses[h], forms_, options_.cost_length));
    }
    for (size_t kv_head = 0; kv_head < moments.size(); ++kv_head) {
      masks::KeyDirections found = FindDirections(moments[kv_head], far.empty() ? nullptr : &far[kv_head], layer, kv_head,
                                                  config_.head_dim, kMaxDirectionError);
      if (config_.rope.kind == kernels::RopeKind::kHalves)
        found.values = masks::StoredFromHalves(found.values, config_.head_dim);
      result_.mask.key_directions.push_back(std::move(found));
    }
    return {};
  }

  Status Choose() {
    if (options_.goal == Goal::kRecall) {
      return masks::ChooseByMass(parameters().target_recall, options_.cost_length, &result_.mask);
    }
    if (options_.goal == Goal::kPatterns) return {};
    if (options_.goal == Goal::kBudget)
      return masks::ChooseByBudget(parameters().budget, options_.cost_length, config_.windows, &result_.mask);
    EffectMeter meter(engine_, std::move(effect_texts_));
    if (options_.effect) DAMASK_RETURN_IF_ERROR(meter.MeasureReference(cancel_));
    const TreatmentOptions wanted = {.max_kl = parameters().max_kl,
                                     .length = options_.cost_length,
                                     .effect = options_.effect,
                                     .content = options_.content,
                                     .content_blocks = options_.content_blocks,
                                     .each_head = options_.each_head};
    stage_began_ = timer_.Seconds();
    const auto passed = [&](uint64_t passes, uint64_t most) { Report("passes over the effect texts", passes, most); };
    DAMASK_ASSIGN_OR_RETURN(result_.treatments, ChooseTreatments(static_options_, wanted, options_.effect ? &meter : nullptr,
                                                                 &result_.mask, engine_->shape(), passed, cancel_));
    KeepNeededDirections();
    return {};
  }

  void KeepNeededDirections() {
    const size_t group = config_.group();
    std::erase_if(result_.mask.key_directions, [&](const masks::KeyDirections& directions) {
      const size_t first = directions.layer * config_.heads + directions.kv_head * group;
      const auto begin = result_.mask.heads.begin() + static_cast<std::ptrdiff_t>(first);
      return std::none_of(begin, begin + static_cast<std::ptrdiff_t>(group),
                          [](const masks::HeadMask& head) { return head.treatment == masks::Treatment::kContent; });
    });
  }

  // Seconds are those of the stage: time left follows from them.
  void Report(std::string_view stage, uint64_t done, uint64_t total) {
    if (progress_) progress_(stage, done, total, timer_.Seconds() - stage_began_);
  }

  Engine* engine_;
  const CalibrateOptions& options_;
  const CalibrateProgress& progress_;
  const std::atomic<bool>* cancel_;
  const model::ModelConfig& config_;
  Timer timer_;
  double stage_began_ = 0;
  std::vector<std::vector<TokenId>> texts_;  // samples, then the effect texts
  size_t samples_ = 0;
  std::vector<EffectText> effect_texts_;
  std::vector<WindowForm> forms_;
  std::vector<std::vector<StaticOption>> static_options_;
  CalibrateResult result_;
};

}  // namespace

Result<CalibrateResult> Calibrate(Engine* engine, const CalibrateOptions& options, const CalibrateProgress& progress,
                                  const std::atomic<bool>* cancel) {
  Result<CalibrateResult> result = Calibration(engine, options, progress, cancel).Run();
  DAMASK_RETURN_IF_ERROR(engine->SetPolicy("full"));
  return result;
}

}  // namespace damask::engine
