// damask bench attention: the attention kernel alone.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "kernels/attention_bench.h"
#include "report/machine.h"
#include "report/progress.h"
#include "report/table.h"

namespace damask::cli {
namespace {

class BenchAttention : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Shape");
    flags->Uint("--head-dim", 1, limits::kMaxWidth, &head_dim_, "length of a head (default: 128)");
    flags->Uint("--heads", 1, limits::kMaxHeads, &heads_, "query heads (default: 32)");
    flags->Uint("--kv-heads", 1, limits::kMaxHeads, &kv_heads_, "KV heads (default: 8)");
    flags->Uint("-c,--context", 1, limits::kMaxContext, &context_, "positions, every one a query (default: 4096)");
    flags->Text("--kv", "TYPE", &kv_, "pages: bf16 or q8 (default: bf16)");
    flags->Numbers("--density", 1e-6, 1, &densities_, "shares of the key positions to compute (default: 1)");
    flags->Number("--min-seconds", 0, 3600, &min_seconds_,
                  "a case is repeated, five times at most, until it took this (default: 1)");
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_ASSIGN_OR_RETURN(const Target target, PrepareTarget(common.target));
    ThreadPool pool(common.threads == 0 ? DefaultThreadCount() : common.threads);
    kernels::AttentionBenchOptions options;
    options.head_dim = head_dim_;
    options.heads = heads_;
    options.kv_heads = kv_heads_;
    options.context = context_;
    DAMASK_ASSIGN_OR_RETURN(options.kv, ParseKv(kv_));
    // The dense run comes first in any case.
    std::remove_copy(densities_.begin(), densities_.end(), std::back_inserter(options.densities), 1.0);
    options.target = target;
    options.pool = &pool;
    options.min_seconds = min_seconds_;
    const CancelScope cancel;
    options.cancel = cancel.flag();
    report::ProgressLine line(!common.quiet && StderrIsTerminal(), "steps");
    options.progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    const report::Machine machine = report::MeasureMachine(target, &pool);
    options.peak_flops = 1e12 * report::ProductPeak(machine.peaks);
    DAMASK_ASSIGN_OR_RETURN(const std::vector<kernels::AttentionBenchResult> results, kernels::BenchAttention(options));
    line.Clear();
    if (common.json) {
      WriteJson({{"machine", report::MachineJson(machine)},
                 {"kv_type", kernels::KvTypeName(options.kv)},
                 {"results", ToJson(results)}});
    } else {
      Write(ToText(results));
    }
    return cancel.cancelled() ? kExitInterrupted : kExitDone;
  }

 private:
  static report::Json ToJson(const std::vector<kernels::AttentionBenchResult>& results) {
    report::Json list = report::Json::array();
    for (const kernels::AttentionBenchResult& result : results) {
      list.push_back({{"density", result.density},
                      {"blocks", result.blocks},
                      {"seconds", result.seconds},
                      {"tflops", result.tflops},
                      {"fraction_of_peak", result.fraction_of_peak},
                      {"efficiency", result.efficiency}});
    }
    return list;
  }

  static std::string ToText(const std::vector<kernels::AttentionBenchResult>& results) {
    report::Table table({"density", "blocks", "seconds", "TFLOP/s", "of peak", "efficiency"});
    for (const kernels::AttentionBenchResult& result : results) {
      table.Add({fmt::format("{:.4f}", result.density), fmt::format("{}", result.blocks), fmt::format("{:.4f}", result.seconds),
                 fmt::format("{:.3f}", result.tflops), fmt::format("{:.3f}", result.fraction_of_peak),
                 fmt::format("{:.3f}", result.efficiency)});
    }
    return table.ToString();
  }

  uint64_t head_dim_ = 128;
  uint64_t heads_ = 32;
  uint64_t kv_heads_ = 8;
  uint64_t context_ = 4096;
  std::optional<std::string> kv_;
  std::vector<double> densities_ = {1.0};
  double min_seconds_ = 1.0;
};

}  // namespace

std::unique_ptr<Command> MakeBenchAttention() { return std::make_unique<BenchAttention>(); }

}  // namespace damask::cli
