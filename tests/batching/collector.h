// A listener that keeps what it hears, for tests to wait on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "batching/request.h"

namespace damask::batching {

// Fields may be read after Wait().
class Collector : public Listener {
 public:
  void OnProgress(const Progress& step) override {
    const std::lock_guard lock(mutex_);
    progress.push_back(step);
  }
  void OnPiece(Piece&& piece) override {
    const std::lock_guard lock(mutex_);
    text += piece.text;
    ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
    logprobs.insert(logprobs.end(), piece.logprobs.begin(), piece.logprobs.end());
    changed_.notify_all();
  }
  void OnDone(const Outcome& result) override {
    const std::lock_guard lock(mutex_);
    EXPECT_FALSE(done_) << "OnDone came twice";
    outcome = result;
    done_ = true;
    changed_.notify_all();
  }

  bool Done() {
    const std::lock_guard lock(mutex_);
    return done_;
  }
  void Wait() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(120), [this] { return done_; })) << "no end within two minutes";
  }
  void WaitForText() {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(120), [this] { return done_ || !ids.empty(); }));
  }

  uint64_t request = 0;
  std::vector<Progress> progress;
  std::string text;
  std::vector<TokenId> ids;
  std::vector<DrawnToken> logprobs;
  Outcome outcome;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool done_ = false;
};

}  // namespace damask::batching
