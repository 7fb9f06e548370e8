// What is thrown on the scheduler's thread ends the request that it comes from, and nothing else.
#pragma once

#include <exception>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "base/status.h"
#include "batching/job.h"

namespace damask::batching {

// What is thrown, as a status. That of missing memory needs none itself: it is short enough for a string's own place.
template <typename Work>
Status Caught(const Work& work) {
  try {
    try {
      if constexpr (std::is_void_v<decltype(work())>) {
        work();
        return {};
      } else {
        return work();
      }
    } catch (const std::bad_alloc&) {
      throw;
    } catch (const std::exception& error) {
      return Internal(error.what());
    }
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory left");
  }
}

// What goes wrong inside one request ends that request.
template <typename Work>
void Guarded(Job* job, const Work& work) {
  const Status status = Caught(work);
  if (status.ok()) return;
  Status finished = Caught([&] { job->Finish(status, engine::FinishReason::kCancelled); });
  // The memory may be missing for its last piece.
  if (!finished.ok()) job->Abandon(std::move(finished));
}

inline void End(Job* job, const Status& status, engine::FinishReason reason) {
  Guarded(job, [&] { job->Finish(status, reason); });
}

// After an error of a batch: only the request that it comes from shall end, and one whose session was left half moved.
template <typename Work>
void EachAlone(std::span<Job* const> jobs, const Status& status, const Work& work) {
  for (size_t i = 0; i < jobs.size(); ++i) {
    if (jobs[i]->intact()) {
      work(jobs.subspan(i, 1));
    } else {
      End(jobs[i], status, engine::FinishReason::kCancelled);
    }
  }
}

inline void Warn(const char* what, const Status& status) {
  const Status warned = Caught([&] { LogWarning(fmt::format("{}: {}", what, status.ToString())); });
  static_cast<void>(warned);  // there is no memory to say so
}

}  // namespace damask::batching
