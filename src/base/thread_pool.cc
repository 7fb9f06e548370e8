#include "base/thread_pool.h"

#include <algorithm>
#include <new>
#include <system_error>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/checked.h"
#include "base/limits.h"

namespace damask {
namespace {

// About 30 to 60 microseconds of pauses before a waiting thread sleeps: longer than the serial gaps inside a layer, shorter
// than anything a person or a battery would notice.
constexpr int kSpins = 2000;

constexpr uint32_t kStop = 1u;
constexpr uint32_t kOneInside = 1u << 1;
constexpr uint32_t kInsideMask = 0xfffu << 1;
constexpr uint32_t kOneTurn = 1u << 13;  // the openings and closings wrap off the top: odd and even stay what they are
static_assert(limits::kMaxThreads <= kInsideMask / kOneInside);

constexpr bool IsOpen(uint32_t state) { return (state & kOneTurn) != 0; }
constexpr uint32_t Turn(uint32_t state) { return state / kOneTurn; }

void Pause() {
#if defined(__x86_64__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

ThreadPool::ThreadPool(size_t num_threads) {
  num_threads = std::min(num_threads, limits::kMaxThreads);
  workers_.reserve(num_threads);
  try {
    for (size_t worker = 1; worker < num_threads; ++worker) {
      workers_.emplace_back([this, worker] { WorkerLoop(worker); });
    }
  } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch): a limit on threads; those that run are enough
  } catch (const std::bad_alloc&) {     // NOLINT(bugprone-empty-catch): no memory for one more; nor may those that run be lost
  }
}

ThreadPool::~ThreadPool() {
  state_.fetch_or(kStop);
  state_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void ThreadPool::RunRanges(Job& job, size_t worker) {
  while (!job.failed.load(std::memory_order_relaxed)) {
    // Only who gets which range is decided here; what the bodies read and write is ordered by state_.
    const size_t range = job.next_range.fetch_add(1, std::memory_order_relaxed);
    if (range >= job.num_ranges) return;
    const size_t begin = range * job.grain;
    job.body(begin, begin + std::min(job.grain, job.count - begin), worker);
  }
}

// Lets no exception out: on a worker it would end the program, on the caller the job's frame while workers are inside.
void ThreadPool::RunShare(Job& job, size_t worker) {
  try {
    RunRanges(job, worker);
  } catch (...) {
    if (!job.failed.exchange(true, std::memory_order_relaxed)) job.error = std::current_exception();
  }
}

// Waits until state_ is not `state`, spinning at first; returns what it became.
uint32_t ThreadPool::AwaitChange(uint32_t state) {
  for (int spins = 0; spins < kSpins; ++spins) {
    const uint32_t now = state_.load(std::memory_order_acquire);
    if (now != state) return now;
    Pause();
  }
  // Sequentially consistent on both sides: either the opener sees this sleeper and wakes it, or the wait sees the opened job.
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  state_.wait(state, std::memory_order_seq_cst);
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
  return state_.load(std::memory_order_acquire);
}

void ThreadPool::WorkerLoop(size_t worker) {
  uint32_t done_turn = 0;  // 0 is a closed turn: no job
  uint32_t state = state_.load(std::memory_order_acquire);
  while ((state & kStop) == 0) {
    if (!IsOpen(state) || Turn(state) == done_turn) {
      state = AwaitChange(state);
      continue;
    }
    // Enters only if the job is still open: a success orders the job's fields before their use, a failure reloads.
    if (!state_.compare_exchange_weak(state, state + kOneInside, std::memory_order_acquire)) continue;
    done_turn = Turn(state);
    RunShare(*job_, worker);
    state = state_.fetch_sub(kOneInside, std::memory_order_release) - kOneInside;
  }
}

// The caller's part of a job that workers take part in.
void ThreadPool::RunTogether(Job& job) {
  job_ = &job;
  state_.fetch_add(kOneTurn, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) != 0) state_.notify_all();
  RunShare(job, 0);
  // Closed: workers that come now find nothing. Those inside are on their last range; yield now and then, so that an
  // oversubscribed machine makes progress.
  uint32_t state = state_.fetch_add(kOneTurn, std::memory_order_acq_rel);
  for (int spins = 0; (state & kInsideMask) != 0; ++spins) {
    if (spins < kSpins) {
      Pause();
    } else {
      std::this_thread::yield();
    }
    state = state_.load(std::memory_order_acquire);
  }
}

void ThreadPool::ParallelFor(size_t count, size_t grain, FunctionRef<void(size_t, size_t, size_t)> body) {
  if (count == 0) return;
  grain = std::max<size_t>(grain, 1);
  Job job{.body = body, .count = count, .grain = grain, .num_ranges = CeilDiv(count, grain)};
  if (workers_.empty() || job.num_ranges == 1) {
    RunShare(job, 0);
  } else {
    RunTogether(job);
  }
  if (job.error != nullptr) std::rethrow_exception(job.error);
}

}  // namespace damask
