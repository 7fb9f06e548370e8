// Host and port -> a listening socket. Private to the HTTP layer, because it needs Asio.
#pragma once

#include <cstdint>
#include <string>

#include <boost/asio/ip/tcp.hpp>

#include "base/status.h"

namespace damask::server {

// Of a name's addresses the first that can be had, IPv4 first: a client that tries ::1 for "localhost" goes on to 127.0.0.1,
// and one that only knows IPv4 could not do the reverse. "::" takes IPv4 as well. Errors as HttpServer::Listen.
Status OpenListener(const std::string& host, uint16_t port, boost::asio::ip::tcp::acceptor* acceptor);

}  // namespace damask::server
