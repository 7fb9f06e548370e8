#include "policies/vertical_slash.h"

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/best.h"
#include "policies/column_sums.h"
#include "policies/quarter_plan.h"
#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;

struct Settings {
  uint64_t verticals = 0;
  uint64_t slashes = 0;
  uint64_t sinks = 0;   // first keys that are always among the verticals
  uint64_t local = 0;   // shortest distances that are always among the slashes
  uint64_t budget = 0;  // keys that the last row of a query block computes at most; 0: as many as it comes to
  uint64_t rows = 0;    // of a query block, for the estimate
  bool sparse_decode = false;
};

// How much of each one query block takes.
struct Share {
  uint64_t verticals = 0;
  uint64_t slashes = 0;
  uint64_t sinks = 0;
  uint64_t local = 0;
  uint64_t quarters = 0;  // that slashes may cover
  uint64_t keys = 0;      // in all
};

struct Scratch {
  QuarterChoice choice;
  std::vector<ColumnSums> sums;  // [head]
  ColumnScratch attention;
  std::vector<uint32_t> rows;
  std::vector<uint32_t> best;
};

// Calls visit(index) for the best of `scores`, best first, `most` at most, until it says false: probably by about the
// `likely`th, so no more are put in order at first.
template <typename Visit>
void VisitBest(std::span<const float> scores, size_t likely, size_t most, std::vector<uint32_t>* best, const Visit& visit) {
  most = std::min(most, scores.size());
  size_t visited = 0;
  for (size_t wanted = likely + 1; visited < most; wanted *= 4) {
    BestIndices(scores, std::min(wanted, most), best);
    for (; visited < best->size(); ++visited) {
      if (!visit((*best)[visited])) return;
    }
  }
}

class VerticalSlashPolicy : public Policy {
 public:
  VerticalSlashPolicy(const Settings& settings, const ModelShape& shape) : s_(settings), shape_(shape) {}

  std::string Spec() const override {
    return fmt::format("vertical-slash:verticals={},slashes={},sinks={},local={},budget={},rows={},decode={}", s_.verticals,
                       s_.slashes, s_.sinks, s_.local, s_.budget, s_.rows, s_.sparse_decode ? "sparse" : "dense");
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    const uint64_t keys = request.first_position + request.rows;
    const Share share = ShareOf();
    const bool all = s_.budget == 0 ? s_.verticals >= keys || s_.slashes >= keys : s_.budget >= keys;
    if ((request.decode && !s_.sparse_decode) || all) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    scratch.choice.Reset(request, shape_.group(), own);
    Estimate(request, own, &scratch);
    for (size_t head = 0; head < shape_.group(); ++head) {
      Force(share, keys, &scratch.sums[head]);
      Choose(request, head, share, &scratch);
    }
    scratch.choice.MakePlan(plan);
  }

 private:
  // With a budget slashes get three quarters of it, verticals what slashes leave, and what is forced is at most half of either.
  Share ShareOf() const {
    constexpr uint64_t kNoLimit = std::numeric_limits<uint32_t>::max();
    if (s_.budget == 0) return {s_.verticals, s_.slashes, s_.sinks, s_.local, kNoLimit, kNoLimit};
    const uint64_t slashes = s_.budget - s_.budget / 4;
    return {std::min(s_.verticals, s_.budget), std::min(s_.slashes, s_.budget), std::min(s_.sinks, s_.budget / 8),
            std::min(s_.local, slashes / 2),   slashes / kQuarterTokens,        s_.budget};
  }

  // Fills scratch->sums.
  void Estimate(const PlanRequest& request, uint32_t own, Scratch* scratch) const {
    if (request.queries.q != nullptr) {
      SampleRows(request.first_position, request.rows, kQueryBlockRows / s_.rows, &scratch->rows);
      SumColumns(shape_.target, request.queries, scratch->rows, shape_.group(), request.keys, own, &scratch->attention,
                 &scratch->sums);
      return;
    }
    // The shape only: the first columns and the shortest distances stand for any.
    const std::vector<float> nothing(request.first_position + request.rows, 0.0f);
    scratch->sums.assign(shape_.group(), {0, nothing, nothing});
  }

  // What is always among the best.
  static void Force(const Share& share, uint64_t keys, ColumnSums* sums) {
    constexpr float kFirst = std::numeric_limits<float>::infinity();
    for (uint64_t key = sums->first; key < std::min(share.sinks, keys); ++key) sums->verticals[key - sums->first] = kFirst;
    std::fill_n(sums->slashes.begin(), std::min<size_t>(share.local, sums->slashes.size()), kFirst);
  }

  // A slash covers the quarters that hold a key at its distance from any row. Those that no longer fit are passed over.
  void Choose(const PlanRequest& request, size_t head, const Share& share, Scratch* scratch) const {
    const uint64_t first = request.first_position;
    const uint64_t last = first + request.rows - 1;
    const uint32_t bit = 1u << head;
    const ColumnSums& sums = scratch->sums[head];
    uint64_t left = share.quarters;
    uint64_t taken = Take(request, first / kQuarterTokens, last / kQuarterTokens + 1, bit, ~uint64_t{0}, scratch);
    left -= std::min(left, taken);  // the diagonal comes first, whatever it costs
    VisitBest(sums.slashes, share.local + left, share.slashes, &scratch->best, [&](uint64_t distance) {
      if (left == 0) return false;
      if (distance > last) return true;
      const uint64_t begin = (first - std::min(first, distance)) / kQuarterTokens;
      const uint64_t fresh = Take(request, begin, (last - distance) / kQuarterTokens + 1, bit, left, scratch);
      left -= fresh;
      taken += fresh;
      return true;
    });
    uint64_t keys = share.keys - std::min(share.keys, taken * kQuarterTokens);
    VisitBest(sums.verticals, keys + keys / 2, share.verticals, &scratch->best, [&](uint64_t column) {
      if (keys == 0) return false;
      const uint64_t position = sums.first + column;
      const uint64_t quarter = position / kQuarterTokens;
      if (scratch->choice.Chosen(quarter, bit) || !Readable(request, quarter)) return true;
      scratch->choice.AddKey(static_cast<uint32_t>(position), bit);
      --keys;
      return true;
    });
  }

  // Adds quarters [begin, end) where those that are new are at most `left`; gives how many were.
  static uint64_t Take(const PlanRequest& request, uint64_t begin, uint64_t end, uint32_t head, uint64_t left,
                       Scratch* scratch) {
    QuarterChoice& choice = scratch->choice;
    uint64_t fresh = 0;
    for (uint64_t quarter = std::max(begin, choice.begin_quarter()); quarter < end; ++quarter) {
      if (!choice.Chosen(quarter, head) && Readable(request, quarter)) ++fresh;
    }
    if (fresh > left) return 0;
    for (uint64_t quarter = begin; quarter < end; ++quarter) {
      if (Readable(request, quarter)) choice.AddQuarter(quarter, head);
    }
    return fresh;
  }

  // Not in a page that was released.
  static bool Readable(const PlanRequest& request, uint64_t quarter) {
    return request.keys.pages == nullptr || request.keys.pages[quarter * kQuarterTokens / kPageTokens] != nullptr;
  }

  Settings s_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo VerticalSlashInfo() {
  return {"vertical-slash",
          {},
          "For each head the keys and the distances that hold most of the attention, estimated while the prompt is read.",
          "Jiang et al., MInference 1.0 (arXiv 2407.02490), vertical-slash",
          {{"verticals", "1000", "keys that all rows of a query block see"},
           {"slashes", "6096", "distances from query to key that all rows see, rounded up to 16-key quarters"},
           {"sinks", "30", "first keys that are always among the verticals"},
           {"local", "100", "shortest distances that are always among the slashes"},
           {"budget", "0", "keys that a query block computes at most, a quarter of it or more for verticals; 0: no limit"},
           {"rows", "8", "rows of a query block that the estimate looks at: 1, 2, 4, 8, 16, 32 or 64"},
           {"decode", "dense", "dense: decoded tokens see every key; sparse: they choose, too"}},
          "budget",
          "decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakeVerticalSlash(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.verticals, options.Count("verticals", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.slashes, options.Count("slashes", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.local, options.Count("local", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.rows, RowsOption(options, "vertical-slash"));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<VerticalSlashPolicy>(settings, shape));
}

}  // namespace damask::policies
