#include "kernels/peak.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/aligned.h"
#include "base/cpu.h"
#include "base/function_ref.h"
#include "base/timer.h"
#include "kernels/peak_loops.h"

namespace damask::kernels {

namespace generic {

// For CPUs without a body of their own: what the compiler makes of multiply and add.
double FmaLoop(size_t iterations) {
  float sums[32] = {};
  float factor = 0.5f;
  for (size_t i = 0; i < iterations; ++i) {
    asm volatile("" : "+m"(factor));
    for (float& sum : sums) sum = sum * factor + factor;
  }
  asm volatile("" : : "m"(sums));
  return static_cast<double>(iterations) * 32 * 2;
}

uint64_t ReadLoop(const std::byte* data, size_t bytes) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + sizeof(sums) <= bytes; i += sizeof(sums)) {
    uint64_t words[8];
    std::memcpy(words, data + i, sizeof(words));
    for (size_t j = 0; j < 8; ++j) sums[j] ^= words[j];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum ^= part;
  return sum;
}

}  // namespace generic

namespace {

constexpr size_t kRuns = 3;
constexpr size_t kReadBytes = size_t{256} << 20;

// Operations a second of `loop` run by all threads at once.
double Rate(ThreadPool* pool, FunctionRef<double(size_t worker)> loop) {
  double best = 0;
  for (size_t run = 0; run < kRuns; ++run) {
    std::atomic<size_t> arrived{0};
    std::atomic<double> work{0};
    const Timer timer;
    // Nobody goes on before all have come, so each thread takes exactly one item.
    pool->ParallelFor(pool->num_threads(), 1, [&](size_t item, size_t /*end*/, size_t /*worker*/) {
      arrived.fetch_add(1);
      while (arrived.load() < pool->num_threads()) std::this_thread::yield();
      const double done = loop(item);
      double sum = work.load();
      while (!work.compare_exchange_weak(sum, sum + done)) {
      }
    });
    best = std::max(best, work.load() / timer.Seconds());
  }
  return best;
}

double ReadRate(ThreadPool* pool, uint64_t (*loop)(const std::byte*, size_t)) {
  const size_t share = kReadBytes / pool->num_threads() / kCacheLine * kCacheLine;
  AlignedArray<std::byte> memory(share * pool->num_threads());
  // Touched by the threads that read it.
  pool->ParallelFor(pool->num_threads(), 1, [&](size_t item, size_t /*end*/, size_t /*worker*/) {
    std::memset(memory.data() + item * share, static_cast<int>(item) + 1, share);
  });
  std::atomic<uint64_t> checksum{0};
  return Rate(pool, [&](size_t item) {
    checksum.fetch_xor(loop(memory.data() + item * share, share));
    return static_cast<double>(share);
  });
}

}  // namespace

MachinePeaks MeasurePeaks(ThreadPool* pool) {
  MachinePeaks peaks;
  peaks.threads = pool->num_threads();
  // Some ten milliseconds each.
  constexpr size_t kIterations = 1'000'000;
  const auto rate = [pool](double (*loop)(size_t), size_t iterations) {
    return Rate(pool, [&](size_t /*worker*/) { return loop(iterations); }) * 1e-12;
  };
#if defined(__x86_64__)
  const Target target = BestTarget();
  if (target >= Target::kAvx512Bf16) {
    peaks.fma_f32_tflops = rate(avx512bf16::FmaLoop, kIterations);
    peaks.dot_bf16_tflops = rate(avx512bf16::DotBf16Loop, kIterations);
    peaks.dot_int8_tops = rate(avx512bf16::DotInt8Loop, kIterations);
    peaks.read_gb_s = ReadRate(pool, avx512bf16::ReadLoop) * 1e-9;
  } else if (target >= Target::kAvx2) {
    peaks.fma_f32_tflops = rate(avx2::FmaLoop, 2 * kIterations);
  }
  if (target >= Target::kAmx) peaks.tile_bf16_tflops = rate(amx::TileBf16Loop, kIterations / 2);
#endif
  if (peaks.fma_f32_tflops == 0) peaks.fma_f32_tflops = rate(generic::FmaLoop, 2 * kIterations);
  if (peaks.read_gb_s == 0) peaks.read_gb_s = ReadRate(pool, generic::ReadLoop) * 1e-9;
  return peaks;
}

}  // namespace damask::kernels
