// What an answer cost and what its attention kept, as generate and chat say it.
#pragma once

#include <cstdint>
#include <optional>

#include "engine/generate.h"

namespace damask::cli {

// What may cut an answer off.
struct AnswerLimits {
  uint64_t max_tokens = 0;
  uint64_t context = 0;
};

// A line on standard error, and where there was an audit a second one. `seed`: the random one of the run, if it had one.
void LogAnswer(const engine::GenerateResult& result, const AnswerLimits& limits, std::optional<uint64_t> seed);

}  // namespace damask::cli
