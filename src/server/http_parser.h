// Bytes of a connection -> requests, without a socket: Beast's parser, with what it lets pass made strict, because two readers
// of one request that disagree about where it ends are how requests are smuggled.
#pragma once

#include <memory>
#include <string>

#include "server/http_message.h"
#include "server/http_server.h"

namespace damask::server {

class HttpParser {
 public:
  enum class State {
    kIdle,  // not a byte of a request so far
    kHead,  // in the request line or the headers
    kBody,
    kDone,
    kFailed,
  };

  // Bodies take their memory out of `budget` (null: there is no limit but each one's own).
  explicit HttpParser(const HttpLimits& limits, std::shared_ptr<BodyBudget> budget = nullptr);
  ~HttpParser();
  HttpParser(const HttpParser&) = delete;
  HttpParser& operator=(const HttpParser&) = delete;

  // Takes from the front of *input what belongs to the current request; what is left is waited for, or belongs to the next one.
  void Feed(std::string* input);
  // Forgets the current request, so that Feed begins a new one.
  void Reset();

  State state() const;
  // As far as it has come, in every state but after TakeRequest.
  const HttpRequest& head() const;
  // In kBody and kDone:
  bool http_1_0() const;
  bool keep_alive() const;        // as the client wishes
  bool expects_continue() const;  // "Expect: 100-continue", and there is a body to come
  // In kDone, once.
  HttpRequest TakeRequest();
  // In kFailed: 400, 413, 431 or 503, and one sentence.
  int error_status() const;
  const std::string& error_message() const;

 private:
  class Impl;
  const HttpLimits limits_;
  const std::shared_ptr<BodyBudget> budget_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask::server
