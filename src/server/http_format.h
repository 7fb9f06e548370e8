// Answers as bytes: heads and chunks of HTTP/1.1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "server/http_message.h"

namespace damask::server {

// How the client learns where the body ends.
enum class Framing { kLength, kChunked, kUntilClose };

struct HeadOptions {
  Framing framing = Framing::kLength;
  bool keep_alive = true;
  bool http_1_0 = false;  // of the request
};

// Status line, headers and the empty line. kLength announces response.body's size (but for 204 and 304, which have no body).
// Content-Length, Transfer-Encoding and Connection among the response's headers are ignored: they belong to this layer. Control
// characters in values become spaces, so that no header can become two.
std::string FormatHead(const HttpResponse& response, const HeadOptions& options);

// 204 and 304 have none.
bool StatusHasBody(int status);

void AppendChunk(std::string_view bytes, std::string* out);  // nothing for no bytes: an empty chunk is the last one
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";
inline constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

}  // namespace damask::server
