#include "policies/quest.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/best.h"
#include "policies/head_states.h"
#include "policies/page_bounds.h"
#include "policies/quarter_plan.h"

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
  QuarterChoice choice;
  PageBounds::Scratch bounds;
  std::vector<float> scores;      // [page]
  std::vector<uint32_t> pages;    // candidates
  std::vector<float> candidates;  // their scores
  std::vector<uint32_t> best;
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
    scratch.choice.Reset(request, shape_.group(), own);
    const uint64_t free_pages = ChooseForced(request, &scratch);
    const size_t group = shape_.group();
    for (size_t head = 0; head < group; ++head) ChooseBest(request, head, free_pages, &scratch);
    scratch.choice.MakePlan(plan);
  }

 private:
  uint64_t quarters() const { return s_.page / kQuarterTokens; }

  void Add(uint64_t page, uint32_t heads, QuarterChoice* choice) const {
    choice->AddQuarters(page * quarters(), (page + 1) * quarters(), heads);
  }

  // The first page and those that hold the rows themselves go to all heads and count against the budget. Gives how many pages
  // are left to choose, and in scratch->pages those to choose from.
  uint64_t ChooseForced(const PlanRequest& request, Scratch* scratch) const {
    const uint64_t diagonal = request.first_position / s_.page;
    const uint64_t last = (request.first_position + request.rows - 1) / s_.page;
    const uint64_t lowest = scratch->choice.begin_quarter() / quarters();
    uint64_t forced = 0;
    scratch->pages.clear();
    for (uint64_t page = lowest; page <= last; ++page) {
      if (page == 0 || page >= diagonal) {
        Add(page, kernels::kAllHeads, &scratch->choice);
        ++forced;
      } else if (request.keys.pages == nullptr || request.keys.pages[page * s_.page / kPageTokens] != nullptr) {
        scratch->pages.push_back(static_cast<uint32_t>(page));
      }
    }
    const uint64_t wanted = std::max(kLeastPages, s_.budget / s_.page);
    return wanted - std::min(wanted, forced);
  }

  void ChooseBest(const PlanRequest& request, size_t head, uint64_t count, Scratch* scratch) const {
    const std::vector<uint32_t>& pages = scratch->pages;
    const uint32_t bit = 1u << head;
    const bool shape_only = request.queries.q == nullptr;
    if (count >= pages.size() || shape_only) {
      const size_t taken = std::min<size_t>(count, pages.size());
      for (size_t i = pages.size() - taken; i < pages.size(); ++i) Add(pages[i], bit, &scratch->choice);
      return;
    }
    const PageBounds& bounds = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
    bounds.Upper(shape_.target, request.queries, head, &scratch->bounds, &scratch->scores);
    scratch->candidates.clear();
    for (const uint32_t page : pages) scratch->candidates.push_back(scratch->scores[page]);
    BestIndices(scratch->candidates, count, &scratch->best);
    for (const uint32_t index : scratch->best) Add(pages[index], bit, &scratch->choice);
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
