#include "tests/server/raw_client.h"

#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>

#include "base/text.h"

namespace damask::server {

using TimePoint = std::chrono::steady_clock::time_point;

std::string RawResponse::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return {};
}

bool RawResponse::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(), [&](const auto& header) { return header.first == name; });
}

RawClient::RawClient(uint16_t port, const std::string& host, int receive_buffer) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found) != 0) return;
  fd_ = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ >= 0 && receive_buffer > 0) setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  if (fd_ >= 0 && connect(fd_, found->ai_addr, found->ai_addrlen) != 0) Close();
  freeaddrinfo(found);
}

RawClient& RawClient::operator=(RawClient&& other) noexcept {
  if (this == &other) return *this;
  Close();
  fd_ = std::exchange(other.fd_, -1);
  end_ = other.end_;
  timeout_ = other.timeout_;
  in_ = std::move(other.in_);
  body_ = std::move(other.body_);
  framing_ = other.framing_;
  left_ = other.left_;
  return *this;
}

bool RawClient::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

void RawClient::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void RawClient::CloseSending() { shutdown(fd_, SHUT_WR); }

void RawClient::Reset() {
  const linger at_once{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  Close();
}

std::string RawClient::Request(std::string_view method, std::string_view path, std::string_view body,
                               std::string_view headers) {
  std::string request(method);
  request.append(" ").append(path).append(" HTTP/1.1\r\nHost: localhost\r\n").append(headers);
  if (!body.empty()) request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return request.append("\r\n").append(body);
}

bool RawClient::Fill(TimePoint deadline) {
  while (fd_ >= 0 && end_ == RawEnd::kOpen) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd ready{fd_, POLLIN, 0};
    const int num_ready = poll(&ready, 1, static_cast<int>(std::max<int64_t>(left, 0)));
    if (num_ready == 0) return false;
    if (num_ready < 0) continue;
    std::array<char, 65536> buffer;
    const ssize_t bytes = recv(fd_, buffer.data(), buffer.size(), 0);
    if (bytes > 0) {
      in_.append(buffer.data(), static_cast<size_t>(bytes));
      return true;
    }
    if (bytes < 0 && errno == EINTR) continue;
    end_ = bytes == 0 ? RawEnd::kClosed : RawEnd::kReset;
  }
  return false;
}

std::optional<std::string> RawClient::ReadLine(TimePoint deadline) {
  for (size_t from = 0;;) {
    const size_t end = in_.find("\r\n", from);
    if (end != std::string::npos) {
      std::string line = in_.substr(0, end);
      in_.erase(0, end + 2);
      return line;
    }
    from = in_.empty() ? 0 : in_.size() - 1;
    if (!Fill(deadline)) return std::nullopt;
  }
}

std::optional<RawResponse> RawClient::ReadHead() {
  const TimePoint deadline = Deadline();
  const std::optional<std::string> first = ReadLine(deadline);
  if (!first || first->size() < 12) return std::nullopt;
  RawResponse response;
  response.version = first->substr(0, 8);
  response.status = std::atoi(first->c_str() + 9);
  for (;;) {
    const std::optional<std::string> line = ReadLine(deadline);
    if (!line) return std::nullopt;
    if (line->empty()) break;
    const size_t colon = line->find(": ");
    if (colon == std::string::npos) return std::nullopt;
    response.headers.emplace_back(LowerCase(line->substr(0, colon)), line->substr(colon + 2));
  }
  body_.clear();
  left_ = std::strtoull(response.header("content-length").c_str(), nullptr, 10);
  framing_ = Body::kUntilClose;
  if (response.has_header("content-length")) framing_ = left_ > 0 ? Body::kLength : Body::kWhole;
  if (response.header("transfer-encoding") == "chunked") framing_ = Body::kChunked;
  if (response.status < 200 || response.status == 204 || response.status == 304) framing_ = Body::kWhole;
  return response;
}

std::optional<RawResponse> RawClient::ReadResponse(bool head_only) {
  std::optional<RawResponse> response = ReadHead();
  if (!response) return std::nullopt;
  if (head_only) framing_ = Body::kWhole;
  response->whole = ReadBodyToEnd(&response->body);
  return response;
}

void RawClient::BeginChunk(TimePoint deadline) {
  const std::optional<std::string> line = ReadLine(deadline);
  char* end = nullptr;
  if (line) left_ = std::strtoull(line->c_str(), &end, 16);
  if (!line || end == line->c_str() || *end != '\0') {
    framing_ = Body::kCut;
  } else if (left_ == 0) {
    framing_ = ReadLine(deadline) == "" ? Body::kWhole : Body::kCut;
  }
}

bool RawClient::FillBody(TimePoint deadline) {
  if (framing_ == Body::kChunked && left_ == 0) BeginChunk(deadline);
  if (framing_ == Body::kNone || framing_ == Body::kWhole || framing_ == Body::kCut) return false;
  if (in_.empty() && !Fill(deadline)) {
    const bool proper = framing_ == Body::kUntilClose && end_ == RawEnd::kClosed;
    if (end_ != RawEnd::kOpen) framing_ = proper ? Body::kWhole : Body::kCut;
    return false;
  }
  const size_t bytes = framing_ == Body::kUntilClose ? in_.size() : std::min<uint64_t>(in_.size(), left_);
  body_.append(in_, 0, bytes);
  in_.erase(0, bytes);
  if (framing_ == Body::kUntilClose) return true;
  left_ -= bytes;
  if (left_ == 0 && framing_ == Body::kLength) framing_ = Body::kWhole;
  if (left_ == 0 && framing_ == Body::kChunked && ReadLine(deadline) != "") framing_ = Body::kCut;
  return true;
}

std::optional<std::string> RawClient::ReadBodyLine() {
  const TimePoint deadline = Deadline();
  size_t end = 0;
  while ((end = body_.find('\n')) == std::string::npos) {
    if (!FillBody(deadline)) return std::nullopt;
  }
  std::string line = body_.substr(0, end);
  body_.erase(0, end + 1);
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

std::optional<std::string> RawClient::ReadEvent() {
  std::string event;
  for (;;) {
    const std::optional<std::string> line = ReadBodyLine();
    if (!line) return std::nullopt;
    if (line->empty() && !event.empty()) return event;
    if (!line->empty()) event += (event.empty() ? "" : "\n") + *line;
  }
}

bool RawClient::ReadBodyToEnd(std::string* body) {
  const TimePoint deadline = Deadline();
  while (FillBody(deadline)) {
  }
  *body = std::exchange(body_, std::string());
  return framing_ == Body::kWhole;
}

std::string RawClient::ReadBody(size_t bytes) {
  const TimePoint deadline = Deadline();
  while (body_.size() < bytes && FillBody(deadline)) {
  }
  return std::exchange(body_, std::string());
}

RawEnd RawClient::WaitForEnd() {
  const TimePoint deadline = Deadline();
  while (Fill(deadline)) in_.clear();
  return end_;
}

bool RawClient::Readable(std::chrono::milliseconds within) {
  if (!in_.empty() || end_ != RawEnd::kOpen) return true;
  pollfd ready{fd_, POLLIN, 0};
  return poll(&ready, 1, static_cast<int>(within.count())) > 0;
}

std::optional<RawResponse> Fetch(uint16_t port, std::string_view method, std::string_view path, std::string_view body,
                                 std::string_view headers) {
  RawClient client(port);
  if (!client.connected() || !client.Send(RawClient::Request(method, path, body, headers))) return std::nullopt;
  return client.ReadResponse(method == "HEAD");
}

}  // namespace damask::server
