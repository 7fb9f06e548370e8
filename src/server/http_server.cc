// Accepting, stopping and draining; what happens on one connection is http_connection.h's.
#include "server/http_server.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include "base/log.h"
#include "server/http_connection.h"
#include "server/http_listen.h"

namespace damask::server {
namespace {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;

// Out of file descriptors or memory: a connection that closes is noticed at once, whatever else frees them after this time.
constexpr std::chrono::milliseconds kAcceptRetry{100};

class Server final : public HttpServer, public ConnectionOwner {
 public:
  explicit Server(const HttpLimits& limits)
      : limits_(limits),
        // One body that is no longer than allowed always fits by itself.
        body_budget_(std::make_shared<BodyBudget>(std::max(limits.max_total_body_bytes, limits.max_body_bytes))),
        answer_budget_(std::make_shared<BodyBudget>(limits.max_total_answer_bytes)),
        acceptor_(io_),
        accept_retry_(io_),
        work_(io_.get_executor()) {}
  ~Server() override;  // NOLINT(bugprone-exception-escape): see there
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  Status Open(const std::string& host, uint16_t port);

  uint16_t port() const override { return bound_.port(); }
  std::string address() const override { return bound_.address().to_string(); }
  void Start(Handler handler, ErrorResponse error, Admission admission) override;
  void StopAccepting() override;
  bool Drain(std::chrono::milliseconds grace) override;
  size_t connections() const override { return num_connections_; }
  uint64_t body_bytes() const override { return body_budget_->held(); }

  const HttpLimits& limits() const override { return limits_; }
  const std::shared_ptr<BodyBudget>& body_budget() const override { return body_budget_; }
  const std::shared_ptr<BodyBudget>& answer_budget() const override { return answer_budget_; }
  bool stopping() const override { return stopping_; }
  void Handle(std::shared_ptr<Exchange> exchange) override { handler_(std::move(exchange)); }
  std::optional<HttpResponse> Refusal(const HttpRequest& head) override { return admission_ ? admission_(head) : std::nullopt; }
  HttpResponse Error(int status, const std::string& message, const HttpRequest& head) override;
  void AnswerBegins() override;
  void AnswerIsSent() override;
  void Closed(Connection* connection) override;

 private:
  void Run();
  // On the server's thread, and back when it is done.
  void Do(const std::function<void()>& task);
  void Accept();
  void OnAccepted(const ErrorCode& error, asio::ip::tcp::socket socket);
  void ForgetAccept();
  bool TakeOn(asio::ip::tcp::socket socket);  // false: there is no memory for it
  std::vector<std::shared_ptr<Connection>> OpenConnections() const;

  const HttpLimits limits_;
  const std::shared_ptr<BodyBudget> body_budget_;  // requests that handlers keep may outlive the server
  const std::shared_ptr<BodyBudget> answer_budget_;
  Handler handler_;
  ErrorResponse error_;
  Admission admission_;

  asio::io_context io_{1};
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer accept_retry_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::ip::tcp::endpoint bound_;
  std::thread thread_;

  // Of the server's thread.
  std::unordered_map<Connection*, std::shared_ptr<Connection>> open_;
  bool accepting_ = false;
  uint64_t accept_turn_ = 0;  // accepts of earlier turns are forgotten
  bool stopping_ = false;

  std::atomic<size_t> num_connections_{0};
  std::mutex mutex_;
  std::condition_variable all_sent_;
  size_t num_answers_ = 0;  // under way
};

Status Server::Open(const std::string& host, uint16_t port) {
  DAMASK_RETURN_IF_ERROR(OpenListener(host, port, &acceptor_));
  ErrorCode error;
  bound_ = acceptor_.local_endpoint(error);
  if (error) return IoError("the listening socket has no address: " + error.message());
  return {};
}

// Without the memory for one task the connections cannot be ended, and ending the process is what is left.
Server::~Server() {  // NOLINT(bugprone-exception-escape)
  Do([this] {
    stopping_ = true;
    ErrorCode ignored;
    acceptor_.close(ignored);
    accept_retry_.cancel(ignored);
    for (const auto& connection : OpenConnections()) connection->Close();
    work_.reset();
  });
  if (thread_.joinable()) thread_.join();
}

void Server::Run() {
  for (;;) {
    try {
      Accept();
      io_.run();
      return;
    } catch (const std::exception& error) {
      LogWarning(std::string("the server's thread goes on after: ") + error.what());
    } catch (...) {
      LogWarning("the server's thread goes on after something that was thrown");
    }
    ForgetAccept();
  }
}

// What was thrown may have been on its way to Accept's handler, which then never runs.
void Server::ForgetAccept() {
  ErrorCode ignored;
  acceptor_.cancel(ignored);
  ++accept_turn_;
  accepting_ = false;
}

void Server::Start(Handler handler, ErrorResponse error, Admission admission) {
  if (thread_.joinable()) return;
  handler_ = std::move(handler);
  error_ = std::move(error);
  admission_ = std::move(admission);
  thread_ = std::thread([this] { Run(); });
}

void Server::Do(const std::function<void()>& task) {
  if (!thread_.joinable() || thread_.get_id() == std::this_thread::get_id()) return task();
  std::packaged_task<void()> run(task);
  asio::post(io_, [&] { run(); });
  run.get_future().wait();
}

void Server::Accept() {
  if (accepting_ || stopping_ || open_.size() >= std::max<size_t>(limits_.max_connections, 1)) return;
  acceptor_.async_accept([this, turn = accept_turn_](const ErrorCode& error, asio::ip::tcp::socket socket) {
    if (turn != accept_turn_) return;
    accepting_ = false;
    OnAccepted(error, std::move(socket));
  });
  accepting_ = true;  // the handler never runs within the call, which may throw
}

void Server::OnAccepted(const ErrorCode& error, asio::ip::tcp::socket socket) {
  if (stopping_) return;
  if (!error && TakeOn(std::move(socket))) return Accept();
  accept_retry_.expires_after(kAcceptRetry);
  accept_retry_.async_wait([this](const ErrorCode& cancelled) {
    if (!cancelled) Accept();
  });
}

bool Server::TakeOn(asio::ip::tcp::socket socket) {
  try {
    const auto connection = std::make_shared<Connection>(std::move(socket), this);
    open_.emplace(connection.get(), connection);
    num_connections_ = open_.size();
    connection->Start();
    return true;
  } catch (const std::exception& error) {
    LogWarning(std::string("a connection was not taken on: ") + error.what());
    return false;
  }
}

void Server::Closed(Connection* connection) {
  open_.erase(connection);
  num_connections_ = open_.size();
  // Not within the closing of a connection: it may be one of a list that is being closed.
  if (!stopping_) asio::post(io_, [this] { Accept(); });
}

HttpResponse Server::Error(int status, const std::string& message, const HttpRequest& head) {
  try {
    return error_(status, message, head);
  } catch (const std::exception& error) {
    LogWarning(std::string("an error's answer could not be made: ") + error.what());
  } catch (...) {
    LogWarning("an error's answer could not be made");
  }
  HttpResponse bare;
  bare.status = status;
  bare.content_type = "text/plain";
  return bare;
}

void Server::AnswerBegins() {
  const std::lock_guard lock(mutex_);
  ++num_answers_;
}

void Server::AnswerIsSent() {
  const std::lock_guard lock(mutex_);
  if (--num_answers_ == 0) all_sent_.notify_all();
}

std::vector<std::shared_ptr<Connection>> Server::OpenConnections() const {
  std::vector<std::shared_ptr<Connection>> connections;
  connections.reserve(open_.size());
  for (const auto& [key, connection] : open_) connections.push_back(connection);
  return connections;
}

void Server::StopAccepting() {
  Do([this] {
    stopping_ = true;
    ErrorCode ignored;
    acceptor_.close(ignored);
    accept_retry_.cancel(ignored);
    for (const auto& connection : OpenConnections()) connection->StopRequests();
  });
}

bool Server::Drain(std::chrono::milliseconds grace) {
  {
    std::unique_lock lock(mutex_);
    if (all_sent_.wait_for(lock, grace, [this] { return num_answers_ == 0; })) return true;
  }
  bool all_sent = true;
  Do([&] {
    for (const auto& connection : OpenConnections()) {
      if (!connection->answering()) continue;
      all_sent = false;
      connection->Close();
    }
  });
  return all_sent;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::Listen(const std::string& host, uint16_t port, const HttpLimits& limits) {
  auto server = std::make_unique<Server>(limits);
  DAMASK_RETURN_IF_ERROR(server->Open(host, port));
  return std::unique_ptr<HttpServer>(std::move(server));
}

}  // namespace damask::server
