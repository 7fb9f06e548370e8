#include "policies/quest.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/block_choice.h"
#include "policies/head_states.h"
#include "policies/page_bounds.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;

constexpr uint64_t kLeastPages = 3;

struct Settings {
  uint64_t budget = 0;  // keys
  uint64_t page = 0;    // keys of a page
  uint64_t skip = 0;    // first layers that stay dense
  bool sparse_prefill = false;
};

struct Scratch {
  BlockChoice choice;
  PageBounds::Scratch bounds;
  std::vector<float> scores;  // [page]
};

using State = HeadStates<PageBounds>;

class QuestPolicy : public Policy {
 public:
  QuestPolicy(const Settings& settings, const ModelShape& shape) : s_(settings), shape_(shape) {}

  std::string Spec() const override {
    return fmt::format("quest:budget={},page={},skip={},prefill={}", s_.budget, s_.page, s_.skip,
                       s_.sparse_prefill ? "sparse" : "dense");
  }

  std::unique_ptr<PolicyState> NewState() const override { return std::make_unique<State>(shape_, s_.page); }

  bool WantsKeys() const override { return true; }
  void KeysAppended(const KeysRequest& request) const override {
    if (request.layer < s_.skip) return;
    static_cast<State*>(request.state)->at(request.layer, request.kv_head).Append(request.keys, request.first, request.end);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (request.layer < s_.skip || (!request.decode && !s_.sparse_prefill)) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    // The first page and those that hold the rows themselves go to all heads and count against the budget.
    const BlockShare share = {std::max(kLeastPages, s_.budget / s_.page), 1, 0};
    scratch.choice.Reset(request, shape_.group(), own, s_.page, share);
    const size_t room = scratch.choice.Room(share);
    const size_t group = shape_.group();
    for (size_t head = 0; head < group; ++head) ChooseBest(request, head, room, &scratch);
    scratch.choice.MakePlan(plan);
  }

 private:
  void ChooseBest(const PlanRequest& request, size_t head, size_t room, Scratch* scratch) const {
    BlockChoice& choice = scratch->choice;
    const uint32_t bit = 1u << head;
    if (request.queries.q == nullptr || room == choice.candidates().size()) {
      choice.AddLatest(room, bit);
      return;
    }
    const PageBounds& bounds = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
    bounds.Upper(shape_.target, request.queries, head, &scratch->bounds, &scratch->scores);
    for (const uint32_t page : choice.Best(scratch->scores, 0, room)) choice.Add(page, bit);
  }

  Settings s_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo QuestInfo() {
  return {"quest",
          {},
          "For each query the pages whose keys may score highest, bounded by every page's smallest and largest key.",
          "Tang et al., Quest (arXiv 2406.10774)",
          {{"budget", "1024", "keys that a query sees, in whole pages, at least 3 of them"},
           {"page", "16", "keys of a page: 16 or 64"},
           {"skip", "2", "first layers that stay dense"},
           {"prefill", "dense", "dense: only decoded tokens choose; sparse: the rows of a query block choose together"}},
          "budget",
          "skip=0,prefill=sparse"};
}

Result<std::unique_ptr<Policy>> MakeQuest(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const bool large, options.Either("page", "16", "64"));
  DAMASK_ASSIGN_OR_RETURN(settings.skip, options.Count("skip", 0, limits::kMaxLayers));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_prefill, options.Either("prefill", "dense", "sparse"));
  settings.page = large ? kPageTokens : kQuarterTokens;
  return std::unique_ptr<Policy>(std::make_unique<QuestPolicy>(settings, shape));
}

}  // namespace damask::policies
