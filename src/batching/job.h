// One request while it is worked on: its session, what it has read and drawn. Used on the scheduler's thread, but for `cancel`.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>

#include "base/timer.h"
#include "batching/prefix_store.h"
#include "batching/request.h"
#include "engine/engine.h"
#include "engine/guesser.h"

namespace damask::batching {

enum class JobState { kQueued, kReading, kDrawing, kDone };

class Job {
 public:
  Job(uint64_t id, Request request, std::shared_ptr<Listener> listener);

  uint64_t id() const { return id_; }
  JobState state() const { return state_; }
  // Set from any thread: the work ends within a chunk.
  std::atomic<bool>& cancel() { return cancel_; }
  double age_seconds() const { return age_.Seconds(); }
  uint64_t unread_tokens() const { return usage_.prompt_tokens - usage_.read_tokens; }
  uint64_t kv_bytes() const { return session_ ? session_->kv_bytes() : 0; }
  const Usage& usage() const { return usage_; }
  const Outcome& outcome() const { return outcome_; }  // once it is done

  // A place has become free: the session is made.
  void Start(engine::Engine* engine);
  engine::Session* session() { return session_.get(); }

  // Whether the session stands where this job takes it to be, so that what failed can be tried again.
  bool intact() const;

  // Reading: the next piece of what `store` has of the unread part is taken from there; gives how many tokens.
  uint64_t Restore(PrefixStore* store);
  // Whether more of it is to be had, with the next call.
  bool restoring() const { return restoring_; }
  // The same of what `other` has in its cache, where both prompts begin alike: all of it at once, as nothing is copied.
  uint64_t TakeFrom(const Job& other);
  // How many tokens the next chunk computes that ends at the next multiple of `border`, when what `store` (null: none) has is
  // taken from there first.
  uint64_t NextRows(const PrefixStore* store, size_t border) const;
  std::span<const TokenId> unread() const { return std::span<const TokenId>(request_.prompt).subspan(session_->length()); }
  // Whether `other`, which is read now, computes a page that this prompt begins with and has not yet.
  bool WaitsFor(const Job& other) const;
  // The session has read a chunk, or could not: what is new goes to `store`, and behind the last chunk the first token is
  // drawn. Errors end the job.
  void ChunkRead(engine::Engine* engine, PrefixStore* store, const Status& status);

  // What has been read and `store` has not yet goes there.
  void Keep(PrefixStore* store);

  // Drawing: the token whose logits are wanted next, and what to do when they are there.
  TokenId next_token() const { return next_token_; }
  void LogitsReady(engine::Engine* engine);
  // The same for a job that draws alone: what may follow next_token() (engine::Guesser), and that token and those of them that
  // are right put into the session. An error leaves the job as it is.
  std::span<const TokenId> Guesses(const engine::Engine& engine);
  Status DecodeGuesses(engine::Engine* engine, std::span<const TokenId> guesses);

  // Ends it: the session goes, the last piece is sent. Once; later calls change nothing.
  void Finish(const Status& status, engine::FinishReason reason);
  // The same where that threw: no last piece, and nothing that needs memory.
  void Abandon(Status status) noexcept;
  // The listener hears the outcome. Once, after Finish.
  void Tell();

 private:
  TokenId Draw(engine::Engine* engine, std::span<const float> logits);
  void Stepped();
  void Close() noexcept;
  uint64_t Took(uint64_t before);
  void TellProgress();
  void SendPiece();
  void TakeLogprobs();

  const uint64_t id_;
  Request request_;
  std::shared_ptr<Listener> listener_;
  std::atomic<bool> cancel_{false};
  JobState state_ = JobState::kQueued;
  Timer age_;
  Timer stage_;  // since reading or drawing began
  std::unique_ptr<engine::Session> session_;
  std::optional<engine::Answer> answer_;
  TokenId next_token_ = 0;
  engine::Guesser guesser_;
  bool looked_ = false;  // the store has been asked once
  bool restoring_ = false;
  uint64_t out_of_reach_ = 0;  // up to here the store had the prompt and could not give it
  uint64_t kept_tokens_ = 0;   // of the prompt: given to the store
  Piece piece_;                // drawn, not yet sent
  struct Held {
    uint64_t begin = 0;  // engine::Answer::drawn_bytes
    DrawnToken token;
  };
  std::deque<Held> held_;  // logprobs of tokens whose text is not certain yet
  Usage usage_;
  Outcome outcome_;
};

}  // namespace damask::batching
