#include "base/thread_pool.h"

#include <atomic>
#include <functional>
#include <new>
#include <optional>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "tests/failing_new.h"

namespace damask {
namespace {

// Runs one job and checks every promise of ParallelFor but the waiting.
void CheckCover(ThreadPool& pool, size_t count, size_t grain) {
  std::vector<std::atomic<int>> taken(count);
  std::atomic<bool> well_formed{true};
  pool.ParallelFor(count, grain, [&](size_t begin, size_t end, size_t worker) {
    if (begin >= end || end > count || end - begin > grain || begin % grain != 0 || worker >= pool.num_threads()) {
      well_formed = false;
    }
    if (end - begin < grain && end != count) well_formed = false;
    for (size_t i = begin; i < end && i < count; ++i) taken[i].fetch_add(1, std::memory_order_relaxed);
  });
  EXPECT_TRUE(well_formed) << count << " by " << grain;
  for (size_t i = 0; i < count; ++i) ASSERT_EQ(taken[i].load(), 1) << i << " of " << count << " by " << grain;
}

TEST(ThreadPool, CoversEveryItemOnceForRandomCountsAndGrains) {
  std::mt19937 random(3);
  for (const size_t num_threads : {1, 2, 3, 8}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    for (int round = 0; round < 200; ++round) CheckCover(pool, random() % 500, 1 + random() % 40);
  }
}

TEST(ThreadPool, AnEmptyJobNeverCallsItsBody) {
  ThreadPool pool(2);
  pool.ParallelFor(0, 1, [](size_t, size_t, size_t) { FAIL(); });
}

TEST(ThreadPool, AGrainOfZeroIsAGrainOfOne) {
  ThreadPool pool(2);
  std::atomic<size_t> calls{0};
  pool.ParallelFor(5, 0, [&](size_t begin, size_t end, size_t) {
    EXPECT_EQ(end, begin + 1);
    ++calls;
  });
  EXPECT_EQ(calls.load(), 5u);
}

TEST(ThreadPool, SizesAtTheTopOfTheirTypeDoNotWrap) {
  ThreadPool pool(3);
  std::atomic<size_t> calls{0};
  std::atomic<size_t> items{0};
  pool.ParallelFor(SIZE_MAX, SIZE_MAX / 2, [&](size_t begin, size_t end, size_t) {
    items += end - begin;
    ++calls;
  });
  EXPECT_EQ(calls.load(), 3u);
  EXPECT_EQ(items.load(), SIZE_MAX);
}

TEST(ThreadPool, WhatBodiesWroteIsSeenByTheCaller) {
  ThreadPool pool(4);
  std::vector<uint64_t> values(1000);  // plain memory: the thread sanitizer checks the ordering here
  for (uint64_t round = 0; round < 500; ++round) {
    pool.ParallelFor(values.size(), 7, [&](size_t begin, size_t end, size_t) {
      for (size_t i = begin; i < end; ++i) values[i] += round * i;
    });
  }
  for (size_t i = 0; i < values.size(); ++i) ASSERT_EQ(values[i], i * (499 * 500 / 2));
}

TEST(ThreadPool, WhatTheCallerWroteBeforeIsSeenByBodies) {
  ThreadPool pool(4);
  uint64_t given = 0;
  for (uint64_t round = 1; round <= 2000; ++round) {
    given = round;
    std::atomic<uint64_t> wrong{0};
    pool.ParallelFor(4, 1, [&](size_t, size_t, size_t) { wrong += given == round ? 0 : 1; });
    ASSERT_EQ(wrong.load(), 0u);
  }
}

TEST(ThreadPool, AWorkerNumberIsHeldByOneThreadAtATime) {
  ThreadPool pool(6);
  std::vector<std::atomic<int>> inside(pool.num_threads());
  std::atomic<bool> alone{true};
  pool.ParallelFor(2000, 1, [&](size_t, size_t, size_t worker) {
    if (inside[worker].fetch_add(1) != 0) alone = false;
    inside[worker].fetch_sub(1);
  });
  EXPECT_TRUE(alone.load());
}

TEST(ThreadPool, SeveralPoolsWorkSideBySide) {
  std::vector<std::thread> callers;
  callers.reserve(4);
  std::atomic<uint64_t> sum{0};
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&sum] {
      ThreadPool pool(3);
      for (int round = 0; round < 200; ++round) {
        pool.ParallelFor(30, 4, [&](size_t begin, size_t end, size_t) { sum += end - begin; });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum.load(), 4u * 200 * 30);
}

TEST(ThreadPool, ManyMoreThreadsThanCoresStillCover) {
  ThreadPool pool(64);
  for (int round = 0; round < 100; ++round) CheckCover(pool, 200, 3);
}

TEST(ThreadPool, WorkersThatFellAsleepWakeForTheNextJob) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));  // longer than the workers spin
    CheckCover(pool, 50, 1);
  }
}

TEST(ThreadPool, EndsCleanlyWithoutAJobAndRightAfterOne) {
  for (int round = 0; round < 50; ++round) {
    ThreadPool idle(4);
    ThreadPool busy(4);
    CheckCover(busy, 10, 1);
  }
}

TEST(ThreadPool, AllThreadsWorkAtOnce) {
  ThreadPool pool(4);
  for (int round = 0; round < 20; ++round) {
    std::atomic<size_t> arrived{0};
    pool.ParallelFor(4, 1, [&](size_t, size_t, size_t) {
      ++arrived;
      while (arrived.load() < 4) std::this_thread::yield();  // a pool that leaves one out hangs here
    });
  }
}

struct Thrown {
  size_t worker;
};

// A job of which every thread takes a range, and those that `throws` names throw there.
void RunAndThrow(ThreadPool& pool, const std::function<bool(size_t worker)>& throws) {
  std::atomic<size_t> arrived{0};
  pool.ParallelFor(pool.num_threads(), 1, [&](size_t, size_t, size_t worker) {
    ++arrived;
    while (arrived.load() < pool.num_threads()) std::this_thread::yield();
    if (throws(worker)) throw Thrown{worker};
  });
}

TEST(ThreadPool, WhatABodyThrowsOnAnyThreadReachesTheCallerAndThePoolGoesOn) {
  for (const size_t num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    for (size_t round = 0; round < 20; ++round) {
      const size_t thrower = round % pool.num_threads();
      try {
        RunAndThrow(pool, [&](size_t worker) { return worker == thrower; });
        FAIL() << "nothing thrown";
      } catch (const Thrown& thrown) {
        EXPECT_EQ(thrown.worker, thrower);
      }
      CheckCover(pool, 100, 3);
    }
  }
}

TEST(ThreadPool, OfManyThatThrowOneReachesTheCaller) {
  for (const size_t num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    for (int round = 0; round < 100; ++round) {
      EXPECT_THROW(RunAndThrow(pool, [](size_t) { return true; }), Thrown);
      CheckCover(pool, 10, 1);
    }
  }
}

TEST(ThreadPool, AfterAThrowNoBodyRunsAnyMoreAndTheOtherRangesAreLeftOut) {
  for (const size_t num_threads : {1, 2, 4}) {
    ThreadPool pool(num_threads);
    std::atomic<size_t> inside{0};
    // A pool that goes on with a job of that many ranges hangs here.
    EXPECT_THROW(pool.ParallelFor(SIZE_MAX, 1,
                                  [&](size_t begin, size_t, size_t) {
                                    ++inside;
                                    if (begin != 100) std::this_thread::yield();
                                    --inside;
                                    if (begin == 100) throw std::bad_alloc();
                                  }),
                 std::bad_alloc);
    EXPECT_EQ(inside.load(), 0u);
    CheckCover(pool, 100, 3);
  }
}

TEST(ThreadPool, WithoutMemoryForAThreadItHasThoseThatRun) {
  constexpr size_t kWanted = 4;
  size_t most = 0;
  for (size_t allowed = 1; most < kWanted; ++allowed) {  // the first is the list of threads
    std::optional<ThreadPool> pool;
    {
      const test::FailingNew failing(allowed);
      pool.emplace(kWanted);
    }
    EXPECT_GE(pool->num_threads(), most);
    most = pool->num_threads();
    CheckCover(*pool, 100, 3);
    ASSERT_LT(allowed, 100u);
  }
}

TEST(ThreadPool, DefaultThreadCountIsWithinTheLimits) {
  EXPECT_GE(DefaultThreadCount(), 1u);
  EXPECT_LE(DefaultThreadCount(), limits::kMaxThreads);
}

}  // namespace
}  // namespace damask
