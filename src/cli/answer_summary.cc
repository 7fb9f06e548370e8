#include "cli/answer_summary.h"

#include <string>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "report/process.h"
#include "report/run_json.h"

namespace damask::cli {

namespace {

// ", cut off after ..." where it was not the model that ended the answer. An answer of no tokens is no answer cut off.
std::string WhatCutItOff(const engine::GenerateResult& result, const AnswerLimits& limits) {
  if (result.finish != engine::FinishReason::kLength || limits.max_tokens == 0) return {};
  if (result.ids.size() >= limits.max_tokens) return fmt::format(", cut off after -n {} tokens", limits.max_tokens);
  return fmt::format(", cut off: the context of {} is full (-c)", limits.context);
}

}  // namespace

void LogAnswer(const engine::GenerateResult& result, const AnswerLimits& limits, std::optional<uint64_t> seed) {
  std::string line =
      fmt::format("read {} tokens in {:.3f}s ({:.1f} tokens/s), wrote {} in {:.3f}s ({:.1f} tokens/s), peak memory {}",
                  result.prompt_tokens, result.prefill_seconds, result.prefill_tokens_per_second(), result.ids.size(),
                  result.decode_seconds, result.decode_tokens_per_second(), FormatBytes(report::PeakResidentBytes()));
  const double density = result.prefill_stats.density();
  if (density < 1) line += fmt::format(", computed {:.1f} % of the attention", 100 * density);
  if (result.guessed != 0) line += fmt::format(", {} of {} guesses right", result.guessed_right, result.guessed);
  line += WhatCutItOff(result, limits);
  if (seed) line += fmt::format(", seed {}", *seed);
  LogInfo(line);
  if (const std::string audit = report::AuditText(result.audit); !audit.empty()) LogInfo(audit);
}

}  // namespace damask::cli
