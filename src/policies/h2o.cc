#include "policies/h2o.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/head_states.h"
#include "policies/heavy_hitters.h"
#include "policies/kept_keys.h"
#include "policies/quarter_plan.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;

using State = HeadStates<HeavyHitters>;

struct Settings {
  Amount heavy;
  Amount recent;
  uint64_t budget = 0;  // over both, half each; 0: as they say
};

class H2oPolicy : public Policy {
 public:
  H2oPolicy(const Settings& settings, const ModelShape& shape) : s_(settings), shape_(shape) {}

  std::string Spec() const override {
    return fmt::format("h2o:heavy={},recent={},budget={}", s_.heavy.ToString(), s_.recent.ToString(), s_.budget);
  }

  std::unique_ptr<PolicyState> NewState() const override {
    return std::make_unique<State>(shape_, shape_.group(), shape_.target);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local QuarterChoice choice;
    choice.Reset(request, shape_.group(), shape_.window(request.layer));
    if (request.state == nullptr) {
      ChooseShape(request, &choice);
    } else {
      const HeavyHitters& kept = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
      const uint64_t begin = kept.WindowBegin(request.first_position, Budget(kept.end()).recent);
      choice.AddQuarters(begin / kQuarterTokens, ~uint64_t{0}, kernels::kAllHeads);
      for (size_t head = 0; head < shape_.group(); ++head) {
        for (const HeavyHitters::Key& key : kept.heavy(head)) choice.AddKey(key.position, 1u << head);
      }
    }
    choice.MakePlan(plan);
  }

  bool WantsChunks() const override { return true; }
  void ChunkDone(const ChunkRequest& chunk) const override {
    thread_local HeavyHitters::Scratch scratch;
    HeavyHitters& kept = static_cast<State*>(chunk.state)->at(chunk.layer, chunk.kv_head);
    const uint64_t end = chunk.queries.first_position + chunk.queries.rows;
    kept.AddChunk(chunk, shape_.window(chunk.layer), Budget(kept.end()), Budget(end), &scratch);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* state) const override {
    const HeavyHitters* const kept = state == nullptr ? nullptr : &static_cast<const State*>(state)->at(layer, kv_head);
    return MayReleasePage(kept, shape_.window(layer), block, position);
  }

 private:
  // Of the chunk that begins at `end`; shares are of the text up to where a whole chunk that begins there
  // would end.
  H2oBudget Budget(uint64_t end) const {
    if (s_.budget != 0) return {s_.budget / 2, s_.budget - s_.budget / 2};
    const uint64_t length = (end / kH2oChunk + 1) * kH2oChunk;
    return {s_.heavy.Of(length), std::max<uint64_t>(1, s_.recent.Of(length))};
  }

  // The first keys that the rows may see stand for any heavy hitters.
  void ChooseShape(const PlanRequest& request, QuarterChoice* choice) const {
    const uint64_t end = request.first_position / kH2oChunk * kH2oChunk;
    const H2oBudget budget = Budget(end);
    const uint64_t low = end + 1 > budget.recent ? (end + 1 - budget.recent) / kQuarterTokens * kQuarterTokens : 0;
    const uint64_t begin = HeavyHitters::WindowBegin(request.first_position, low, end, budget.recent);
    choice->AddQuarters(begin / kQuarterTokens, ~uint64_t{0}, kernels::kAllHeads);
    const uint64_t first = LowestSingleKey(request.first_position, shape_.window(request.layer));
    for (uint64_t key = first; key < std::min(first + budget.heavy, low); ++key) choice->AddKey(key, kernels::kAllHeads);
  }

  Settings s_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo H2oInfo() {
  return {"h2o",
          {},
          "The keys that got the most attention so far and the latest ones; what is dropped never comes back.",
          "Zhang et al., H2O: Heavy-Hitter Oracle (arXiv 2306.14048)",
          {{"heavy", "0.1",
            "keys kept for their attention: a number, or a share of the text so far, up to the next multiple of 512"},
           {"recent", "0.1", "latest keys that are kept: a number, or such a share"},
           {"budget", "0", "keys kept in all, half of them heavy, half recent; 0: as heavy and recent say"}},
          "budget",
          ""};
}

Result<std::unique_ptr<Policy>> MakeH2o(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.heavy, options.KeysOrShare("heavy"));
  DAMASK_ASSIGN_OR_RETURN(settings.recent, options.KeysOrShare("recent"));
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  return std::unique_ptr<Policy>(std::make_unique<H2oPolicy>(settings, shape));
}

}  // namespace damask::policies
