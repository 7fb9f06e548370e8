#include "policies/psa.h"

#include <algorithm>
#include <numeric>
#include <optional>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "base/text.h"
#include "policies/antidiagonals.h"
#include "policies/best.h"
#include "policies/head_states.h"
#include "policies/pooled_estimate.h"
#include "policies/pyramid_levels.h"
#include "policies/pyramid_row.h"
#include "policies/table_text.h"

namespace damask::policies {
namespace {

constexpr uint64_t kStride = 16;  // of the estimate
constexpr std::string_view kNone = "none";

struct Settings {
  LevelShares topk = {};                      // of a row's key blocks
  std::optional<LevelShares> energy;          // of the estimated attention, instead
  std::optional<LikenessThresholds> similar;  // what lets a block be pooled
  PyramidSettings row;
  bool joint = false;  // the heads of a group share their levels
  bool sparse_decode = false;
};

struct Scratch {
  PyramidRow row;
  PyramidChoice choice;
  AntidiagonalEstimate antidiagonals;
  PooledEstimate pooled;
  LevelCosts costs;
  std::vector<float> blocks;    // estimate of each block of the row
  std::vector<float> scores;    // of the candidates
  std::vector<uint32_t> order;  // of the candidates, best first
  std::vector<uint8_t> caps;    // in that order
  std::vector<float> ranked;    // their scores in that order
};

using State = HeadStates<Pyramid>;

template <class Numbers>
std::string Joined(const std::optional<Numbers>& numbers) {
  return numbers ? fmt::format("{}", fmt::join(*numbers, "/")) : std::string(kNone);
}

class PsaPolicy : public Policy {
 public:
  PsaPolicy(const Settings& settings, const ModelShape& shape) : s_(settings), shape_(shape) {}

  std::string Spec() const override {
    return fmt::format("psa:topk={},energy={},similar={},local={},budget={},heads={},decode={}", fmt::join(s_.topk, "/"),
                       Joined(s_.energy), Joined(s_.similar), s_.row.local, s_.row.budget, s_.joint ? "joint" : "each",
                       s_.sparse_decode ? "sparse" : "dense");
  }

  std::unique_ptr<PolicyState> NewState() const override { return std::make_unique<State>(shape_); }

  bool WantsKeys() const override { return true; }
  void KeysAppended(const KeysRequest& request) const override {
    Pyramid& pyramid = static_cast<State*>(request.state)->at(request.layer, request.kv_head);
    pyramid.pages.Append(request.keys, request.first, request.end);
    if (s_.similar) pyramid.caps.Append(request.keys, *s_.similar, request.first, request.end);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    const uint64_t end = request.first_position + request.rows;
    if (request.decode && !s_.sparse_decode) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    const Pyramid* pyramid = nullptr;
    if (request.state != nullptr) pyramid = &static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
    PyramidRow& row = scratch.row;
    row.Reset(request, shape_, s_.row, s_.similar && pyramid != nullptr ? &pyramid->caps : nullptr, UnknownCap(),
              &scratch.choice);
    if (s_.row.budget >= end - kernels::LowestKey(request.first_position, own)) {
      scratch.choice.AddQuarters(0, (row.own_block() + 1) * kPyramidBlockQuarters, kernels::kAllHeads);
    } else if (!row.candidates().empty()) {
      ChooseLevels(request, pyramid, &scratch);
    }
    scratch.choice.MakePlan(pyramid == nullptr ? nullptr : &pyramid->pages, plan);
  }

 private:
  // Before there are keys nobody knows how alike they will be. A budget is kept whatever they are.
  uint8_t UnknownCap() const { return s_.similar && s_.row.budget == 0 ? uint8_t{0} : uint8_t{kernels::kMaxPoolShift}; }

  void ChooseLevels(const PlanRequest& request, const Pyramid* pyramid, Scratch* scratch) const {
    const PyramidRow& row = scratch->row;
    if (request.queries.q == nullptr || pyramid == nullptr) {
      scratch->order.resize(row.candidates().size());
      std::iota(scratch->order.rbegin(), scratch->order.rend(), 0u);  // the latest stand for any
      AddBands(kernels::kAllHeads, false, scratch);
      return;
    }
    if (request.decode) {
      scratch->pooled.Make(shape_, request, pyramid->pages, row.first_block(), row.own_block());
    } else {
      scratch->antidiagonals.Make(shape_, request, {kStride, kPyramidBlock, row.first_block()});
    }
    const size_t together = s_.joint ? shape_.group() : 1;
    for (size_t head = 0; head < shape_.group(); head += together) {
      scratch->blocks.assign(row.blocks(), 0.0f);
      for (size_t h = head; h < head + together; ++h) {
        if (request.decode) {
          scratch->pooled.AddHead(h, &scratch->blocks);
        } else {
          scratch->antidiagonals.AddHead(h, &scratch->blocks);
        }
      }
      scratch->scores.clear();
      for (const uint32_t block : row.candidates()) scratch->scores.push_back(scratch->blocks[block - row.first_block()]);
      BestIndices(scratch->scores, scratch->scores.size(), &scratch->order);
      AddBands(s_.joint ? kernels::kAllHeads : 1u << head, true, scratch);
    }
  }

  // Gives the candidates, which are in order, their levels. Without an estimate energy is unknown.
  void AddBands(uint32_t heads, bool estimated, Scratch* scratch) const {
    const PyramidRow& row = scratch->row;
    scratch->caps.clear();
    for (const uint32_t index : scratch->order) scratch->caps.push_back(row.caps()[index]);
    const LevelEnds ends = s_.energy && (estimated || s_.row.budget == 0) ? EnergyEnds(estimated, scratch) : RankEnds(scratch);
    for (size_t rank = 0, level = 0; rank < ends.back(); ++rank) {
      while (rank >= ends[level]) ++level;
      const size_t shift = std::min<size_t>(level, scratch->caps[rank]);
      scratch->choice.Add(row.candidates()[scratch->order[rank]], shift, heads);
    }
  }

  // What is computed anyway takes the first ranks.
  LevelEnds RankEnds(Scratch* scratch) const {
    const PyramidRow& row = scratch->row;
    MovingEnds moving = {.taken = row.forced(), .count = row.candidates().size()};
    for (size_t s = 0; s < kPyramidLevels; ++s) moving.ranks[s] = s_.topk[s] * static_cast<double>(row.blocks());
    if (s_.row.budget == 0) return moving.At(1);
    scratch->costs.Reset(scratch->caps);
    return scratch->costs.Fit(moving, moving.Most(), row.room());
  }

  LevelEnds EnergyEnds(bool estimated, Scratch* scratch) const {
    LevelEnds ends;
    ends.fill(scratch->order.size());
    if (!estimated) return ends;
    const double total = std::accumulate(scratch->blocks.begin(), scratch->blocks.end(), 0.0);
    const double chosen = std::accumulate(scratch->scores.begin(), scratch->scores.end(), 0.0);
    scratch->ranked.clear();
    for (const uint32_t index : scratch->order) scratch->ranked.push_back(scratch->scores[index]);
    ends = EndsByEnergy(*s_.energy, scratch->ranked, total - chosen, total);
    if (s_.row.budget == 0) return ends;
    MovingEnds moving = {.taken = 0, .count = scratch->order.size()};
    std::copy(ends.begin(), ends.end(), moving.ranks.begin());
    scratch->costs.Reset(scratch->caps);
    return scratch->costs.Fit(moving, 1, scratch->row.room());
  }

  Settings s_;
  ModelShape shape_;
};

// "0.05/0.15/0.25/0.5": as many numbers from `least` to 1.
template <size_t kCount>
Result<std::array<double, kCount>> Numbers(const Options& options, const std::string& name, double least) {
  const std::string& text = options.Text(name);
  const std::vector<std::string_view> parts = Split(text, '/');
  std::array<double, kCount> numbers = {};
  bool good = parts.size() == kCount;
  for (size_t i = 0; good && i < kCount; ++i) {
    const std::optional<double> number = ParseNumber<double>(parts[i]);
    good = number && *number >= least && *number <= 1;
    if (good) numbers[i] = *number;
  }
  if (good) return numbers;
  return InvalidArgument(fmt::format("policy psa: {}={} is not {} numbers between {} and 1 with / between them", name,
                                     Quote(text), kCount, least));
}

Result<LevelShares> Shares(const Options& options, const std::string& name) {
  DAMASK_ASSIGN_OR_RETURN(const LevelShares shares, Numbers<kPyramidLevels>(options, name, 0));
  if (std::is_sorted(shares.begin(), shares.end())) return shares;
  return InvalidArgument(fmt::format("policy psa: {}={} falls, where each level begins where the finer one ends", name,
                                     Quote(options.Text(name))));
}

}  // namespace

PolicyInfo PsaInfo() {
  return {
      "psa",
      {},
      "Key blocks of 128 at levels by their estimated attention: every key, means of 2, 4 or 8 keys, or nothing.",
      "Pyramid Sparse Attention (arXiv 2512.04025)",
      {{"topk", "0.05/0.15/0.25/0.5", "shares of a row's key blocks, best first, at which levels 1, 2, 4 and 8 end"},
       {"energy", "none", "the same as shares of the estimated attention, instead of topk: 0.7/0.8/0.9/0.9; or none"},
       {"similar", "0.75/0.7/0.7", "mean cosine of keys above which a block may be pooled by 2, 4 and 8; or none"},
       {"local", "512", "latest keys before the query's own block that are never pooled"},
       {"budget", "0", "pairs that a row computes at most: topk is scaled to fill it; 0: as the shares say"},
       {"heads", "each", "each: every head chooses; joint: the heads of a group add their estimates and share their levels"},
       {"decode", "dense", "dense: decoded tokens see every key; sparse: they choose, too"}},
      "budget",
      "decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakePsa(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.topk, Shares(options, "topk"));
  if (options.Text("energy") != kNone) {
    DAMASK_ASSIGN_OR_RETURN(settings.energy, Shares(options, "energy"));
  }
  if (options.Text("similar") != kNone) {
    DAMASK_ASSIGN_OR_RETURN(settings.similar, Numbers<kernels::kMaxPoolShift>(options, "similar", -1));
  }
  DAMASK_ASSIGN_OR_RETURN(settings.row.local, options.Count("local", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.row.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.joint, options.Either("heads", "each", "joint"));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<PsaPolicy>(settings, shape));
}

}  // namespace damask::policies
