#include "server/access.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::server {
namespace {

bool IsKnown(const AccessRules& rules, const std::string& host) {
  if (host == "localhost" || IsAddress(host)) return true;
  return std::any_of(rules.allowed_hosts.begin(), rules.allowed_hosts.end(),
                     [&](const std::string& allowed) { return LowerCase(allowed) == host; });
}

ApiError Forbidden(std::string message) { return {.status = 403, .message = std::move(message), .code = "forbidden"}; }

// An address as Origin is only trusted where it is this server's own: any machine of the network can serve a page.
bool OriginIsKnown(const AccessRules& rules, const HttpRequest& request, std::string_view origin) {
  const size_t scheme = origin.find("://");
  if (scheme == std::string_view::npos) return false;  // "null"
  const std::string_view host_and_port = origin.substr(scheme + 3);
  const std::optional<std::string> host = HostName(host_and_port);
  if (!host) return false;
  if (LowerCase(host_and_port) == LowerCase(request.header("host"))) return true;
  if (*host == "localhost" || *host == "127.0.0.1" || *host == "::1") return true;
  return !IsAddress(*host) && IsKnown(rules, *host);
}

bool EqualInConstantTime(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0 : 1;
  for (size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

std::string_view KeyOf(const HttpRequest& request) {
  constexpr std::string_view kBearer = "bearer ";
  const std::string_view authorization = request.header("authorization");
  if (LowerCase(authorization.substr(0, kBearer.size())) == kBearer) return authorization.substr(kBearer.size());
  return request.header("x-api-key");
}

}  // namespace

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes = {};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

bool IsLoopback(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes = {};
  if (inet_pton(AF_INET, host.c_str(), bytes.data()) == 1) return bytes[0] == 127;
  if (inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1) {
    return std::all_of(bytes.begin(), bytes.end() - 1, [](unsigned char byte) { return byte == 0; }) && bytes.back() == 1;
  }
  return LowerCase(host) == "localhost";
}

std::optional<std::string> HostName(std::string_view host_and_port) {
  std::string_view host = host_and_port;
  std::string_view port;
  if (!host.empty() && host.front() == '[') {
    const size_t close = host.find(']');
    if (close == std::string_view::npos) return std::nullopt;
    port = host.substr(close + 1);
    host = host.substr(1, close - 1);
  } else if (const size_t colon = host.find(':'); colon != std::string_view::npos) {
    port = host.substr(colon);
    host = host.substr(0, colon);
  }
  const bool port_is_fine = port.empty() || (port.front() == ':' && std::all_of(port.begin() + 1, port.end(),
                                                                                [](char c) { return c >= '0' && c <= '9'; }));
  if (host.empty() || !port_is_fine) return std::nullopt;
  return LowerCase(host);
}

std::optional<ApiError> CheckHostAndOrigin(const AccessRules& rules, const HttpRequest& request) {
  // HTTP/1.0 needs no Host; such a client is no browser.
  if (request.has_header("host")) {
    const std::optional<std::string> host = HostName(request.header("host"));
    if (!host) return BadRequest(400, fmt::format("the Host header {} is no host name", Quote(request.header("host"))));
    if (!IsKnown(rules, *host)) {
      return Forbidden(fmt::format("the host {} is not served here: start with --allowed-host to serve it", Quote(*host)));
    }
  }
  if (request.has_header("origin") && !OriginIsKnown(rules, request, request.header("origin"))) {
    return Forbidden(fmt::format(
        "pages of the origin {} may not call this server: --allowed-host names hosts that may, by name, not by address",
        Quote(request.header("origin"))));
  }
  return std::nullopt;
}

std::optional<ApiError> CheckApiKey(const AccessRules& rules, const HttpRequest& request) {
  if (rules.api_keys.empty()) return std::nullopt;
  const std::string_view given = KeyOf(request);
  bool known = false;
  // Every key is compared, whichever fits.
  for (const std::string& key : rules.api_keys) known = EqualInConstantTime(given, key) || known;
  if (known) return std::nullopt;
  return InvalidApiKey();
}

std::vector<std::pair<std::string, std::string>> CorsHeaders(const HttpRequest& request) {
  if (!request.has_header("origin")) return {};
  // Whatever a page that may call wants to send: OpenAI's own client adds half a dozen headers of its own.
  const std::string wanted(request.header("access-control-request-headers"));
  return {{"Access-Control-Allow-Origin", std::string(request.header("origin"))},
          {"Vary", "Origin"},
          {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
          {"Access-Control-Allow-Headers", wanted.empty() ? "Authorization, Content-Type, X-Api-Key" : wanted},
          {"Access-Control-Max-Age", "600"}};
}

}  // namespace damask::server
