#include "policies/streaming.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;

class StreamingPolicy : public Policy {
 public:
  StreamingPolicy(uint64_t sinks, uint32_t window, const ModelShape& shape) : sinks_(sinks), window_(window), shape_(shape) {}

  std::string Spec() const override { return fmt::format("streaming:sinks={},window={}", sinks_, window_); }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (own != 0 && own <= window_) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    // Sinks stay while all rows of the query block may see them in the model's own window.
    const uint64_t block_first = request.first_position / kQueryBlockRows * kQueryBlockRows;
    const bool sinks_visible = own == 0 || block_first + kQueryBlockRows <= own;
    PlanSinksAndWindow(request, sinks_visible ? sinks_ : 0, plan);
  }

 private:
  uint64_t LowestKey(uint64_t query) const { return query >= window_ ? query - window_ + 1 : 0; }

  void PlanSinksAndWindow(const PlanRequest& request, uint64_t sinks, kernels::Plan* plan) const {
    plan->Clear();
    const uint64_t last = request.first_position + request.rows - 1;
    const uint64_t window_block = LowestKey(request.first_position) / kPageTokens;
    // Keys [0, kept) go to every row in whole quarters; a rest of sinks in a quarter that the window has left, as columns.
    uint64_t kept = sinks / kQuarterTokens * kQuarterTokens;
    const uint64_t block_first = request.first_position / kQueryBlockRows * kQueryBlockRows;
    if (kept < sinks && LowestKey(block_first) < kept + kQuarterTokens) kept += kQuarterTokens;
    for (uint64_t block = 0; block <= last / kPageTokens; ++block) {
      if (block >= window_block || block * kPageTokens < kept) AddBlock(request, block, kept, last, plan);
      if ((block + 1) * kPageTokens >= kept) block = std::max(block + 1, window_block) - 1;  // nothing between sinks and window
    }
    for (uint64_t position = kept; position < sinks && position <= last; ++position) {
      plan->columns.push_back({static_cast<uint32_t>(position), kernels::kAllHeads});
    }
  }

  void AddBlock(const PlanRequest& request, uint64_t block, uint64_t kept, uint64_t last, kernels::Plan* plan) const {
    const uint64_t begin = block * kPageTokens;
    kernels::PlanEntry entry;
    entry.block = static_cast<uint32_t>(block);
    entry.causal = begin + kPageTokens - 1 > request.first_position;
    const uint8_t always = kept > begin ? kernels::QuartersBetween(block, 0, std::min(last, kept - 1)) : uint8_t{0};
    const auto in_window =
        static_cast<uint8_t>(kernels::QuartersBetween(block, LowestKey(request.first_position), last) & ~always);
    const bool window_edge = begin + window_ <= last;  // some row has lost the block's first key
    entry.quarters = window_edge ? always : static_cast<uint8_t>(always | in_window);
    if (entry.quarters != 0) plan->entries.push_back(entry);
    if (!window_edge || in_window == 0) return;
    entry.quarters = in_window;
    entry.window = window_;
    plan->entries.push_back(entry);
  }

  uint64_t sinks_;
  uint32_t window_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo StreamingInfo() {
  return {"streaming",
          {},
          "The first keys (attention sinks) and a sliding window of the latest ones.",
          "Xiao et al., Efficient Streaming Language Models with Attention Sinks (arXiv 2309.17453)",
          {{"sinks", "4", "first keys that every query sees"},
           {"window", "1024", "latest keys that a query sees, itself included"}},
          "window",
          ""};
}

Result<std::unique_ptr<Policy>> MakeStreaming(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, options.Count("window", 1, limits::kMaxContext));
  return std::unique_ptr<Policy>(std::make_unique<StreamingPolicy>(sinks, static_cast<uint32_t>(window), shape));
}

}  // namespace damask::policies
