// What goes over one connection: requests and whole answers.
#include "server/http_server.h"

#include <atomic>
#include <thread>
#include <vector>

#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"

namespace damask::server {
namespace {

class HttpServerTest : public HttpServerFixture {};

TEST_F(HttpServerTest, H10EveryMethodAndPathReachesTheHandlerAsItCame) {
  StartServer();
  for (const std::string method : {"GET", "POST", "PUT", "DELETE", "OPTIONS", "BREW"}) {
    const auto response = Fetch(port(), method, "/no/such%20path?a=b?c");
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 200);
    EXPECT_EQ(response->body, method + " /no/such%20path?a=b?c\n");
    EXPECT_TRUE(response->whole);
  }
}

TEST_F(HttpServerTest, HeadersComeInLowerCaseAndAnswersCarryTheirs) {
  StartServer([](const std::shared_ptr<Exchange>& exchange) {
    HttpResponse response = Text(std::string(exchange->request().header("x-question")), 405);
    response.headers = {{"Allow", "GET, HEAD"}};
    EXPECT_TRUE(exchange->request().has_header("x-empty"));
    EXPECT_FALSE(exchange->request().has_header("X-Empty"));
    exchange->Respond(response);
  });
  const auto response = Fetch(port(), "GET", "/", "", "X-Question: why\r\nX-EMPTY:\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 405);
  EXPECT_EQ(response->header("allow"), "GET, HEAD");
  EXPECT_EQ(response->header("content-type"), "text/plain");
  EXPECT_EQ(response->body, "why");
}

TEST_F(HttpServerTest, LargeBodiesGoBothWays) {
  StartServer();
  std::string body(5 << 20, 'x');
  for (size_t i = 0; i < body.size(); i += 997) body[i] = static_cast<char>(i);
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("POST", "/", body)));
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->whole);
  EXPECT_EQ(response->body, "POST /?\n" + body);
}

TEST_F(HttpServerTest, H22TenThousandRequestsOnOneConnectionThenItCloses) {
  StartServer();
  RawClient client(port());
  const std::string request = RawClient::Request("GET", "/x");
  for (int i = 1; i <= 10000; ++i) {
    ASSERT_TRUE(client.Send(request));
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response) << i;
    ASSERT_EQ(response->body, "GET /x?\n");
    ASSERT_EQ(response->header("connection"), i < 10000 ? "" : "close") << i;
  }
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
}

TEST_F(HttpServerTest, H22HeadHasTheHeadOfGetAndNoBody) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("HEAD", "/x")));
  const auto head = client.ReadResponse(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->header("content-length"), "9");  // "HEAD /x?\n"
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/x")));
  const auto next = client.ReadResponse();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "GET /x?\n");
}

TEST_F(HttpServerTest, H22Http10ClosesUnlessAsked) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header("connection"), "keep-alive");
  EXPECT_EQ(response->body, "GET /a?\n");
  ASSERT_TRUE(client.Send("GET /b HTTP/1.0\r\n\r\n"));
  response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_EQ(response->body, "GET /b?\n");
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
}

TEST_F(HttpServerTest, ConnectionCloseIsHeeded) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/a", "", "Connection: close\r\n") + RawClient::Request("GET", "/b")));
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_FALSE(client.ReadHead()) << "nothing is answered after close";
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
}

TEST_F(HttpServerTest, H22PipelinedRequestsAreAnsweredInOrderByWhicheverThread) {
  StartServer(parking_.handler());
  constexpr int kRequests = 200;
  std::string bytes;
  for (int i = 0; i < kRequests; ++i) bytes += RawClient::Request("POST", "/" + std::to_string(i), "body");
  RawClient client(port());
  ASSERT_TRUE(client.Send(bytes));
  std::vector<std::thread> workers;
  workers.reserve(4);
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&] {
      for (int i = 0; i < kRequests / 4; ++i) {
        const auto exchange = parking_.Take();
        ASSERT_TRUE(exchange);
        Echo(exchange);
      }
    });
  }
  for (int i = 0; i < kRequests; ++i) {
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response) << i;
    EXPECT_EQ(response->body, "POST /" + std::to_string(i) + "?\nbody");
  }
  for (std::thread& worker : workers) worker.join();
}

TEST_F(HttpServerTest, H22ManyPipelinedRequestsBeyondTheInputLimitAreAllAnswered) {
  HttpLimits limits;
  limits.max_header_bytes = 1024;
  StartServer(Echo, limits);
  RawClient client(port());
  std::thread sender([&] {
    for (int i = 0; i < 3000; ++i) ASSERT_TRUE(client.Send(RawClient::Request("GET", "/" + std::string(500, 'a'))));
  });
  for (int i = 0; i < 3000; ++i) {
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response) << i;
    ASSERT_EQ(response->status, 200);
  }
  sender.join();
}

TEST_F(HttpServerTest, H22ContinueIsSaidBeforeABodyThatWaitsForIt) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"));
  const auto go_on = client.ReadHead();
  ASSERT_TRUE(go_on);
  EXPECT_EQ(go_on->status, 100);
  ASSERT_TRUE(client.Send("hello"));
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->body, "POST /?\nhello");
}

TEST_F(HttpServerTest, H22ContinueIsNotSaidToABodyThatIsTooLong) {
  HttpLimits limits;
  limits.max_body_bytes = 4;
  StartServer(Echo, limits);
  const auto response = Fetch(port(), "POST", "/", "hello", "Expect: 100-continue\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 413);
}

TEST_F(HttpServerTest, ChunkedBodiesAreDecoded) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send("POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"));
  ASSERT_TRUE(client.Send("2;x=y\r\nde\r\n0\r\n\r\n"));
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "POST /c?\nabcde");
}

TEST_F(HttpServerTest, H11TooLongABodyOrHeadIsAnsweredWhileItIsStillBeingSent) {
  HttpLimits limits;
  limits.max_body_bytes = 1000;
  limits.max_header_bytes = 1000;
  StartServer(Echo, limits);
  const std::string long_text(1 << 20, 'x');
  const std::pair<std::string, int> requests[] = {
      {RawClient::Request("POST", "/", long_text), 413},
      {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n" + long_text, 413},
      {RawClient::Request("GET", "/", "", "X: " + long_text + "\r\n"), 431},
      {"GET /" + long_text + " HTTP/1.1\r\n", 431},
  };
  for (const auto& [request, status] : requests) {
    RawClient client(port());
    EXPECT_TRUE(client.Send(request));
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response) << status;
    EXPECT_EQ(response->status, status);
    EXPECT_TRUE(response->whole);
    EXPECT_FALSE(response->body.empty());
    EXPECT_EQ(response->header("connection"), "close");
    EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
  }
  EXPECT_EQ(Fetch(port(), "GET", "/")->status, 200);
}

TEST_F(HttpServerTest, H11ARequestThatIsMalformedEndsItsConnectionAndNothingBehindItIsRead) {
  std::atomic<int> num_handled{0};
  StartServer([&](const std::shared_ptr<Exchange>& exchange) {
    ++num_handled;
    Echo(exchange);
  });
  const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const std::string headers : {"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
                                    "Content-Length: 4\r\nContent-Length: 5\r\n", "Transfer-Encoding: chunked, identity\r\n"}) {
    RawClient client(port());
    EXPECT_TRUE(client.Send("POST / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n0\r\n\r\n" + smuggled));
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 400) << headers;
    EXPECT_FALSE(client.ReadHead());
    EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
  }
  EXPECT_EQ(num_handled, 0);
}

TEST_F(HttpServerTest, AnswersBeforeAMalformedRequestStillComeFirst) {
  StartServer();
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/a") + "garbage\r\n\r\n"));
  ASSERT_EQ(client.ReadResponse()->status, 200);
  ASSERT_EQ(client.ReadResponse()->status, 400);
}

TEST_F(HttpServerTest, H15AHandlerThatThrowsOrForgetsAnswers500AndTheServerGoesOn) {
  StartServer([](const std::shared_ptr<Exchange>& exchange) {
    const std::string& path = exchange->request().path;
    if (path == "/throw") throw std::runtime_error("on purpose");
    if (path == "/int") throw 7;
    if (path != "/forget") Echo(exchange);
  });
  RawClient client(port());
  for (const std::string path : {"/throw", "/int", "/forget"}) {
    ASSERT_TRUE(client.Send(RawClient::Request("GET", path)));
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 500) << path;
  }
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/fine")));
  EXPECT_EQ(client.ReadResponse()->body, "GET /fine?\n");
}

TEST_F(HttpServerTest, H15AHandlerThatKeepsItsExchangeAndThrowsStillAnswers500) {
  StartServer([this](const std::shared_ptr<Exchange>& exchange) {
    parking_.handler()(exchange);
    throw std::runtime_error("on purpose");
  });
  EXPECT_EQ(Fetch(port(), "GET", "/")->status, 500);
  parking_.Take()->Respond(Text("too late"));
}

TEST_F(HttpServerTest, H15AnErrorResponseThatThrowsLeavesTheStatus) {
  StartServer(Echo, {},
              [](int, const std::string&, const HttpRequest&) -> HttpResponse { throw std::runtime_error("on purpose"); });
  RawClient client(port());
  ASSERT_TRUE(client.Send("garbage\r\n\r\n"));
  EXPECT_EQ(client.ReadResponse()->status, 400);
}

TEST_F(HttpServerTest, OnlyTheFirstAnswerCounts) {
  StartServer([](const std::shared_ptr<Exchange>& exchange) {
    exchange->Write("before the head");
    exchange->Respond(Text("first"));
    exchange->Respond(Text("second"));
    exchange->BeginStream(Text(""), {});
    exchange->Write("third");
    exchange->Abort();
  });
  RawClient client(port());
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    EXPECT_EQ(client.ReadResponse()->body, "first");
  }
}

}  // namespace
}  // namespace damask::server
