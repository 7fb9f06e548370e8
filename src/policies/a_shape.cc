#include "policies/a_shape.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/window_plan.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQueryBlockRows;

class AShapePolicy : public Policy {
 public:
  AShapePolicy(uint64_t sinks, uint64_t window, bool sparse_decode, const ModelShape& shape)
      : sinks_(sinks), window_(window), sparse_decode_(sparse_decode), shape_(shape) {}

  std::string Spec() const override {
    return fmt::format("a-shape:sinks={},window={},decode={}", sinks_, window_, sparse_decode_ ? "sparse" : "dense");
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own_window = shape_.window(request.layer);
    if (request.decode && !sparse_decode_) {
      kernels::FullPlan(request.first_position, request.rows, own_window, plan);
      return;
    }
    plan->Clear();
    const uint64_t window_begin = std::max(SinkBlocks(), WindowBlock(request.first_position));
    kernels::AppendFullBlocks(request.first_position, request.rows, own_window, 0, SinkBlocks(), plan);
    kernels::AppendFullBlocks(request.first_position, request.rows, own_window, window_begin, UINT64_MAX, plan);
  }

  bool MayRelease(size_t layer, size_t /*kv_head*/, size_t block, uint64_t position,
                  const PolicyState* /*state*/) const override {
    if (kernels::IsBehindWindow(block, position, shape_.window(layer))) return true;
    return sparse_decode_ && block >= SinkBlocks() && block < WindowBlock(position);
  }

 private:
  uint64_t SinkBlocks() const { return (sinks_ + kPageTokens - 1) / kPageTokens; }
  // The first key block of the window of the query block that holds `position`.
  uint64_t WindowBlock(uint64_t position) const {
    const uint64_t first = position / kQueryBlockRows * kQueryBlockRows;
    return kernels::LowestKey(first, window_) / kPageTokens;
  }

  uint64_t sinks_;
  uint64_t window_;
  bool sparse_decode_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo AShapeInfo() {
  return {"a-shape",
          {},
          "Sinks and a local window in whole key blocks while a prompt is read; decoding sees everything.",
          "Jiang et al., MInference 1.0 (arXiv 2407.02490), A-shape",
          {{"sinks", "128", "first keys that every query sees, rounded up to key blocks of 64"},
           {"window", "3968", "latest keys that the first row of a query block sees, rounded up to key blocks of 64"},
           {"decode", "dense", "dense: decoded tokens see every key; sparse: what a prompt's rows see"}},
          "window",
          "sinks=64,decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakeAShape(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t window, options.Count("window", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const bool sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<AShapePolicy>(sinks, window, sparse_decode, shape));
}

}  // namespace damask::policies
