// Random statistics, masks and what a plan computes, for the tests of masks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "kernels/plan.h"
#include "masks/mask.h"
#include "masks/statistics.h"

namespace damask::masks {

inline bool Chance(double p, std::mt19937* random) { return std::bernoulli_distribution(p)(*random); }

// `samples` random attention maps of one head: a sink, a few strong diagonals, noise.
inline HeadStatistics RandomStatistics(size_t length, size_t samples, uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(0.0f, 1.0f);
  HeadStatistics statistics(length);
  std::vector<float> row;
  for (size_t sample = 0; sample < samples; ++sample) {
    for (size_t i = 0; i < length; ++i) {
      row.assign(i + 1, 0.0f);
      float sum = 0.0f;
      for (size_t key = 0; key <= i; ++key) {
        row[key] = uniform(random) * (key == 0 ? 20.0f : (i - key) % 7 == seed % 7 ? 5.0f : 0.1f);
        sum += row[key];
      }
      for (float& p : row) p /= sum;
      statistics.AddRow(i, row);
    }
  }
  return statistics;
}

// A mask with random diagonals, verticals and true mask; not one that calibration would find.
inline HeadMask RandomHead(uint32_t capture_length, double fill, std::mt19937* random) {
  HeadMask head;
  for (uint32_t row = 0; row < capture_length; ++row) {
    std::vector<KeyRange> runs;
    for (uint32_t key = 0; key <= row; ++key) {
      if (!Chance(fill, random)) continue;
      if (runs.empty() || runs.back().end != key) runs.push_back({static_cast<uint16_t>(key), static_cast<uint16_t>(key)});
      ++runs.back().end;
    }
    head.true_mask.AppendRow(runs);
  }
  for (uint32_t i = 0; i < capture_length; ++i) {
    if (i == 0 || Chance(fill, random)) {
      if (!head.patterns.diagonals.empty() && head.patterns.diagonals.back().end == i) {
        ++head.patterns.diagonals.back().end;
      } else {
        head.patterns.diagonals.push_back({i, i + 1, 0.5f});
      }
    }
    if (Chance(fill, random)) head.patterns.verticals.push_back({i, 0.5f});
  }
  return head;
}

inline Mask RandomMask(uint32_t layers, uint32_t heads, uint32_t capture_length, uint32_t seed) {
  std::mt19937 random(seed);
  Mask mask;
  mask.fingerprint = {"llama", "tiny", layers, heads, heads % 2 == 0 ? heads / 2 : heads, 64, 1000, 77, 88};
  mask.parameters.capture_length = capture_length;
  mask.parameters.samples = 3;
  mask.parameters.tokens = 3 * capture_length;
  for (uint32_t i = 0; i < layers * heads; ++i) {
    mask.heads.push_back(RandomHead(capture_length, 0.3, &random));
    mask.heads.back().treatment = static_cast<Treatment>(i % 3);
    mask.heads.back().mass = 0.5f;
  }
  return mask;
}

// Every head chooses by content, in random directions.
inline Mask ContentMask(const Fingerprint& fingerprint, uint32_t rank, uint32_t seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, 1.0f / std::sqrt(static_cast<float>(fingerprint.head_dim)));
  Mask mask = RandomMask(fingerprint.layers, fingerprint.heads, 64, seed);
  mask.fingerprint = fingerprint;
  for (HeadMask& head : mask.heads) head.treatment = Treatment::kContent;
  for (uint32_t i = 0; i < fingerprint.layers * fingerprint.kv_heads; ++i) {
    KeyDirections directions = {i / fingerprint.kv_heads, i % fingerprint.kv_heads, rank, fingerprint.head_dim, 0.0f, {}};
    directions.values.resize(size_t{rank} * fingerprint.head_dim);
    for (float& x : directions.values) x = normal(random);
    mask.key_directions.push_back(std::move(directions));
  }
  return mask;
}

// How often the kernels compute (query, key) for a head, read off plan.h.
inline int TimesComputed(const kernels::Plan& plan, uint64_t first, uint64_t query, uint64_t key, size_t head) {
  int times = 0;
  for (const kernels::PlanEntry& entry : plan.entries) {
    if (entry.block != key / 64 || (entry.heads >> head & 1) == 0 || (entry.quarters >> (key % 64 / 16) & 1) == 0) continue;
    if ((entry.causal && key > query) || (entry.window != 0 && key + entry.window <= query)) continue;
    if (entry.exact != kernels::kNoExactMask && (plan.exact_masks[entry.exact].rows[key % 64] >> (query - first) & 1) == 0)
      continue;
    ++times;
  }
  for (const kernels::PlanColumn& column : plan.columns) {
    times += column.position == key && key <= query && (column.heads >> head & 1) != 0 ? 1 : 0;
  }
  return times;
}

}  // namespace damask::masks
