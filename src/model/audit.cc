#include "model/audit.h"

#include <algorithm>
#include <cmath>

#include "base/timer.h"

namespace damask::model {
namespace {

// Primes, so that the rows of different layers and heads do not fall together whatever the period.
constexpr uint64_t kLayerStep = 101;
constexpr uint64_t kHeadStep = 37;

double PlannedMass(const std::vector<kernels::PositionRange>& runs, const float* probabilities, uint64_t first) {
  double mass = 0;
  for (const kernels::PositionRange& run : runs) {
    for (uint64_t key = std::max(run.begin, first); key < run.end; ++key)
      mass += static_cast<double>(probabilities[key - first]);
  }
  return mass;
}

bool Planned(const std::vector<kernels::PositionRange>& runs, uint64_t key) {
  return std::any_of(runs.begin(), runs.end(),
                     [&](const kernels::PositionRange& run) { return run.begin <= key && key < run.end; });
}

// Whether head g of the group sees of `key` only a mean with others.
bool Pooled(const kernels::Plan& plan, uint64_t key, size_t g) {
  return std::any_of(plan.pooled.begin(), plan.pooled.end(), [&](const kernels::PooledEntry& entry) {
    const uint64_t slot = key >> entry.shift;
    const uint64_t quarter = slot % kernels::kPageTokens / kernels::kQuarterTokens;
    return (entry.heads >> g & 1) != 0 && slot / kernels::kPageTokens == entry.page && (entry.quarters >> quarter & 1) != 0;
  });
}

double RelativeDistance(const float* sparse, const float* dense, size_t n) {
  double distance = 0;
  double norm = 0;
  for (size_t d = 0; d < n; ++d) {
    const double difference = static_cast<double>(sparse[d]) - static_cast<double>(dense[d]);
    distance += difference * difference;
    norm += static_cast<double>(dense[d]) * static_cast<double>(dense[d]);
  }
  return norm > 0 ? std::sqrt(distance / norm) : 0.0;
}

}  // namespace

void HeadAudit::Add(const HeadAudit& other) {
  rows += other.rows;
  recall_sum += other.recall_sum;
  recall_min = std::min(recall_min, other.recall_min);
  strong_rows += other.strong_rows;
  strong_hits += other.strong_hits;
  error_sum += other.error_sum;
  widened = widened || other.widened;
}

void AuditReport::Add(const AuditReport& other) {
  heads_per_layer = other.heads_per_layer;
  heads.resize(std::max(heads.size(), other.heads.size()));
  for (size_t h = 0; h < other.heads.size(); ++h) heads[h].Add(other.heads[h]);
  seconds += other.seconds;
  skipped_rows += other.skipped_rows;
}

HeadAudit AuditReport::Total() const {
  HeadAudit total;
  for (const HeadAudit& head : heads) total.Add(head);
  return total;
}

double AuditReport::recall_min() const {
  double lowest = 1;
  for (const HeadAudit& head : heads) {
    if (head.rows != 0) lowest = std::min(lowest, head.recall());
  }
  return lowest;
}

uint64_t AuditReport::widened() const {
  return static_cast<uint64_t>(std::count_if(heads.begin(), heads.end(), [](const HeadAudit& head) { return head.widened; }));
}

bool AuditsRow(const AuditOptions& options, bool decode, size_t layer, size_t kv_head, uint64_t position) {
  uint64_t every = decode ? options.decode_every : options.prefill_every;
  if (!decode && options.rarer_from != 0) every *= 1 + position / options.rarer_from;
  return every != 0 && (position + kLayerStep * layer + kHeadStep * kv_head) % every == 0;
}

void AuditRow(Target target, const kernels::AttentionShape& shape, const kernels::PageLayout& layout,
              const kernels::QueryBlock& block, const kernels::Plan& plan, const std::byte* const* pages, size_t row,
              uint32_t window, AuditScratch* scratch, HeadAudit* heads) {
  const Timer timer;
  const uint64_t position = block.first_position + row;
  const uint64_t lowest = kernels::LowestKey(position, window);
  const uint64_t first = lowest / kernels::kPageTokens * kernels::kPageTokens;
  const size_t keys = position + 1 - first;
  const std::byte* const* table = pages + first / kernels::kPageTokens;
  if (std::any_of(table, pages + position / kernels::kPageTokens + 1, [](const std::byte* page) { return page == nullptr; })) {
    ++scratch->skipped_rows;
    return;
  }
  scratch->scores.resize(shape.group * keys);
  scratch->dense.resize(shape.group * shape.head_dim);
  const float* q = block.q + row * block.q_stride;
  kernels::Scores(target, layout, pages, first, position + 1, q, shape.head_dim, shape.group, shape.scale,
                  scratch->scores.data(), keys, &scratch->keys);
  for (size_t g = 0; g < shape.group; ++g) {
    float* probabilities = scratch->scores.data() + g * keys;
    std::fill_n(probabilities, lowest - first, -INFINITY);
    const double lse = kernels::Softmax(target, probabilities, keys);
    kernels::PlannedKeys(plan, block.first_position, position, g, &scratch->runs);
    HeadAudit& head = heads[g];
    ++head.rows;
    const double recall = std::min(1.0, PlannedMass(scratch->runs, probabilities, first));
    head.recall_sum += recall;
    head.recall_min = std::min(head.recall_min, recall);
    // How much of the keys' weight a plan keeps does not depend on a sink; how strong a key is, and the dense row, do.
    if (block.sinks != nullptr) {
      const auto of_keys = static_cast<float>(1.0 / (1.0 + std::exp(static_cast<double>(block.sinks[g]) - lse)));
      std::transform(probabilities, probabilities + keys, probabilities, [of_keys](float p) { return p * of_keys; });
    }
    const size_t aside = first == 0 ? std::min(keys, kernels::kPageTokens) : 0;
    const float* strongest = std::max_element(probabilities + aside, probabilities + keys);
    if (aside<keys&& * strongest> kStrongShare) {
      ++head.strong_rows;
      const uint64_t key = first + static_cast<uint64_t>(strongest - probabilities);
      if (Planned(scratch->runs, key) && !Pooled(plan, key, g)) ++head.strong_hits;
    }
  }
  kernels::WeightedValues(target, layout, table, scratch->scores.data(), keys, shape.group, keys, scratch->dense.data(),
                          &scratch->keys);
  for (size_t g = 0; g < shape.group; ++g) {
    const float* sparse = block.out + row * block.out_stride + g * shape.head_dim;
    heads[g].error_sum += RelativeDistance(sparse, scratch->dense.data() + g * shape.head_dim, shape.head_dim);
  }
  scratch->seconds += timer.Seconds();
}

}  // namespace damask::model
