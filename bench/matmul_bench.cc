// matmul_bench [M N K]: every body of every kind of weights, with the machine's peaks; decode by weight type. One JSON line a
// case.
#include <cstdio>
#include <cstdlib>

#include "base/cpu.h"
#include "base/thread_pool.h"
#include "kernels/matmul_bench.h"
#include "kernels/peak.h"

int main(int argc, char** argv) {
  using damask::formats::TensorType;
  const auto number = [&](int index, size_t otherwise) {
    return argc > index ? static_cast<size_t>(std::strtoull(argv[index], nullptr, 10)) : otherwise;
  };
  const size_t m = number(1, 512);
  const size_t n = number(2, 2048);
  const size_t k = number(3, 2048);
  damask::ThreadPool pool(number(4, damask::DefaultThreadCount()));
  const damask::Target target = damask::PrepareTarget("auto").value();
  const damask::kernels::MachinePeaks peaks = damask::kernels::MeasurePeaks(&pool);
  std::printf(
      "{\"threads\": %zu, \"fma_f32_tflops\": %.3f, \"dot_bf16_tflops\": %.3f, \"tile_bf16_tflops\": %.3f, "
      "\"dot_int8_tops\": %.3f, \"read_gb_s\": %.1f}\n",
      peaks.threads, peaks.fma_f32_tflops, peaks.dot_bf16_tflops, peaks.tile_bf16_tflops, peaks.dot_int8_tops, peaks.read_gb_s);
  for (const TensorType type : {TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_K, TensorType::kQ6_K}) {
    for (const auto& timing : damask::kernels::BenchMatmul(target, type, m, n, k, &pool)) {
      std::printf(
          "{\"m\": %zu, \"n\": %zu, \"k\": %zu, \"weights\": \"%s\", \"backend\": \"%s\", \"chosen\": %s, \"seconds\": %.6f, "
          "\"tflops\": %.3f}\n",
          m, n, k, timing.weights.c_str(), timing.backend.c_str(), timing.chosen ? "true" : "false", timing.seconds,
          timing.tflops);
    }
  }
  for (const TensorType type :
       {TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ8_0, TensorType::kQ4_0, TensorType::kQ4_1,
        TensorType::kQ5_0, TensorType::kQ5_1, TensorType::kQ2_K, TensorType::kQ3_K, TensorType::kQ4_K, TensorType::kQ5_K,
        TensorType::kQ6_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4}) {
    const auto timing = damask::kernels::BenchDecode(target, type, n, k, &pool);
    std::printf("{\"decode\": \"%s\", \"backend\": \"%s\", \"gb_per_second\": %.1f, \"of_read_bandwidth\": %.2f}\n",
                timing.weights.c_str(), timing.backend.c_str(), timing.gb_per_second, timing.gb_per_second / peaks.read_gb_s);
  }
  return 0;
}
