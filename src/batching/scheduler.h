// Many requests on one engine. A thread of its own computes: one chunk at a time, of one long prompt or of several short ones,
// and between chunks the next token of every running answer, eight to a batch (continuous batching as in Orca, OSDI '22, and
// vLLM; chunked prefill as in Sarathi, arXiv 2403.02310). A request's text does not depend on what runs beside it: prompts and
// drawn tokens never share a batch, and every row's arithmetic is its own.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

#include "base/status.h"
#include "batching/job.h"
#include "batching/prefix_store.h"
#include "batching/request.h"
#include "engine/engine.h"

namespace damask::batching {

struct SchedulerOptions {
  size_t parallel = 8;            // requests that are worked on at once
  size_t queue = 64;              // more that may wait
  double timeout_seconds = 3600;  // of a request in all, from Submit; 0: none
  size_t guesses = 0;             // tokens to guess ahead at most for an answer that is drawn alone (engine/guesser.h)
};

// What one place is doing.
struct SlotState {
  uint64_t request = 0;  // 0: free
  JobState state = JobState::kDone;
  Usage usage;  // so far
  uint64_t kv_bytes = 0;
};

// Sums since the start, but for the first four. prefill, decode: of requests that have ended.
struct SchedulerStats {
  size_t queued = 0;
  size_t reading = 0;
  size_t drawing = 0;
  uint64_t kv_bytes = 0;  // of all pages: running requests and kept prefixes

  uint64_t accepted = 0;
  uint64_t refused = 0;  // the queue was full
  uint64_t finished = 0;
  uint64_t cancelled = 0;
  uint64_t failed = 0;
  uint64_t prompt_tokens = 0;   // computed
  uint64_t cached_tokens = 0;   // restored
  uint64_t prompt_batches = 0;  // the prompt tokens were computed in so many batches, each one reading of the weights
  uint64_t drawn_tokens = 0;
  double prefill_seconds = 0;  // the compute thread's
  double decode_seconds = 0;
  model::SegmentReport prefill;
  model::SegmentReport decode;
  PrefixStats prefix;
  std::vector<SlotState> slots;  // [parallel]
};

class Scheduler {
 public:
  // engine and store (null: prompts are always read) are not owned, outlive the object, and are used by its thread alone from
  // now on. The store is not used with a policy whose choice depends on how a text was cut into chunks.
  Scheduler(engine::Engine* engine, PrefixStore* store, const SchedulerOptions& options);
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  ~Scheduler();  // as Stop

  // Whether prompts that have been read are kept for others.
  bool keeps_prompts() const { return store_ != nullptr; }

  // From any thread. Gives the request's number. The listener is called from the scheduler's thread, at last with OnDone.
  // Errors, nothing is then called: TooLarge where the queue is full (code kTooLarge), Cancelled after Drain, InvalidArgument
  // for a prompt that is empty, has ids outside the vocabulary, or leaves no room in the context.
  Result<uint64_t> Submit(Request request, std::shared_ptr<Listener> listener);
  // The request ends within a chunk; its listener still hears OnDone. Unknown numbers are ignored.
  void Cancel(uint64_t request);

  // Accepts nothing any more; what has been accepted goes on.
  void Drain();
  // Waits until nothing is queued or running, at most that long; false where something still is.
  bool WaitIdle(double seconds);
  // Ends everything.
  void Stop();

  // As of the last step; never waits for one.
  SchedulerStats stats() const;

 private:
  using JobPtr = std::shared_ptr<Job>;

  void Loop();
  bool WaitForWork();
  void Admit();
  void EndCancelled();
  void EndEarly(Job* job);
  template <typename Wanted>
  JobPtr FirstThat(const Wanted& wanted);
  void Step();
  Job* NextToRead();
  bool AnyoneDraws() const;
  std::vector<Job*> Gather(size_t border);
  bool TakeKept(Job* job);
  void Read();
  void ReadTogether(std::span<Job* const> jobs, size_t border);
  void DrawAll();
  void Draw(std::span<Job* const> jobs);
  bool DrawGuesses(Job* job);
  void Count(const Job& job);
  void Forget();
  void Publish();
  SchedulerStats Figures() const;

  engine::Engine* engine_;
  PrefixStore* const store_;
  const SchedulerOptions options_;

  // The compute thread's.
  std::vector<JobPtr> running_;  // at most `parallel`
  SchedulerStats totals_;
  double draw_debt_ = 0;  // seconds that drawing may take before the next chunk
  uint64_t turn_ = 0;

  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable idle_;
  std::deque<JobPtr> queue_;
  std::vector<JobPtr> all_;  // queued and running
  SchedulerStats stats_;
  uint64_t next_id_ = 1;
  bool draining_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace damask::batching
