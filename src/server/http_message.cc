#include "server/http_message.h"

#include <algorithm>

namespace damask::server {
namespace {

auto Find(const HttpRequest& request, std::string_view name) {
  return std::find_if(request.headers.begin(), request.headers.end(), [&](const auto& header) { return header.first == name; });
}

}  // namespace

std::string_view HttpRequest::header(std::string_view name) const {
  const auto found = Find(*this, name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

bool HttpRequest::has_header(std::string_view name) const { return Find(*this, name) != headers.end(); }

}  // namespace damask::server
