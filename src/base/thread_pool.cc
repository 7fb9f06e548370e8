#include "base/thread_pool.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <fmt/format.h>

namespace damask {
namespace {

// About 30 to 60 microseconds of pauses before a waiting thread sleeps: longer than the serial gaps inside a layer, shorter
// than anything a person or a battery would notice.
constexpr int kSpins = 2000;

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t num_threads) {
  for (size_t worker = 1; worker < num_threads; ++worker) {
    workers_.emplace_back([this, worker] { WorkerLoop(worker); });
  }
}

ThreadPool::~ThreadPool() {
  stop_.store(true);
  generation_.fetch_add(1);
  generation_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunShare(Job& job, size_t worker) {
  while (true) {
    const size_t begin = job.next.fetch_add(job.grain, std::memory_order_relaxed);
    if (begin >= job.count) return;
    job.body(begin, std::min(begin + job.grain, job.count), worker);
  }
}

void ThreadPool::WorkerLoop(size_t worker) {
  uint32_t seen = 0;
  while (true) {
    int spins = 0;
    while (generation_.load(std::memory_order_acquire) == seen) {
      if (++spins < kSpins) {
        Pause();
        continue;
      }
      sleepers_.fetch_add(1);
      generation_.wait(seen);
      sleepers_.fetch_sub(1);
    }
    ++seen;
    if (stop_.load()) return;
    RunShare(*job_.load(std::memory_order_acquire), worker);
    running_.fetch_sub(1, std::memory_order_release);
  }
}

void ThreadPool::ParallelFor(size_t count, size_t grain, FunctionRef<void(size_t, size_t, size_t)> body) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  Job job{body, count, grain};
  if (workers_.empty() || count <= grain) {
    RunShare(job, 0);
    return;
  }
  job_.store(&job, std::memory_order_release);
  running_.store(static_cast<uint32_t>(workers_.size()), std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) generation_.notify_all();
  RunShare(job, 0);
  // The workers' last ranges are short; yield now and then so that an oversubscribed machine makes progress.
  for (int spins = 0; running_.load(std::memory_order_acquire) != 0; ++spins) {
    if (spins < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
  }
}

size_t DefaultThreadCount() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return std::max(1u, std::thread::hardware_concurrency());
  // Two hardware threads of one core share its multipliers: count cores, told apart by their list of siblings.
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    std::ifstream file(fmt::format("/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list", cpu));
    std::string siblings;
    if (!std::getline(file, siblings)) siblings = fmt::format("cpu{}", cpu);
    cores.insert(siblings);
  }
  return std::max<size_t>(1, cores.size());
}

}  // namespace damask
