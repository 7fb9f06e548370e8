// Times and numbers: slow clients, many clients, no file descriptors left.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <vector>

#include "server/http_server.h"
#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"

namespace damask::server {
namespace {

using std::chrono::milliseconds;

class HttpLimitsTest : public HttpServerFixture {};

// One byte at a time does not make the time longer.
std::optional<RawResponse> Drip(RawClient* client, const std::string& begin) {
  if (!client->Send(begin)) return std::nullopt;
  const bool answered = WaitUntil([&] {
    if (client->Readable(milliseconds(5))) return true;
    client->Send("a");
    return false;
  });
  return answered ? client->ReadResponse() : std::nullopt;
}

TEST_F(HttpLimitsTest, H20AHeadThatDripsIsAnswered408) {
  HttpLimits limits;
  limits.header_timeout = milliseconds(200);
  StartServer(Echo, limits);
  RawClient client(port());
  const auto response = Drip(&client, "GET /");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_EQ(response->header("connection"), "close");
  EXPECT_EQ(client.WaitForEnd(), RawEnd::kClosed);
}

TEST_F(HttpLimitsTest, H20ABodyThatDripsIsAnswered408AndNoHandlerWaitsForIt) {
  HttpLimits limits;
  limits.body_timeout = milliseconds(200);
  std::atomic<int> num_handled{0};
  StartServer(
      [&](const std::shared_ptr<Exchange>& exchange) {
        ++num_handled;
        Echo(exchange);
      },
      limits);
  RawClient client(port());
  const auto response = Drip(&client, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 408);
  EXPECT_EQ(num_handled, 0);
  EXPECT_EQ(Fetch(port(), "GET", "/")->status, 200);
}

std::string PostHead(size_t length) {
  return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(length) + "\r\n\r\n";
}

TEST_F(HttpLimitsTest, H11AllBodiesTogetherHaveALimit) {
  HttpLimits limits;
  limits.max_body_bytes = 1000;
  limits.max_total_body_bytes = 1500;
  StartServer(parking_.handler(), limits);
  const auto status = [](RawClient* client) {
    const auto response = client->ReadResponse();
    return response ? response->status : 0;
  };
  RawClient first(port());
  ASSERT_TRUE(first.Send(RawClient::Request("POST", "/", std::string(1000, 'a'))));
  const auto held = parking_.Take();
  ASSERT_TRUE(held);
  EXPECT_EQ(server_->body_bytes(), 1000u);

  RawClient announces(port());  // refused before its body comes
  ASSERT_TRUE(announces.Send(PostHead(501)));
  EXPECT_EQ(status(&announces), 503);
  RawClient chunks(port());  // nobody knows how much comes: refused at the first byte that has no room
  ASSERT_TRUE(chunks.Send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(chunks.Send("64\r\n" + std::string(100, 'b') + "\r\n"));
  EXPECT_EQ(status(&chunks), 503);
  EXPECT_TRUE(WaitUntil([&] { return server_->body_bytes() == 1000; }));
  RawClient fits(port());
  ASSERT_TRUE(fits.Send(RawClient::Request("POST", "/", std::string(500, 'c'))));
  const auto other = parking_.Take();
  ASSERT_TRUE(other);
  EXPECT_EQ(server_->body_bytes(), 1500u);

  held->DropBody();
  EXPECT_EQ(server_->body_bytes(), 500u);
  EXPECT_EQ(held->request().body, "");
  RawClient again(port());
  ASSERT_TRUE(again.Send(RawClient::Request("POST", "/", std::string(1000, 'd'))));
  const auto third = parking_.Take();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->request().body, std::string(1000, 'd'));
  for (const auto& exchange : {held, other, third}) exchange->Respond(Text("done"));
  EXPECT_EQ(status(&first), 200);
  EXPECT_EQ(status(&fits), 200);
  EXPECT_EQ(status(&again), 200);
}

// Announced but not sent takes no room from others; sent and broken off gives it back.
TEST_F(HttpLimitsTest, H11WhatIsOnlyAnnouncedHoldsNothingAndWhatIsBrokenOffGoesBack) {
  HttpLimits limits;
  limits.max_body_bytes = limits.max_total_body_bytes = 1000;
  StartServer(Echo, limits);
  RawClient announces(port());
  ASSERT_TRUE(announces.Send(PostHead(1000)));
  {
    RawClient half(port());
    ASSERT_TRUE(half.Send(PostHead(1000) + std::string(600, 'a')));
    EXPECT_TRUE(WaitUntil([&] { return server_->body_bytes() == 600; }));
    EXPECT_EQ(Fetch(port(), "POST", "/", std::string(400, 'b'))->status, 200);
    EXPECT_EQ(Fetch(port(), "POST", "/", std::string(401, 'b'))->status, 503);
    // One of the two that fill the rest together comes too late.
    ASSERT_TRUE(announces.Send(std::string(1000, 'c')));
    const auto response = announces.ReadResponse();
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 503);
  }
  EXPECT_TRUE(WaitUntil([&] { return server_->body_bytes() == 0; }));
  EXPECT_EQ(Fetch(port(), "POST", "/", std::string(1000, 'b'))->status, 200);
  EXPECT_TRUE(WaitUntil([&] { return server_->body_bytes() == 0; }));
}

TEST_F(HttpLimitsTest, AnIdleConnectionIsClosedWithoutAWord) {
  HttpLimits limits;
  limits.idle_timeout = milliseconds(100);
  StartServer(Echo, limits);
  RawClient never(port());
  RawClient once(port());
  ASSERT_TRUE(once.Send(RawClient::Request("GET", "/")));
  ASSERT_TRUE(once.ReadResponse());
  EXPECT_FALSE(once.ReadHead());
  EXPECT_EQ(once.WaitForEnd(), RawEnd::kClosed);
  EXPECT_FALSE(never.ReadHead());
  EXPECT_EQ(never.WaitForEnd(), RawEnd::kClosed);
}

TEST_F(HttpLimitsTest, AnAnswerMayTakeLongerThanAllTimesOfReading) {
  HttpLimits limits;
  limits.idle_timeout = limits.header_timeout = limits.body_timeout = milliseconds(50);
  StartServer(parking_.handler(), limits);
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("POST", "/", "x")));
  const auto exchange = parking_.Take();
  ASSERT_TRUE(exchange);
  // Twice the times on the server's own clock: an idle connection beside it has come and gone.
  for (int i = 0; i < 2; ++i) EXPECT_EQ(RawClient(port()).WaitForEnd(), RawEnd::kClosed);
  exchange->Respond(Text("late"));
  const auto response = client.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "late");
}

TEST_F(HttpLimitsTest, H20AnAnswerThatIsNotReadIsCutOff) {
  HttpLimits limits;
  limits.write_timeout = milliseconds(200);
  StartServer([](const std::shared_ptr<Exchange>& exchange) { exchange->Respond(Text(std::string(32 << 20, 'x'))); }, limits);
  RawClient client(port(), "127.0.0.1", 4096);
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/")));
  ASSERT_TRUE(client.Readable(kPatience));
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
  const auto response = client.ReadResponse();
  EXPECT_FALSE(response && response->whole);
}

// A limit for each stream would not bound them: a whole answer is in the memory at once.
TEST_F(HttpLimitsTest, WholeAnswersThatWaitForTheirClientsHaveALimit) {
  HttpLimits limits;
  limits.max_total_answer_bytes = 1 << 20;  // less than one: alone it is sent all the same
  const std::string text(32 << 20, 'x');
  StartServer(
      [&](const std::shared_ptr<Exchange>& exchange) {
        exchange->Respond(Text(exchange->request().path == "/long" ? text : "short"));
      },
      limits);
  RawClient slow(port(), "127.0.0.1", 4096);
  ASSERT_TRUE(slow.Send(RawClient::Request("GET", "/long")));
  ASSERT_TRUE(slow.Readable(kPatience));
  EXPECT_EQ(Fetch(port(), "GET", "/long")->status, 503);
  EXPECT_EQ(Fetch(port(), "GET", "/short")->status, 200);
  slow.Close();
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(WaitUntil([&] { return Fetch(port(), "GET", "/long")->status == 200; }));
  }
}

TEST_F(HttpLimitsTest, AClientThatDoesNotCloseAfterTheLastAnswerIsNotWaitedForLong) {
  HttpLimits limits;
  limits.linger_timeout = milliseconds(50);
  StartServer(Echo, limits);
  RawClient client(port());
  ASSERT_TRUE(client.Send(RawClient::Request("GET", "/", "", "Connection: close\r\n")));
  ASSERT_TRUE(client.ReadResponse());
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0; }));
}

TEST_F(HttpLimitsTest, H22ConnectionsBeyondTheLimitWaitAndNoDescriptorIsLost) {
  HttpLimits limits;
  limits.max_connections = 8;
  StartServer(Echo, limits);
  const size_t num_files = CountOpenFiles();
  std::vector<RawClient> clients;
  for (int i = 0; i < 60; ++i) {
    clients.emplace_back(port());
    ASSERT_TRUE(clients.back().connected());
    ASSERT_TRUE(clients.back().Send(RawClient::Request("GET", "/" + std::to_string(i))));
  }
  // The first eight are served and stay; each that closes lets the next one in.
  for (int i = 0; i < 60; ++i) {
    const auto response = clients[i].ReadResponse();
    ASSERT_TRUE(response) << i;
    EXPECT_EQ(response->body, "GET /" + std::to_string(i) + "?\n");
    EXPECT_LE(server_->connections(), 8u);
    if (i == 7) {
      EXPECT_EQ(server_->connections(), 8u);
      EXPECT_FALSE(clients[8].Readable(milliseconds(20)));
    }
    if (i >= 7) clients[i - 7].Close();
  }
  clients.clear();
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0 && CountOpenFiles() == num_files; })) << CountOpenFiles();
}

TEST_F(HttpLimitsTest, H22ManyIdleConnectionsComeAndGo) {
  HttpLimits limits;
  limits.max_connections = 64;
  limits.idle_timeout = milliseconds(200);
  StartServer(Echo, limits);
  const size_t num_files = CountOpenFiles();
  std::vector<RawClient> idle;
  for (int i = 0; i < 300; ++i) {
    idle.emplace_back(port());
    ASSERT_TRUE(idle.back().connected());
  }
  // Whoever comes behind them is served when their time is over.
  const auto response = Fetch(port(), "GET", "/");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  idle.clear();
  EXPECT_TRUE(WaitUntil([&] { return server_->connections() == 0 && CountOpenFiles() == num_files; })) << CountOpenFiles();
}

// All descriptors of the process but those that are given back.
class NoDescriptors {
 public:
  NoDescriptors() {
    getrlimit(RLIMIT_NOFILE, &before_);
    rlimit low = before_;
    low.rlim_cur = std::min<rlim_t>(before_.rlim_cur, 512);
    setrlimit(RLIMIT_NOFILE, &low);
    for (int fd = 0; (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) held_.push_back(fd);
  }
  ~NoDescriptors() {
    while (!held_.empty()) GiveBackOne();
    setrlimit(RLIMIT_NOFILE, &before_);
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

  void GiveBackOne() {
    close(held_.back());
    held_.pop_back();
  }

 private:
  rlimit before_{};
  std::vector<int> held_;
};

TEST_F(HttpLimitsTest, H22WithoutDescriptorsOldConnectionsGoOnAndNewOnesAreServedLater) {
  StartServer();
  RawClient before(port());
  ASSERT_TRUE(before.Send(RawClient::Request("GET", "/")));
  ASSERT_TRUE(before.ReadResponse());
  RawClient late;
  {
    NoDescriptors none;
    none.GiveBackOne();
    late = RawClient(port());  // takes the one that was left: the server has none to accept with
    ASSERT_TRUE(late.connected());
    ASSERT_TRUE(late.Send(RawClient::Request("GET", "/late")));
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(before.Send(RawClient::Request("GET", "/")));
      ASSERT_TRUE(before.ReadResponse());
    }
    EXPECT_FALSE(late.Readable(milliseconds(20)));
    EXPECT_EQ(server_->connections(), 1u);
  }
  const auto response = late.ReadResponse();
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "GET /late?\n");
}

}  // namespace
}  // namespace damask::server
