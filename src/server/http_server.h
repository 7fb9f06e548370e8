// An asynchronous HTTP/1.1 server with limits and timeouts of its own, on Boost.Beast: one thread for all connections. It knows
// bytes, not routes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/status.h"
#include "server/http_message.h"

namespace damask::server {

struct HttpLimits {
  uint64_t max_body_bytes = uint64_t{64} << 20;           // 413 beyond
  uint64_t max_total_body_bytes = uint64_t{256} << 20;    // of all bodies that are held at a time; 503 beyond
  uint64_t max_total_answer_bytes = uint64_t{256} << 20;  // of whole answers that are not yet sent; 503 beyond
  uint64_t max_header_bytes = 32 << 10;                   // request line and headers; 431 beyond
  size_t max_connections = 1024;                          // more wait in the kernel's backlog until one closes
  uint64_t max_requests_per_connection = 10000;           // then "Connection: close"
  uint64_t max_pending_output = uint64_t{4} << 20;        // of one answer's stream, unread by the client: beyond, it is gone
  std::chrono::milliseconds header_timeout{10'000};       // from the first byte of a request to the end of its head
  std::chrono::milliseconds body_timeout{60'000};         // from there to the end of the body
  std::chrono::milliseconds idle_timeout{75'000};         // between requests
  std::chrono::milliseconds write_timeout{60'000};        // without a byte taken by the client
  std::chrono::milliseconds linger_timeout{2'000};        // after the last answer, for the client to read it and close
};

// Makes the answer to what never becomes a request: `status` 400 (malformed), 408, 413, 431, 503 (no memory for its body
// just now); and 500 where a handler threw or dropped its exchange, 503 where there is no memory for its answer. `message` is
// one sentence; of the request `head` has the headers that are known.
using ErrorResponse = std::function<HttpResponse(int status, const std::string& message, const HttpRequest& head)>;
// Called on the server's thread; must return at once (longer work goes elsewhere and answers through the exchange).
using Handler = std::function<void(std::shared_ptr<Exchange>)>;
// Looks at a request whose body is still to come: an answer refuses it, and nothing of the body is kept. On the server's
// thread.
using Admission = std::function<std::optional<HttpResponse>(const HttpRequest& head)>;

class HttpServer {
 public:
  // Binds and listens; connections wait in the backlog until Start. `host` is an address or a name; port 0 takes a free one.
  // Errors: InvalidArgument for an address that cannot be one, Io where the system refuses (port in use, no permission).
  static Result<std::unique_ptr<HttpServer>> Listen(const std::string& host, uint16_t port, const HttpLimits& limits);
  virtual ~HttpServer() = default;  // stops at once

  virtual uint16_t port() const = 0;
  virtual std::string address() const = 0;  // "127.0.0.1", "::1": what is bound
  // `admission` may be null: everything comes in.
  virtual void Start(Handler handler, ErrorResponse error, Admission admission) = 0;
  // No new connections and no new requests on old ones; answers that are under way go on. Idle connections are closed.
  virtual void StopAccepting() = 0;
  // Until every answer has ended and been sent, at most `grace`; false where some had to be cut off. Not on the server's
  // thread.
  virtual bool Drain(std::chrono::milliseconds grace) = 0;
  virtual size_t connections() const = 0;
  // Of all bodies that are held now: still arriving, or with a handler that has not dropped them.
  virtual uint64_t body_bytes() const = 0;
};

}  // namespace damask::server
