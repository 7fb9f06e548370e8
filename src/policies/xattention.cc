#include "policies/xattention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include <fmt/format.h>

#include "base/limits.h"
#include "kernels/scores.h"
#include "policies/block_choice.h"

namespace damask::policies {
namespace {

using kernels::kQuarterTokens;

struct Settings {
  double threshold = 0;  // share of the estimate that the chosen blocks hold
  uint64_t stride = 0;   // queries and keys that an antidiagonal joins
  uint64_t budget = 0;   // keys at most; 0: no limit
  uint64_t block = 0;    // keys of a block
  bool joint = false;    // the heads of a group share their blocks
  bool sparse_decode = false;
};

struct Scratch {
  BlockChoice choice;
  std::vector<float> rows;    // [strided rows][stride * head_dim]
  std::vector<float> scores;  // [strided rows][strides]
  std::vector<float> blocks;  // estimated attention of each block
  kernels::ScoresScratch keys;
};

class XattentionPolicy : public Policy {
 public:
  // The first block and the rows' own ones are always there.
  XattentionPolicy(const Settings& settings, const ModelShape& shape)
      : s_(settings), shape_(shape), share_{s_.budget == 0 ? ~uint64_t{0} : s_.budget / s_.block, 1, 0} {}

  std::string Spec() const override {
    return fmt::format("xattention:threshold={},stride={},budget={},block={},heads={},decode={}", s_.threshold, s_.stride,
                       s_.budget, s_.block, s_.joint ? "joint" : "each", s_.sparse_decode ? "sparse" : "dense");
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (request.decode && !s_.sparse_decode) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    BlockChoice& choice = scratch.choice;
    choice.Reset(request, shape_.group(), own, s_.block, share_);
    const size_t room = choice.Room(share_);
    // Without queries nobody knows what the threshold takes: as much as there is room for.
    if (request.queries.q == nullptr || (room == choice.candidates().size() && s_.threshold >= 1)) {
      choice.AddLatest(room, kernels::kAllHeads);
    } else {
      const size_t together = s_.joint ? shape_.group() : 1;
      for (size_t head = 0; head < shape_.group(); head += together) {
        scratch.blocks.assign(choice.last_block() - choice.begin_block() + 1, 0.0f);
        for (size_t h = head; h < head + together; ++h) Estimate(request, h, own, &scratch);
        Choose(room, s_.joint ? kernels::kAllHeads : 1u << head, &scratch);
      }
    }
    choice.MakePlan(plan);
  }

 private:
  // Row n joins queries [stride n, stride n + stride) in reverse, so that its product with as many keys in order is the sum of
  // an antidiagonal. A query that is not of this block is taken by the nearest one that is: a decoded token is all of its own.
  void GatherRows(const QueryRows& queries, size_t head, std::vector<float>* rows) const {
    const size_t dim = shape_.head_dim;
    const uint64_t last = queries.first_position + queries.rows - 1;
    rows->clear();
    for (uint64_t n = queries.first_position / s_.stride; n <= last / s_.stride; ++n) {
      for (uint64_t a = 0; a < s_.stride; ++a) {
        const uint64_t position = std::clamp(n * s_.stride + s_.stride - 1 - a, queries.first_position, last);
        const float* q = queries.row(position - queries.first_position, head, dim);
        rows->insert(rows->end(), q, q + dim);
      }
    }
  }

  // Adds to scratch->blocks the attention that the strided rows give to the strides of each block.
  void Estimate(const PlanRequest& request, size_t head, uint32_t own, Scratch* scratch) const {
    GatherRows(request.queries, head, &scratch->rows);
    const size_t width = s_.stride * shape_.head_dim;
    const size_t rows = scratch->rows.size() / width;
    const uint64_t end = request.first_position + request.rows;
    const uint64_t begin = scratch->choice.begin_block() * s_.block / s_.stride;
    const size_t strides = (end - 1) / s_.stride + 1 - begin;
    const float scale = 1.0f / (static_cast<float>(s_.stride) * std::sqrt(static_cast<float>(shape_.head_dim)));
    scratch->scores.resize(rows * strides);
    kernels::RunScores(shape_.target, *request.keys.layout, request.keys.pages, s_.stride, begin, end, scratch->rows.data(),
                       width, rows, scale, scratch->scores.data(), strides, &scratch->keys);
    for (size_t i = 0; i < rows; ++i) {
      const uint64_t n = request.first_position / s_.stride + i;
      float* row = scratch->scores.data() + i * strides;
      const size_t seen = n + 1 - begin;
      const uint64_t lowest = kernels::LowestKey(std::max(n * s_.stride, request.first_position), own) / s_.stride;
      if (lowest > begin) std::fill_n(row, lowest - begin, -std::numeric_limits<float>::infinity());
      kernels::Softmax(shape_.target, row, seen);
      for (size_t m = 0; m < seen; ++m) scratch->blocks[m * s_.stride / s_.block] += row[m];
    }
  }

  // Blocks, best first, until those that are there hold the threshold's share.
  void Choose(size_t room, uint32_t heads, Scratch* scratch) const {
    BlockChoice& choice = scratch->choice;
    const double all = std::accumulate(scratch->blocks.begin(), scratch->blocks.end(), 0.0);
    double held = all;
    for (const uint32_t block : choice.candidates()) held -= static_cast<double>(scratch->blocks[block - choice.begin_block()]);
    for (const uint32_t block : choice.Best(scratch->blocks, choice.begin_block(), room)) {
      if (s_.threshold < 1 && held >= s_.threshold * all) break;
      choice.Add(block, heads);
      held += static_cast<double>(scratch->blocks[block - choice.begin_block()]);
    }
  }

  Settings s_;
  ModelShape shape_;
  BlockShare share_;
};

}  // namespace

PolicyInfo XattentionInfo() {
  return {
      "xattention",
      {},
      "For each head the key blocks that hold most of the attention, estimated by sums of antidiagonals.",
      "Xu et al., XAttention (arXiv 2503.16428)",
      {{"threshold", "0.9",
        "share of the estimated attention that the chosen blocks hold; 1: every block, or as many as budget"},
       {"stride", "16", "queries and keys that an antidiagonal joins: 4, 8 or 16"},
       {"budget", "0", "keys that a query sees at most, in whole blocks; 0: no limit"},
       {"block", "64", "keys of a block: 64 or 16"},
       {"heads", "each", "each: every head chooses; joint: the heads of a group add their estimates and share their blocks"},
       {"decode", "dense", "dense: decoded tokens see every key; sparse: they choose, too"}},
      "budget",
      "threshold=1,decode=sparse"};
}

Result<std::unique_ptr<Policy>> MakeXattention(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.threshold, options.Number("threshold", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(settings.stride, options.Count("stride", 4, kQuarterTokens));
  if (kQuarterTokens % settings.stride != 0) {
    return InvalidArgument(fmt::format("policy xattention: stride='{}' is none of 4, 8 and 16", settings.stride));
  }
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.block, BlockOption(options));
  DAMASK_ASSIGN_OR_RETURN(settings.joint, options.Either("heads", "each", "joint"));
  DAMASK_ASSIGN_OR_RETURN(settings.sparse_decode, options.Either("decode", "dense", "sparse"));
  return std::unique_ptr<Policy>(std::make_unique<XattentionPolicy>(settings, shape));
}

}  // namespace damask::policies
