#include "kernels/peak.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>

#include "base/aligned.h"
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

PeakLoops LoopsOf(Target target) {
  constexpr size_t kIterations = 1'000'000;
  PeakLoops loops = {.fma_f32 = {generic::FmaLoop, 2 * kIterations}, .read = generic::ReadLoop};
#if defined(__x86_64__)
  if (target >= Target::kAvx2) {
    loops.fma_f32 = {avx2::FmaLoop, 2 * kIterations};
    loops.dot_int16 = {avx2::DotInt16Loop, 2 * kIterations};
    loops.dot_int8 = {avx2::DotInt8Loop, 2 * kIterations};
  }
  if (target >= Target::kAvx512) {
    loops.fma_f32 = {avx512::FmaLoop, kIterations};
    loops.read = avx512::ReadLoop;
  }
  if (target >= Target::kAvx512Vnni) loops.dot_int8 = {avx512vnni::DotInt8Loop, kIterations};
  if (target >= Target::kAvx512Bf16) loops.dot_bf16 = {avx512bf16::DotBf16Loop, kIterations};
  if (target >= Target::kAmx) loops.tile_bf16 = {amx::TileBf16Loop, kIterations / 2};
#endif
  return loops;
}

MachinePeaks MeasurePeaks(ThreadPool* pool) {
  const auto tera = [pool](const ArithmeticLoop& loop) {
    if (loop.run == nullptr) return 0.0;
    return Rate(pool, [&](size_t /*worker*/) { return loop.run(loop.iterations); }) * 1e-12;
  };
  const PeakLoops loops = LoopsOf(BestTarget());
  MachinePeaks peaks;
  peaks.threads = pool->num_threads();
  peaks.fma_f32_tflops = tera(loops.fma_f32);
  peaks.dot_bf16_tflops = tera(loops.dot_bf16);
  peaks.dot_int8_tops = tera(loops.dot_int8);
  peaks.dot_int16_tops = tera(loops.dot_int16);
  peaks.read_gb_s = ReadRate(pool, loops.read) * 1e-9;
  peaks.tile_bf16_tflops = tera(loops.tile_bf16);
  return peaks;
}

}  // namespace damask::kernels
