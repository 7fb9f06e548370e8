#include "policies/full.h"

namespace damask::policies {
namespace {

class FullPolicy : public Policy {
 public:
  explicit FullPolicy(const ModelShape& shape) : shape_(shape) {}

  std::string Spec() const override { return "full"; }
  bool SeesEverything() const override { return true; }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    kernels::FullPlan(request.first_position, request.rows, shape_.window(request.layer), plan);
  }

  bool MayRelease(size_t layer, size_t /*kv_head*/, size_t block, uint64_t position, const PolicyState*) const override {
    return kernels::IsBehindWindow(block, position, shape_.window(layer));
  }

 private:
  ModelShape shape_;
};

}  // namespace

PolicyInfo FullInfo() {
  return {"full",
          {"dense"},
          "Every causal key, within the model's own sliding window where it has one.",
          "the model's own definition",
          {}};
}

Result<std::unique_ptr<Policy>> MakeFull(const Options& /*options*/, const ModelShape& shape) {
  return std::unique_ptr<Policy>(std::make_unique<FullPolicy>(shape));
}

}  // namespace damask::policies
