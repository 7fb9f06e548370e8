// One connection: requests are read, handed on and answered one after the other. Everything but WakeUp runs on the server's
// thread. Private to the HTTP layer, because it needs Asio.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "server/http_answer.h"
#include "server/http_format.h"
#include "server/http_parser.h"
#include "server/http_server.h"

namespace damask::server {

class Connection;

// What a connection asks of its server, which outlives it.
class ConnectionOwner {
 public:
  virtual const HttpLimits& limits() const = 0;
  virtual const std::shared_ptr<BodyBudget>& body_budget() const = 0;
  virtual const std::shared_ptr<BodyBudget>& answer_budget() const = 0;
  virtual bool stopping() const = 0;
  virtual void Handle(std::shared_ptr<Exchange> exchange) = 0;               // may throw what the handler throws
  virtual std::optional<HttpResponse> Refusal(const HttpRequest& head) = 0;  // before a body is read
  virtual HttpResponse Error(int status, const std::string& message, const HttpRequest& head) = 0;
  virtual void AnswerBegins() = 0;
  virtual void AnswerIsSent() = 0;  // or cut off
  virtual void Closed(Connection* connection) = 0;

 protected:
  ~ConnectionOwner() = default;
};

class Connection : public Outlet, public std::enable_shared_from_this<Connection> {
 public:
  Connection(boost::asio::ip::tcp::socket socket, ConnectionOwner* owner);

  void Start();
  // The answer under way, if there is one, is the last.
  void StopRequests();
  // At once, whatever is under way.
  void Close();
  bool answering() const { return answering_; }

  void WakeUp() override;

 private:
  using ErrorCode = boost::system::error_code;
  using Clock = std::chrono::steady_clock;
  using TimePoint = Clock::time_point;
  static constexpr TimePoint kNever = TimePoint::max();

  // Input (http_connection_input.cc).
  void Read();
  void OnRead(const ErrorCode& error, size_t bytes);
  void OnInputEnd();
  void Advance();  // as far as the bytes at hand and the state of the answer allow
  void Dispatch();
  void Refuse(int status, const std::string& message) { RefuseWith(owner_->Error(status, message, parser_.head())); }
  void RefuseWith(const HttpResponse& response);
  void OnReadTimeout();
  void LookForEnd();

  // Output (http_connection_output.cc).
  void TakeNews();
  void BeginStream(const HttpResponse& head);
  void QueueWhole(const HttpResponse& response);
  void QueueStream(const std::string& bytes);
  void FinishAnswer();
  void SendKeepAlive();
  void Send();
  void WriteSome();
  void OnWritten(const ErrorCode& error, size_t bytes);
  void OnAllSent();
  void Linger();
  void CloseWithReset();
  bool keep_connection() const { return keep_ && !owner_->stopping(); }
  size_t unsent() const { return out_.size() + sending_.size() - sent_; }

  Framing stream_framing() const { return http_1_0_ ? Framing::kUntilClose : Framing::kChunked; }

  // Runs an event of this connection; what throws (memory) ends the connection and not the server.
  template <typename Event>
  void Guard(const Event& event);

  // Times: one timer for all of them, set for the earliest; that one is late in being moved back costs nothing but a wake-up.
  void ArmTimer();
  void OnTimer(const ErrorCode& error);

  boost::asio::ip::tcp::socket socket_;
  boost::asio::steady_timer timer_;
  ConnectionOwner* const owner_;
  const HttpLimits& limits_;

  HttpParser parser_;
  std::array<char, 16384> buffer_;
  std::string in_;
  bool reading_ = false;      // a read is pending
  bool discarding_ = false;   // what comes is thrown away
  bool input_ended_ = false;  // the client has closed its side
  bool body_begun_ = false;   // of the current request: its times are set and its "100 Continue" is sent
  uint64_t num_requests_ = 0;

  HttpRequest head_;                // of the request under way: its headers only
  std::shared_ptr<Answer> answer_;  // under way
  BodyShare answer_share_;          // of the memory for whole answers, until it has been sent
  bool answering_ = false;          // from the handler's call until the answer's last byte has been sent
  bool streaming_ = false;
  bool head_only_ = false;  // HEAD
  bool http_1_0_ = false;
  bool keep_ = true;           // another request may follow
  bool reset_at_end_ = false;  // close so that the client sees an error
  KeepAlive keep_alive_;
  uint64_t num_keep_alives_ = 0;  // since the answer's last bytes

  std::string out_;      // to be sent next
  std::string sending_;  // in the hands of a write, from sent_ on
  size_t sent_ = 0;
  bool writing_ = false;

  bool lingering_ = false;  // all is said; waiting for the client to close
  bool closed_ = false;
  TimePoint read_deadline_ = kNever;
  TimePoint write_deadline_ = kNever;
  TimePoint keep_alive_at_ = kNever;
  TimePoint look_at_ = kNever;
  TimePoint armed_for_ = kNever;
};

template <typename Event>
void Connection::Guard(const Event& event) {
  try {
    event();
    ArmTimer();
  } catch (const std::exception& error) {
    LogWarning(std::string("a connection was closed: ") + error.what());
    Close();
  }
}

}  // namespace damask::server
