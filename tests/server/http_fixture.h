// A server on a free port, handlers that tests use again and again, and waiting with a generous limit.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "server/http_server.h"

namespace damask::server {

inline constexpr std::chrono::seconds kPatience{60};

inline bool WaitUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline size_t CountOpenFiles() {
  namespace fs = std::filesystem;
  return static_cast<size_t>(std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator()));
}

inline HttpResponse Text(std::string body, int status = 200) {
  HttpResponse response;
  response.status = status;
  response.content_type = "text/plain";
  response.body = std::move(body);
  return response;
}

// "POST /path?query" and the body in the next line.
inline void Echo(const std::shared_ptr<Exchange>& exchange) {
  const HttpRequest& request = exchange->request();
  exchange->Respond(Text(request.method + " " + request.path + "?" + request.query + "\n" + request.body));
}

inline HttpResponse PlainError(int status, const std::string& message, const HttpRequest&) { return Text(message, status); }

// A handler that leaves its exchanges to the test.
class Parking {
 public:
  Handler handler() {
    return [this](std::shared_ptr<Exchange> exchange) {
      const std::lock_guard lock(mutex_);
      parked_.push_back(std::move(exchange));
      arrived_.notify_all();
    };
  }
  // The next one; nothing where none comes in time.
  std::shared_ptr<Exchange> Take(std::chrono::milliseconds within = kPatience) {
    std::unique_lock lock(mutex_);
    if (!arrived_.wait_for(lock, within, [this] { return !parked_.empty(); })) return nullptr;
    std::shared_ptr<Exchange> exchange = std::move(parked_.front());
    parked_.pop_front();
    return exchange;
  }
  size_t size() {
    const std::lock_guard lock(mutex_);
    return parked_.size();
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<std::shared_ptr<Exchange>> parked_;
};

class HttpServerFixture : public ::testing::Test {
 protected:
  void StartServer(Handler handler = Echo, const HttpLimits& limits = {}, ErrorResponse error = PlainError) {
    auto listening = HttpServer::Listen("127.0.0.1", 0, limits);
    ASSERT_TRUE(listening.ok()) << listening.status().ToString();
    server_ = std::move(listening).value();
    server_->Start(std::move(handler), std::move(error), nullptr);
  }
  uint16_t port() const { return server_->port(); }

  Parking parking_;  // outlives the server, whose handler it may be
  std::unique_ptr<HttpServer> server_;
};

}  // namespace damask::server
