// The figures of many answers.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "evals/ask.h"
#include "evals/statistics.h"

namespace damask::evals {

struct Summary {
  uint64_t samples = 0;
  double accuracy = 0;                             // mean score
  Interval interval;                               // Wilson's
  double density = 1;                              // planned over causal key positions of all prefills
  std::optional<double> density_decode;            // of all decoded tokens; absent where there are none
  double prompt_tokens = 0;                        // mean
  double prefill_seconds = 0;                      // mean
  std::optional<double> decode_tokens_per_second;  // absent where nothing was decoded
  uint64_t kv_bytes = 0;                           // the most of one sample
  uint64_t released_rows = 0;                      // that the audit chose, and whose keys had been released
  // Over all audited rows of prompts, and of those over the ones with a strong key; absent where there are none, and where rows
  // were released: those that are left are the early ones, and lose less.
  std::optional<double> recall_mean;
  std::optional<double> strong_key_hit;
  std::optional<double> output_error;
  // The same of decoded tokens, which policies that read prompts densely are about.
  std::optional<double> recall_decode;
  std::optional<double> strong_key_hit_decode;
  std::optional<double> output_error_decode;

  // Whether prompts were read densely and answers were not.
  bool only_decode_is_sparse() const { return density >= 1 && density_decode && *density_decode < 1; }
};

Summary Summarise(std::span<const Answered> answers);

}  // namespace damask::evals
