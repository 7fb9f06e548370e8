#include "report/machine.h"

#include <algorithm>

#include <fmt/format.h>

namespace damask::report {

double ProductPeak(const kernels::MachinePeaks& peaks) {
  const bool has_bf16 = peaks.tile_bf16_tflops > 0 || peaks.dot_bf16_tflops > 0;
  return has_bf16 ? peaks.best_bf16_tflops() : std::max(peaks.dot_int16_tops, peaks.fma_f32_tflops);
}

Machine MeasureMachine(Target target, ThreadPool* pool) {
  (void)EnableTarget(Target::kAmx).ok();  // the peaks are the machine's, whatever target is measured
  return {CpuModelName(), target, kernels::MeasurePeaks(pool)};
}

Json MachineJson(const Machine& machine) {
  return {{"cpu", machine.cpu},
          {"target", TargetName(machine.target)},
          {"threads", machine.peaks.threads},
          {"tile_bf16_tflops", machine.peaks.tile_bf16_tflops},
          {"bf16_tflops", machine.peaks.dot_bf16_tflops},
          {"fma_f32_tflops", machine.peaks.fma_f32_tflops},
          {"int8_tops", machine.peaks.dot_int8_tops},
          {"int16_tops", machine.peaks.dot_int16_tops},
          {"read_gb_s", machine.peaks.read_gb_s}};
}

std::string MachineText(const Machine& machine) {
  const kernels::MachinePeaks& peaks = machine.peaks;
  std::string text = fmt::format("{}, target {}, {} thread{}: {:.2f} TFLOP/s f32", machine.cpu, TargetName(machine.target),
                                 peaks.threads, peaks.threads == 1 ? "" : "s", peaks.fma_f32_tflops);
  if (peaks.dot_bf16_tflops > 0) text += fmt::format(", {:.2f} bf16", peaks.dot_bf16_tflops);
  if (peaks.tile_bf16_tflops > 0) text += fmt::format(", {:.2f} bf16 tiles", peaks.tile_bf16_tflops);
  if (peaks.dot_bf16_tflops == 0 && peaks.dot_int16_tops > 0) text += fmt::format(", {:.2f} TOP/s int16", peaks.dot_int16_tops);
  if (peaks.dot_int8_tops > 0) text += fmt::format(", {:.2f} TOP/s int8", peaks.dot_int8_tops);
  return text + fmt::format(", {:.1f} GB/s", peaks.read_gb_s);
}

}  // namespace damask::report
