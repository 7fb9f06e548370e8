// Allocations of the server's thread fail, a different one each time: a connection may be lost, the server is not.
#include "tests/batching/failing_new.h"
#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"

namespace damask::server {
namespace {

namespace test = batching::test;

constexpr std::chrono::milliseconds kSoon{3000};

class HttpMemoryTest : public HttpServerFixture {
 protected:
  // Whether a new client is answered.
  bool Answers(std::chrono::milliseconds within) {
    RawClient client(port());
    client.set_timeout(within);
    if (!client.Send(RawClient::Request("GET", "/", "", "Connection: close\r\n"))) return false;
    const std::optional<RawResponse> response = client.ReadResponse();
    return response && response->status == 200;
  }
};

TEST_F(HttpMemoryTest, AfterOneFailureOthersAreServed) {
  std::atomic<long> fails_at{0};
  StartServer([&](const std::shared_ptr<Exchange>& exchange) {
    const bool arm = exchange->request().path == "/arm";
    exchange->Respond(Text("here"));
    if (!arm) return;
    test::allocations_left = fails_at.load();
    test::may_fail = true;
  });
  int failed = 0;
  for (; fails_at < 60; ++fails_at) {
    test::allocations_left = test::kNeverFails;
    RawClient client(port());
    client.set_timeout(kSoon);
    client.Send(RawClient::Request("GET", "/arm", "", "Connection: close\r\n"));
    client.ReadResponse();  // or is cut off
    Answers(kSoon);         // or does not
    if (test::allocations_left < 0) ++failed;
    EXPECT_TRUE(WaitUntil([&] { return Answers(kPatience); })) << "allocation " << fails_at;
  }
  EXPECT_GT(failed, 10);
}

}  // namespace
}  // namespace damask::server
