#include "engine/treatments.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "engine/by_halves.h"
#include "kernels/plan.h"
#include "masks/density.h"
#include "policies/content_keys.h"
#include "policies/dam.h"

namespace damask::engine {
namespace {

using masks::HeadMask;
using masks::Mask;
using masks::Treatment;

// Mass orders heads that keep their strong keys equally well; it never outweighs a lost one.
constexpr double kMassWeight = 0.1;
// What static heads may use of the limit at first, where others are to choose blocks at run time.
constexpr double kStaticShare = 0.2;

// A static form that costs more than this share of what a content head with the usual blocks does is not taken where heads may
// choose: at the same density far keys that are chosen answer more than near ones that are not (docs/results.md).
constexpr double kCheapShare = 0.4;
// Passes of the two looks behind the search for static heads.
constexpr uint64_t kContentPasses = 8;
constexpr uint64_t kRestPasses = 12;
// Content heads choose at most a third of an effect text: on a text that they see whole there is no effect to measure.
constexpr uint64_t kPartOfAText = 3;

// A threshold that no form reaches.
constexpr double kNoForm = 2.0;

// A layer's own window of at most so many times what a content head sees: choosing in it would cost what it saves.
constexpr uint64_t kNarrowWindow = 4;

// The keys that a content head with the usual blocks sees of a text, at most.
uint64_t ContentKeys() {
  const policies::ContentOptions usual;
  return usual.sinks + usual.local + kernels::kQueryBlockRows + uint64_t{usual.max_quarters} * kernels::kQuarterTokens;
}

// And their share of all.
double ContentCost(uint64_t length) {
  return std::min(1.0, 2.0 * static_cast<double>(ContentKeys()) / static_cast<double>(length));
}

class Chooser {
 public:
  Chooser(const std::vector<std::vector<StaticOption>>& options, const TreatmentOptions& wanted, EffectMeter* meter, Mask* mask,
          const policies::ModelShape& shape, const PassProgress& progress, const std::atomic<bool>* cancel)
      : options_(options),
        wanted_(wanted),
        meter_(meter),
        mask_(mask),
        shape_(shape),
        progress_(progress),
        cancel_(cancel),
        dearest_(wanted.content ? kCheapShare * ContentCost(wanted.length) : 1.0),
        floor_(options.size(), 0.0) {}

  Result<TreatmentResult> Run() {
    DAMASK_RETURN_IF_ERROR(wanted_.effect ? ChooseByEffect() : ChooseByQuality());
    if (!masks::HasContentHeads(*mask_)) mask_->parameters.content_blocks = masks::kUsualContentBlocks;
    if (!wanted_.effect) return result_;
    if (wanted_.each_head) DAMASK_RETURN_IF_ERROR(MeasureEachHead());
    mask_->parameters.joint_effect = result_.joint.worst();
    return result_;
  }

 private:
  // The search for static heads and what it chose; the blocks of content heads, down and up the ladder; the rest; single heads.
  uint64_t MostPasses() const {
    uint64_t most = kMaxPasses + 1 + kRestPasses;
    if (wanted_.content) most += kContentPasses;
    if (wanted_.content && wanted_.content_blocks == 0) most += 2 * (BlocksToTry().size() - 1);
    return most + (wanted_.each_head ? options_.size() : 0);
  }

  Status ChooseByQuality() {
    Assign(kQualityWithoutEffect);
    if (!wanted_.content) return {};
    if (wanted_.content_blocks != 0) mask_->parameters.content_blocks = wanted_.content_blocks;
    for (const size_t head : UnmaskedByError()) MakeContent(head);
    return {};
  }

  Status ChooseByEffect() {
    DAMASK_RETURN_IF_ERROR(ChooseStatic());
    if (wanted_.content) DAMASK_RETURN_IF_ERROR(ChooseContent());
    return UseTheRest();
  }

  // Past `enough` any figure does.
  Result<Effect> Measure(double enough) {
    DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<policies::Policy> policy, policies::MakeDam(*mask_, "calibration", {}, shape_));
    DAMASK_ASSIGN_OR_RETURN(const Effect effect, meter_->Measure(std::move(policy), enough, cancel_));
    ++result_.passes;
    if (progress_) progress_(result_.passes, MostPasses());
    return effect;
  }

  // Where a head can never choose, no form is too dear.
  double Dearest(size_t head) const { return HasNarrowWindow(head / shape_.heads) ? 1.0 : dearest_; }

  // The cheapest form that reaches the threshold and what the head itself has been found to need; -1: none.
  int Choice(size_t head, double threshold) const {
    const double needed = std::max(threshold, floor_[head]);
    for (size_t i = 0; i < options_[head].size() && options_[head][i].cost <= Dearest(head); ++i) {
      if (options_[head][i].quality >= needed) return static_cast<int>(i);
    }
    return -1;
  }

  void MakeStatic(size_t h, const StaticOption& option) {
    HeadMask& head = mask_->heads[h];
    head.treatment = Treatment::kStatic;
    head.form = option.form;
    head.strong_key_hit = static_cast<float>(option.hit);
    if (option.form == masks::StaticForm::kWindow) {
      head.window = option.window;
      head.mass_window = static_cast<float>(option.mass);
    }
  }

  void Assign(double threshold) {
    for (size_t h = 0; h < options_.size(); ++h) {
      const int choice = Choice(h, threshold);
      mask_->heads[h].treatment = Treatment::kDense;
      if (choice >= 0) MakeStatic(h, options_[h][static_cast<size_t>(choice)]);
    }
  }

  // Qualities at which some head's choice changes, ascending.
  std::vector<double> Thresholds() const {
    std::vector<double> thresholds;
    for (const std::vector<StaticOption>& head : options_) {
      for (const StaticOption& option : head) thresholds.push_back(option.quality);
    }
    std::sort(thresholds.begin(), thresholds.end());
    thresholds.erase(std::unique(thresholds.begin(), thresholds.end()), thresholds.end());
    return thresholds;
  }

  Status ChooseStatic() {
    const double limit = wanted_.max_kl * (wanted_.content ? kStaticShare : 1.0);
    const std::vector<double> thresholds = Thresholds();
    // Thresholds at `fits` and above keep the limit (the end stands for nothing masked).
    size_t fits = thresholds.size();
    size_t end = thresholds.size();
    while (end > 0 && result_.passes < kMaxPasses) {
      size_t fails = 0;  // one more than the highest threshold known to fail, below `fits`
      fits = end;
      // The lowest first: later rounds often end there.
      size_t next = fits == thresholds.size() ? fits / 2 : 0;
      while (fails < fits && result_.passes < kMaxPasses) {
        Assign(thresholds[next]);
        DAMASK_ASSIGN_OR_RETURN(const Effect effect, Measure(limit));
        if (effect.worst() <= limit) {
          fits = next;
          result_.joint = effect;
        } else {
          fails = next + 1;
        }
        next = fails + (fits - fails) / 2;
      }
      if (fits == 0) break;
      // Who changed at the edge needs more than the threshold that failed: keep it there and look for others below.
      const double edge = thresholds[fits - 1];
      const double above = fits < thresholds.size() ? thresholds[fits] : kNoForm;
      for (size_t h = 0; h < options_.size(); ++h) {
        if (Choice(h, edge) != Choice(h, above)) floor_[h] = above;
      }
      end = fits - 1;
    }
    Assign(fits < thresholds.size() ? thresholds[fits] : kNoForm);
    if (result_.passes >= kMaxPasses || fits == thresholds.size()) {
      DAMASK_ASSIGN_OR_RETURN(result_.joint, Measure(kNeverEnough));
    }
    return {};
  }

  bool HasNarrowWindow(size_t layer) const {
    return shape_.window(layer) != 0 && shape_.window(layer) <= kNarrowWindow * ContentKeys();
  }

  // Heads without a static form, those whose low-rank scores are best first. Left out are heads of KV heads without directions,
  // and those of layers with a narrow window of their own.
  std::vector<size_t> UnmaskedByError() const {
    const size_t group = shape_.heads / shape_.kv_heads;
    const auto error = [&](size_t h) {
      const size_t layer = h / shape_.heads;
      const size_t kv_head = h % shape_.heads / group;
      for (const masks::KeyDirections& d : mask_->key_directions) {
        if (d.layer == layer && d.kv_head == kv_head) return d.error;
      }
      return -1.0f;
    };
    std::vector<size_t> heads;
    for (size_t h = 0; h < mask_->heads.size(); ++h) {
      const bool may_choose = !HasNarrowWindow(h / shape_.heads) && error(h) >= 0;
      if (mask_->heads[h].treatment == Treatment::kDense && may_choose) heads.push_back(h);
    }
    std::stable_sort(heads.begin(), heads.end(), [&](size_t a, size_t b) { return error(a) < error(b); });
    return heads;
  }

  void MakeContent(size_t head) { mask_->heads[head].treatment = Treatment::kContent; }

  // Gives `heads` another treatment as long as the limit holds, the first of them first.
  Status ChangeWithinLimit(const std::vector<size_t>& heads, const std::function<void(size_t)>& change, uint64_t most_passes) {
    return TakeByHalves(heads.size(), most_passes, [&](size_t begin, size_t end) -> Result<bool> {
      const std::vector<HeadMask> before = mask_->heads;
      for (size_t i = begin; i < end; ++i) change(heads[i]);
      DAMASK_ASSIGN_OR_RETURN(const Effect effect, Measure(wanted_.max_kl));
      const bool holds = effect.worst() <= wanted_.max_kl;
      if (holds) {
        result_.joint = effect;
      } else {
        mask_->heads = before;
      }
      return holds;
    });
  }

  // All heads that may with the fewest blocks that keep the limit; where no number does, those that can.
  Status ChooseContent() {
    const std::vector<size_t> heads = UnmaskedByError();
    const auto try_blocks = [&](uint32_t blocks, uint64_t most_passes) {
      mask_->parameters.content_blocks = blocks;
      return ChangeWithinLimit(
          heads, [&](size_t head) { MakeContent(head); }, most_passes);
    };
    if (wanted_.content_blocks != 0) return try_blocks(wanted_.content_blocks, kContentPasses);
    const auto is_content = [&](size_t head) { return mask_->heads[head].treatment == Treatment::kContent; };
    const std::vector<uint32_t> ladder = BlocksToTry();
    for (const uint32_t blocks : ladder) {
      // One pass tries all heads at once; with the most blocks halves of them come after it.
      DAMASK_RETURN_IF_ERROR(try_blocks(blocks, blocks == ladder.back() ? kContentPasses : 1));
      if (std::all_of(heads.begin(), heads.end(), is_content)) return {};
    }
    return FewerBlocks(ladder);
  }

  // Thirty more blocks of thirty heads are as many keys as full attention of one head at 29,000 tokens, and take as long as
  // that at half the length; what they find is worth more (docs/results.md).
  std::vector<uint32_t> BlocksToTry() const {
    std::vector<uint32_t> ladder = {masks::kUsualContentBlocks};
    const uint64_t most = mask_->parameters.effect_length / kPartOfAText / kernels::kQuarterTokens;
    while (2 * ladder.back() <= most) ladder.push_back(2 * ladder.back());
    return ladder;
  }

  // A head that must see everything has kept the others from being tried with fewer blocks.
  Status FewerBlocks(const std::vector<uint32_t>& ladder) {
    if (!masks::HasContentHeads(*mask_)) return {};
    for (const uint32_t blocks : std::span(ladder).first(ladder.size() - 1)) {
      mask_->parameters.content_blocks = blocks;
      DAMASK_ASSIGN_OR_RETURN(const Effect effect, Measure(wanted_.max_kl));
      if (effect.worst() <= wanted_.max_kl) {
        result_.joint = effect;
        return {};
      }
    }
    mask_->parameters.content_blocks = ladder.back();
    return {};
  }

  // What is left of the limit goes to heads that are not static yet: each in the best of its cheap forms, the best first.
  Status UseTheRest() {
    const auto best = [&](size_t h) {
      const StaticOption* found = nullptr;
      for (const StaticOption& option : options_[h]) {
        if (option.cost <= Dearest(h) && (found == nullptr || option.quality > found->quality)) found = &option;
      }
      return found;
    };
    std::vector<size_t> heads;
    for (size_t h = 0; h < options_.size(); ++h) {
      if (mask_->heads[h].treatment != Treatment::kStatic && best(h) != nullptr) heads.push_back(h);
    }
    std::stable_sort(heads.begin(), heads.end(), [&](size_t a, size_t b) { return best(a)->quality > best(b)->quality; });
    return ChangeWithinLimit(
        heads, [&](size_t h) { MakeStatic(h, *best(h)); }, kRestPasses);
  }

  // Every head alone in its static form, the cheapest one where it is not static; all others see everything.
  Status MeasureEachHead() {
    const std::vector<HeadMask> chosen = mask_->heads;
    std::vector<float> effects;
    for (size_t h = 0; h < chosen.size(); ++h) {
      for (HeadMask& head : mask_->heads) head.treatment = Treatment::kDense;
      HeadMask& head = mask_->heads[h];
      head.treatment = Treatment::kStatic;
      if (chosen[h].treatment != Treatment::kStatic) {
        head.form = options_[h].front().form;
        head.window = options_[h].front().window;
      }
      const Result<Effect> effect = Measure(kNeverEnough);
      mask_->heads = chosen;
      if (!effect.ok()) return effect.status();
      effects.push_back(static_cast<float>(effect->worst()));
    }
    for (size_t h = 0; h < chosen.size(); ++h) mask_->heads[h].effect = effects[h];
    return {};
  }

  const std::vector<std::vector<StaticOption>>& options_;
  const TreatmentOptions& wanted_;
  EffectMeter* meter_;
  Mask* mask_;
  const policies::ModelShape& shape_;
  const PassProgress& progress_;
  const std::atomic<bool>* cancel_;
  double dearest_;             // the cost of the dearest form that is worth a look
  std::vector<double> floor_;  // quality that a head has been found to need
  TreatmentResult result_;
};

double Quality(double hit, double mass) { return std::max(0.0, hit - kMassWeight * (1.0 - mass)); }

}  // namespace

std::vector<StaticOption> StaticOptions(const HeadMask& head, const masks::Parameters& parameters, const HeadLosses& losses,
                                        const std::vector<WindowForm>& forms, uint64_t length) {
  std::vector<StaticOption> options;
  HeadMask formed = head;
  formed.treatment = Treatment::kStatic;
  const auto add = [&](masks::StaticForm form, uint32_t window, const FormLoss& loss) {
    formed.form = form;
    formed.window = window;
    const double hit = loss.hit(losses.strong_rows);
    const double mass = std::min(1.0, loss.mass(losses.rows));
    const masks::GroupMask alone(std::span(&formed, 1), parameters);
    const double cost = masks::PlannedDensity(alone, length, masks::PlanMode::kBlocks);
    options.push_back({form, window, cost, Quality(hit, mass), hit, mass});
  };
  add(masks::StaticForm::kPatterns, head.window, losses.patterns);
  for (size_t f = 0; f < forms.size(); ++f) add(masks::StaticForm::kWindow, forms[f].window, losses.windows[f]);
  std::stable_sort(options.begin(), options.end(),
                   [](const StaticOption& a, const StaticOption& b) { return a.cost < b.cost; });
  return options;
}

Result<TreatmentResult> ChooseTreatments(const std::vector<std::vector<StaticOption>>& options, const TreatmentOptions& wanted,
                                         EffectMeter* meter, Mask* mask, const policies::ModelShape& shape,
                                         const PassProgress& progress, const std::atomic<bool>* cancel) {
  return Chooser(options, wanted, meter, mask, shape, progress, cancel).Run();
}

}  // namespace damask::engine
