// Who may ask: Host and Origin against DNS rebinding and foreign pages, API keys.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "server/http_message.h"

namespace damask::server {

struct AccessRules {
  std::vector<std::string> api_keys;  // empty: none is asked for
  // Names (without port) by which the server may be called beside "localhost" and literal addresses, and pages of which hosts
  // may call it.
  std::vector<std::string> allowed_hosts;
};

// The host of "example.org:8080" or "[::1]:80", in lower case, without port and brackets; nothing where it is malformed.
std::optional<std::string> HostName(std::string_view host_and_port);

// "127.0.0.1", "::1": literal addresses, of either family.
bool IsAddress(const std::string& host);

// Whether a name or an address is one that only programs on this machine reach: "localhost", 127.0.0.0/8, ::1.
bool IsLoopback(const std::string& host);

// Whether the names in the request's Host and Origin headers are known. A browser that was led here by a foreign name (DNS
// rebinding) sends that name as Host; a literal address cannot be rebound. Error: 403, for an unusable Host 400.
std::optional<ApiError> CheckHostAndOrigin(const AccessRules& rules, const HttpRequest& request);

// 401 unless the request carries one of the keys ("Authorization: Bearer KEY" or "X-Api-Key: KEY"). The time it takes does not
// tell how much of a key is right.
std::optional<ApiError> CheckApiKey(const AccessRules& rules, const HttpRequest& request);

// What a browser wants to see before its page may read the answer; nothing without an Origin. Only for requests that
// CheckHostAndOrigin let pass.
std::vector<std::pair<std::string, std::string>> CorsHeaders(const HttpRequest& request);

}  // namespace damask::server
