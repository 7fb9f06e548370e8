// The one compute pool. Workers wait a short while in a spin (a layer has half a dozen steps, and a sleeping worker costs more
// than the step), then sleep.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/function_ref.h"

namespace damask {

class ThreadPool {
 public:
  // `num_threads` at least 1; the caller of ParallelFor is one of them, so num_threads - 1 threads are started.
  explicit ThreadPool(size_t num_threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;
  ~ThreadPool();

  size_t num_threads() const { return workers_.size() + 1; }

  // Calls body(begin, end, worker) for consecutive ranges of at most `grain` items that cover [0, count) exactly once. Ranges
  // start at multiples of `grain`, so what a range holds never depends on the number of threads; which worker
  // (0..num_threads-1) takes it does. Returns when all are done. Not re-entrant: a body must not call ParallelFor of the same
  // pool, and one thread at a time may call it. Bodies must not throw.
  void ParallelFor(size_t count, size_t grain, FunctionRef<void(size_t begin, size_t end, size_t worker)> body);

 private:
  struct Job {
    FunctionRef<void(size_t, size_t, size_t)> body;
    size_t count;
    size_t grain;
    std::atomic<size_t> next{0};
  };

  void WorkerLoop(size_t worker);
  static void RunShare(Job& job, size_t worker);

  std::vector<std::thread> workers_;
  std::atomic<Job*> job_{nullptr};
  std::atomic<uint32_t> generation_{0};  // counts jobs; workers wait for it to change
  std::atomic<uint32_t> running_{0};     // workers that have not finished the current job
  std::atomic<uint32_t> sleepers_{0};
  std::atomic<bool> stop_{false};
};

// Cores as the scheduler grants them to this process (affinity and physical cores considered), at least 1.
size_t DefaultThreadCount();

}  // namespace damask
