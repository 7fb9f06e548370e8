#include "policies/bench.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string_view>

#include <fmt/format.h>

#include "base/aligned.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/timer.h"
#include "kernels/attention.h"
#include "policies/dam.h"
#include "policies/options.h"
#include "policies/registry.h"
#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQueryBlockRows;

constexpr size_t kChunkRows = 512;  // as the engine reads prompts
constexpr size_t kDrawnTokens = 64;
constexpr uint64_t kShortest = 2 * kChunkRows;
constexpr uint64_t kLeastStep = kChunkRows + kDrawnTokens;  // a context's last rows are read behind what was drawn before
constexpr std::string_view kContentPrefix = "content-heads:";
constexpr uint64_t kMaxBytes = uint64_t{16} << 30;  // of keys and values

Status Check(const PolicyBenchOptions& options) {
  if (options.head_dim == 0 || options.head_dim % 16 != 0 || options.head_dim > 256) {
    return InvalidArgument(fmt::format("--head-dim is {}, expected a multiple of 16 up to 256", options.head_dim));
  }
  if (options.group == 0 || options.group > kernels::kMaxGroup) {
    return InvalidArgument(
        fmt::format("--group {} heads share a KV head, expected 1 to {}", options.group, kernels::kMaxGroup));
  }
  if (options.contexts.empty()) return InvalidArgument("a benchmark of policies wants a context at least");
  uint64_t before = 0;
  for (const uint64_t context : options.contexts) {
    if (context < kShortest || context > limits::kMaxContext || context <= before) {
      return InvalidArgument(fmt::format("--context: lengths are in ascending order and between {} and {}, found {}", kShortest,
                                         limits::kMaxContext, context));
    }
    if (before != 0 && context - before < kLeastStep) {
      return InvalidArgument(
          fmt::format("--context: lengths are at least {} apart, found {} and {}", kLeastStep, before, context));
    }
    before = context;
  }
  return {};
}

// A mask whose heads all choose keys, by `rank` random directions and `rows` of a query block: what they would be calibrated to
// does not matter to the cost.
Result<std::unique_ptr<Policy>> ContentHeads(uint32_t rank, uint32_t rows, const PolicyBenchOptions& options,
                                             const ModelShape& shape) {
  constexpr uint32_t kCaptureLength = 16;
  masks::HeadMask head;
  head.treatment = masks::Treatment::kContent;
  for (uint32_t row = 0; row < kCaptureLength; ++row) head.true_mask.AppendRow({});
  head.patterns.diagonals.push_back({0, 1, 1.0f});
  masks::Mask mask;
  mask.fingerprint.layers = 1;
  mask.fingerprint.heads = static_cast<uint32_t>(options.group);
  mask.fingerprint.kv_heads = 1;
  mask.fingerprint.head_dim = static_cast<uint32_t>(options.head_dim);
  mask.parameters.capture_length = kCaptureLength;
  mask.parameters.sink_keys = kCaptureLength;
  mask.heads.assign(options.group, head);
  masks::KeyDirections directions = {.rank = rank, .head_dim = mask.fingerprint.head_dim, .error = 0.0f};
  std::mt19937 random(options.seed);
  std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(options.head_dim)));
  directions.values.resize(rank * options.head_dim);
  for (float& x : directions.values) x = normal(random);
  mask.key_directions.push_back(std::move(directions));
  DamOptions dam;
  dam.content.rows = rows;
  return MakeDam(std::move(mask), "random", dam, shape);
}

Result<std::unique_ptr<Policy>> MakePolicy(const std::string& spec, const PolicyBenchOptions& options,
                                           const ModelShape& shape) {
  if (!spec.starts_with(kContentPrefix)) return Create(spec, shape);
  DAMASK_ASSIGN_OR_RETURN(const Options own,
                          Options::Parse("content-heads", spec.substr(kContentPrefix.size()),
                                         {{"rank", "", "directions"}, {"rows", "64", "of a query block, that choose"}}));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t rank, own.Count("rank", 1, options.head_dim));
  DAMASK_ASSIGN_OR_RETURN(const uint64_t rows, RowsOption(own, "content-heads"));
  return ContentHeads(static_cast<uint32_t>(rank), static_cast<uint32_t>(rows), options, shape);
}

// One KV head of one layer: random keys and queries, and a policy that sees them as the forward pass shows them.
class Reading {
 public:
  Reading(const PolicyBenchOptions& options, std::unique_ptr<Policy> policy)
      : options_(options),
        policy_(std::move(policy)),
        state_(policy_->NewState()),
        layout_{options.head_dim, kernels::KvType::kBf16},
        pages_((options.contexts.back() + options.contexts.size() * kDrawnTokens) / kPageTokens + 1),
        storage_(pages_.size() * layout_.bytes()),
        queries_(kChunkRows * options.group * options.head_dim) {
    std::mt19937 random(options.seed);
    std::normal_distribution<float> normal;
    for (float& q : queries_) q = normal(random);
    std::vector<float> key(options.head_dim);
    for (size_t page = 0; page < pages_.size(); ++page) {
      std::byte* const bytes = storage_.data() + page * layout_.bytes();
      pages_[page] = bytes;
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        for (float& x : key) x = normal(random);
        kernels::StoreSlot(layout_, bytes, slot, key.data(), key.data());
      }
    }
  }

  // A prompt goes on to `end`, where it ends if `prompt_end`.
  Status ReadTo(uint64_t end, bool prompt_end, const std::atomic<bool>* cancel) {
    const size_t border = policy_->ChunkRows() != 0 ? policy_->ChunkRows() : kChunkRows;
    while (length_ < end) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled();
      const size_t rows = std::min<uint64_t>(end - length_, border - length_ % border);
      Step(rows, prompt_end && length_ + rows == end ? Rows::kPromptEnd : Rows::kPrompt);
    }
    return {};
  }
  void Draw() { Step(1, Rows::kDrawn); }

  // Of the last block, mean over the heads.
  double PlannedKeys() const {
    return static_cast<double>(kernels::PlannedPairs(plan_, length_ - 1, 1, options_.group)) /
           static_cast<double>(options_.group);
  }

 private:
  enum class Rows { kPrompt, kPromptEnd, kDrawn };

  // The next rows, which are within one chunk.
  void Step(size_t rows, Rows kind) {
    const KeyPages keys = {pages_.data(), &layout_};
    const uint64_t end = length_ + rows;
    if (policy_->WantsKeys()) policy_->KeysAppended({0, 0, length_, end, keys, state_.get()});
    for (uint64_t first = length_; first < end;) {
      const size_t count = std::min<uint64_t>(end - first, kQueryBlockRows - first % kQueryBlockRows);
      policy_->MakePlan({.first_position = first,
                         .rows = count,
                         .context = first + count,
                         .decode = kind == Rows::kDrawn,
                         .keys = keys,
                         .queries = Queries(first, count),
                         .state = state_.get()},
                        &plan_);
      first += count;
    }
    if (policy_->WantsChunks()) {
      policy_->ChunkDone(
          {.queries = Queries(length_, rows), .prompt_end = kind != Rows::kPrompt, .keys = keys, .state = state_.get()});
    }
    length_ = end;
  }

  // The queries of a chunk come again in the next.
  QueryRows Queries(uint64_t first, size_t rows) const {
    const size_t width = options_.group * options_.head_dim;
    return {queries_.data() + first % kChunkRows * width, width, rows, first};
  }

  const PolicyBenchOptions& options_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<PolicyState> state_;
  kernels::PageLayout layout_;
  std::vector<const std::byte*> pages_;
  AlignedArray<std::byte> storage_;
  std::vector<float> queries_;  // [kChunkRows][group][head_dim]
  uint64_t length_ = 0;
  kernels::Plan plan_;
};

}  // namespace

namespace {

Result<std::unique_ptr<Policy>> PolicyOf(const std::string& spec, const PolicyBenchOptions& options) {
  DAMASK_RETURN_IF_ERROR(Check(options));
  const ModelShape shape = {.layers = 1,
                            .heads = options.group,
                            .kv_heads = 1,
                            .head_dim = options.head_dim,
                            .windows = {},
                            .target = options.target,
                            .fingerprint = {}};
  const uint64_t bytes = options.contexts.back() * options.head_dim * 4;
  if (bytes > kMaxBytes)
    return TooLarge(fmt::format("keys and values would take {} bytes, at most {} are allowed", bytes, kMaxBytes));
  return MakePolicy(spec, options, shape);
}

}  // namespace

Status CheckPolicyBench(const std::string& spec, const PolicyBenchOptions& options) { return PolicyOf(spec, options).status(); }

Result<std::vector<PolicyBenchResult>> BenchPolicy(const std::string& spec, const PolicyBenchOptions& options,
                                                   const std::atomic<bool>* cancel) {
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<Policy> policy, PolicyOf(spec, options));
  Reading reading(options, std::move(policy));
  std::vector<PolicyBenchResult> results;
  for (const uint64_t context : options.contexts) {
    PolicyBenchResult& result = results.emplace_back();
    result.context = context;
    DAMASK_RETURN_IF_ERROR(reading.ReadTo(context - kChunkRows, false, cancel));
    const Timer prefill;
    DAMASK_RETURN_IF_ERROR(reading.ReadTo(context, true, cancel));
    result.prefill_seconds = prefill.Seconds() / kChunkRows;
    const Timer decode;
    for (size_t i = 0; i < kDrawnTokens; ++i) reading.Draw();
    result.decode_seconds = decode.Seconds() / kDrawnTokens;
    result.planned_keys = reading.PlannedKeys();
  }
  return results;
}

}  // namespace damask::policies
