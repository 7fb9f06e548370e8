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
  if (result.ids.size() >= limits.max_tokens) return fmt::format(", cut off after -n {}", Counted(limits.max_tokens, "token"));
  return fmt::format(", cut off: the context of {} is full (-c)", limits.context);
}

// ", computed 4.1 % of the attention"; nothing where that would read as all of it.
std::string WhatWasComputed(double density) {
  const double percent = 100 * density;
  if (percent >= 99.95) return {};
  return percent < 0.1 ? fmt::format(", computed {:.2g} % of the attention", percent)
                       : fmt::format(", computed {:.1f} % of the attention", percent);
}

}  // namespace

void LogAnswer(const engine::GenerateResult& result, const AnswerLimits& limits, std::optional<uint64_t> seed) {
  std::string line = fmt::format("read {} in {:.3f}s ({:.1f} tokens/s), wrote {} in {:.3f}s ({:.1f} tokens/s), peak memory {}",
                                 Counted(result.prompt_tokens, "token"), result.prefill_seconds,
                                 result.prefill_tokens_per_second(), result.ids.size(), result.decode_seconds,
                                 result.decode_tokens_per_second(), FormatBytes(report::PeakResidentBytes()));
  line += WhatWasComputed(result.prefill_stats.density());
  if (result.guessed != 0) line += fmt::format(", {} of {} guesses right", result.guessed_right, result.guessed);
  line += WhatCutItOff(result, limits);
  if (seed) line += fmt::format(", seed {}", *seed);
  LogInfo(line);
  if (const std::string audit = report::AuditText(result.audit); !audit.empty()) LogInfo(audit);
}

}  // namespace damask::cli
