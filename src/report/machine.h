// What the machine can do, measured on the spot: figures of a run are shown as shares of it.
#pragma once

#include <string>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "kernels/peak.h"
#include "report/run_json.h"

namespace damask::report {

struct Machine {
  std::string cpu;
  Target target = Target::kScalar;  // of the run; the peaks are those of the widest units whatever the target
  kernels::MachinePeaks peaks;
};

// 1e12 operations a second of the fastest unit that products of bf16 inputs run on: bf16 tiles or dots, without them pairs of
// 16 bits or float32.
double ProductPeak(const kernels::MachinePeaks& peaks);

// Takes about 0.3 s and 256 MB for that time: look at peak memory before.
Machine MeasureMachine(Target target, ThreadPool* pool);

// {"cpu", "target", "threads", "tile_bf16_tflops", "bf16_tflops", "fma_f32_tflops", "int8_tops", "int16_tops", "read_gb_s"}
Json MachineJson(const Machine& machine);
// One line.
std::string MachineText(const Machine& machine);

}  // namespace damask::report
