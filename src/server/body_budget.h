// How many bytes of bodies (those of requests; those of whole answers) all connections hold together: a limit on each body
// alone would allow as much as there are connections.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

namespace damask::server {

// Thread-safe.
class BodyBudget {
 public:
  explicit BodyBudget(uint64_t limit) : limit_(limit) {}

  uint64_t limit() const { return limit_; }
  uint64_t held() const { return held_.load(); }
  uint64_t left() const { return limit_ - held(); }
  // False, and nothing is taken, where so much is not left.
  bool Take(uint64_t bytes);
  void Give(uint64_t bytes) { held_ -= bytes; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> held_{0};
};

// What one body has taken; goes back with the object. Without a budget there is no limit.
class BodyShare {
 public:
  BodyShare() = default;
  explicit BodyShare(std::shared_ptr<BodyBudget> budget) : budget_(std::move(budget)) {}
  BodyShare(BodyShare&& other) noexcept : budget_(std::move(other.budget_)), bytes_(std::exchange(other.bytes_, 0)) {}
  BodyShare& operator=(BodyShare&& other) noexcept {
    std::swap(budget_, other.budget_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~BodyShare() { GiveBack(); }

  bool Grow(uint64_t bytes);
  void GiveBack();

 private:
  std::shared_ptr<BodyBudget> budget_;
  uint64_t bytes_ = 0;
};

}  // namespace damask::server
