#include "policies/dam.h"

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "masks/hash.h"
#include "masks/mask_file.h"
#include "policies/head_states.h"
#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

// Projected keys; of the KV heads without content heads nothing.
using DamState = HeadStates<ContentKeys>;

class DamPolicy : public Policy {
 public:
  DamPolicy(masks::Mask mask, std::string name, const DamOptions& options, ModelShape shape)
      : mask_(std::move(mask)), name_(std::move(name)), options_(options), shape_(std::move(shape)) {
    const size_t group = shape_.heads / shape_.kv_heads;
    for (size_t first = 0; first < mask_.heads.size(); first += group) {
      groups_.emplace_back(std::span(mask_.heads).subspan(first, group), mask_.parameters);
    }
    projections_.resize(groups_.size());
    for (masks::KeyDirections directions : mask_.key_directions) {
      if (shape_.rope_halves) directions.values = masks::HalvesFromStored(directions.values, directions.head_dim);
      projections_[directions.layer * shape_.kv_heads + directions.kv_head].emplace(directions);
    }
    for (size_t g = 0; g < groups_.size(); ++g) {
      if (projections_[g] && !HasContent(g)) projections_[g].reset();
      any_content_ = any_content_ || projections_[g].has_value();
    }
    // Without content heads it is the same policy with any number of blocks.
    if (!any_content_) options_.content.max_quarters = mask_.parameters.content_blocks;
  }
  // groups_ point into mask_.
  DamPolicy(const DamPolicy&) = delete;
  DamPolicy& operator=(const DamPolicy&) = delete;

  std::string Spec() const override {
    const ContentOptions& c = options_.content;
    const ContentOptions usual;
    std::string spec = fmt::format("dam:mask={},mode={}", name_, options_.mode == masks::PlanMode::kExact ? "exact" : "blocks");
    if (c.max_quarters != mask_.parameters.content_blocks) spec += fmt::format(",blocks={}", c.max_quarters);
    if (c.local != usual.local) spec += fmt::format(",local={}", c.local);
    if (c.coarse_keep != usual.coarse_keep) spec += fmt::format(",coarse={}", c.coarse_keep);
    if (c.target != usual.target) spec += fmt::format(",target={}", c.target);
    if (c.rows != usual.rows) spec += fmt::format(",rows={}", c.rows);
    return spec;
  }

  uint64_t ContentHash() const override {
    masks::Hasher hasher;
    const Result<std::string> bytes = masks::SerializeMask(mask_);
    if (bytes.ok()) hasher.AddText(*bytes);
    // Spec() leaves out what is as usual, and what is usual may change.
    const ContentOptions& c = options_.content;
    hasher.AddText(fmt::format("{} {} {} {}", c.max_quarters, c.local, c.coarse_keep, c.target));
    if (c.rows != kernels::kQueryBlockRows) hasher.AddText(fmt::format("{} rows", c.rows));
    return hasher.value();
  }

  const masks::Mask* mask() const override { return &mask_; }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local Scratch scratch;
    const masks::QueryRows rows{request.first_position, request.rows, shape_.window(request.layer)};
    const size_t index = request.layer * shape_.kv_heads + request.kv_head;
    const masks::GroupMask::Chosen chosen = Choose(request, index, &scratch);
    groups_[index].MakePlan(rows, options_.mode, &scratch.compile, plan, chosen);
  }

  std::unique_ptr<PolicyState> NewState() const override { return any_content_ ? std::make_unique<DamState>(shape_) : nullptr; }
  bool WantsKeys() const override { return any_content_; }
  void KeysAppended(const KeysRequest& request) const override {
    const size_t index = request.layer * shape_.kv_heads + request.kv_head;
    if (!projections_[index]) return;
    static_cast<DamState*>(request.state)
        ->at(request.layer, request.kv_head)
        .Append(shape_.target, *projections_[index], request.keys, request.first, request.end);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState*) const override {
    if (kernels::IsBehindWindow(block, position, shape_.window(layer))) return true;
    return groups_[layer * shape_.kv_heads + kv_head].NeverReaches(block, position);
  }

 private:
  struct Scratch {
    masks::CompileScratch compile;
    ContentScratch content;
    std::vector<std::vector<masks::QuarterRange>> ranges;
    std::vector<const std::vector<masks::QuarterRange>*> chosen;
  };

  size_t group() const { return shape_.heads / shape_.kv_heads; }
  bool IsContent(size_t index, size_t g) const {
    return mask_.heads[index * group() + g].treatment == masks::Treatment::kContent;
  }
  bool HasContent(size_t index) const {
    for (size_t g = 0; g < group(); ++g) {
      if (IsContent(index, g)) return true;
    }
    return false;
  }

  // What the content heads of a group choose, or may choose at most where only the shape of a plan is wanted; empty where there
  // are none.
  masks::GroupMask::Chosen Choose(const PlanRequest& request, size_t index, Scratch* scratch) const {
    const bool shape_only = request.queries.q == nullptr;
    if (!projections_[index] || (request.state == nullptr && !shape_only)) return {};
    const ContentKeys* const keys =
        shape_only ? nullptr : &static_cast<const DamState*>(request.state)->at(request.layer, request.kv_head);
    const uint32_t window = shape_.window(request.layer);
    scratch->ranges.resize(group());
    scratch->chosen.assign(group(), nullptr);
    for (size_t g = 0; g < group(); ++g) {
      if (!IsContent(index, g)) continue;
      scratch->chosen[g] = &scratch->ranges[g];
      if (keys == nullptr) {
        MostQuarters(options_.content, request.first_position, request.rows, window, &scratch->ranges[g]);
      } else {
        ChooseQuarters(shape_.target, options_.content, *projections_[index], *keys, request.queries, g, window,
                       &scratch->content, &scratch->ranges[g]);
      }
    }
    return scratch->chosen;
  }

  masks::Mask mask_;
  std::string name_;
  DamOptions options_;
  ModelShape shape_;
  std::vector<masks::GroupMask> groups_;                // [layers * kv_heads]
  std::vector<std::optional<Projection>> projections_;  // [layers * kv_heads]: of those with content heads
  bool any_content_ = false;
};

// A mask may leave the number and the size of KV heads open: only here is it known whether what it holds of them fits.
Status CheckDirections(const masks::KeyDirections& d, const ModelShape& shape) {
  if (d.kv_head < shape.kv_heads && d.head_dim == shape.head_dim && d.rank <= kMaxDirections) return {};
  return BadFormat(fmt::format("rank {} of head_dim {}, expected a KV head below {}, head_dim {} and a rank up to {}", d.rank,
                               d.head_dim, shape.kv_heads, shape.head_dim, kMaxDirections))
      .At(fmt::format("key directions of layer {} KV head {}", d.layer, d.kv_head));
}

}  // namespace

PolicyInfo DamInfo() {
  return {
      "dam",
      {},
      "Calibrated masks per head: diagonals, columns and a true mask, as a mask file has them.",
      "DAM: Dynamic Attention Mask (arXiv 2506.11104)",
      {{"mask", "", "the mask file, as damask calibrate writes it"},
       {"mode", "blocks", "blocks: whole quarters of key blocks, a superset of the mask; exact: the mask to the letter"},
       {"blocks", "mask",
        "content heads: most blocks of 16 keys that a query block chooses, sinks and local keys aside; mask: as the mask says"},
       {"local", "32", "content heads: latest keys that a query always sees"},
       {"coarse", "1.0",
        "content heads: share of the blocks that are looked at key by key, 2048 at most (1024 for a drawn token); means of 4 "
        "keys choose which"},
       {"target", "0.95", "content heads: blocks are chosen until their estimated share reaches this"},
       {"rows", "64",
        "content heads: rows of a query block, evenly spread, that choose for all of it: 1, 2, 4, 8, 16, 32 or 64"}},
      "blocks",
      ""};
}

Result<std::unique_ptr<Policy>> MakeDam(masks::Mask mask, const std::string& name, const DamOptions& options,
                                        const ModelShape& shape) {
  const masks::Fingerprint model{.layers = static_cast<uint32_t>(shape.layers),
                                 .heads = static_cast<uint32_t>(shape.heads),
                                 .kv_heads = static_cast<uint32_t>(shape.kv_heads),
                                 .head_dim = static_cast<uint32_t>(shape.head_dim)};
  const auto match = masks::CompareFingerprints(mask.fingerprint, model);
  if (!match.ok()) return match.status().At(Quote(name, 300));
  DAMASK_RETURN_IF_ERROR(masks::CheckMask(mask));
  for (const masks::KeyDirections& directions : mask.key_directions) {
    const Status fits = CheckDirections(directions, shape);
    if (!fits.ok()) return fits.At(Quote(name, 300));
  }
  DamOptions own = options;
  own.content.sinks = mask.parameters.sink_keys;
  own.content.max_quarters = own.blocks.value_or(mask.parameters.content_blocks);
  return std::unique_ptr<Policy>(std::make_unique<DamPolicy>(std::move(mask), name, own, shape));
}

Result<std::unique_ptr<Policy>> MakeDam(const Options& options, const ModelShape& shape) {
  const std::string& mode = options.Text("mode");
  if (mode != "blocks" && mode != "exact") {
    return InvalidArgument(fmt::format("policy dam: mode={} is neither blocks nor exact", Quote(mode)));
  }
  DamOptions own;
  own.mode = mode == "exact" ? masks::PlanMode::kExact : masks::PlanMode::kBlocks;
  if (options.Text("blocks") != "mask") {
    const auto blocks = options.Count("blocks", 0, masks::kMaxContentBlocks);
    if (!blocks.ok()) return InvalidArgument(blocks.status().message() + ", nor is it mask");
    own.blocks = static_cast<uint32_t>(*blocks);
  }
  DAMASK_ASSIGN_OR_RETURN(const uint64_t local, options.Count("local", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(own.content.target, options.Number("target", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(own.content.coarse_keep, options.Number("coarse", 0, 1));
  own.content.local = static_cast<uint32_t>(local);
  DAMASK_ASSIGN_OR_RETURN(const uint64_t rows, RowsOption(options, "dam"));
  own.content.rows = static_cast<uint32_t>(rows);
  DAMASK_ASSIGN_OR_RETURN(masks::Mask mask, masks::ReadMaskFile(options.Text("mask")));
  if (shape.fingerprint) {
    const auto match = masks::CompareFingerprints(mask.fingerprint, shape.fingerprint());
    if (!match.ok()) return match.status().At(Quote(options.Text("mask"), 300));
    if (!match->empty()) LogWarning(fmt::format("{}: {}", Quote(options.Text("mask"), 300), *match));
  }
  return MakeDam(std::move(mask), options.Text("mask"), own, shape);
}

}  // namespace damask::policies
