// The meeting point of one answer: routes and workers put into it from any thread, the connection takes out of it on the
// server's thread. Knows neither sockets nor HTTP's bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "server/http_message.h"

namespace damask::server {

// Where an answer goes. WakeUp is called from any thread, must return at once and makes the server's thread call Answer::Take.
class Outlet {
 public:
  virtual ~Outlet() = default;
  virtual void WakeUp() = 0;
};

class Answer {
 public:
  // What was put in since the last Take.
  struct News {
    std::optional<HttpResponse> whole;  // Respond
    BodyShare whole_share;              // of the memory for whole answers
    bool full = false;                  // Respond, but there was no memory for it
    std::optional<HttpResponse> head;   // BeginStream
    KeepAlive keep_alive;               // with head
    std::string bytes;                  // of Writes
    bool ended = false;                 // End
    bool aborted = false;               // Abort, or dropped within a stream
    bool dropped = false;               // dropped before any answer
    bool too_slow = false;              // more was written than the client may leave unread
  };

  // Whole answers take their memory out of `budget` until they have been sent (null: there is no limit).
  Answer(std::shared_ptr<Outlet> outlet, uint64_t max_pending, std::shared_ptr<BodyBudget> budget = nullptr)
      : outlet_(std::move(outlet)), max_pending_(max_pending), budget_(std::move(budget)) {}

  // Exchange's side: any thread.
  void Respond(HttpResponse response);
  void Begin(HttpResponse head, KeepAlive keep_alive);
  void Write(std::string bytes);
  void End();
  void Abort();
  void Drop();  // no answer can come any more: nobody holds the exchange, or its handler threw
  void OnGone(std::function<void()> gone);
  bool IsGone() const;

  // The connection's side: the server's thread.
  News Take();
  void SetUnsent(uint64_t bytes);  // taken, but not yet with the client
  void Finish();                   // all was taken: lets the connection go
  void Gone();                     // the client is away: all that comes is void, and the callback is called

 private:
  enum class Phase { kFresh, kStreaming, kEnded };

  void WakeUpLocked();
  // Whether what comes in this phase still goes out.
  bool In(Phase phase) const { return !gone_ && !too_slow_ && phase_ == phase; }
  bool Void() const { return gone_ || too_slow_ || phase_ == Phase::kEnded; }

  mutable std::mutex mutex_;
  std::shared_ptr<Outlet> outlet_;  // none: finished or gone
  const uint64_t max_pending_;
  const std::shared_ptr<BodyBudget> budget_;
  Phase phase_ = Phase::kFresh;
  bool gone_ = false;
  bool too_slow_ = false;  // as good as gone: the server's thread will say so
  bool woken_ = false;     // a Take is on its way
  uint64_t unsent_ = 0;
  News news_;
  std::function<void()> on_gone_;
};

// What a handler holds; dropping the last reference drops the answer.
std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<Answer> answer, HttpRequest request);

}  // namespace damask::server
