// A tiny HTTP client over a plain socket: it sends exactly the bytes it is told to, also wrong ones, and shows exactly what
// comes back. Every wait has a deadline (timeout(), 180 s if not set: sanitizers are slow), so that a test fails instead of
// hanging.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace damask::server {

struct RawResponse {
  std::string version;  // "HTTP/1.1"
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;                                          // decoded
  bool whole = false;                                        // the body came to its end as its framing says

  std::string header(std::string_view name) const;  // "" where there is none
  bool has_header(std::string_view name) const;
};

// How a connection ended.
enum class RawEnd { kOpen, kClosed, kReset };

class RawClient {
 public:
  RawClient() = default;
  // A receive buffer of a few KiB makes a client that does not read felt soon.
  explicit RawClient(uint16_t port, const std::string& host = "127.0.0.1", int receive_buffer = 0);
  ~RawClient() { Close(); }
  RawClient(RawClient&& other) noexcept { *this = std::move(other); }
  RawClient& operator=(RawClient&& other) noexcept;

  bool connected() const { return fd_ >= 0; }
  void set_timeout(std::chrono::milliseconds timeout) { timeout_ = timeout; }

  bool Send(std::string_view bytes);  // all of them
  void Close();                       // as a client that leaves
  void CloseSending();                // only our side
  void Reset();                       // leaves with an RST

  // "GET /path HTTP/1.1" with Host; `headers` are whole lines with CR LF; a body gets its Content-Length.
  static std::string Request(std::string_view method, std::string_view path, std::string_view body = {},
                             std::string_view headers = {});

  // The next answer; nothing where the connection ends or time runs out before its head is whole. `head_only` after HEAD.
  std::optional<RawResponse> ReadResponse(bool head_only = false);
  // The same in steps, for streams: head, then lines of the body (without their line ends), then its end.
  std::optional<RawResponse> ReadHead();
  std::optional<std::string> ReadBodyLine();
  // Lines up to an empty one, joined by '\n': one event or comment of a text/event-stream.
  std::optional<std::string> ReadEvent();
  bool ReadBodyToEnd(std::string* body);  // true where it is whole
  // At least so many bytes of the body; fewer only at its end.
  std::string ReadBody(size_t bytes);

  // Reads and throws away until the connection ends.
  RawEnd WaitForEnd();
  // Whether something, or the connection's end, can be read within that time.
  bool Readable(std::chrono::milliseconds within);
  // Bytes that are here already, undecoded.
  std::string TakeUnread() { return std::exchange(in_, std::string()); }

 private:
  enum class Body { kNone, kLength, kChunked, kUntilClose, kWhole, kCut };

  bool Fill(std::chrono::steady_clock::time_point deadline);  // false: ended, or no time left
  std::optional<std::string> ReadLine(std::chrono::steady_clock::time_point deadline);
  bool FillBody(std::chrono::steady_clock::time_point deadline);
  void BeginChunk(std::chrono::steady_clock::time_point deadline);
  std::chrono::steady_clock::time_point Deadline() const { return std::chrono::steady_clock::now() + timeout_; }

  int fd_ = -1;
  RawEnd end_ = RawEnd::kOpen;
  std::chrono::milliseconds timeout_{180'000};
  std::string in_;
  std::string body_;  // decoded, not yet read
  Body framing_ = Body::kNone;
  uint64_t left_ = 0;  // of the body, or of the chunk
};

// One request on a connection of its own.
std::optional<RawResponse> Fetch(uint16_t port, std::string_view method, std::string_view path, std::string_view body = {},
                                 std::string_view headers = {});

}  // namespace damask::server
