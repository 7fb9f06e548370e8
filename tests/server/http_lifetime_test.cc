// Listening, stopping, draining and the end of a server.
#include <atomic>
#include <future>

#include "server/http_server.h"
#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"

namespace damask::server {
namespace {

using std::chrono::milliseconds;

class HttpLifetimeTest : public HttpServerFixture {};

TEST_F(HttpLifetimeTest, ATakenPortIsAnErrorThatNamesIt) {
  StartServer();
  const auto second = HttpServer::Listen("127.0.0.1", port(), {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.status().code(), StatusCode::kIo);
  EXPECT_EQ(second.status().message(),
            "cannot listen on '127.0.0.1' port " + std::to_string(port()) + ": Address already in use");
}

TEST_F(HttpLifetimeTest, APortCanBeTakenAgainAtOnce) {
  Status again = Internal("not tried");
  // The port of a server that has ended may be given to another program; not three times in a row.
  for (int attempt = 0; attempt < 3 && !again.ok(); ++attempt) {
    StartServer();
    const uint16_t same = port();
    RawClient client(same);
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/", "", "Connection: close\r\n")));
    ASSERT_TRUE(client.ReadResponse());
    server_.reset();
    again = HttpServer::Listen("127.0.0.1", same, {}).status();
  }
  EXPECT_TRUE(again.ok()) << again.ToString();
}

TEST(HttpListen, WhatIsNoAddressIsAnInvalidArgument) {
  for (const std::string& host : {std::string(), std::string(300, 'a'), std::string("a\0b", 3)}) {
    const auto server = HttpServer::Listen(host, 0, {});
    ASSERT_FALSE(server.ok());
    EXPECT_EQ(server.status().code(), StatusCode::kInvalidArgument) << server.status().ToString();
    EXPECT_EQ(server.status().message().find('\0'), std::string::npos);
  }
}

TEST(HttpListen, AnAddressOfAnotherMachineIsRefusedByTheSystem) {
  const auto server = HttpServer::Listen("192.0.2.1", 0, {});  // for documentation only, RFC 5737
  ASSERT_FALSE(server.ok());
  EXPECT_EQ(server.status().code(), StatusCode::kIo);
  EXPECT_NE(server.status().message().find("'192.0.2.1' port 0"), std::string::npos);
}

TEST(HttpListen, ANameAndBothKindsOfAddressesWork) {
  for (const std::string host : {"localhost", "127.0.0.1", "0.0.0.0", "::1", "[::1]", "::"}) {
    auto listening = HttpServer::Listen(host, 0, {});
    const bool is_v6 = host.find(':') != std::string::npos;
    if (is_v6 && !listening.ok()) {
      EXPECT_EQ(listening.status().code(), StatusCode::kIo);  // a machine without IPv6
      continue;
    }
    ASSERT_TRUE(listening.ok()) << listening.status().ToString();
    const auto server = std::move(listening).value();
    server->Start(Echo, PlainError, nullptr);
    EXPECT_GT(server->port(), 0);
    const std::string address = server->address();
    EXPECT_EQ(address, host == "localhost" ? "127.0.0.1" : host == "[::1]" ? "::1" : host);
    RawClient client(server->port(), is_v6 ? "::1" : "127.0.0.1");
    ASSERT_TRUE(client.connected()) << host;
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    EXPECT_TRUE(client.ReadResponse()) << host;
  }
}

TEST_F(HttpLifetimeTest, ConnectionsWaitUntilTheServerStarts) {
  auto listening = HttpServer::Listen("127.0.0.1", 0, {});
  ASSERT_TRUE(listening.ok());
  server_ = std::move(listening).value();
  RawClient client(port());
  ASSERT_TRUE(client.connected());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/early")));
  server_->Start(Echo, PlainError, nullptr);
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "GET /early?\n");
}

TEST_F(HttpLifetimeTest, AServerThatNeverStartedEnds) {
  auto listening = HttpServer::Listen("127.0.0.1", 0, {});
  ASSERT_TRUE(listening.ok());
  listening.value()->StopAccepting();
  EXPECT_TRUE(listening.value()->Drain(milliseconds(1)));
  listening.value().reset();
}

TEST_F(HttpLifetimeTest, DrainingWaitsForAnswersAndTakesNoNewRequests) {
  StartServer(parking_.handler());
  RawClient idle(port());
  RawClient half(port());
  RawClient busy(port());
  RawClient streaming(port());
  ASSERT_TRUE(busy.Send(RawClient::Request("GET", "/busy") + RawClient::Request("GET", "/never")));
  const auto whole = parking_.Take();
  ASSERT_TRUE(streaming.Send(RawClient::Request("GET", "/stream")));
  const auto stream = parking_.Take();
  ASSERT_TRUE(whole && stream);
  stream->BeginStream(Text(""), {});
  ASSERT_TRUE(streaming.ReadHead());
  ASSERT_TRUE(half.Send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe"));
  ASSERT_TRUE(WaitUntil([&] { return server_->connections() == 4; }));

  server_->StopAccepting();
  EXPECT_EQ(server_->connections(), 2u);
  EXPECT_NE(idle.WaitForEnd(), RawEnd::kOpen);
  EXPECT_NE(half.WaitForEnd(), RawEnd::kOpen);
  EXPECT_FALSE(RawClient(port()).connected());

  auto drained = std::async(std::launch::async, [&] { return server_->Drain(kPatience); });
  stream->Write("still ");
  stream->Write("flowing");
  stream->End();
  std::string body;
  EXPECT_TRUE(streaming.ReadBodyToEnd(&body));
  EXPECT_EQ(body, "still flowing");
  EXPECT_EQ(drained.wait_for(milliseconds(20)), std::future_status::timeout);
  whole->Respond(Text("the last"));
  const auto response = busy.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "the last");
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_TRUE(drained.get());
  EXPECT_FALSE(busy.ReadHead());
  EXPECT_EQ(parking_.size(), 0u);
}

TEST_F(HttpLifetimeTest, WhatOutlastsTheGraceIsCutOff) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = parking_.Take();
  ASSERT_TRUE(exchange);
  std::atomic<int> num_gone{0};
  exchange->OnGone([&] { ++num_gone; });
  exchange->BeginStream(Text(""), {});
  ASSERT_TRUE(client.ReadHead());
  server_->StopAccepting();
  EXPECT_FALSE(server_->Drain(milliseconds(20)));
  EXPECT_EQ(num_gone, 1);
  std::string body;
  EXPECT_FALSE(client.ReadBodyToEnd(&body));
  EXPECT_TRUE(server_->Drain(milliseconds(0)));
}

TEST_F(HttpLifetimeTest, AHandlerMayStopTheServer) {
  StartServer([this](const std::shared_ptr<Exchange>& exchange) {
    server_->StopAccepting();
    Echo(exchange);
  });
  const auto response = Fetch(port(), "GET", "/");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_TRUE(server_->Drain(kPatience));
}

TEST_F(HttpLifetimeTest, ExchangesMayOutliveTheServer) {
  StartServer(parking_.handler());
  RawClient first(port());
  RawClient second(port());
  ASSERT_TRUE(first.Send(RawClient::Request("GET", "/1")));
  auto waiting = parking_.Take();
  ASSERT_TRUE(second.Send(RawClient::Request("GET", "/2")));
  auto streaming = parking_.Take();
  ASSERT_TRUE(waiting && streaming);
  std::atomic<int> num_gone{0};
  waiting->OnGone([&] { ++num_gone; });
  streaming->OnGone([&] { ++num_gone; });
  streaming->BeginStream(Text(""), {.text = ":", .every = milliseconds(1)});
  server_.reset();
  EXPECT_EQ(num_gone, 2);
  EXPECT_EQ(waiting->request().path, "/1");
  waiting->Respond(Text("too late"));
  streaming->Write("too late");
  streaming->End();
  waiting.reset();
  streaming.reset();
  EXPECT_FALSE(first.ReadHead());
}

TEST_F(HttpLifetimeTest, H22AServerLeavesNoDescriptorBehind) {
  const size_t num_files = CountOpenFiles();
  for (int round = 0; round < 5; ++round) {
    StartServer();
    ASSERT_TRUE(Fetch(port(), "GET", "/"));
    RawClient idle(port());
    server_.reset();
  }
  EXPECT_EQ(CountOpenFiles(), num_files);
}

}  // namespace
}  // namespace damask::server
