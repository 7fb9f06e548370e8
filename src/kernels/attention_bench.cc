#include "kernels/attention_bench.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <random>

#include <fmt/format.h>

#include "base/aligned.h"
#include "base/checked.h"
#include "base/limits.h"
#include "base/timer.h"
#include "kernels/attention.h"

namespace damask::kernels {
namespace {

constexpr size_t kChunkRows = 512;
constexpr uint64_t kMaxCacheBytes = uint64_t{64} << 30;

Status CheckShape(const AttentionBenchOptions& options) {
  if (options.head_dim == 0 || options.head_dim % 16 != 0 || options.head_dim > 256) {
    return InvalidArgument(fmt::format("--head-dim is {}, expected a multiple of 16 up to 256", options.head_dim));
  }
  if (options.kv_heads == 0 || options.heads == 0 || options.heads % options.kv_heads != 0 ||
      options.heads > limits::kMaxHeads || options.heads / options.kv_heads > kMaxGroup) {
    return InvalidArgument(
        fmt::format("--heads {} over --kv-heads {}: expected a multiple, at most {} heads and {} per KV head", options.heads,
                    options.kv_heads, limits::kMaxHeads, kMaxGroup));
  }
  if (options.context == 0 || options.context > limits::kMaxContext) {
    return InvalidArgument(fmt::format("--context is {}, expected 1 to {}", options.context, limits::kMaxContext));
  }
  for (const double density : options.densities) {
    if (!(density > 0.0 && density <= 1.0)) return InvalidArgument(fmt::format("--density {} is not in (0, 1]", density));
  }
  return {};
}

// All scales of a q8 page 1/128.
void FillScales(const PageLayout& layout, std::byte* page) {
  constexpr uint16_t kScale = 0x3c00;
  for (const size_t offset : {layout.key_scale_offset(), layout.value_scale_offset()}) {
    std::fill_n(reinterpret_cast<uint16_t*>(page + offset), layout.scale_bytes() / sizeof(kScale), kScale);
  }
}

// Random keys and values: `layers` x kv_heads heads of `context` positions. Random bf16 bits in [1, 2) with random sign: quick
// to make, of the size that keys have, and no product of them is special. As numbers of q8 pages their bytes are as good.
class Cache {
 public:
  static Result<Cache> Make(const AttentionBenchOptions& options, size_t layers) {
    Cache cache;
    cache.blocks_ = CeilDiv(options.context, kPageTokens);
    const PageLayout layout{options.head_dim, options.kv};
    const uint64_t pages = uint64_t{cache.blocks_} * options.kv_heads * layers;
    if (pages * layout.bytes() > kMaxCacheBytes) {
      return TooLarge(fmt::format("the keys and values would take {} bytes, at most {} are allowed", pages * layout.bytes(),
                                  kMaxCacheBytes));
    }
    cache.storage_ = AlignedArray<std::byte>(pages * layout.bytes());
    cache.pages_.resize(pages);
    for (uint64_t i = 0; i < pages; ++i) cache.pages_[i] = cache.storage_.data() + i * layout.bytes();
    std::minstd_rand random(options.seed);
    auto* const elements = reinterpret_cast<uint16_t*>(cache.storage_.data());
    for (uint64_t i = 0; i < pages * layout.bytes() / 2; ++i) {
      const auto bits = static_cast<uint32_t>(random());
      elements[i] = static_cast<uint16_t>(0x3f80u | (bits >> 16 & 0x7fu) | (bits >> 8 & 0x8000u));
    }
    for (uint64_t i = 0; layout.type == KvType::kQ8 && i < pages; ++i) {
      FillScales(layout, cache.storage_.data() + i * layout.bytes());
    }
    return cache;
  }

  const std::byte* const* Head(size_t index) const { return pages_.data() + index * blocks_; }
  uint64_t bytes() const { return storage_.bytes(); }

 private:
  size_t blocks_ = 0;
  AlignedArray<std::byte> storage_;
  std::vector<const std::byte*> pages_;
};

// The diagonal block and a random choice of the earlier ones, so that density * (all blocks) are planned.
void RandomPlan(uint64_t first, size_t rows, double density, std::minstd_rand* random, Plan* plan) {
  FullPlan(first, rows, 0, plan);
  const auto before = plan->entries.size() - 1;
  const double wanted_blocks = density * static_cast<double>(before + 1) - 1.0;
  auto wanted = static_cast<size_t>(std::max(0.0, std::floor(wanted_blocks)));
  if (wanted_blocks > 0.0 && std::uniform_real_distribution<>()(*random) < wanted_blocks - std::floor(wanted_blocks)) ++wanted;
  size_t kept = 0;
  for (size_t i = 0; i < before; ++i) {
    // Knuth's selection sampling: each of the remaining with probability wanted / remaining.
    if (std::uniform_int_distribution<size_t>(0, before - i - 1)(*random) >= wanted - kept) continue;
    plan->entries[kept++] = plan->entries[i];
  }
  plan->entries[kept] = plan->entries[before];
  plan->entries.resize(kept + 1);
}

struct Totals {
  uint64_t pairs = 0;
  uint64_t blocks = 0;
};

class Prefill {
 public:
  Prefill(const AttentionBenchOptions& options, const Cache& cache)
      : options_(options),
        cache_(cache),
        shape_{options.head_dim, options.heads / options.kv_heads, 1.0f / std::sqrt(static_cast<float>(options.head_dim)),
               options.kv},
        run_(FindAttention(options.target, shape_)),
        width_(options.heads * options.head_dim),
        q_(std::min(kChunkRows, options.context) * width_),
        out_(q_.size()),
        tiles_(kChunkRows * CeilDiv(width_, size_t{32}) * 32),
        scratch_(options.pool->num_threads()) {
    std::mt19937 random(options.seed);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < q_.size(); ++i) q_[i] = normal(random);
  }

  // Seconds that the kernel takes in one pass over all chunks, without making the plans; nothing where it was cancelled.
  std::optional<double> Run(double density) {
    Totals totals;
    double seconds = 0.0;
    for (uint64_t chunk = 0; chunk < options_.context; chunk += kChunkRows) {
      if (options_.cancel != nullptr && options_.cancel->load(std::memory_order_relaxed)) return std::nullopt;
      const size_t rows = std::min<uint64_t>(kChunkRows, options_.context - chunk);
      MakePlans(chunk, rows, density);
      seconds += SecondsOfChunk(chunk, rows);
      for (const Item& item : items_) {
        totals.pairs += item.pairs;
        totals.blocks += item.plan.entries.size();
      }
    }
    of_a_pass_ = totals;
    return seconds;
  }

  // Of the last pass that was finished.
  const Totals& totals() const { return of_a_pass_; }
  uint64_t causal_pairs() const { return CausalPairs(0, options_.context, options_.heads); }

 private:
  // A query block of a chunk and a KV head.
  struct Item {
    Plan plan;
    uint64_t pairs = 0;  // planned
  };

  static size_t RowsOf(size_t block, size_t chunk_rows) {
    return std::min(kQueryBlockRows, chunk_rows - block * kQueryBlockRows);
  }

  void MakePlans(uint64_t chunk, size_t chunk_rows, double density) {
    const size_t blocks = CeilDiv(chunk_rows, kQueryBlockRows);
    items_.resize(blocks * options_.kv_heads);
    options_.pool->ParallelFor(items_.size(), 1, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) {
        const uint64_t first = chunk + i % blocks * kQueryBlockRows;
        const size_t rows = RowsOf(i % blocks, chunk_rows);
        if (density < 1.0) {
          std::minstd_rand random(static_cast<uint32_t>(options_.seed + 7919 * first + i / blocks));
          RandomPlan(first, rows, density, &random, &items_[i].plan);
        } else {
          FullPlan(first, rows, 0, &items_[i].plan);
        }
        items_[i].pairs = PlannedPairs(items_[i].plan, first, rows, shape_.group);
      }
    });
  }

  double SecondsOfChunk(uint64_t chunk, size_t chunk_rows) {
    const size_t blocks = CeilDiv(chunk_rows, kQueryBlockRows);
    const Timer timer;
    options_.pool->ParallelFor(items_.size(), 1, [&](size_t begin, size_t end, size_t worker) {
      for (size_t i = begin; i < end; ++i) RunItem(chunk, chunk_rows, i % blocks, i / blocks, items_[i].plan, worker);
    });
    return timer.Seconds();
  }

  void RunItem(uint64_t chunk, size_t chunk_rows, size_t block, size_t kv_head, const Plan& plan, size_t worker) {
    QueryBlock query;
    const size_t row = block * kQueryBlockRows;
    query.q = q_.data() + row * width_ + kv_head * shape_.group * shape_.head_dim;
    query.out = out_.data() + row * width_ + kv_head * shape_.group * shape_.head_dim;
    query.q_stride = width_;
    query.out_stride = width_;
    query.first_position = chunk + row;
    query.rows = RowsOf(block, chunk_rows);
    FillTiles(row, kv_head, &query);
    run_(shape_, query, plan, cache_.Head(kv_head), &scratch_[worker]);
  }

  // Results as the engine has them where the next product reads tiles.
  void FillTiles(size_t row, size_t kv_head, QueryBlock* query) {
    QueryBlock filling = *query;
    filling.tiles = {tiles_.data(), CeilDiv(width_, size_t{32})};
    filling.tiles_row = row;
    filling.tiles_column = kv_head * shape_.group * shape_.head_dim;
    if (FillsTiles(options_.target, shape_, filling)) *query = filling;
  }

  const AttentionBenchOptions& options_;
  const Cache& cache_;
  AttentionShape shape_;
  AttentionFn run_;
  size_t width_;
  AlignedArray<float> q_;
  AlignedArray<float> out_;
  AlignedArray<uint16_t> tiles_;
  std::vector<AttentionScratch> scratch_;
  std::vector<Item> items_;  // [kv_heads][query blocks] of a chunk
  Totals of_a_pass_;
};

// Median of up to 5 runs, or of as many as min_seconds allows; a run without seconds is the last. Nothing where the first one
// has none.
template <class Run>
std::optional<double> MedianSeconds(double min_seconds, const Run& run) {
  std::vector<double> seconds;
  double total = 0.0;
  while (seconds.empty() || (seconds.size() < 5 && total < min_seconds)) {
    const std::optional<double> of_this = run();
    if (!of_this) break;
    seconds.push_back(*of_this);
    total += *of_this;
  }
  if (seconds.empty()) return std::nullopt;
  std::nth_element(seconds.begin(), seconds.begin() + static_cast<ptrdiff_t>(seconds.size() / 2), seconds.end());
  return seconds[seconds.size() / 2];
}

}  // namespace

Result<std::vector<AttentionBenchResult>> BenchAttention(const AttentionBenchOptions& options) {
  DAMASK_RETURN_IF_ERROR(CheckShape(options));
  DAMASK_ASSIGN_OR_RETURN(const Cache cache, Cache::Make(options, 1));
  Prefill prefill(options, cache);
  std::vector<double> densities = {1.0};
  densities.insert(densities.end(), options.densities.begin(), options.densities.end());
  std::vector<AttentionBenchResult> results;
  const Timer timer;
  for (const double density : densities) {
    const std::optional<double> seconds = MedianSeconds(options.min_seconds, [&] { return prefill.Run(density); });
    if (!seconds) break;
    AttentionBenchResult result;
    result.seconds = *seconds;
    const Totals totals = prefill.totals();
    result.density = static_cast<double>(totals.pairs) / static_cast<double>(prefill.causal_pairs());
    result.blocks = totals.blocks;
    const double flops = 4.0 * static_cast<double>(options.head_dim) * static_cast<double>(totals.pairs);
    result.tflops = flops / result.seconds / 1e12;
    result.fraction_of_peak = options.peak_flops > 0.0 ? flops / result.seconds / options.peak_flops : 0.0;
    const double dense_seconds = results.empty() ? result.seconds : results.front().seconds;
    result.efficiency = dense_seconds * result.density / result.seconds;
    results.push_back(result);
    if (options.progress) options.progress(results.size(), densities.size(), timer.Seconds());
  }
  return results;
}

Result<DecodeBenchResult> BenchDecodeAttention(const AttentionBenchOptions& options) {
  DAMASK_RETURN_IF_ERROR(CheckShape(options));
  const PageLayout layout{options.head_dim, options.kv};
  const size_t layer_bytes = CeilDiv(options.context, kPageTokens) * options.kv_heads * layout.bytes();
  const size_t layers = std::max<uint64_t>(1, options.decode_cache_bytes / layer_bytes);
  DAMASK_ASSIGN_OR_RETURN(const Cache cache, Cache::Make(options, layers));
  const AttentionShape shape{options.head_dim, options.heads / options.kv_heads, 0.1f, options.kv};
  const AttentionFn run = FindAttention(options.target, shape);
  std::vector<float> q(options.heads * options.head_dim, 0.5f);
  std::vector<float> out(q.size());
  std::vector<AttentionScratch> scratch(options.pool->num_threads());
  Plan plan;
  FullPlan(options.context - 1, 1, 0, &plan);
  const double seconds = *MedianSeconds(options.min_seconds, [&] {
    const Timer timer;
    for (size_t layer = 0; layer < layers; ++layer) {
      options.pool->ParallelFor(options.kv_heads, 1, [&](size_t begin, size_t end, size_t worker) {
        for (size_t head = begin; head < end; ++head) {
          QueryBlock query;
          query.q = q.data() + head * shape.group * shape.head_dim;
          query.out = out.data() + head * shape.group * shape.head_dim;
          query.q_stride = q.size();
          query.out_stride = q.size();
          query.rows = 1;
          query.first_position = options.context - 1;
          run(shape, query, plan, cache.Head(layer * options.kv_heads + head), &scratch[worker]);
        }
      });
    }
    return timer.Seconds() / static_cast<double>(layers);
  });
  return DecodeBenchResult{seconds, static_cast<double>(layer_bytes) / seconds};
}

}  // namespace damask::kernels
