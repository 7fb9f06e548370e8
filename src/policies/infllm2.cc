#include "policies/infllm2.h"

#include <mutex>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "policies/block_choice.h"
#include "policies/head_states.h"
#include "policies/kernel_scores.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;

using State = HeadStates<KeySummary>;

struct Settings {
  uint64_t topk = 0;    // blocks that a query sees, with those that are always there
  uint64_t sinks = 0;   // first blocks
  uint64_t window = 0;  // keys
  uint64_t dense = 0;   // keys up to which attention is dense
  uint64_t budget = 0;  // keys, instead of topk; 0: as topk says
  uint64_t block = 0;   // keys of a block
};

struct Scratch {
  BlockChoice choice;
  KernelScores kernels;
  std::vector<float> blocks;
};

class Infllm2Policy : public Policy {
 public:
  Infllm2Policy(const Settings& settings, const ModelShape& shape)
      : s_(settings), shape_(shape), share_{s_.topk, s_.sinks, s_.window / s_.block} {
    if (s_.budget != 0) share_ = share_.Within(s_.budget, s_.block);
  }

  std::string Spec() const override {
    return fmt::format("infllm2:topk={},sinks={},window={},dense={},budget={},block={}", s_.topk, s_.sinks, s_.window, s_.dense,
                       s_.budget, s_.block);
  }

  std::unique_ptr<PolicyState> NewState() const override {
    if (!Chooses()) std::call_once(warned_, [this] { WarnOfNoChoice(); });
    return std::make_unique<State>(shape_, KeySummary::Kind::kMean, size_t{kQuarterTokens});
  }

  bool WantsKeys() const override { return true; }
  void KeysAppended(const KeysRequest& request) const override {
    static_cast<State*>(request.state)->at(request.layer, request.kv_head).Append(request.keys, request.first, request.end);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (request.first_position / kQueryBlockRows * kQueryBlockRows + kQueryBlockRows <= s_.dense) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    BlockChoice& choice = scratch.choice;
    choice.Reset(request, shape_.group(), own, s_.block, share_);
    const size_t room = choice.Room(share_);
    if (request.queries.q == nullptr || room == choice.candidates().size()) {
      choice.AddLatest(room, kernels::kAllHeads);
    } else if (room > 0) {
      const KeySummary& means = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
      scratch.kernels.Make(shape_.target, means, request.queries, shape_.group(), own);
      scratch.kernels.Pool(s_.block, choice.begin_block(), choice.last_block(), &scratch.blocks);
      for (const uint32_t block : choice.Best(scratch.blocks, choice.begin_block(), room)) {
        choice.Add(block, kernels::kAllHeads);
      }
    }
    choice.MakePlan(plan);
  }

 private:
  // Whether topk leaves a place beside what is always seen: else it is a window with sinks under another name. A budget does.
  bool Chooses() const { return s_.budget != 0 || s_.topk > Always(); }
  uint64_t Always() const { return share_.sinks + share_.local + 1; }
  // Where it runs, not where it is made: a SPEC that is given with a density gets its budget later.
  void WarnOfNoChoice() const {
    LogWarning(
        fmt::format("policy infllm2: topk={} leaves no block to choose: {} of {} keys are always seen (sinks, window and a "
                    "query's own)",
                    s_.topk, Always(), s_.block));
  }

  Settings s_;
  ModelShape shape_;
  BlockShare share_;
  mutable std::once_flag warned_;
};

}  // namespace

PolicyInfo Infllm2Info() {
  return {"infllm2",
          {},
          "For each group of heads the key blocks whose pooled keys get most attention; dense below a length.",
          "Zhao et al., InfLLM-V2 (arXiv 2509.24663)",
          {{"topk", "64", "key blocks that a query sees, the first and the latest ones among them"},
           {"sinks", "1", "first blocks that are always seen"},
           {"window", "2048", "latest keys before a query block's own that are always seen, in whole blocks"},
           {"dense", "8192", "keys up to which attention is dense"},
           {"budget", "0", "keys that a query sees, instead of topk, at most a quarter of them by the window; 0: as topk says"},
           {"block", "64", "keys of a block: 64 or 16"}},
          "budget",
          "dense=0"};
}

Result<std::unique_ptr<Policy>> MakeInfllm2(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.topk, options.Count("topk", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.window, options.Count("window", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.dense, options.Count("dense", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.block, BlockOption(options));
  return std::unique_ptr<Policy>(std::make_unique<Infllm2Policy>(settings, shape));
}

}  // namespace damask::policies
