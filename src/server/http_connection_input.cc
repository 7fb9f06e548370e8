// A connection's input: a read is always pending, also while an answer is computed, because that is how a client that goes away
// is noticed; bytes of later requests wait in in_, up to a limit. Beyond it nothing is read, and the system is asked now and
// then whether the client is still there.
#include <poll.h>

#include <algorithm>
#include <utility>

#include <boost/asio/buffer.hpp>

#include "server/http_connection.h"

namespace damask::server {
namespace {

// How often a connection is looked at that is not read from: sooner than the computing of a chunk ends.
constexpr std::chrono::milliseconds kLookEvery{100};

// Whether the other side has closed, or all is over: seen behind bytes that nobody has read. What cannot be seen is a client
// that closes before the system has taken all its bytes (some hundred KiB); the next write to it finds it out.
bool OtherSideHasClosed(int socket) {
  pollfd state = {socket, POLLRDHUP, 0};
  return poll(&state, 1, 0) > 0 && (state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

}  // namespace

void Connection::Read() {
  // Beyond the limit the client has to wait: its bytes stay in the system's buffer.
  const bool full = !discarding_ && in_.size() > std::max<uint64_t>(limits_.max_header_bytes, buffer_.size());
  look_at_ = full && !input_ended_ ? Clock::now() + kLookEvery : kNever;
  if (closed_ || reading_ || input_ended_ || full) return;
  reading_ = true;
  socket_.async_read_some(boost::asio::buffer(buffer_), [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
    self->Guard([&] { self->OnRead(error, bytes); });
  });
}

void Connection::OnRead(const ErrorCode& error, size_t bytes) {
  reading_ = false;
  if (closed_) return;
  if (error) return OnInputEnd();
  if (!discarding_) {
    in_.append(buffer_.data(), bytes);
    Advance();
  }
  Read();
}

void Connection::LookForEnd() {
  look_at_ = Clock::now() + kLookEvery;
  // Without an answer under way there is no work to stop, and bytes on their way out have a limit of their own.
  if (answer_ == nullptr || !OtherSideHasClosed(socket_.native_handle())) return;
  look_at_ = kNever;
  OnInputEnd();
}

void Connection::OnInputEnd() {
  input_ended_ = true;
  // A client that closes only its sending side looks the same as one that has left, and is taken for one unless its answer is
  // ready: the last news may not have been looked at yet.
  TakeNews();
  if (closed_) return;
  keep_ = false;
  if (answer_ != nullptr || unsent() == 0) Close();
}

void Connection::Advance() {
  // The answers before this one must be with the client first: else a client that sends requests and reads nothing would fill
  // the memory with answers.
  if (closed_ || discarding_ || answer_ != nullptr || unsent() > 0) return;
  if (!keep_connection()) return Linger();
  const HttpParser::State before = parser_.state();
  parser_.Feed(&in_);
  const HttpParser::State state = parser_.state();
  if (state == HttpParser::State::kFailed) return Refuse(parser_.error_status(), parser_.error_message());
  if (state == HttpParser::State::kDone) return Dispatch();
  if (state == HttpParser::State::kHead && before == HttpParser::State::kIdle) {
    read_deadline_ = Clock::now() + limits_.header_timeout;
  }
  if (state != HttpParser::State::kBody || body_begun_) return;
  body_begun_ = true;
  if (const std::optional<HttpResponse> refusal = owner_->Refusal(parser_.head())) return RefuseWith(*refusal);
  read_deadline_ = Clock::now() + limits_.body_timeout;
  if (parser_.expects_continue()) {
    out_ += kContinue;
    Send();
  }
}

void Connection::Dispatch() {
  read_deadline_ = kNever;
  body_begun_ = false;
  keep_ = parser_.keep_alive() && ++num_requests_ < limits_.max_requests_per_connection;
  http_1_0_ = parser_.http_1_0();
  HttpRequest request = parser_.TakeRequest();
  head_only_ = request.method == "HEAD";
  head_.headers = request.headers;
  parser_.Reset();
  answering_ = true;
  owner_->AnswerBegins();
  // A copy: the connection may close within the handler's call.
  const std::shared_ptr<Answer> answer =
      std::make_shared<Answer>(shared_from_this(), limits_.max_pending_output, owner_->answer_budget());
  answer_ = answer;
  try {
    owner_->Handle(MakeExchange(answer, std::move(request)));
  } catch (const std::exception& error) {
    LogWarning(std::string("a request's handler threw: ") + error.what());
    answer->Drop();
  } catch (...) {
    LogWarning("a request's handler threw");
    answer->Drop();
  }
}

void Connection::RefuseWith(const HttpResponse& response) {
  keep_ = false;
  discarding_ = true;
  in_ = std::string();
  read_deadline_ = kNever;
  head_only_ = false;
  parser_.Reset();
  QueueWhole(response);
  Send();
}

void Connection::OnReadTimeout() {
  read_deadline_ = kNever;
  if (lingering_ || parser_.state() == HttpParser::State::kIdle) return Close();
  const bool in_head = parser_.state() == HttpParser::State::kHead;
  const auto limit = in_head ? limits_.header_timeout : limits_.body_timeout;
  Refuse(408, std::string("the request's ") + (in_head ? "head" : "body") + " did not arrive within " +
                  std::to_string(limit.count()) + " ms");
}

}  // namespace damask::server
