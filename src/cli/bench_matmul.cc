// damask bench matmul: the matrix product alone, damask's bodies and oneDNN's.
#include <fmt/format.h>

#include "base/nearest.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "formats/tensor_type.h"
#include "kernels/matmul_bench.h"
#include "report/machine.h"
#include "report/table.h"

namespace damask::cli {
namespace {

constexpr uint64_t kMaxSide = uint64_t{1} << 20;
constexpr uint64_t kMaxValues = uint64_t{1} << 32;  // of activations, weights and results together: 16 GiB as floats

Result<formats::TensorType> ParseType(const std::string& name) {
  constexpr uint32_t kNumbers = 64;
  std::vector<std::string> names;
  for (uint32_t number = 0; number < kNumbers; ++number) {
    const auto info = formats::FindTensorType(number);
    if (!info || !info->runnable) continue;
    if (info->name == name) return static_cast<formats::TensorType>(number);
    names.emplace_back(info->name);
  }
  return InvalidArgument(
             fmt::format("found {}, expected one of {}{}", Quote(name), fmt::join(names, ", "), DidYouMean(name, names)))
      .At("--type");
}

class BenchMatmul : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Shape");
    flags->Uint("--m", 1, kMaxSide, &m_, "rows of activations (default: 512)");
    flags->Uint("--n", 1, kMaxSide, &n_, "rows of weights (default: 4096)");
    flags->Uint("--k", 1, kMaxSide, &k_, "columns of both (default: 4096)");
    flags->Text("--type", "NAME", &type_, "type of the weights: BF16, Q8_0, Q4_K, ... (default: BF16)");
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_ASSIGN_OR_RETURN(const formats::TensorType type, ParseType(type_.value_or("BF16")));
    const uint64_t block = formats::GetTensorType(type).block_values;
    if (k_ % block != 0) return InvalidArgument(fmt::format("--k: found {}, expected a multiple of {}", k_, block));
    if (m_ * k_ + n_ * k_ + m_ * n_ > kMaxValues) return TooLarge("--m, --n and --k: the matrices would take more than 16 GiB");
    DAMASK_ASSIGN_OR_RETURN(const Target target, PrepareTarget(common.target));
    ThreadPool pool(common.threads == 0 ? DefaultThreadCount() : common.threads);
    const report::Machine machine = report::MeasureMachine(target, &pool);
    const std::vector<kernels::MatmulTiming> timings = kernels::BenchMatmul(target, type, m_, n_, k_, &pool);
    const double peak = report::ProductPeak(machine.peaks);
    if (common.json) {
      WriteJson({{"machine", report::MachineJson(machine)}, {"results", ToJson(timings, peak)}});
    } else {
      Write(ToText(timings, peak));
    }
    return kExitDone;
  }

 private:
  static double FractionOf(double peak, double tflops) { return peak > 0 ? tflops / peak : 0; }

  static report::Json ToJson(const std::vector<kernels::MatmulTiming>& timings, double peak) {
    report::Json list = report::Json::array();
    for (const kernels::MatmulTiming& timing : timings) {
      list.push_back({{"backend", timing.backend},
                      {"weights", timing.weights},
                      {"chosen", timing.chosen},
                      {"repacked", timing.repacked},
                      {"seconds", timing.seconds},
                      {"tflops", timing.tflops},
                      {"fraction_of_peak", FractionOf(peak, timing.tflops)},
                      {"fastest_seconds", timing.fastest_seconds},
                      {"fastest_tflops", timing.fastest_tflops},
                      {"fastest_fraction_of_peak", FractionOf(peak, timing.fastest_tflops)}});
    }
    return list;
  }

  static std::string ToText(const std::vector<kernels::MatmulTiming>& timings, double peak) {
    report::Table table({"backend", "weights", "seconds", "TFLOP/s", "of peak", "fastest", "of peak", ""});
    for (const kernels::MatmulTiming& timing : timings) {
      table.Add({timing.backend + (timing.repacked ? " (--repack)" : ""), timing.weights, FourDigits(timing.seconds),
                 FourDigits(timing.tflops), fmt::format("{:.3f}", FractionOf(peak, timing.tflops)),
                 FourDigits(timing.fastest_tflops), fmt::format("{:.3f}", FractionOf(peak, timing.fastest_tflops)),
                 timing.chosen ? "runs" : ""});
    }
    return table.ToString();
  }

  uint64_t m_ = 512;
  uint64_t n_ = 4096;
  uint64_t k_ = 4096;
  std::optional<std::string> type_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchMatmul() { return std::make_unique<BenchMatmul>(); }

}  // namespace damask::cli
