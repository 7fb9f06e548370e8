#include "policies/streaming.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/window_plan.h"

namespace damask::policies {
namespace {

class StreamingPolicy : public Policy {
 public:
  StreamingPolicy(uint64_t sinks, uint64_t window, const ModelShape& shape) : sinks_(sinks), window_(window), shape_(shape) {}

  std::string Spec() const override { return fmt::format("streaming:sinks={},window={}", sinks_, window_); }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    plan->Clear();
    AppendSinksAndWindow(request, Rule(request.layer), kernels::kAllHeads, plan);
  }

  bool MayRelease(size_t layer, size_t /*kv_head*/, size_t block, uint64_t position,
                  const PolicyState* /*state*/) const override {
    return IsBehindWindow(Rule(layer), block, position);
  }

 private:
  SinksAndWindow Rule(size_t layer) const { return {sinks_, window_, shape_.window(layer)}; }

  uint64_t sinks_;
  uint64_t window_;
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
  return std::unique_ptr<Policy>(std::make_unique<StreamingPolicy>(sinks, window, shape));
}

}  // namespace damask::policies
