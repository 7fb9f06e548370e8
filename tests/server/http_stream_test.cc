// Answers that come bit by bit, and clients that do not wait for them.
#include <atomic>
#include <csignal>
#include <thread>
#include <vector>

#include "server/http_server.h"
#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"

namespace damask::server {
namespace {

using std::chrono::milliseconds;

class HttpStreamTest : public HttpServerFixture {
 protected:
  // The next parked exchange, whose client's leaving counts up num_gone_.
  std::shared_ptr<Exchange> TakeCounted() {
    std::shared_ptr<Exchange> exchange = parking_.Take();
    EXPECT_TRUE(exchange);
    if (exchange) exchange->OnGone([this] { ++num_gone_; });
    return exchange;
  }

  std::atomic<int> num_gone_{0};
};

HttpResponse EventHead() {
  HttpResponse head;
  head.content_type = "text/event-stream";
  return head;
}

TEST_F(HttpStreamTest, AStreamArrivesAsItIsWrittenAndTheConnectionGoesOn) {
  StartServer(parking_.handler());
  RawClient client(port());
  for (int round = 0; round < 2; ++round) {
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    const auto exchange = TakeCounted();
    exchange->BeginStream(EventHead(), {});
    const auto head = client.ReadHead();
    ASSERT_TRUE(head);
    EXPECT_EQ(head->header("content-type"), "text/event-stream");
    EXPECT_EQ(head->header("transfer-encoding"), "chunked");
    exchange->Write("data: 1\n\n");
    EXPECT_EQ(client.ReadEvent(), "data: 1");
    exchange->Write("data: 2");
    exchange->Write("");
    exchange->Write("\ndata: 3\n\n");
    EXPECT_EQ(client.ReadEvent(), "data: 2\ndata: 3");
    exchange->End();
    exchange->Write("after the end");
    std::string rest;
    EXPECT_TRUE(client.ReadBodyToEnd(&rest));
    EXPECT_EQ(rest, "");
  }
  EXPECT_EQ(num_gone_, 0);
}

TEST_F(HttpStreamTest, ManySmallWritesArriveWholeAndInOrder) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = TakeCounted();
  std::string expected;
  exchange->BeginStream(EventHead(), {});
  for (int i = 0; i < 50000; ++i) {
    const std::string piece = std::to_string(i) + " ";
    expected += piece;
    exchange->Write(piece);
  }
  exchange->End();
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_TRUE(response->whole);
  EXPECT_EQ(response->body, expected);
}

TEST_F(HttpStreamTest, H22AStreamToHttp10EndsWithItsConnection) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  const auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {});
  exchange->Write("one");
  exchange->Write("two");
  exchange->End();
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_FALSE(response->has_header("transfer-encoding"));
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_EQ(response->body, "onetwo");
  EXPECT_TRUE(response->whole);
}

TEST_F(HttpStreamTest, H22HeadOfAStreamHasNoBody) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("HEAD", "/")));
  auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {.text = ":\n\n", .every = milliseconds(1)});
  exchange->Write("nobody reads this");
  exchange->End();
  ASSERT_TRUE(client.ReadResponse(true));
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  exchange = TakeCounted();
  exchange->Respond(Text("next"));
  const auto next = client.ReadResponse();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "next");
}

TEST_F(HttpStreamTest, AnAbortedStreamKeepsWhatWasWrittenAndIsSeenToBeCut) {
  StartServer(parking_.handler());
  for (const bool dropped : {false, true}) {
    RawClient client(port());
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    auto exchange = TakeCounted();
    exchange->BeginStream(EventHead(), {});
    exchange->Write("data: error\n\n");
    if (!dropped) exchange->Abort();
    exchange.reset();
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->body, "data: error\n\n");
    EXPECT_FALSE(response->whole);
    EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
  }
  EXPECT_EQ(num_gone_, 0);
}

TEST_F(HttpStreamTest, AnAbortedStreamToHttp10IsReset) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send("GET / HTTP/1.0\r\n\r\n"));
  const auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {});
  ASSERT_TRUE(client.ReadHead());
  exchange->Abort();
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kReset);
}

TEST_F(HttpStreamTest, AbortBeforeTheHeadClosesWithoutAnAnswer) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  TakeCounted()->Abort();
  EXPECT_FALSE(client.ReadHead());
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
}

TEST_F(HttpStreamTest, H06ASilentStreamIsKeptOpenByItsText) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {.text = ": wait\n\n", .every = milliseconds(20)});
  ASSERT_TRUE(client.ReadHead());
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.ReadEvent(), ": wait");
  exchange->Write("data: 1\n\n");
  std::optional<std::string> event;
  do {
    event = client.ReadEvent();
  } while (event == ": wait");
  EXPECT_EQ(event, "data: 1");
  EXPECT_EQ(client.ReadEvent(), ": wait");
  exchange->End();
  std::string rest;
  EXPECT_TRUE(client.ReadBodyToEnd(&rest)) << "the text never breaks the framing";
}

// Clients built on go-openai count lines that are no data, and give up at 300.
TEST_F(HttpStreamTest, H06OfFourTextsOneIsData) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {.text = ": wait\n\n", .data = "data: {}\n\n", .every = milliseconds(1), .data_every = 4});
  ASSERT_TRUE(client.ReadHead());
  const auto expect_three_and_data = [&] {
    for (int i = 0; i < 3; ++i) EXPECT_EQ(client.ReadEvent(), ": wait");
    EXPECT_EQ(client.ReadEvent(), "data: {}");
  };
  expect_three_and_data();
  expect_three_and_data();
  exchange->Write("data: 1\n\n");
  while (client.ReadEvent() != "data: 1") {
  }
  expect_three_and_data();  // counted anew
  exchange->End();
}

TEST_F(HttpStreamTest, L01AClientThatLeavesWhileItsAnswerIsComputedIsNoticedOnce) {
  StartServer(parking_.handler());
  for (const bool reset : {false, true}) {
    num_gone_ = 0;
    RawClient client(port());
    // What it sent after its request does not hide it.
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/") + RawClient::Request("GET", "/second")));
    const auto exchange = TakeCounted();
    reset ? client.Reset() : client.Close();
    ASSERT_TRUE(WaitUntil([&] { return num_gone_ == 1; }));
    EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
    exchange->Respond(Text("nobody is there"));
    exchange->Abort();
    std::atomic<int> at_once{0};
    exchange->OnGone([&] { ++at_once; });
    EXPECT_EQ(at_once, 1);
    EXPECT_EQ(parking_.size(), 0u);
    EXPECT_EQ(num_gone_, 1);
  }
}

// More than the server reads ahead: behind it the end of the connection is not read, and nothing is written that would fail.
TEST_F(HttpStreamTest, L01AClientThatLeavesBehindManyPipelinedRequestsIsNoticed) {
  StartServer(parking_.handler());
  std::string requests;
  while (requests.size() < (100 << 10)) requests += RawClient::Request("GET", "/" + std::string(500, 'a'));
  for (const bool reset : {false, true}) {
    num_gone_ = 0;
    RawClient client(port());
    ASSERT_TRUE(client.Send(requests));
    const auto exchange = TakeCounted();
    reset ? client.Reset() : client.Close();
    EXPECT_TRUE(WaitUntil([&] { return num_gone_ == 1; }));
    EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
    EXPECT_EQ(parking_.size(), 0u);
  }
}

TEST_F(HttpStreamTest, L01AHundredClientsThatLeaveMidStreamLeaveNothingBehind) {
  std::signal(SIGPIPE, SIG_DFL);  // writing to them must not end the process
  StartServer(parking_.handler());
  const size_t num_files = CountOpenFiles();
  for (int i = 1; i <= 100; ++i) {
    RawClient client(port());
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    const auto exchange = TakeCounted();
    exchange->BeginStream(EventHead(), {});
    exchange->Write("data: 1\n\n");
    ASSERT_TRUE(client.ReadHead());
    ASSERT_EQ(client.ReadEvent(), "data: 1");
    i % 2 == 0 ? client.Reset() : client.Close();
    ASSERT_TRUE(WaitUntil([&] {
      exchange->Write("data: 2\n\n");
      return num_gone_ == i;
    }));
    exchange->End();
  }
  EXPECT_TRUE(WaitUntil([&] { return CountOpenFiles() == num_files; }));
  EXPECT_EQ(server_->connections(), 0u);
  EXPECT_EQ(num_gone_, 100);
}

TEST_F(HttpStreamTest, H20AClientThatDoesNotReadIsGoneAndTheWriterNeverWaits) {
  HttpLimits limits;
  limits.max_pending_output = 64 << 10;
  StartServer(parking_.handler(), limits);
  RawClient client(port(), "127.0.0.1", 4096);
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = TakeCounted();
  exchange->BeginStream(EventHead(), {});
  // The system's buffers take some megabytes first.
  ASSERT_TRUE(WaitUntil([&] {
    exchange->Write(std::string(16 << 10, 'x'));
    return num_gone_ > 0;
  }));
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
  exchange->End();
  std::string rest;
  client.ReadHead();
  EXPECT_FALSE(client.ReadBodyToEnd(&rest));
  EXPECT_EQ(num_gone_, 1);
}

TEST_F(HttpStreamTest, H20AWriterFasterThanTheServersThreadIsBoundedToo) {
  HttpLimits limits;
  limits.max_pending_output = 64 << 10;
  std::atomic<int> num_gone{0};
  // Within the handler the server's thread is busy: nothing can be sent meanwhile.
  StartServer(
      [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->OnGone([&] { ++num_gone; });
        exchange->BeginStream(EventHead(), {});
        for (int i = 0; i < 5; ++i) exchange->Write(std::string(16 << 10, 'x'));
        exchange->End();
      },
      limits);
  EXPECT_FALSE(Fetch(port(), "GET", "/"));
  EXPECT_TRUE(WaitUntil([&] { return num_gone == 1; }));
}

TEST_F(HttpStreamTest, H20ASlowReaderDoesNotSlowOthersDown) {
  StartServer(parking_.handler());
  RawClient slow(port(), "127.0.0.1", 4096);
  ASSERT_TRUE(slow.Send(RawClient::Request("GET", "/")));
  const auto stuck = TakeCounted();
  const std::string body(32 << 20, 'x');
  stuck->Respond(Text(body));
  for (int i = 0; i < 10; ++i) {
    RawClient client(port());
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    TakeCounted()->Respond(Text("quick"));
    EXPECT_EQ(client.ReadResponse()->body, "quick");
  }
  const auto response = slow.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body.size(), body.size());
  EXPECT_EQ(num_gone_, 0);
}

TEST_F(HttpStreamTest, AnAnswerThatHasEndedHasNobodyToTell) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = TakeCounted();
  exchange->Respond(Text("done"));
  ASSERT_TRUE(client.ReadResponse());
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
  EXPECT_EQ(num_gone_, 0);
}

TEST_F(HttpStreamTest, ACallbackThatThrowsEndsNothingElse) {
  StartServer(parking_.handler());
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  const auto exchange = parking_.Take();
  ASSERT_TRUE(exchange);
  exchange->OnGone([] { throw std::runtime_error("on purpose"); });
  client.Close();
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
  RawClient next(port());
  ASSERT_TRUE(next.Send(RawClient::Request("GET", "/")));
  TakeCounted()->Respond(Text("fine"));
  EXPECT_EQ(next.ReadResponse()->body, "fine");
}

// Respond, Write and the client's end meet on different threads in every order; what counts is told by the sanitizers.
TEST_F(HttpStreamTest, WritersAndLeavingClientsMayRace) {
  StartServer(parking_.handler());
  std::vector<std::thread> workers;
  workers.reserve(3);
  std::atomic<bool> stop{false};
  for (int worker = 0; worker < 3; ++worker) {
    workers.emplace_back([&] {
      while (!stop) {
        const auto exchange = parking_.Take(std::chrono::milliseconds(10));
        if (!exchange) continue;
        std::atomic<bool> gone{false};
        exchange->OnGone([&gone] { gone = true; });
        exchange->BeginStream(EventHead(), {.text = ":\n\n", .every = milliseconds(1)});
        for (int i = 0; i < 100 && !gone; ++i) exchange->Write("data: x\n\n");
        exchange->End();
      }
    });
  }
  size_t num_whole = 0;
  for (int i = 0; i < 300; ++i) {
    RawClient client(port());
    ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
    if (i % 3 == 0) {
      const auto response = client.ReadResponse();
      num_whole += response && response->whole ? 1 : 0;
    } else if (i % 3 == 1) {
      client.ReadHead();
      client.Reset();
    }
  }
  stop = true;
  for (std::thread& worker : workers) worker.join();
  EXPECT_EQ(num_whole, 100u);
}

}  // namespace
}  // namespace damask::server
