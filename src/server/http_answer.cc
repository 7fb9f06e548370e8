#include "server/http_answer.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/log.h"

namespace damask::server {
namespace {

// Answers up to this size are always sent: errors and what tells how the server is.
constexpr uint64_t kSmallAnswer = 64 << 10;

// Its share of the memory for whole answers; false where others have left too little. One that is longer than all of it takes
// all of it: alone every answer is sent.
bool TakeShare(const HttpResponse& response, BodyShare* share, uint64_t limit) {
  const uint64_t bytes = response.body.size();
  return bytes <= kSmallAnswer || share->Grow(std::min(bytes, limit));
}

class AnswerExchange : public Exchange {
 public:
  AnswerExchange(std::shared_ptr<Answer> answer, HttpRequest request)
      : answer_(std::move(answer)), request_(std::move(request)) {}
  ~AnswerExchange() override {
    try {
      answer_->Drop();
    } catch (const std::exception& error) {
      LogWarning(std::string("an answer was lost: ") + error.what());
    }
  }
  AnswerExchange(const AnswerExchange&) = delete;
  AnswerExchange& operator=(const AnswerExchange&) = delete;

  const HttpRequest& request() const override { return request_; }
  void DropBody() override {
    request_.body = std::string();
    request_.body_share.GiveBack();
  }
  void Respond(HttpResponse response) override { answer_->Respond(std::move(response)); }
  void BeginStream(HttpResponse head, KeepAlive keep_alive) override { answer_->Begin(std::move(head), std::move(keep_alive)); }
  void Write(std::string bytes) override { answer_->Write(std::move(bytes)); }
  void End() override { answer_->End(); }
  void Abort() override { answer_->Abort(); }
  void OnGone(std::function<void()> gone) override { answer_->OnGone(std::move(gone)); }
  bool IsGone() const override { return answer_->IsGone(); }

 private:
  const std::shared_ptr<Answer> answer_;
  HttpRequest request_;
};

void CallGone(const std::function<void()>& gone) {
  if (!gone) return;
  try {
    gone();
  } catch (const std::exception& error) {
    LogWarning(std::string("what a request does when its client goes away threw: ") + error.what());
  } catch (...) {
    LogWarning("what a request does when its client goes away threw");
  }
}

}  // namespace

std::shared_ptr<Exchange> MakeExchange(std::shared_ptr<Answer> answer, HttpRequest request) {
  return std::make_shared<AnswerExchange>(std::move(answer), std::move(request));
}

void Answer::WakeUpLocked() {
  // Under the lock, so that Finish and Gone can promise that the connection hears nothing more.
  if (outlet_ == nullptr || woken_) return;
  outlet_->WakeUp();  // where it throws for want of memory, what comes next tries again
  woken_ = true;
}

void Answer::Respond(HttpResponse response) {
  const std::lock_guard lock(mutex_);
  if (!In(Phase::kFresh)) return;
  phase_ = Phase::kEnded;
  news_.whole_share = BodyShare(budget_);
  if (budget_ == nullptr || TakeShare(response, &news_.whole_share, budget_->limit())) {
    news_.whole = std::move(response);
  } else {
    news_.full = true;
  }
  WakeUpLocked();
}

void Answer::Begin(HttpResponse head, KeepAlive keep_alive) {
  const std::lock_guard lock(mutex_);
  if (!In(Phase::kFresh)) return;
  phase_ = Phase::kStreaming;
  news_.head = std::move(head);
  news_.keep_alive = std::move(keep_alive);
  WakeUpLocked();
}

void Answer::Write(std::string bytes) {
  const std::lock_guard lock(mutex_);
  if (!In(Phase::kStreaming)) return;
  // Here and not on the server's thread: a writer that is faster than that thread must be bounded too.
  if (unsent_ + news_.bytes.size() + bytes.size() > max_pending_) {
    news_.bytes = std::string();
    too_slow_ = news_.too_slow = true;
  } else if (news_.bytes.empty()) {
    news_.bytes = std::move(bytes);
  } else {
    news_.bytes += bytes;
  }
  WakeUpLocked();
}

void Answer::End() {
  const std::lock_guard lock(mutex_);
  if (!In(Phase::kStreaming)) return;
  phase_ = Phase::kEnded;
  news_.ended = true;
  WakeUpLocked();
}

void Answer::Abort() {
  const std::lock_guard lock(mutex_);
  if (Void()) return;
  phase_ = Phase::kEnded;
  news_.aborted = true;
  WakeUpLocked();
}

void Answer::Drop() {
  const std::lock_guard lock(mutex_);
  if (!Void()) {
    (phase_ == Phase::kFresh ? news_.dropped : news_.aborted) = true;
    phase_ = Phase::kEnded;
  }
  WakeUpLocked();  // also for what was put in before and could not be announced
}

void Answer::OnGone(std::function<void()> gone) {
  {
    const std::lock_guard lock(mutex_);
    if (!gone_) {
      if (phase_ != Phase::kEnded) on_gone_ = std::move(gone);
      return;
    }
  }
  CallGone(gone);
}

bool Answer::IsGone() const {
  const std::lock_guard lock(mutex_);
  return gone_ || too_slow_;
}

Answer::News Answer::Take() {
  const std::lock_guard lock(mutex_);
  woken_ = false;
  unsent_ += news_.bytes.size();
  return std::exchange(news_, News());
}

void Answer::SetUnsent(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  unsent_ = bytes;
}

void Answer::Finish() {
  // Both may hold the last reference to something whose end must not happen under the lock.
  std::function<void()> callback;
  std::shared_ptr<Outlet> outlet;
  const std::lock_guard lock(mutex_);
  std::swap(callback, on_gone_);
  std::swap(outlet, outlet_);
}

void Answer::Gone() {
  std::function<void()> callback;
  std::shared_ptr<Outlet> outlet;
  {
    const std::lock_guard lock(mutex_);
    gone_ = true;
    // An answer that has ended has no work left that could be stopped.
    const bool ended = std::exchange(phase_, Phase::kEnded) == Phase::kEnded;
    std::swap(callback, on_gone_);
    if (ended) callback = nullptr;
    std::swap(outlet, outlet_);
    news_ = News();
  }
  CallGone(callback);
}

}  // namespace damask::server
