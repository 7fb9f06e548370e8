// Rows of a batch that belong together.
#pragma once

#include <cstddef>
#include <cstdint>

#include "model/kv_cache.h"
#include "policies/policy.h"

namespace damask::model {

// Consecutive rows of the forward pass' buffers that are consecutive positions of one session.
struct RowRun {
  KvCache* cache = nullptr;
  size_t first_row = 0;
  size_t rows = 0;
  uint64_t first_position = 0;
  policies::PolicyState* state = nullptr;
  uint64_t keys_seen = 0;  // positions whose keys the state knew before this batch
  bool decode = false;
  bool prompt_end = false;
  bool closing = false;
  bool aside = false;
  bool answers = false;  // the last row of a prefill, in the last layer: what follows the text depends on it alone
  size_t segment = 0;    // of the batch
};

}  // namespace damask::model
