#include "evals/summary.h"

#include <algorithm>

namespace damask::evals {
namespace {

void AddPairs(const model::ForwardStats& stats, model::ForwardStats* sum) {
  sum->planned_pairs += stats.planned_pairs;
  sum->causal_pairs += stats.causal_pairs;
}

void TakeAudit(const model::HeadAudit& audit, std::optional<double>* recall, std::optional<double>* strong,
               std::optional<double>* error) {
  if (audit.strong_rows > 0) *strong = audit.strong_key_hit();
  if (audit.rows == 0) return;
  *recall = audit.recall();
  *error = audit.output_error();
}

}  // namespace

Summary Summarise(std::span<const Answered> answers) {
  Summary summary;
  summary.samples = answers.size();
  summary.interval = WilsonInterval(0, 0);
  if (answers.empty()) return summary;
  double score = 0;
  double decode_seconds = 0;
  uint64_t decoded = 0;
  model::ForwardStats prefill;
  model::ForwardStats decode;
  model::HeadAudit audit;
  model::HeadAudit audit_decode;
  for (const Answered& answer : answers) {
    score += answer.score;
    summary.prompt_tokens += static_cast<double>(answer.prompt_tokens);
    summary.prefill_seconds += answer.prefill_seconds;
    summary.kv_bytes = std::max(summary.kv_bytes, answer.kv_bytes);
    AddPairs(answer.prefill, &prefill);
    AddPairs(answer.decode, &decode);
    audit.Add(answer.audit);
    audit_decode.Add(answer.audit_decode);
    summary.released_rows += answer.released_rows;
    // The first token comes out of the prefill.
    decoded += answer.generated_tokens > 0 ? answer.generated_tokens - 1 : 0;
    decode_seconds += answer.decode_seconds;
  }
  const auto n = static_cast<double>(answers.size());
  summary.accuracy = score / n;
  summary.interval = WilsonInterval(score, answers.size());
  summary.density = prefill.density();
  if (decode.causal_pairs > 0) summary.density_decode = decode.density();
  summary.prompt_tokens /= n;
  summary.prefill_seconds /= n;
  if (decoded > 0 && decode_seconds > 0) summary.decode_tokens_per_second = static_cast<double>(decoded) / decode_seconds;
  if (summary.released_rows > 0) return summary;
  TakeAudit(audit, &summary.recall_mean, &summary.strong_key_hit, &summary.output_error);
  TakeAudit(audit_decode, &summary.recall_decode, &summary.strong_key_hit_decode, &summary.output_error_decode);
  return summary;
}

}  // namespace damask::evals
