#include "report/mask_diff.h"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "kernels/plan.h"
#include "masks/compile.h"
#include "report/mask_figures.h"
#include "report/or_null.h"
#include "report/table.h"

namespace damask::report {
namespace {

using kernels::PositionRange;
using masks::HeadMask;
using masks::Mask;
using masks::Treatment;

std::string WhatOf(const HeadMask& head) {
  if (head.treatment != Treatment::kStatic) return std::string(masks::TreatmentName(head.treatment));
  return head.form == masks::StaticForm::kWindow ? "window" : "patterns";
}

uint64_t Length(const std::vector<PositionRange>& runs) {
  uint64_t length = 0;
  for (const PositionRange& run : runs) length += run.end - run.begin;
  return length;
}

// Both are ascending and disjoint.
uint64_t Common(const std::vector<PositionRange>& a, const std::vector<PositionRange>& b) {
  uint64_t common = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    const uint64_t begin = std::max(a[i].begin, b[j].begin);
    const uint64_t end = std::min(a[i].end, b[j].end);
    if (begin < end) common += end - begin;
    (a[i].end < b[j].end ? i : j) += 1;
  }
  return common;
}

struct Pairs {
  uint64_t common = 0;
  uint64_t either = 0;
};

// The pairs that one head keeps, to the key.
class KeptPairs {
 public:
  KeptPairs(const HeadMask& head, const masks::Parameters& parameters) : alone_(std::span(&head, 1), parameters) {}

  void Plan(uint64_t first, size_t rows) {
    first_ = first;
    alone_.MakePlan({.first_position = first, .rows = rows}, masks::PlanMode::kExact, &scratch_, &plan_);
  }
  const std::vector<PositionRange>& Row(uint64_t position) {
    kernels::PlannedKeys(plan_, first_, position, 0, &runs_);
    return runs_;
  }

 private:
  masks::GroupMask alone_;
  masks::CompileScratch scratch_;
  kernels::Plan plan_;
  std::vector<PositionRange> runs_;
  uint64_t first_ = 0;
};

Pairs CountPairs(KeptPairs* before, KeptPairs* after, uint64_t length) {
  Pairs pairs;
  for (uint64_t first = 0; first < length; first += kernels::kQueryBlockRows) {
    const size_t rows = std::min<uint64_t>(kernels::kQueryBlockRows, length - first);
    before->Plan(first, rows);
    after->Plan(first, rows);
    for (const uint64_t position : {first, first + rows / 2, first + rows - 1}) {
      const std::vector<PositionRange>& a = before->Row(position);
      const std::vector<PositionRange>& b = after->Row(position);
      const uint64_t common = Common(a, b);
      pairs.common += common;
      pairs.either += Length(a) + Length(b) - common;
    }
  }
  return pairs;
}

double Share(const Pairs& pairs) {
  return pairs.either == 0 ? 1 : static_cast<double>(pairs.common) / static_cast<double>(pairs.either);
}

double DensityOf(const Mask& mask, uint64_t length, ThreadPool* pool) {
  const MaskFigures figures = MeasureMask(mask, {length}, pool);
  return AddUp(figures, 0, figures.heads.size()).planned_density.front();
}

}  // namespace

uint64_t MaskDiff::changed() const {
  return static_cast<uint64_t>(
      std::count_if(heads.begin(), heads.end(), [](const HeadDiff& head) { return head.before != head.after; }));
}

uint64_t MaskDiff::static_in_both() const {
  return static_cast<uint64_t>(
      std::count_if(heads.begin(), heads.end(), [](const HeadDiff& head) { return head.overlap.has_value(); }));
}

Result<MaskDiff> DiffMasks(const Mask& before, const Mask& after, uint64_t length, ThreadPool* pool) {
  const masks::Fingerprint& a = before.fingerprint;
  const masks::Fingerprint& b = after.fingerprint;
  if (a.layers != b.layers || a.heads != b.heads) {
    return InvalidArgument(fmt::format("the masks are for {} x {} and for {} x {} layers and heads: they cannot be compared",
                                       a.layers, a.heads, b.layers, b.heads));
  }
  MaskDiff diff;
  diff.length = length;
  diff.heads.resize(before.heads.size());
  std::vector<Pairs> pairs(before.heads.size());
  pool->ParallelFor(before.heads.size(), 1, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      const HeadMask& one = before.heads[i];
      const HeadMask& other = after.heads[i];
      diff.heads[i] = {i / a.heads, i % a.heads, WhatOf(one), WhatOf(other), std::nullopt};
      if (one.treatment != Treatment::kStatic || other.treatment != Treatment::kStatic) continue;
      KeptPairs of_one(one, before.parameters);
      KeptPairs of_other(other, after.parameters);
      pairs[i] = CountPairs(&of_one, &of_other, length);
      diff.heads[i].overlap = Share(pairs[i]);
    }
  });
  Pairs all;
  for (const Pairs& of_head : pairs) {
    all.common += of_head.common;
    all.either += of_head.either;
  }
  if (diff.static_in_both() != 0) diff.overlap = Share(all);
  diff.density_before = DensityOf(before, length, pool);
  diff.density_after = DensityOf(after, length, pool);
  return diff;
}

Json MaskDiffJson(const MaskDiff& diff) {
  Json heads = Json::array();
  for (const HeadDiff& head : diff.heads) {
    heads.push_back({{"layer", head.layer},
                     {"head", head.head},
                     {"before", head.before},
                     {"after", head.after},
                     {"overlap", OrNull(head.overlap)}});
  }
  return {{"length", diff.length},           {"heads_changed", diff.changed()},       {"static_in_both", diff.static_in_both()},
          {"overlap", OrNull(diff.overlap)}, {"density_before", diff.density_before}, {"density_after", diff.density_after},
          {"heads", std::move(heads)}};
}

std::string MaskDiffText(const MaskDiff& diff) {
  std::map<std::pair<std::string, std::string>, uint64_t> changes;
  for (const HeadDiff& head : diff.heads) ++changes[{head.before, head.after}];
  Table table({"before", "after", "heads"});
  for (const auto& [change, heads] : changes) table.Add({change.first, change.second, fmt::format("{}", heads)});
  return table.ToString() +
         fmt::format(
             "\n{} of {} heads changed; {} are static in both, and {} of the pairs that one of them keeps both keep.\n"
             "density at {} tokens {:.1f}% -> {:.1f}%\n",
             diff.changed(), diff.heads.size(), diff.static_in_both(), ShareText(diff.overlap), diff.length,
             100 * diff.density_before, 100 * diff.density_after);
}

}  // namespace damask::report
