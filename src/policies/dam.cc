#include "policies/dam.h"

#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/text.h"
#include "masks/mask_file.h"

namespace damask::policies {
namespace {

class DamPolicy : public Policy {
 public:
  DamPolicy(masks::Mask mask, std::string name, masks::PlanMode mode, ModelShape shape)
      : mask_(std::move(mask)), name_(std::move(name)), mode_(mode), shape_(std::move(shape)) {
    const size_t group = shape_.heads / shape_.kv_heads;
    for (size_t first = 0; first < mask_.heads.size(); first += group) {
      groups_.emplace_back(std::span(mask_.heads).subspan(first, group), mask_.parameters);
    }
  }
  // groups_ point into mask_.
  DamPolicy(const DamPolicy&) = delete;
  DamPolicy& operator=(const DamPolicy&) = delete;

  std::string Spec() const override {
    return fmt::format("dam:mask={},mode={}", name_, mode_ == masks::PlanMode::kExact ? "exact" : "blocks");
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local masks::CompileScratch scratch;
    const masks::QueryRows rows{request.first_position, request.rows, shape_.window(request.layer)};
    groups_[request.layer * shape_.kv_heads + request.kv_head].MakePlan(rows, mode_, &scratch, plan);
  }

 private:
  masks::Mask mask_;
  std::string name_;
  masks::PlanMode mode_;
  ModelShape shape_;
  std::vector<masks::GroupMask> groups_;  // [layers * kv_heads]
};

}  // namespace

PolicyInfo DamInfo() {
  return {"dam",
          {},
          "Calibrated masks per head: diagonals, columns and a true mask, as a mask file has them.",
          "DAM: Dynamic Attention Mask (arXiv 2506.11104)",
          {{"mask", "", "the mask file, as damask calibrate writes it"},
           {"mode", "blocks", "blocks: whole quarters of key blocks, a superset of the mask; exact: the mask to the letter"}}};
}

Result<std::unique_ptr<Policy>> MakeDam(masks::Mask mask, const std::string& name, masks::PlanMode mode,
                                        const ModelShape& shape) {
  const masks::Fingerprint model{.layers = static_cast<uint32_t>(shape.layers),
                                 .heads = static_cast<uint32_t>(shape.heads),
                                 .kv_heads = static_cast<uint32_t>(shape.kv_heads),
                                 .head_dim = static_cast<uint32_t>(shape.head_dim)};
  const auto match = masks::CompareFingerprints(mask.fingerprint, model);
  if (!match.ok()) return match.status().At(Quote(name, 300));
  DAMASK_RETURN_IF_ERROR(masks::CheckMask(mask));
  return std::unique_ptr<Policy>(std::make_unique<DamPolicy>(std::move(mask), name, mode, shape));
}

Result<std::unique_ptr<Policy>> MakeDam(const Options& options, const ModelShape& shape) {
  const std::string& mode = options.Text("mode");
  if (mode != "blocks" && mode != "exact") {
    return InvalidArgument(fmt::format("policy dam: mode={} is neither blocks nor exact", Quote(mode)));
  }
  DAMASK_ASSIGN_OR_RETURN(masks::Mask mask, masks::ReadMaskFile(options.Text("mask")));
  return MakeDam(std::move(mask), options.Text("mask"), mode == "exact" ? masks::PlanMode::kExact : masks::PlanMode::kBlocks,
                 shape);
}

}  // namespace damask::policies
