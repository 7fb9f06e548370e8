#include "report/run_json.h"

#include <fmt/format.h>

#include "base/cpu.h"
#include "base/text.h"
#include "model/embedded_model.h"
#include "report/or_null.h"
#include "report/process.h"

namespace damask::report {
namespace {

std::optional<double> Density(const model::ForwardStats& stats) {
  return stats.causal_pairs == 0 ? std::nullopt : std::optional(stats.density());
}

std::optional<double> StrongKeyHit(const model::HeadAudit& audit) {
  return audit.strong_rows == 0 ? std::nullopt : std::optional(audit.strong_key_hit());
}

}  // namespace

std::string ModelName(const engine::Engine& engine) {
  return engine.embedded() ? std::string(EmbeddedModelName()) : SanitizeUtf8(engine.model().path());
}

Json KernelsJson(const engine::Engine& engine) {
  Json kernels = Json::object();
  for (const auto& [step, body] : engine.Kernels()) kernels[step] = body;
  return kernels;
}

Json MemoryJson(const engine::Engine& engine, uint64_t kv_bytes) {
  return {{"peak_rss_bytes", PeakResidentBytes()}, {"kv_bytes", kv_bytes}, {"repacked_bytes", engine.repacked_bytes()}};
}

Json AttentionJson(const engine::Engine& engine, const model::AuditReport& audit, std::optional<double> density_prefill,
                   std::optional<double> density_decode) {
  Json attention = {{"policy", engine.policy().Spec()},
                    {"density_prefill", OrNull(density_prefill)},
                    {"density_decode", OrNull(density_decode)},
                    {"recall_mean", nullptr},
                    {"recall_min", nullptr},
                    {"strong_key_hit", nullptr},
                    {"output_error", nullptr}};
  const model::HeadAudit total = audit.Total();
  attention["rows_audited"] = total.rows;
  attention["strong_rows"] = total.strong_rows;
  if (total.rows == 0) return attention;
  attention["recall_mean"] = total.recall();
  attention["recall_min"] = audit.recall_min();
  attention["strong_key_hit"] = OrNull(StrongKeyHit(total));
  attention["output_error"] = total.output_error();
  attention["rows_released"] = audit.skipped_rows;
  attention["heads_widened"] = audit.widened();
  attention["audit_s"] = audit.seconds;
  Json& heads = attention["heads"] = Json::array();
  for (size_t h = 0; h < audit.heads.size(); ++h) {
    const model::HeadAudit& head = audit.heads[h];
    if (head.rows == 0) continue;
    heads.push_back({{"layer", h / audit.heads_per_layer},
                     {"head", h % audit.heads_per_layer},
                     {"rows", head.rows},
                     {"recall", head.recall()},
                     {"strong_rows", head.strong_rows},
                     {"strong_key_hit", OrNull(StrongKeyHit(head))},
                     {"output_error", head.output_error()},
                     {"widened", head.widened}});
  }
  return attention;
}

std::string AuditText(const model::AuditReport& audit) {
  const model::HeadAudit total = audit.Total();
  if (total.rows == 0) return "";
  std::string text = fmt::format("kept {:.1f} % of the attention ({:.1f} % in the worst head)", 100 * total.recall(),
                                 100 * audit.recall_min());
  if (const auto hit = StrongKeyHit(total)) text += fmt::format(", {:.1f} % of the strong keys", 100 * *hit);
  text += fmt::format("; output error {:.3f}; measured on {} in {:.2f} s of a thread", total.output_error(),
                      Counted(total.rows, "row"), audit.seconds);
  if (audit.skipped_rows != 0) text += fmt::format(", {} more could not be: their keys were released", audit.skipped_rows);
  if (audit.widened() != 0) text += fmt::format("; {} widened", Counted(audit.widened(), "head"));
  return text;
}

Json GenerationJson(const engine::Engine& engine, const engine::GenerateResult& result, uint64_t kv_bytes) {
  const Json timings = {{"load_s", engine.load_seconds()},
                        {"prefill_s", result.prefill_seconds},
                        {"prefill_tokens_per_s", result.prefill_tokens_per_second()},
                        {"decode_s", result.decode_seconds},
                        {"decode_tokens_per_s", result.decode_tokens_per_second()}};
  return {{"text", SanitizeUtf8(result.text)},
          {"ids", result.ids},
          {"prompt_tokens", result.prompt_tokens},
          {"generated_tokens", result.ids.size()},
          {"drafted_tokens", result.guessed},
          {"drafted_accepted", result.guessed_right},
          {"finish_reason", engine::FinishReasonName(result.finish)},
          {"seed", result.seed},
          {"model", ModelName(engine)},
          {"target", TargetName(engine.target())},
          {"kv_type", kernels::KvTypeName(engine.kv_type())},
          {"threads", engine.threads()},
          {"kernels", KernelsJson(engine)},
          {"timings", timings},
          {"memory", MemoryJson(engine, kv_bytes)},
          {"attention", AttentionJson(engine, result.audit, Density(result.prefill_stats), Density(result.decode_stats))}};
}

Json PerplexityJson(const engine::Engine& engine, const engine::PerplexityResult& result) {
  return {{"perplexity", result.perplexity},
          {"nll", result.nll},
          {"tokens", result.tokens},
          {"seconds", result.seconds},
          {"model", ModelName(engine)},
          {"target", TargetName(engine.target())},
          {"kv_type", kernels::KvTypeName(engine.kv_type())},
          {"threads", engine.threads()},
          {"memory", MemoryJson(engine, result.kv_bytes)},
          {"attention", AttentionJson(engine, result.audit, result.density, std::nullopt)}};
}

}  // namespace damask::report
