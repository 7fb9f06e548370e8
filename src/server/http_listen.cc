#include "server/http_listen.h"

#include <algorithm>
#include <vector>

#include <boost/asio/ip/v6_only.hpp>

#include "base/text.h"

namespace damask::server {
namespace {

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using ErrorCode = boost::system::error_code;

constexpr size_t kMaxHostBytes = 253;  // of a name in DNS

std::string CannotListen(const std::string& host, uint16_t port, const std::string& reason) {
  return "cannot listen on " + Quote(host) + " port " + std::to_string(port) + ": " + reason;
}

ErrorCode OpenAt(const Tcp::endpoint& endpoint, Tcp::acceptor* acceptor) {
  ErrorCode error;
  ErrorCode ignored;
  acceptor->close(ignored);
  acceptor->open(endpoint.protocol(), error);
  // Else a restarted server would have to wait until the last connections of the one before are forgotten.
  if (!error) acceptor->set_option(Tcp::acceptor::reuse_address(true), error);
  if (!error && endpoint.address().is_v6()) {
    acceptor->set_option(asio::ip::v6_only(!endpoint.address().is_unspecified()), ignored);
  }
  if (!error) acceptor->bind(endpoint, error);
  if (!error) acceptor->listen(asio::socket_base::max_listen_connections, error);
  if (error) acceptor->close(ignored);
  return error;
}

// "[::1]", as in a URL, is "::1".
std::string WithoutBrackets(const std::string& host) {
  const bool brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  return brackets ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

Status OpenListener(const std::string& host, uint16_t port, Tcp::acceptor* acceptor) {
  if (host.empty() || host.size() > kMaxHostBytes || host.find('\0') != std::string::npos) {
    return InvalidArgument(CannotListen(host, port, "this is no address and no name of a host"));
  }
  ErrorCode error;
  Tcp::resolver resolver(acceptor->get_executor());
  const auto found = resolver.resolve(WithoutBrackets(host), std::to_string(port),
                                      Tcp::resolver::passive | Tcp::resolver::numeric_service, error);
  if (error) return InvalidArgument(CannotListen(host, port, "this is no address, and no host of that name is known"));
  std::vector<Tcp::endpoint> endpoints;
  for (const auto& entry : found) endpoints.push_back(entry.endpoint());
  std::stable_partition(endpoints.begin(), endpoints.end(), [](const Tcp::endpoint& one) { return one.address().is_v4(); });
  for (const Tcp::endpoint& endpoint : endpoints) {
    error = OpenAt(endpoint, acceptor);
    if (!error) return {};
  }
  return IoError(CannotListen(host, port, error.message()));
}

}  // namespace damask::server
