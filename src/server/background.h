// A few threads for work that is too long for the thread of the connections: reading and tokenizing requests.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace damask::server {

class Background {
 public:
  // As many threads, or as many as the system gives: std::system_error where that is none.
  explicit Background(size_t threads);
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;
  ~Background() { Stop(); }

  // In order of coming, as threads become free. Work must not throw. Dropped after Stop.
  void Post(std::function<void()> work);
  // Drops what has not begun and waits for the rest.
  void Stop();

 private:
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace damask::server
