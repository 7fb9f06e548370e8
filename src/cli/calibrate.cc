// damask calibrate: from a model, or from maps captured elsewhere, to a mask file.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "base/timer.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/text_input.h"
#include "engine/calibrate.h"
#include "masks/density.h"
#include "masks/mask_file.h"
#include "report/calibration_report.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

class Calibrate : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Input and output");
    flags->Text("-o,--output", "MASK", &output_, "the mask file to write");
    flags->Alias("--out", "--output");
    flags->Text("--maps", "DIR", &maps_, "mean maps captured elsewhere (layer_L_head_H.npy or .txt) instead of a model");
    flags->Texts("--text", "FILE", &texts_, "text to calibrate on, more than once for more texts (default: the built-in one)");
    flags->Uint("--samples", 1, 1 << 20, &samples_, "texts whose attention is captured (default 16)");
    flags->Uint("--capture-length", 1, masks::kMaxCaptureLength, &capture_length_, "tokens of a sample (default 256)");
    flags->Uint("--seed", 0, UINT64_MAX, &seed_, "of the built-in texts (default 1)");
    flags->Group("Patterns (DAM)");
    flags->Text("--transform", "NAME", &transform_,
                "boxcox, average, sum, log, sqrt, yeo-johnson, z-score, min-max, arcsinh (default boxcox)");
    flags->Number("--lambda", -10, 10, &parameters_.amplify.lambda, "of boxcox and yeo-johnson (default 0.5)");
    flags->Number("--epsilon", 1e-30, 1, &parameters_.amplify.epsilon, "the smallest mean that boxcox sees (default 1e-10)");
    flags->Switch("--scale-rows", &parameters_.amplify.scale_rows, "multiply a row by its length before the transform");
    flags->Number("--tau", -1e30, 1e30, &tau_, "true mask: amplified values from here on (default 0.1)");
    flags->Number("--tau-percentile", 0, 100, &tau_percentile_, "the threshold as a percentile of the causal cells instead");
    flags->Number("--mu", 0, 1, &parameters_.match.mu,
                  "a pattern is kept when so much of it is in the true mask (default 0.8)");
    flags->Uint("--min-cells", 1, masks::kMaxCaptureLength, &min_cells_, "shorter patterns are not looked at (default 32)");
    flags->Text("--match", "NAME", &match_, "union: every pattern that matches; best: the best one (default union)");
    flags->Uint("--sinks", 1, masks::kMaxCaptureLength, &sinks_, "first keys that heads always keep (default 16)");
    flags->Group("Treatments");
    flags->Number("--max-kl", 0, 100, &max_kl_, "limit of the joint effect in nats (default 0.05)");
    flags->Number("--target-recall", 0, 1, &target_recall_, "choose by mass instead: what every static head must hold");
    flags->Number("--budget", 0, 1, &budget_, "choose by density instead: what all heads together may cost");
    flags->Switch("--no-effect", &no_effect_, "choose by strong-key hit, without passes that measure the effect");
    flags->Switch("--no-content", &no_content_, "heads that cannot be static stay dense");
    flags->Uint("--content-blocks", 1, masks::kMaxContentBlocks, &content_blocks_,
                "most blocks of 16 keys that a content head chooses (default 10; 20, 40, ... where the limit wants it)");
    flags->Switch("--each-head", &each_head_, "also measure every head's effect alone, a pass a head");
    flags->Switch("--patterns-only", &patterns_only_, "the paper's masks: every head static, by its patterns");
    flags->Uint("--effect-length", 64, limits::kMaxContext, &effect_length_,
                "tokens of the texts that effects are measured on (default: max(2048, 4 x capture length), with --no-effect "
                "max(1024, 2 x))");
    flags->Uint("--cost-length", 64, limits::kMaxContext, &cost_length_,
                "text length for which costs are compared (default 4096)");
    model_.DeclareReading(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_RETURN_IF_ERROR(CheckFlags());
    DAMASK_RETURN_IF_ERROR(CheckOutputFile("-o", *output_, Reads()));
    return maps_ ? FromMaps(common) : FromModel(common);
  }

 private:
  std::vector<NamedFile> Reads() const {
    std::vector<NamedFile> files = model_.Reads();
    if (maps_) files.push_back({"--maps", *maps_});
    for (const std::string& text : texts_) files.push_back({"--text", text});
    return files;
  }

  Status CheckFlags() {
    if (!output_) return InvalidArgument("'damask calibrate' wants -o MASK, the file to write");
    if (maps_ && maps_->empty()) return InvalidArgument("--maps: the path is empty");
    if (maps_ && model_.model) return InvalidArgument("--maps and -m exclude each other");
    if (maps_ && !texts_.empty()) return InvalidArgument("--maps and --text exclude each other");
    const int goals = (max_kl_ != kUnset ? 1 : 0) + (target_recall_ != kUnset ? 1 : 0) + (budget_ != kUnset ? 1 : 0);
    if (goals > 1) return InvalidArgument("--max-kl, --target-recall and --budget exclude each other");
    if (no_effect_ && (target_recall_ != kUnset || budget_ != kUnset)) {
      return InvalidArgument("--no-effect belongs to the choice by effect: leave --target-recall and --budget away");
    }
    if (no_effect_ && max_kl_ != kUnset)
      return InvalidArgument("--max-kl wants effects to be measured: leave --no-effect away");
    if (patterns_only_ && (goals > 0 || each_head_ || no_effect_ || no_content_)) {
      return InvalidArgument(
          "--patterns-only chooses nothing: leave --max-kl, --target-recall, --budget, --each-head, --no-effect and "
          "--no-content away");
    }
    if (each_head_ && (no_effect_ || maps_ || target_recall_ != kUnset || budget_ != kUnset)) {
      return InvalidArgument("--each-head belongs to the choice by effect");
    }
    if (content_blocks_ != 0 && (no_content_ || patterns_only_ || maps_ || target_recall_ != kUnset || budget_ != kUnset)) {
      return InvalidArgument(
          "--content-blocks wants heads that choose their keys: leave --maps, --no-content, --patterns-only, --target-recall "
          "and --budget away");
    }
    if (effect_length_ != 0 && (patterns_only_ || target_recall_ != kUnset || budget_ != kUnset)) {
      return InvalidArgument(
          "--effect-length belongs to the choice by effect: leave --patterns-only, --target-recall and --budget away");
    }
    if (maps_ && max_kl_ != kUnset) return InvalidArgument("--max-kl wants a model: effects cannot be measured on --maps");
    if (tau_ != kUnset && tau_percentile_ != kUnset) return InvalidArgument("--tau and --tau-percentile exclude each other");
    parameters_.capture_length = static_cast<uint32_t>(capture_length_);
    parameters_.match.min_cells = static_cast<uint32_t>(min_cells_);
    parameters_.sink_keys = static_cast<uint32_t>(sinks_);
    parameters_.tau_is_percentile = tau_percentile_ != kUnset;
    if (tau_ != kUnset) parameters_.tau = tau_;
    if (tau_percentile_ != kUnset) parameters_.tau = tau_percentile_;
    if (target_recall_ != kUnset) parameters_.target_recall = target_recall_;
    if (budget_ != kUnset) parameters_.budget = budget_;
    if (goals == 0 || max_kl_ != kUnset) parameters_.max_kl = max_kl_ == kUnset ? kDefaultMaxKl : max_kl_;
    if (maps_ || patterns_only_ || no_effect_) parameters_.max_kl = masks::kNoGoal;
    if (match_) {
      if (*match_ != "union" && *match_ != "best") {
        return InvalidArgument(fmt::format("--match is {}, expected union or best", Quote(*match_)));
      }
      parameters_.match.match = *match_ == "best" ? masks::Match::kBest : masks::Match::kUnion;
    }
    if (transform_) {
      const auto transform = masks::ParseTransform(*transform_);
      if (!transform.ok()) return transform.status().At("--transform");
      parameters_.amplify.transform = *transform;
    }
    DAMASK_RETURN_IF_ERROR(CheckTransform());
    return masks::CheckParameters(parameters_);
  }

  // Flags of a transform that is not asked for.
  Status CheckTransform() const {
    using masks::Transform;
    const masks::AmplifyOptions& chosen = parameters_.amplify;
    const masks::AmplifyOptions unset;
    const bool box_cox = chosen.transform == Transform::kBoxCox;
    if (!box_cox && chosen.epsilon != unset.epsilon) return InvalidArgument("--epsilon belongs to --transform boxcox");
    if (!box_cox && chosen.transform != Transform::kYeoJohnson && chosen.lambda != unset.lambda) {
      return InvalidArgument("--lambda belongs to --transform boxcox and yeo-johnson");
    }
    return {};
  }

  Result<int> FromMaps(const CommonFlags& common) {
    const Timer timer;
    engine::CalibrateResult result;
    parameters_.samples = static_cast<uint32_t>(samples_);
    DAMASK_ASSIGN_OR_RETURN(result.mask, masks::CalibrateFromFolder(*maps_, parameters_));
    if (target_recall_ != kUnset) DAMASK_RETURN_IF_ERROR(masks::ChooseByMass(target_recall_, cost_length_, &result.mask));
    if (budget_ != kUnset) DAMASK_RETURN_IF_ERROR(masks::ChooseByBudget(budget_, cost_length_, {}, &result.mask));
    result.density = masks::PlannedDensity(result.mask, cost_length_, masks::PlanMode::kBlocks);
    result.capture_seconds = timer.Seconds();
    return Finish(result, common);
  }

  Result<int> FromModel(const CommonFlags& common) {
    engine::CalibrateOptions options = {.parameters = parameters_,
                                        .samples = samples_,
                                        .effect = !no_effect_,
                                        .content = !no_content_,
                                        .content_blocks = static_cast<uint32_t>(content_blocks_),
                                        .each_head = each_head_,
                                        .effect_length = effect_length_,
                                        .cost_length = cost_length_,
                                        .seed = seed_};
    if (target_recall_ != kUnset) options.goal = engine::Goal::kRecall;
    if (budget_ != kUnset) options.goal = engine::Goal::kBudget;
    if (patterns_only_) options.goal = engine::Goal::kPatterns;
    for (const std::string& name : texts_) {
      DAMASK_ASSIGN_OR_RETURN(std::string text, ReadDocument(name, "--text"));
      options.texts.push_back({name, std::move(text)});
    }
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal(), "steps");
    const auto progress = [&](std::string_view, uint64_t done, uint64_t total, double seconds) {
      line.Update(done, total, seconds);
    };
    DAMASK_ASSIGN_OR_RETURN(const engine::CalibrateResult result,
                            engine::Calibrate(engine.get(), options, progress, cancel.flag()));
    line.Clear();
    if (parameters_.max_kl != masks::kNoGoal) HintAtLongTexts(result.mask.parameters.effect_length, engine->context());
    return Finish(result, common);
  }

  // What is lost far back shows on texts that reach there only.
  void HintAtLongTexts(uint64_t measured, uint64_t context) const {
    constexpr uint64_t kFar = 4;
    if (effect_length_ != 0 || context < kFar * measured) return;
    LogInfo(
        fmt::format("effects were measured on texts of {} tokens and the context is {}: for long texts --effect-length {} "
                    "keeps more, and takes a few times as long",
                    measured, context, kFar * measured));
  }

  Result<int> Finish(const engine::CalibrateResult& result, const CommonFlags& common) const {
    DAMASK_RETURN_IF_ERROR(masks::WriteMaskFile(result.mask, *output_));
    if (common.json) {
      WriteJson(report::CalibrationJson(result));
    } else {
      Write(report::CalibrationText(result, *output_));
    }
    return kExitDone;
  }

  static constexpr double kUnset = -1e300;
  static constexpr double kDefaultMaxKl = 0.05;

  std::optional<std::string> output_;
  std::optional<std::string> maps_;
  std::vector<std::string> texts_;
  uint64_t samples_ = 16;
  uint64_t capture_length_ = 256;
  uint64_t min_cells_ = 32;
  uint64_t sinks_ = 16;
  uint64_t seed_ = 1;
  uint64_t content_blocks_ = 0;
  uint64_t effect_length_ = 0;
  uint64_t cost_length_ = 4096;
  double tau_ = kUnset;
  double tau_percentile_ = kUnset;
  double max_kl_ = kUnset;
  double target_recall_ = kUnset;
  double budget_ = kUnset;
  bool no_effect_ = false;
  bool no_content_ = false;
  bool each_head_ = false;
  bool patterns_only_ = false;
  std::optional<std::string> transform_;
  std::optional<std::string> match_;
  masks::Parameters parameters_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeCalibrate() { return std::make_unique<Calibrate>(); }

}  // namespace damask::cli
