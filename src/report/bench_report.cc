#include "report/bench_report.h"

#include <fmt/format.h>

#include "base/text.h"
#include "report/table.h"

namespace damask::report {
namespace {

double PerSecond(const engine::PrefillTiming& timing) {
  return timing.seconds > 0 ? static_cast<double>(timing.tokens) / timing.seconds : 0;
}

// Of the unit that the products run on: 8-bit products are measured against the 8-bit peak.
double FractionOfPeak(const engine::PrefillTiming& timing, const engine::Engine& engine, const Machine& machine) {
  const double peak = 1e12 * machine.peaks.Of(engine.prefill_unit());
  return timing.seconds > 0 && peak > 0 ? timing.flops / timing.seconds / peak : 0;
}

double FractionOfBandwidth(const engine::DecodeTiming& timing, const Machine& machine) {
  const double bytes_per_second = timing.bytes_per_token * timing.tokens_per_second;
  return machine.peaks.read_gb_s > 0 ? bytes_per_second / (1e9 * machine.peaks.read_gb_s) : 0;
}

}  // namespace

Json BenchJson(const engine::Engine& engine, const Machine& machine, const engine::BenchResult& result,
               uint64_t peak_rss_bytes) {
  Json prefill = Json::array();
  for (const engine::PrefillTiming& timing : result.prefill) {
    prefill.push_back({{"tokens", timing.tokens},
                       {"seconds", timing.seconds},
                       {"tokens_per_s", PerSecond(timing)},
                       {"fraction_of_peak", FractionOfPeak(timing, engine, machine)}});
  }
  Json decode = Json::array();
  for (const engine::DecodeTiming& timing : result.decode) {
    decode.push_back({{"depth", timing.depth},
                      {"tokens_per_s", timing.tokens_per_second},
                      {"fraction_of_bandwidth", FractionOfBandwidth(timing, machine)}});
  }
  return {{"machine", MachineJson(machine)},
          {"model", ModelName(engine)},
          {"type", model::DominantType(engine.model().tensors())},
          {"policy", engine.policy().Spec()},
          {"kv_type", kernels::KvTypeName(engine.kv_type())},
          {"kv_bytes_per_token", engine.kv_bytes_per_token()},
          {"kernels", KernelsJson(engine)},
          {"prefill", prefill},
          {"decode", decode},
          {"repacked_bytes", engine.repacked_bytes()},
          {"peak_rss_bytes", peak_rss_bytes}};
}

std::string BenchText(const engine::Engine& engine, const Machine& machine, const engine::BenchResult& result) {
  Table table({"test", "tokens/s", "seconds", "of the machine"});
  for (const engine::PrefillTiming& timing : result.prefill) {
    table.Add({fmt::format("prefill {}", timing.tokens), fmt::format("{:.2f}", PerSecond(timing)),
               fmt::format("{:.3f}", timing.seconds),
               fmt::format("{:.1f}% of peak", 100 * FractionOfPeak(timing, engine, machine))});
  }
  for (const engine::DecodeTiming& timing : result.decode) {
    table.Add({fmt::format("decode at {}", timing.depth), fmt::format("{:.2f}", timing.tokens_per_second), "-",
               fmt::format("{:.1f}% of bandwidth", 100 * FractionOfBandwidth(timing, machine))});
  }
  const std::string repacked = engine.repacked_bytes() == 0 ? "" : ", repacked " + FormatBytes(engine.repacked_bytes());
  return fmt::format("{}, mostly {}, {} parameters, KV cache {}{}\n{}\n\n", ModelName(engine),
                     model::DominantType(engine.model().tensors()), engine.model().parameters(),
                     kernels::KvTypeName(engine.kv_type()), repacked, MachineText(machine)) +
         table.ToString();
}

}  // namespace damask::report
