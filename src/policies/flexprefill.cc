#include "policies/flexprefill.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "base/limits.h"
#include "policies/best.h"
#include "policies/block_choice.h"
#include "policies/column_sums.h"
#include "policies/distributions.h"
#include "policies/head_states.h"
#include "policies/key_summaries.h"
#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQuarterTokens;
using kernels::kQueryBlockRows;
static_assert(kQueryBlockRows == kPageTokens, "a block diagonal has one key block for a query block");

using State = HeadStates<KeySummary>;

struct Settings {
  double gamma = 0;     // share of the attention to be covered
  double tau = 0;       // distance up to which pooled queries and keys are believed
  uint64_t least = 0;   // keys of columns, and as many of diagonals, at least
  uint64_t budget = 0;  // keys at most; 0: no limit
  uint64_t rows = 0;    // of a query block, for the estimate
  bool sparse_decode = false;
};

struct Scratch {
  BlockChoice choice;
  std::vector<ColumnSums> sums;  // [head]
  ColumnScratch attention;
  kernels::ScoresScratch keys;
  std::vector<uint32_t> rows;
  std::vector<float> query;      // mean of the block's queries
  std::vector<float> scores;     // of it with the mean of each key block, from a multiple of 16 on
  std::vector<float> pooled;     // [block - begin] probabilities of these
  std::vector<float> columns;    // [block - begin] shares
  std::vector<float> diagonals;  // [distance in blocks] shares
  std::vector<uint32_t> order;
  std::vector<uint32_t> other_order;
  std::vector<bool> open;  // [block - begin] may still be taken
  size_t room = 0;
};

class FlexprefillPolicy : public Policy {
 public:
  // The first block and the diagonal are always there.
  FlexprefillPolicy(const Settings& settings, const ModelShape& shape)
      : s_(settings), shape_(shape), share_{s_.budget == 0 ? ~uint64_t{0} : s_.budget / kPageTokens, 1, 0} {}

  std::string Spec() const override {
    return fmt::format("flexprefill:gamma={},tau={},least={},budget={},rows={},decode={}", s_.gamma, s_.tau, s_.least,
                       s_.budget, s_.rows, s_.sparse_decode ? "sparse" : "dense");
  }

  std::unique_ptr<PolicyState> NewState() const override {
    return std::make_unique<State>(shape_, KeySummary::Kind::kMean, size_t{kPageTokens});
  }

  bool WantsKeys() const override { return true; }
  void KeysAppended(const KeysRequest& request) const override {
    static_cast<State*>(request.state)->at(request.layer, request.kv_head).Append(request.keys, request.first, request.end);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    const uint64_t end = (request.first_position / kQueryBlockRows + 1) * kQueryBlockRows;
    const bool is_short = s_.budget == 0 && end <= std::max<uint64_t>(2 * kQueryBlockRows, s_.least);
    if ((request.decode && !s_.sparse_decode) || is_short) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    BlockChoice& choice = scratch.choice;
    choice.Reset(request, shape_.group(), own, kPageTokens, share_);
    const size_t room = choice.Room(share_);
    // Without queries nobody knows what gamma takes: as much as there is room for.
    if (request.queries.q == nullptr || (room == choice.candidates().size() && s_.gamma >= 1)) {
      choice.AddLatest(room, kernels::kAllHeads);
    } else {
      SampleRows(request.first_position, request.rows, kQueryBlockRows / s_.rows, &scratch.rows);
      SumColumns(shape_.target, request.queries, scratch.rows, shape_.group(), request.keys, own, &scratch.attention,
                 &scratch.sums);
      for (size_t head = 0; head < shape_.group(); ++head) {
        SumBlocks(&scratch.sums[head], &scratch);
        EstimatePooled(request, head, &scratch);
        Choose(head, room, &scratch);
      }
    }
    choice.MakePlan(plan);
  }

 private:
  // Columns and diagonals of blocks, from a head's sums over some rows, which become means.
  static void SumBlocks(ColumnSums* of_head, Scratch* scratch) {
    ColumnSums& sums = *of_head;
    const float share = 1.0f / static_cast<float>(scratch->rows.size());
    const uint64_t begin = scratch->choice.begin_block();
    const size_t blocks = scratch->choice.last_block() + 1 - begin;
    scratch->columns.assign(blocks, 0.0f);
    scratch->diagonals.assign(blocks, 0.0f);
    for (size_t i = 0; i < sums.verticals.size();) {
      const uint64_t block = (sums.first + i) / kPageTokens;
      const size_t end = std::min<size_t>((block + 1) * kPageTokens - sums.first, sums.verticals.size());
      scratch->columns[block - begin] += ScaledSum(std::span(sums.verticals).subspan(i, end - i), share);
      i = end;
    }
    // Pairs of a query block and the key block b before it lie around the distance 64 b.
    for (size_t distance = 0; distance < sums.slashes.size();) {
      const size_t diagonal = (distance + kPageTokens / 2) / kPageTokens;
      const size_t end = std::min(diagonal * kPageTokens + kPageTokens / 2, sums.slashes.size());
      scratch->diagonals[std::min(diagonal, blocks - 1)] +=
          ScaledSum(std::span(sums.slashes).subspan(distance, end - distance), share);
      distance = end;
    }
  }

  // Multiplies the numbers by `share` and adds them up, in lanes, so that no addition waits for the one before.
  static float ScaledSum(std::span<float> numbers, float share) {
    constexpr size_t kLanes = 8;
    float lanes[kLanes] = {};
    size_t i = 0;
    for (; i + kLanes <= numbers.size(); i += kLanes) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += numbers[i + lane] *= share;
    }
    for (; i < numbers.size(); ++i) lanes[0] += numbers[i] *= share;
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    return sum;
  }

  // Attention of the mean query over the mean keys.
  void EstimatePooled(const PlanRequest& request, size_t head, Scratch* scratch) const {
    const KeySummary& means = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
    const size_t dim = shape_.head_dim;
    scratch->query.assign(dim, 0.0f);
    for (size_t row = 0; row < request.rows; ++row) {
      const float* q = request.queries.row(row, head, dim);
      for (size_t d = 0; d < dim; ++d) scratch->query[d] += q[d];
    }
    const float scale = 1.0f / (std::sqrt(static_cast<float>(dim)) * static_cast<float>(request.rows));
    const uint64_t begin = scratch->choice.begin_block();
    const uint64_t end = scratch->choice.last_block() + 1;
    const uint64_t first = begin / kQuarterTokens * kQuarterTokens;  // Scores begins at multiples of 16
    scratch->scores.resize(end - first);
    kernels::Scores(shape_.target, means.layout(), means.pages(), first, end, scratch->query.data(), dim, 1, scale,
                    scratch->scores.data(), end - first, &scratch->keys);
    scratch->pooled.assign(scratch->scores.begin() + static_cast<std::ptrdiff_t>(begin - first), scratch->scores.end());
    kernels::Softmax(shape_.target, scratch->pooled.data(), scratch->pooled.size());
  }

  void Choose(size_t head, size_t room, Scratch* scratch) const {
    const uint32_t bit = 1u << head;
    const BlockChoice& choice = scratch->choice;
    scratch->room = room;
    scratch->open.assign(scratch->columns.size(), false);
    for (const uint32_t block : choice.candidates()) scratch->open[block - choice.begin_block()] = true;
    if (JensenShannonDistance(scratch->pooled, scratch->columns) < s_.tau) {
      ChoosePooled(bit, scratch);
      ChooseLines(s_.least / kPageTokens, s_.least / kPageTokens, bit, scratch);
    } else {
      ColumnSums& sums = scratch->sums[head];
      ChooseLines(Lines(&sums.verticals), Lines(&sums.slashes), bit, scratch);
    }
  }

  // How many blocks of columns or diagonals the single ones that cover gamma come to.
  size_t Lines(std::vector<float>* shares) const {
    const size_t count = s_.gamma < 1 ? CountWithin(*shares, s_.gamma) : shares->size();
    const size_t blocks = (1 + count) / kPageTokens + 1;
    return std::max<size_t>(blocks, s_.least / kPageTokens);
  }

  // The best blocks until gamma is covered.
  void ChoosePooled(uint32_t head, Scratch* scratch) const {
    BestIndices(scratch->pooled, scratch->pooled.size(), &scratch->order);
    double held = 0;
    for (const uint32_t index : scratch->order) {
      if (s_.gamma < 1 && held >= s_.gamma) break;
      held += static_cast<double>(scratch->pooled[index]);
      Take(index, head, scratch);
    }
  }

  // The best columns and diagonals by turns. The first block and the diagonal are there beside them.
  static void ChooseLines(size_t columns, size_t diagonals, uint32_t head, Scratch* scratch) {
    constexpr float kLast = -1.0f;
    if (scratch->choice.begin_block() == 0) scratch->columns.front() = kLast;
    scratch->columns.back() = kLast;
    scratch->diagonals.front() = kLast;
    BestIndices(scratch->columns, columns, &scratch->order);
    BestIndices(scratch->diagonals, diagonals, &scratch->other_order);
    const size_t last = scratch->columns.size() - 1;
    for (size_t i = 0; i < std::max(scratch->order.size(), scratch->other_order.size()); ++i) {
      if (i < scratch->order.size()) Take(scratch->order[i], head, scratch);
      if (i < scratch->other_order.size()) Take(last - scratch->other_order[i], head, scratch);
    }
  }

  static void Take(size_t index, uint32_t head, Scratch* scratch) {
    if (!scratch->open[index] || scratch->room == 0) return;
    scratch->open[index] = false;
    --scratch->room;
    scratch->choice.Add(scratch->choice.begin_block() + index, head);
  }

  Settings s_;
  ModelShape shape_;
  BlockShare share_;
};

}  // namespace

PolicyInfo FlexprefillInfo() {
  return {"flexprefill",
          {},
          "For each head blocks of columns and diagonals, or blocks by pooled queries and keys where these tell enough.",
          "Lai et al., FlexPrefill (arXiv 2502.20766)",
          {{"gamma", "0.9", "share of the estimated attention to be covered; 1: every block, or as many as budget"},
           {"tau", "0.1", "distance (root of the Jensen-Shannon divergence) up to which pooled queries and keys are believed"},
           {"least", "512",
            "keys of columns, and as many of diagonals, at least; without a budget attention is dense up to so many keys, 128 "
            "at least"},
           {"budget", "0", "keys that a query sees at most, in whole blocks of 64; 0: no limit"},
           {"rows", "8", "rows of a query block that the estimate looks at: 1, 2, 4, 8, 16, 32 or 64"},
           {"decode", "dense", "dense: decoded tokens see every key; sparse: they choose, too"}},
          "budget",
          "gamma=1,decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakeFlexprefill(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.gamma, options.Number("gamma", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(settings.tau, options.Number("tau", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(settings.least, options.Count("least", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.rows, RowsOption(options, "flexprefill"));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<FlexprefillPolicy>(settings, shape));
}

}  // namespace damask::policies
