// An operator new that fails when a test wants it to (failing_new.cc, for the whole program).
#pragma once

#include <atomic>

namespace damask::batching::test {

constexpr long kNeverFails = 1L << 40;
// So many allocations of threads that may fail go well; the one behind them does not, and later ones do again.
extern std::atomic<long> allocations_left;
extern thread_local bool may_fail;

}  // namespace damask::batching::test
