// Eviction by the last rows of a prompt: what snapkv and pyramidkv have in common.
//
// When a prompt has been read, the attention of its last rows is added up over rows and the heads of a group, smoothed over
// neighbouring keys, and the best keys stay beside the last rows' own; the others are dropped for good.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policies/options.h"
#include "policies/policy.h"

namespace damask::policies {

struct PromptEviction {
  std::string name;
  uint64_t cap = 0;    // keys that a KV head keeps, the last rows included
  uint64_t rows = 0;   // last rows whose attention counts
  uint64_t pool = 0;   // neighbours over which it is smoothed, odd
  uint64_t unit = 0;   // keys that stay or go together: 1, 16 or 64
  uint64_t chunk = 0;  // rows after which is decided while a prompt is read
  bool sparse = false;
  uint64_t taper = 0;  // the last layer keeps 1 / taper of cap; 0: all layers the same
};

// Of `name`: cap, rows, pool, unit, prefill, chunk.
std::vector<OptionInfo> PromptEvictionOptions();
Result<PromptEviction> ReadPromptEviction(const Options& options, std::string_view name);

// Keys beside the last rows that `layer` of `layers` keeps of a text of `length`. With `taper`, of prompts read densely that
// are shorter than twice the mean, the mean in every layer, as in the authors' code (Zefan-Cai/KVCache-Factory).
uint64_t EvictionBudget(const PromptEviction& settings, size_t layer, size_t layers, uint64_t length);

std::unique_ptr<Policy> MakePromptEviction(PromptEviction settings, const ModelShape& shape);

}  // namespace damask::policies
