// An HTTP request and its answer, as the routes see them: nothing here says which library carries them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/body_budget.h"

namespace damask::server {

struct HttpRequest {
  std::string method;                                        // "GET"
  std::string path;                                          // "/v1/models": before '?', not decoded
  std::string query;                                         // behind '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, in the order they came
  std::string body;
  BodyShare body_share;  // of the memory that all bodies may take

  // The first header of that name (lower case); "" where there is none.
  std::string_view header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

// What keeps a silent stream open: where nothing has been written for `every`, `text` is written, so that neither proxies nor
// clients take it for dead. Every `data_every`th time it is `data` instead: clients built on go-openai give up after 300 lines
// that are no data.
struct KeepAlive {
  std::string text;  // empty: nothing
  std::string data;  // empty: `text` always
  std::chrono::milliseconds every{1'000};
  uint64_t data_every = 60;
};

// One request and the way to answer it: either Respond() once, or BeginStream(), Write()..., then End() or Abort(). All methods
// may be called from any thread, return at once, and do nothing once the client has gone. An exchange that is dropped without
// an answer answers 500.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  // What the body said is known: its memory goes back, though the answer is still to come. On the handler's thread.
  virtual void DropBody() = 0;
  virtual void Respond(HttpResponse response) = 0;
  // Sends the head of an answer whose length is not known (chunked; until the connection closes for HTTP/1.0). `body` is
  // ignored.
  virtual void BeginStream(HttpResponse head, KeepAlive keep_alive) = 0;
  virtual void Write(std::string bytes) = 0;
  virtual void End() = 0;
  // Closes the connection without the final chunk, so that a client sees that the answer is not whole.
  virtual void Abort() = 0;
  // `gone` is called once, on a thread of the server, when the client closes the connection or reads too slowly
  // (HttpLimits::max_pending_output) before the answer has ended; at once where that has already happened.
  virtual void OnGone(std::function<void()> gone) = 0;
  // Whether that has happened: long work that finds it so may as well end.
  virtual bool IsGone() const = 0;
};

}  // namespace damask::server
