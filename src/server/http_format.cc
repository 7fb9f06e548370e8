#include "server/http_format.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include "base/text.h"

namespace damask::server {
namespace {

std::string_view Reason(int status) {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 206: return "Partial Content";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 413: return "Content Too Large";
    case 415: return "Unsupported Media Type";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    default: return "Status";
  }
}

// IMF-fixdate of RFC 9110; strftime would follow the locale.
std::string Date() {
  static constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                          "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  const std::time_t now = std::time(nullptr);
  std::tm tm{};
  gmtime_r(&now, &tm);
  const auto two = [](int value) { return std::string(value < 10 ? "0" : "") + std::to_string(value); };
  return std::string(kDays[tm.tm_wday]) + ", " + two(tm.tm_mday) + " " + kMonths[tm.tm_mon] + " " +
         std::to_string(tm.tm_year + 1900) + " " + two(tm.tm_hour) + ":" + two(tm.tm_min) + ":" + two(tm.tm_sec) + " GMT";
}

bool IsToken(std::string_view name) {
  static constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || kMarks.find(c) != kMarks.npos;
  });
}

void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  if (!IsToken(name)) return;
  out->append(name).append(": ");
  for (const char c : value) out->push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  out->append("\r\n");
}

bool IsOurs(const std::string& name) {
  const std::string lower = LowerCase(name);
  return lower == "content-length" || lower == "transfer-encoding" || lower == "connection";
}

}  // namespace

bool StatusHasBody(int status) { return status != 204 && status != 304; }

std::string FormatHead(const HttpResponse& response, const HeadOptions& options) {
  // Three digits, or the client could not read the line.
  const int status = response.status >= 200 && response.status <= 599 ? response.status : 500;
  std::string head = "HTTP/1.1 " + std::to_string(status) + " " + std::string(Reason(status)) + "\r\n";
  AppendHeader("Date", Date(), &head);
  if (StatusHasBody(status)) {
    if (!response.content_type.empty()) AppendHeader("Content-Type", response.content_type, &head);
    if (options.framing == Framing::kLength) AppendHeader("Content-Length", std::to_string(response.body.size()), &head);
    if (options.framing == Framing::kChunked) AppendHeader("Transfer-Encoding", "chunked", &head);
  }
  if (!options.keep_alive) {
    AppendHeader("Connection", "close", &head);
  } else if (options.http_1_0) {
    AppendHeader("Connection", "keep-alive", &head);
  }
  for (const auto& [name, value] : response.headers) {
    if (!IsOurs(name)) AppendHeader(name, value, &head);
  }
  return head + "\r\n";
}

void AppendChunk(std::string_view bytes, std::string* out) {
  if (bytes.empty()) return;
  std::array<char, 16> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), bytes.size(), 16);
  out->append(digits.data(), end.ptr).append("\r\n").append(bytes).append("\r\n");
}

}  // namespace damask::server
