#include "policies/duo.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "masks/hash.h"
#include "policies/best.h"
#include "policies/head_table.h"
#include "policies/window_plan.h"

namespace damask::policies {
namespace {

class DuoPolicy : public Policy {
 public:
  DuoPolicy(uint64_t sinks, uint64_t recent, std::vector<char> dense, std::string spec, const ModelShape& shape)
      : sinks_(sinks), recent_(recent), dense_(std::move(dense)), spec_(std::move(spec)), shape_(shape) {}

  std::string Spec() const override { return spec_; }

  uint64_t ContentHash() const override {
    masks::Hasher hasher;
    hasher.AddText({dense_.data(), dense_.size()});
    return hasher.value();
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    if (IsDense(request.layer, request.kv_head)) {
      kernels::FullPlan(request.first_position, request.rows, shape_.window(request.layer), plan);
      return;
    }
    plan->Clear();
    AppendSinksAndWindow(request, Rule(request.layer), kernels::kAllHeads, plan);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* /*state*/) const override {
    if (IsDense(layer, kv_head)) {
      return kernels::IsBehindWindow(block, position, shape_.window(layer));
    }
    return IsBehindWindow(Rule(layer), block, position);
  }

 private:
  bool IsDense(size_t layer, size_t kv_head) const { return dense_[layer * shape_.kv_heads + kv_head] != 0; }
  SinksAndWindow Rule(size_t layer) const { return {sinks_, recent_, shape_.window(layer)}; }

  uint64_t sinks_;
  uint64_t recent_;
  std::vector<char> dense_;  // [layers * kv_heads]
  std::string spec_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo DuoInfo() {
  return {"duo",
          {},
          "KV heads that retrieve see everything, the others the first keys and a window; a table says which are which.",
          "Xiao et al., DuoAttention (arXiv 2410.10819)",
          {{"file", "none", "a table of gates: a line for each layer with a number for each KV head"},
           {"heads", "none", "the same in the SPEC: gates of a layer's KV heads, or of all layers, with / between them"},
           {"full", "0.5", "KV heads that stay dense, those with the highest gates: a number, or a share of all"},
           {"sinks", "64", "first keys that the other heads see"},
           {"recent", "256", "latest keys that the other heads see, itself included"}},
          "full",
          "sinks=16,recent=64"};
}

Result<std::unique_ptr<Policy>> MakeDuo(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t recent, options.Count("recent", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const Amount full, options.KeysOrShare("full"));
  DAMASK_ASSIGN_OR_RETURN(const HeadTable table, ReadHeadTable(options, "duo", shape));
  if (table.values.empty()) {
    return InvalidArgument("policy duo needs a table of gates: file=FILE (a line for each layer) or heads=1/0/...");
  }
  std::vector<uint32_t> best;
  BestIndices(table.values, full.Of(table.values.size()), &best);
  std::vector<char> dense(table.values.size(), 0);
  for (const uint32_t head : best) dense[head] = 1;
  std::string spec = fmt::format("duo:file={},heads={},full={},sinks={},recent={}", options.Text("file"), options.Text("heads"),
                                 full.ToString(), sinks, recent);
  return std::unique_ptr<Policy>(std::make_unique<DuoPolicy>(sinks, recent, std::move(dense), std::move(spec), shape));
}

}  // namespace damask::policies
