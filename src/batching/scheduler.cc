#include "batching/scheduler.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "base/timer.h"
#include "batching/guarded.h"
#include "kernels/plan.h"

namespace damask::batching {
namespace {

// While answers are running a prompt is read in smaller chunks, so that their next tokens do not wait for long.
constexpr size_t kChunkBesideAnswers = 128;
// Of the time of a chunk: how long answers may draw before the next one.
constexpr double kDrawShare = 0.5;
constexpr std::chrono::seconds kIdlePause{1};

static_assert(kChunkBesideAnswers % kernels::kQueryBlockRows == 0 && model::kChunkTokens % kChunkBesideAnswers == 0);

}  // namespace

Scheduler::Scheduler(engine::Engine* engine, PrefixStore* store, const SchedulerOptions& options)
    : engine_(engine), store_(engine->policy().WantsChunks() ? nullptr : store), options_(options) {
  running_.reserve(options_.parallel);
  Publish();
  thread_ = std::thread([this] { Loop(); });
}

Scheduler::~Scheduler() { Stop(); }

Result<uint64_t> Scheduler::Submit(Request request, std::shared_ptr<Listener> listener) {
  if (request.prompt.empty()) return InvalidArgument("the prompt is empty");
  DAMASK_RETURN_IF_ERROR(engine::ValidateGenerateOptions(request.options));
  DAMASK_RETURN_IF_ERROR(engine_->CheckIds(request.prompt));
  if (request.prompt.size() > engine_->context()) {
    return InvalidArgument(
        fmt::format("the prompt has {} tokens, the context holds {}", request.prompt.size(), engine_->context()));
  }
  request.options.guesses = options_.guesses;
  const std::lock_guard lock(mutex_);
  if (draining_) return Cancelled();
  // Requests that have a place to go to are no queue, though the compute thread has not yet fetched them.
  if (all_.size() >= options_.parallel + options_.queue) {
    ++stats_.refused;
    return TooLarge(fmt::format("{} requests are waiting already", queue_.size()));
  }
  const uint64_t id = next_id_++;
  all_.reserve(all_.size() + 1);  // who is in one of the two lists is in both
  queue_.push_back(std::make_shared<Job>(id, std::move(request), std::move(listener)));
  all_.push_back(queue_.back());
  ++stats_.accepted;
  stats_.queued = queue_.size();
  work_.notify_one();
  return id;
}

void Scheduler::Cancel(uint64_t request) {
  const std::lock_guard lock(mutex_);
  for (const JobPtr& job : all_) {
    if (job->id() == request) job->cancel().store(true);
  }
  work_.notify_one();
}

void Scheduler::Drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

bool Scheduler::WaitIdle(double seconds) {
  std::unique_lock lock(mutex_);
  return idle_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return all_.empty(); });
}

void Scheduler::Stop() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    stopping_ = true;
    for (const JobPtr& job : all_) job->cancel().store(true);
    work_.notify_one();
  }
  if (thread_.joinable()) thread_.join();
}

SchedulerStats Scheduler::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

// The thread's own work takes no memory outside of Step, so that whatever is missing, requests can be ended.
void Scheduler::Loop() {
  while (WaitForWork()) {
    if (store_ != nullptr) store_->Collect();
    Admit();
    EndCancelled();
    const Status status = Caught([&] { Step(); });
    // Nobody's fault, but it would be the same again: the youngest gives its memory to the others.
    if (!status.ok() && !running_.empty()) End(running_.back().get(), status, engine::FinishReason::kCancelled);
    Forget();
  }
  if (store_ == nullptr) return;
  const Status flushed = Caught([&] { store_->Flush(); });
  if (!flushed.ok()) Warn("prompts may be missing on disk", flushed);
}

// False when everything has ended and nothing more may come.
bool Scheduler::WaitForWork() {
  std::unique_lock lock(mutex_);
  // Now and then also without work: pages whose writing to disk has ended go back.
  while (!work_.wait_for(lock, kIdlePause, [this] { return stopping_ || !all_.empty(); })) {
    if (store_ != nullptr) store_->Collect();
    Publish();
  }
  return !(stopping_ && all_.empty());
}

void Scheduler::Admit() {
  while (running_.size() < options_.parallel) {
    {
      const std::lock_guard lock(mutex_);
      if (queue_.empty()) return;
      running_.push_back(std::move(queue_.front()));  // its place is reserved
      queue_.pop_front();
    }
    Job* const job = running_.back().get();
    Guarded(job, [&] { job->Start(engine_); });
    // The first part of a prompt takes a second: until then it should be seen that it is read.
    const std::lock_guard lock(mutex_);
    if (job->state() != JobState::kDone) Publish();
  }
}

// Those whose client has gone or whose time is over, queued ones too.
void Scheduler::EndCancelled() {
  const auto ends = [this](const JobPtr& job) {
    return job->state() != JobState::kDone &&
           (job->cancel().load() || (options_.timeout_seconds > 0 && job->age_seconds() > options_.timeout_seconds));
  };
  while (const JobPtr job = FirstThat(ends)) Guarded(job.get(), [&] { EndEarly(job.get()); });
  const std::lock_guard lock(mutex_);
  std::erase_if(queue_, [](const JobPtr& job) { return job->state() == JobState::kDone; });
}

// One at a time: a list of them would take memory, and who hears of an end may call the scheduler.
template <typename Wanted>
Scheduler::JobPtr Scheduler::FirstThat(const Wanted& wanted) {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(all_.begin(), all_.end(), wanted);
  return found == all_.end() ? nullptr : *found;
}

void Scheduler::EndEarly(Job* job) {
  // Whoever asks again goes on behind what has been read.
  if (store_ != nullptr && job->state() == JobState::kReading) job->Keep(store_);
  if (job->cancel().load()) {
    job->Finish({}, engine::FinishReason::kCancelled);
  } else if (job->state() == JobState::kDrawing) {
    job->Finish({}, engine::FinishReason::kLength);
  } else {
    job->Finish(TooLarge(fmt::format("the request was not read within {} s", options_.timeout_seconds)),
                engine::FinishReason::kCancelled);
  }
}

void Scheduler::Step() {
  if (NextToRead() != nullptr && (!AnyoneDraws() || draw_debt_ <= 0)) Read();
  if (AnyoneDraws()) DrawAll();
}

bool Scheduler::AnyoneDraws() const {
  return std::any_of(running_.begin(), running_.end(), [](const JobPtr& job) { return job->state() == JobState::kDrawing; });
}

// The oldest and the one with the least left take turns: a long document does not hold up a short question, and short questions
// do not hold it up for ever.
Job* Scheduler::NextToRead() {
  Job* oldest = nullptr;
  Job* shortest = nullptr;
  for (const JobPtr& job : running_) {
    if (job->state() != JobState::kReading) continue;
    if (oldest == nullptr) oldest = job.get();
    if (shortest == nullptr || job->unread_tokens() < shortest->unread_tokens()) shortest = job.get();
  }
  return turn_ % 2 == 0 ? shortest : oldest;
}

// What need not be computed, as it was kept or as another request has it. False where the request has ended over it, or where
// more is to come from the disk: the answers have their turn in between, and who has gone is looked for.
bool Scheduler::TakeKept(Job* job) {
  if (store_ == nullptr) return true;
  Guarded(job, [&] {
    totals_.cached_tokens += job->Restore(store_);
    for (const JobPtr& other : running_) totals_.cached_tokens += job->TakeFrom(*other);
  });
  return job->state() == JobState::kReading && !job->restoring();
}

// Whose next chunks make the next batch: that of the one whose turn it is, and with what room it leaves those of others, oldest
// first, so that short prompts that wait together read the weights once. `border` is where chunks end, and the rows in all.
std::vector<Job*> Scheduler::Gather(size_t border) {
  Job* const first = NextToRead();
  if (!TakeKept(first)) return {};
  std::vector<Job*> jobs = {first};
  size_t rows = first->NextRows(nullptr, border);
  if (!first->session()->ReadsInCompany(first->unread())) return jobs;
  for (const JobPtr& job : running_) {
    if (jobs.size() == model::kDecodeRows) break;
    if (job.get() == first || job->state() != JobState::kReading) continue;
    // Read after those, it takes from them what it shares with them.
    const auto waits = [&] {
      return store_ != nullptr &&
             std::any_of(jobs.begin(), jobs.end(), [&](const Job* other) { return job->WaitsFor(*other); });
    };
    if (waits()) continue;
    if (rows + job->NextRows(store_, border) > border) continue;
    if (!TakeKept(job.get()) || waits()) continue;
    const size_t added = job->NextRows(nullptr, border);  // more where the store could not keep its promise
    if (rows + added > border || !job->session()->ReadsInCompany(job->unread())) continue;
    jobs.push_back(job.get());
    rows += added;
  }
  return jobs;
}

void Scheduler::Read() {
  ++turn_;
  const Timer timer;
  const bool whole_chunks = !AnyoneDraws() || engine_->policy().WantsChunks();
  const size_t border = whole_chunks ? model::kChunkTokens : kChunkBesideAnswers;
  const std::vector<Job*> jobs = Gather(border);
  ReadTogether(jobs, border);
  const double seconds = timer.Seconds();
  // Prompts that are whole now draw with the others: the sooner all that wait do so, the fewer times the weights are read. Only
  // a long one must give the answers their time, also where it comes from the disk; how many short ones can follow each other
  // is bounded by the places.
  const bool goes_on =
      jobs.empty() || std::any_of(jobs.begin(), jobs.end(), [](const Job* job) { return job->state() == JobState::kReading; });
  draw_debt_ = goes_on ? seconds * kDrawShare : 0;
  totals_.prefill_seconds += seconds;
}

void Scheduler::ReadTogether(std::span<Job* const> jobs, size_t border) {
  if (jobs.empty()) return;
  std::vector<engine::Session*> sessions;
  std::vector<std::span<const TokenId>> texts;
  for (Job* job : jobs) {
    sessions.push_back(job->session());
    texts.push_back(job->unread());
  }
  // Of several nobody's client breaks off the others' work: a batch is a chunk's worth.
  const std::atomic<bool>* const cancel = jobs.size() == 1 ? &jobs.front()->cancel() : nullptr;
  const Status status = Caught([&] { return engine_->AppendChunks(sessions, texts, border, cancel); });
  if (!status.ok() && jobs.size() > 1) {
    EachAlone(jobs, status, [&](std::span<Job* const> one) { ReadTogether(one, border); });
    return;
  }
  if (status.ok()) ++totals_.prompt_batches;
  for (size_t i = 0; i < jobs.size(); ++i) {
    totals_.prompt_tokens += texts[i].size() - jobs[i]->unread().size();
    Guarded(jobs[i], [&] { jobs[i]->ChunkRead(engine_, store_, status); });
    totals_.drawn_tokens += jobs[i]->usage().completion_tokens;  // the first one comes out of the last chunk
  }
}

void Scheduler::DrawAll() {
  const Timer timer;
  std::vector<Job*> jobs;
  for (const JobPtr& job : running_) {
    if (job->state() == JobState::kDrawing) jobs.push_back(job.get());
  }
  const bool guessed = jobs.size() == 1 && DrawGuesses(jobs.front());
  for (size_t done = 0; !guessed && done < jobs.size(); done += model::kDecodeRows) {
    Draw(std::span(jobs).subspan(done, std::min(model::kDecodeRows, jobs.size() - done)));
  }
  const double seconds = timer.Seconds();
  draw_debt_ -= seconds;
  totals_.decode_seconds += seconds;
}

// Whether there was something to guess. What stands in the places of other answers' tokens costs more than a weight's way from
// memory: only an answer that is drawn alone is guessed ahead.
bool Scheduler::DrawGuesses(Job* job) {
  std::span<const TokenId> guesses;
  const Status guessed = Caught([&] { guesses = job->Guesses(*engine_); });
  if (!guessed.ok() || guesses.empty()) return false;  // no memory for guesses is no reason to end
  const uint64_t before = job->usage().completion_tokens;
  const Status status = Caught([&] { return job->DecodeGuesses(engine_, guesses); });
  if (!status.ok()) End(job, status, engine::FinishReason::kCancelled);
  totals_.drawn_tokens += job->usage().completion_tokens - before;
  return true;
}

void Scheduler::Draw(std::span<Job* const> jobs) {
  std::vector<engine::Session*> sessions;
  std::vector<TokenId> ids;
  for (Job* job : jobs) {
    sessions.push_back(job->session());
    ids.push_back(job->next_token());
  }
  const Status status = Caught([&] { return engine_->Decode(sessions, ids, nullptr); });
  if (!status.ok() && jobs.size() > 1) {
    EachAlone(jobs, status, [&](std::span<Job* const> one) { Draw(one); });
    return;
  }
  for (Job* job : jobs) {
    if (!status.ok()) {
      End(job, status, engine::FinishReason::kCancelled);
      continue;
    }
    Guarded(job, [&] { job->LogitsReady(engine_); });
    ++totals_.drawn_tokens;
  }
}

void Scheduler::Count(const Job& job) {
  const Outcome& outcome = job.outcome();
  if (!outcome.status.ok()) {
    ++totals_.failed;
  } else if (outcome.finish == engine::FinishReason::kCancelled) {
    ++totals_.cancelled;
  } else {
    ++totals_.finished;
  }
  totals_.prefill.Add(outcome.usage.prefill);
  totals_.decode.Add(outcome.usage.decode);
}

// Figures first, so that who hears that a request has ended finds it counted.
void Scheduler::Forget() {
  const auto done = [](const JobPtr& job) { return job->state() == JobState::kDone; };
  std::erase_if(running_, done);
  {
    const std::lock_guard lock(mutex_);
    for (const JobPtr& job : all_) {
      if (done(job)) Count(*job);
    }
    Publish();
  }
  while (const JobPtr job = FirstThat(done)) {
    const Status told = Caught([&] { job->Tell(); });
    if (!told.ok()) Warn("the end of a request could not be told", told);
    const std::lock_guard lock(mutex_);
    all_.erase(std::find(all_.begin(), all_.end(), job));
    if (all_.empty()) idle_.notify_all();
  }
}

// With the lock held. Without memory the figures stay as they were.
void Scheduler::Publish() {
  const Status published = Caught([&] { stats_ = Figures(); });
  static_cast<void>(published);
}

SchedulerStats Scheduler::Figures() const {
  SchedulerStats stats = totals_;
  stats.accepted = stats_.accepted;
  stats.refused = stats_.refused;
  stats.queued = queue_.size();
  stats.kv_bytes = engine_->kv_bytes();
  if (store_ != nullptr) stats.prefix = store_->stats();
  stats.slots.resize(options_.parallel);
  for (size_t i = 0; i < running_.size(); ++i) {
    const Job& job = *running_[i];
    ++(job.state() == JobState::kReading ? stats.reading : stats.drawing);
    stats.slots[i] = {job.id(), job.state(), job.usage(), job.kv_bytes()};
  }
  return stats;
}

}  // namespace damask::batching
