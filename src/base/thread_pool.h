// The one compute pool. Workers wait a short while in a spin (a layer has half a dozen steps, and a sleeping worker costs more
// than the step), then sleep. A job is never held up by a worker that has not begun on it: on a busy machine one that gets no
// processor is left out, and the others do its share.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <thread>
#include <vector>

#include "base/aligned.h"
#include "base/function_ref.h"

namespace damask {

class ThreadPool {
 public:
  // `num_threads` at least 1, at most limits::kMaxThreads; the caller of ParallelFor is one of them, so num_threads - 1 threads
  // are started. Fewer where the system or the memory does not suffice for more: ask
  // num_threads().
  explicit ThreadPool(size_t num_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  size_t num_threads() const { return workers_.size() + 1; }

  // Calls body(begin, end, worker) for consecutive ranges of at most `grain` items that cover [0, count) exactly once. Ranges
  // start at multiples of `grain`, so what a range holds never depends on the number of threads; which worker
  // (0..num_threads-1) takes it does. Returns when all are done. Not re-entrant: a body must not call ParallelFor of the same
  // pool, and one thread at a time may call it. Where a body throws (bodies allocate scratch), ranges that nobody has begun are
  // left out, and the first exception, whichever thread it came up on, is thrown here once all threads are out of the job.
  void ParallelFor(size_t count, size_t grain, FunctionRef<void(size_t begin, size_t end, size_t worker)> body);

 private:
  struct Job {
    FunctionRef<void(size_t, size_t, size_t)> body;
    size_t count;
    size_t grain;
    size_t num_ranges;
    std::exception_ptr error;  // of the thread that set `failed`; read when no thread is inside any more
    // On one line: whoever takes a range holds both.
    alignas(kCacheLine) std::atomic<size_t> next_range{0};
    std::atomic<bool> failed{false};
  };

  void WorkerLoop(size_t worker);
  uint32_t AwaitChange(uint32_t state);
  void RunTogether(Job& job);
  static void RunRanges(Job& job, size_t worker);
  static void RunShare(Job& job, size_t worker);

  std::vector<std::thread> workers_;
  // The caller's, on its stack. Written only while no job is open and no worker inside; read only by workers that are inside.
  Job* job_ = nullptr;
  // One word, so that opening, entering and closing a job exclude each other: bit 0 the pool ends, bits 1 to 12 how many
  // workers are inside the job, the bits above count openings and closings (odd: a job is open).
  alignas(kCacheLine) std::atomic<uint32_t> state_{0};
  alignas(kCacheLine) std::atomic<uint32_t> sleepers_{0};
};

// Cores as the system grants them to this process (affinity, physical cores and the control groups' quotas considered), at
// least 1.
size_t DefaultThreadCount();

}  // namespace damask
