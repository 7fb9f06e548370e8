#include "policies/hip.h"

#include <algorithm>
#include <limits>
#include <span>

#include <fmt/format.h>

#include "base/limits.h"
#include "kernels/scores.h"
#include "policies/block_choice.h"
#include "policies/head_states.h"
#include "policies/packed_keys.h"
#include "policies/sample_rows.h"
#include "policies/tree_search.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQueryBlockRows;

struct Settings {
  uint64_t keys = 0;     // found by the search
  uint64_t sinks = 0;    // first keys
  uint64_t window = 0;   // latest keys before the query block's own
  uint64_t skip = 0;     // first layers that stay dense
  uint64_t stride = 0;   // every which row of a query block is asked
  uint64_t refresh = 0;  // decoded tokens that share a search
  uint64_t budget = 0;   // keys in all; 0: as the others say
  uint64_t block = 0;    // keys of a block
  bool joint = false;    // the heads of a group search together
};

// What decoded tokens of one KV head share: the blocks found at a position, ascending, and where the window began then.
class Found {
 public:
  explicit Found(uint64_t refresh) : refresh_(refresh) {}

  uint64_t local_begin() const { return local_begin_; }
  const std::vector<uint32_t>& blocks(size_t head) const { return heads_[head]; }

  // Whether the search serves the token at `now`, too. So that it does not matter where a session began to decode, tokens share
  // by position; and only one after another: behind a prompt that came in between the window would begin far back.
  bool Serve(uint64_t now) {
    if (!valid_ || now != last_ + 1 || now / refresh_ != position_ / refresh_) return false;
    last_ = now;
    return true;
  }
  // A search at `now` takes the place of the one before.
  void Begin(uint64_t now, uint64_t local_begin, size_t heads) {
    first_ = std::min(first_, now);
    position_ = last_ = now;
    local_begin_ = local_begin;
    heads_.assign(heads, {});
    valid_ = true;
  }
  void SetBlocks(size_t head, std::span<const uint32_t> blocks) { heads_[head].assign(blocks.begin(), blocks.end()); }

  void Truncate(uint64_t length) {
    valid_ = valid_ && position_ < length;
    if (valid_) last_ = std::min(last_, length - 1);
    if (length <= first_) first_ = kNever;
  }
  // Once a search is cut away, the one that it took the place of is missed, until the next is due anyway. Before the first
  // search nothing is.
  uint64_t ExactLength(uint64_t length) const {
    if (length <= first_ || (valid_ && position_ < length)) return length;
    return std::max(first_, length / refresh_ * refresh_);
  }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const auto& blocks : heads_) sum += blocks.capacity() * sizeof(uint32_t);
    return sum;
  }

 private:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  uint64_t refresh_;
  bool valid_ = false;
  uint64_t first_ = kNever;  // where the session's first search was
  uint64_t position_ = 0;    // of the search
  uint64_t last_ = 0;        // token that it served
  uint64_t local_begin_ = 0;
  std::vector<std::vector<uint32_t>> heads_;
};

using State = HeadStates<Found>;

struct Scratch {
  BlockChoice choice;
  TreeSearch search;
  std::vector<uint32_t> sample;  // of the query block's rows
  std::vector<float> rows;       // [heads][rows][head_dim]
  PackedKeys packed;             // of the blocks that are looked at
  std::vector<float> scores;     // [heads][rows][blocks][block]
  kernels::ScoresScratch keys;
};

class HipPolicy : public Policy {
 public:
  HipPolicy(const Settings& settings, const ModelShape& shape)
      : s_(settings), shape_(shape), share_{0, (s_.sinks + s_.block - 1) / s_.block, (s_.window + s_.block - 1) / s_.block} {
    if (s_.budget != 0) share_ = share_.Within(s_.budget, s_.block);
  }

  std::string Spec() const override {
    return fmt::format("hip:keys={},sinks={},window={},skip={},stride={},refresh={},budget={},block={},heads={}", s_.keys,
                       s_.sinks, s_.window, s_.skip, s_.stride, s_.refresh, s_.budget, s_.block, s_.joint ? "joint" : "each");
  }

  std::unique_ptr<PolicyState> NewState() const override { return std::make_unique<State>(shape_, s_.refresh); }
  // Decode's choices are kept for some steps.
  bool RewindsExactly() const override { return false; }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    const uint32_t own = shape_.window(request.layer);
    if (request.layer < s_.skip) {
      kernels::FullPlan(request.first_position, request.rows, own, plan);
      return;
    }
    thread_local Scratch scratch;
    const uint64_t diagonal = request.first_position / s_.block;
    Found* const found = request.decode ? &static_cast<State*>(request.state)->at(request.layer, request.kv_head) : nullptr;
    if (found != nullptr && found->Serve(request.first_position)) {
      scratch.choice.Reset(request, shape_.group(), own, s_.block, share_.sinks, found->local_begin());
      for (size_t head = 0; head < shape_.group(); ++head) AddBlocks(found->blocks(head), 1u << head, &scratch.choice);
    } else {
      const uint64_t local_begin = diagonal - std::min(diagonal, share_.local);
      scratch.choice.Reset(request, shape_.group(), own, s_.block, share_.sinks, local_begin);
      if (found != nullptr) found->Begin(request.first_position, local_begin, shape_.group());
      ChooseBlocks(request, local_begin, found, &scratch);
    }
    scratch.choice.MakePlan(plan);
  }

 private:
  static void AddBlocks(std::span<const uint32_t> blocks, uint32_t heads, BlockChoice* choice) {
    for (const uint32_t block : blocks) choice->Add(block, heads);
  }

  void ChooseBlocks(const PlanRequest& request, uint64_t local_begin, Found* found, Scratch* scratch) const {
    BlockChoice& choice = scratch->choice;
    const size_t room = s_.budget != 0 ? choice.Room(share_) : std::min(choice.candidates().size(), s_.keys / s_.block);
    if (room == 0) return;
    if (request.queries.q == nullptr) {
      choice.AddLatest(room, kernels::kAllHeads);
      return;
    }
    const size_t group = shape_.group();
    const size_t together = s_.joint ? group : 1;
    const auto begin = static_cast<uint32_t>(std::max(choice.begin_block(), share_.sinks));
    for (size_t head = 0; head < group; head += together) {
      const size_t rows = GatherRows(request, head, together, scratch);
      const auto score = [&](std::span<const uint32_t> blocks, float* scores) {
        ScoreBlocks(request, blocks, together, rows, scratch, scores);
      };
      const std::span<const uint32_t> blocks =
          scratch->search.Find(begin, static_cast<uint32_t>(local_begin), static_cast<uint32_t>(room), score);
      for (size_t h = head; h < head + together; ++h) {
        AddBlocks(blocks, 1u << h, &choice);
        if (found != nullptr) found->SetBlocks(h, blocks);
      }
    }
  }

  // Fills scratch->rows; gives how many there are of a head.
  size_t GatherRows(const PlanRequest& request, size_t first_head, size_t heads, Scratch* scratch) const {
    const size_t dim = shape_.head_dim;
    SampleRows(request.first_position, request.rows, s_.stride, &scratch->sample);
    scratch->rows.resize(heads * scratch->sample.size() * dim);
    float* to = scratch->rows.data();
    for (size_t head = first_head; head < first_head + heads; ++head) {
      to = CopyRows(request.queries, scratch->sample, head, dim, to);
    }
    return scratch->sample.size();
  }

  // Of each block the highest score of a key with a row, added up over the heads that search together. Blocks on released pages
  // come last.
  void ScoreBlocks(const PlanRequest& request, std::span<const uint32_t> blocks, size_t heads, size_t rows, Scratch* scratch,
                   float* scores) const {
    const size_t keys = blocks.size() * s_.block;
    scratch->packed.PackBlocks(request.keys, blocks, s_.block);
    scratch->scores.resize(heads * rows * keys);
    kernels::Scores(shape_.target, *request.keys.layout, scratch->packed.pages.data(), 0, keys, scratch->rows.data(),
                    shape_.head_dim, heads * rows, 1.0f, scratch->scores.data(), keys, &scratch->keys);
    for (size_t i = 0; i < blocks.size(); ++i) {
      const bool released = request.keys.pages[blocks[i] * s_.block / kPageTokens] == nullptr;
      scores[i] = released ? -std::numeric_limits<float>::infinity() : 0.0f;
      for (size_t head = 0; head < heads; ++head) {
        scores[i] += Highest(scratch->scores.data() + head * rows * keys + i * s_.block, rows, keys, s_.block);
      }
    }
  }

  // Of a block's scores with `rows` rows, `stride` apart.
  static float Highest(const float* scores, size_t rows, size_t stride, size_t block) {
    float highest[kPageTokens] = {};
    std::copy_n(scores, block, highest);
    for (size_t row = 1; row < rows; ++row) {
      scores += stride;
      for (size_t i = 0; i < block; ++i) highest[i] = scores[i] > highest[i] ? scores[i] : highest[i];
    }
    return *std::max_element(highest, highest + block);
  }

  Settings s_;
  ModelShape shape_;
  BlockShare share_;
};

}  // namespace

PolicyInfo HipInfo() {
  return {
      "hip",
      {},
      "For each head the key blocks that a tree search over the keys finds, in about log(length) looks.",
      "Lee et al., HiP Attention (arXiv 2406.09827)",
      {{"keys", "512", "keys that the search finds, in whole blocks"},
       {"sinks", "256", "first keys that are always seen, rounded up to blocks"},
       {"window", "1024", "latest keys before a query block's own that are always seen, rounded up to blocks"},
       {"skip", "3", "first layers that stay dense"},
       {"stride", "2", "one of so many rows of a query block is asked, the last one always"},
       {"refresh", "8", "decoded tokens that share a search"},
       {"budget", "0", "keys that a query sees in all, at most a quarter of them by the window; 0: as the others say"},
       {"block", "16", "keys of a block: 16 or 64"},
       {"heads", "each", "each: every head searches; joint: the heads of a group add their scores and share what they find"}},
      "budget",
      "skip=0"};
}

Result<std::unique_ptr<Policy>> MakeHip(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.keys, options.Count("keys", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.window, options.Count("window", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.skip, options.Count("skip", 0, limits::kMaxLayers));
  DAMASK_ASSIGN_OR_RETURN(settings.stride, options.Count("stride", 1, kQueryBlockRows));
  DAMASK_ASSIGN_OR_RETURN(settings.refresh, options.Count("refresh", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.budget, options.Count("budget", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.block, BlockOption(options));
  DAMASK_ASSIGN_OR_RETURN(settings.joint, options.Either("heads", "each", "joint"));
  return std::unique_ptr<Policy>(std::make_unique<HipPolicy>(settings, shape));
}

}  // namespace damask::policies
