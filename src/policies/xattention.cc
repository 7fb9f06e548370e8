#include "policies/xattention.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/antidiagonals.h"
#include "policies/block_choice.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;

struct Settings {
  double threshold = 0;  // share of the estimate that the chosen blocks hold
  uint64_t stride = 0;   // queries and keys that an antidiagonal joins
  uint64_t budget = 0;   // keys at most; 0: no limit
  uint64_t block = 0;    // keys of a block
  bool joint = false;    // the heads of a group share their blocks
  bool sparse_decode = false;
};

struct Scratch {
  BlockChoice choice;
  AntidiagonalEstimate estimate;
  std::vector<float> blocks;  // estimated attention of each block
};

class XattentionPolicy : public Policy {
 public:
  // The first block and the rows' own ones are always there.
  XattentionPolicy(const Settings& settings, const ModelShape& shape)
      : s_(settings), shape_(shape), share_{s_.budget == 0 ? ~uint64_t{0} : s_.budget / s_.block, 1, 0} {}

  std::string Spec() const override {
    return fmt::format("xattention:threshold={},stride={},budget={},block={},heads={},decode={}", s_.threshold, s_.stride,
                       s_.budget, s_.block, s_.joint ? "joint" : "each", s_.sparse_decode ? "sparse" : "dense");
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (request.decode && !s_.sparse_decode) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    BlockChoice& choice = scratch.choice;
    choice.Reset(request, shape_.group(), own, s_.block, share_);
    const size_t room = choice.Room(share_);
    // Without queries nobody knows what the threshold takes: as much as there is room for.
    if (request.queries.q == nullptr || (room == choice.candidates().size() && s_.threshold >= 1)) {
      choice.AddLatest(room, kernels::kAllHeads);
    } else {
      scratch.estimate.Make(shape_, request, {s_.stride, s_.block, choice.begin_block()});
      const size_t together = s_.joint ? shape_.group() : 1;
      for (size_t head = 0; head < shape_.group(); head += together) {
        scratch.blocks.assign(choice.last_block() - choice.begin_block() + 1, 0.0f);
        for (size_t h = head; h < head + together; ++h) scratch.estimate.AddHead(h, &scratch.blocks);
        Choose(room, s_.joint ? kernels::kAllHeads : 1u << head, &scratch);
      }
    }
    choice.MakePlan(plan);
  }

 private:
  // Blocks, best first, until those that are there hold the threshold's share.
  void Choose(size_t room, uint32_t heads, Scratch* scratch) const {
    BlockChoice& choice = scratch->choice;
    const double all = std::accumulate(scratch->blocks.begin(), scratch->blocks.end(), 0.0);
    double held = all;
    for (const uint32_t block : choice.candidates()) held -= static_cast<double>(scratch->blocks[block - choice.begin_block()]);
    for (const uint32_t block : choice.Best(scratch->blocks, choice.begin_block(), room)) {
      if (s_.threshold < 1 && held >= s_.threshold * all) break;
      choice.Add(block, heads);
      held += static_cast<double>(scratch->blocks[block - choice.begin_block()]);
    }
  }

  Settings s_;
  ModelShape shape_;
  BlockShare share_;
};

}  // namespace

PolicyInfo XattentionInfo() {
  return {
      "xattention",
      {},
      "For each head the key blocks that hold most of the attention, estimated by sums of antidiagonals.",
      "Xu et al., XAttention (arXiv 2503.16428)",
      {{"threshold", "0.9",
        "share of the estimated attention that the chosen blocks hold; 1: every block, or as many as budget"},
       {"stride", "16", "queries and keys that an antidiagonal joins: 4, 8 or 16"},
       {"budget", "0", "keys that a query sees at most, in whole blocks; 0: no limit"},
       {"block", "64", "keys of a block: 64 or 16"},
       {"heads", "each", "each: every head chooses; joint: the heads of a group add their estimates and share their blocks"},
       {"decode", "dense", "dense: decoded tokens see every key; sparse: they choose, too"}},
      "budget",
      "threshold=1,decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakeXattention(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.threshold, options.Number("threshold", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(settings.stride, options.Count("stride", 4, kQuarterTokens));
  if (kQuarterTokens % settings.stride != 0) {
    return InvalidArgument(fmt::format("policy xattention: stride='{}' is none of 4, 8 and 16", settings.stride));
  }
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.block, BlockOption(options));
  DAMASK_ASSIGN_OR_RETURN(settings.joint, options.Either("heads", "each", "joint"));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<XattentionPolicy>(settings, shape));
}

}  // namespace damask::policies
