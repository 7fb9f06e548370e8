#include "report/run_json.h"

#include "base/cpu.h"
#include "base/text.h"
#include "model/embedded_model.h"
#include "report/process.h"

namespace damask::report {

std::string ModelName(const engine::Engine& engine) {
  return engine.embedded() ? std::string(EmbeddedModelName()) : SanitizeUtf8(engine.model().path());
}

Json KernelsJson(const engine::Engine& engine) {
  Json kernels = Json::object();
  for (const auto& [step, body] : engine.Kernels()) kernels[step] = body;
  return kernels;
}

Json MemoryJson(uint64_t kv_bytes) { return {{"peak_rss_bytes", PeakResidentBytes()}, {"kv_bytes", kv_bytes}}; }

Json AttentionJson(const engine::Engine& engine, double density_prefill, double density_decode) {
  return {{"policy", engine.policy().Spec()},
          {"density_prefill", density_prefill},
          {"density_decode", density_decode},
          {"recall_mean", nullptr},
          {"recall_min", nullptr},
          {"strong_key_hit", nullptr},
          {"output_error", nullptr},
          {"rows_audited", 0}};
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
          {"finish_reason", engine::FinishReasonName(result.finish)},
          {"seed", result.seed},
          {"model", ModelName(engine)},
          {"target", TargetName(engine.target())},
          {"threads", engine.threads()},
          {"kernels", KernelsJson(engine)},
          {"timings", timings},
          {"memory", MemoryJson(kv_bytes)},
          {"attention", AttentionJson(engine, result.prefill_stats.density(), result.decode_stats.density())}};
}

Json PerplexityJson(const engine::Engine& engine, const engine::PerplexityResult& result) {
  return {{"perplexity", result.perplexity},
          {"nll", result.nll},
          {"tokens", result.tokens},
          {"seconds", result.seconds},
          {"model", ModelName(engine)},
          {"target", TargetName(engine.target())},
          {"threads", engine.threads()},
          {"memory", MemoryJson(engine.kv_bytes())},
          {"attention", AttentionJson(engine, result.density, 1.0)}};
}

}  // namespace damask::report
