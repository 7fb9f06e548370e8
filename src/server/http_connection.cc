#include "server/http_connection.h"

#include <algorithm>
#include <utility>

#include <boost/asio/post.hpp>

namespace damask::server {

Connection::Connection(boost::asio::ip::tcp::socket socket, ConnectionOwner* owner)
    : socket_(std::move(socket)),
      timer_(socket_.get_executor()),
      owner_(owner),
      limits_(owner->limits()),
      parser_(limits_, owner->body_budget()),
      buffer_() {}

void Connection::Start() {
  ErrorCode ignored;
  // Tokens are small and must not wait for each other.
  socket_.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
  read_deadline_ = Clock::now() + limits_.idle_timeout;
  Guard([this] { Read(); });
}

void Connection::StopRequests() {
  keep_ = false;
  // A request that is not whole yet, or none at all.
  if (answer_ == nullptr && unsent() == 0 && !lingering_) Close();
}

void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  ErrorCode ignored;
  timer_.cancel(ignored);
  socket_.close(ignored);
  const std::shared_ptr<Connection> self = shared_from_this();  // the owner and the answer let go below
  if (answer_ != nullptr) std::exchange(answer_, nullptr)->Gone();
  answer_share_.GiveBack();
  if (std::exchange(answering_, false)) owner_->AnswerIsSent();
  owner_->Closed(this);
}

void Connection::CloseWithReset() {
  ErrorCode ignored;
  // Also frees at once what the system holds for a client that does not read.
  if (!closed_) socket_.set_option(boost::asio::socket_base::linger(true, 0), ignored);
  Close();
}

void Connection::WakeUp() {
  boost::asio::post(socket_.get_executor(), [self = shared_from_this()] { self->Guard([&] { self->TakeNews(); }); });
}

void Connection::ArmTimer() {
  if (closed_) return;
  const TimePoint earliest = std::min({read_deadline_, write_deadline_, keep_alive_at_, look_at_});
  if (earliest >= armed_for_) return;
  armed_for_ = earliest;
  timer_.expires_at(earliest);
  timer_.async_wait([self = shared_from_this()](const ErrorCode& error) { self->Guard([&] { self->OnTimer(error); }); });
}

void Connection::OnTimer(const ErrorCode& error) {
  if (error || closed_) return;  // set anew, or closed
  armed_for_ = kNever;
  const TimePoint now = Clock::now();
  if (now >= write_deadline_) {
    CloseWithReset();
  } else if (now >= read_deadline_) {
    OnReadTimeout();
  } else if (now >= look_at_) {
    LookForEnd();
  } else if (now >= keep_alive_at_) {
    SendKeepAlive();
  }
}

}  // namespace damask::server
