// Who is let in: keys, Host, Origin, and what a browser's page is told.
#include "tests/server/server_fixture.h"

namespace damask::server {
namespace {

constexpr char kInvalid[] = "invalid_request_error";

class ServerAccessTest : public ServerFixture {
 protected:
  // A request with exactly these headers.
  Reply Bare(const std::string& method, const std::string& path, const std::string& headers) {
    RawClient client(port());
    client.Send(method + " " + path + " HTTP/1.1\r\n" + headers + "\r\n");
    const std::optional<RawResponse> response = client.ReadResponse();
    if (!response) return {};
    return {response->status, Json::parse(response->body, nullptr, false), *response};
  }
};

TEST_F(ServerAccessTest, H09AKeyIsAskedForEverywhereButWhereNothingIsTold) {
  ServerOptions options = TinyServer();
  options.access.api_keys = {"first key", "second"};
  Start(options);
  const Json body = Greedy(PromptIds(5), 2);
  for (const char* header :
       {"", "Authorization: Bearer wrong\r\n", "Authorization: Bearer \r\n", "Authorization: second\r\n",
        "X-Api-Key: secon\r\n", "X-Api-Key: secondd\r\n", "Authorization: Basic second\r\n", "X-Api-Key: \r\n"}) {
    SCOPED_TRACE(header);
    const Reply refused = Post("/v1/completions", body, header);
    ExpectError(refused, 401, kInvalid, "invalid_api_key", nullptr);
    EXPECT_EQ(refused.raw.header("www-authenticate"), "Bearer");
  }
  for (const char* path : {"/v1/models", "/props", "/slots", "/metrics", "/nothing"}) {
    SCOPED_TRACE(path);
    ExpectError(Get(path), 401, kInvalid, "invalid_api_key", nullptr);
  }
  for (const char* path : {"/", "/health", "/v1/health"}) EXPECT_EQ(Get(path).status, 200) << path;
  for (const char* header :
       {"Authorization: Bearer second\r\n", "authorization: bearer second\r\n", "X-Api-Key: first key\r\n"}) {
    EXPECT_EQ(Post("/v1/completions", body, header).status, 200) << header;
    EXPECT_EQ(Get("/metrics", header).status, 200) << header;
  }
}

TEST_F(ServerAccessTest, WhoMayNotComeInIsToldBeforeTheBodyIsRead) {
  ServerOptions options = TinyServer();
  options.access.api_keys = {"key"};
  Start(options);
  const std::string length = "Content-Length: 1000000\r\n";
  for (const auto& [header, status] : std::vector<std::pair<std::string, int>>{
           {"", 401}, {"Authorization: Bearer key\r\nOrigin: http://evil.example\r\n", 403}}) {
    RawClient client(port());
    ASSERT_TRUE(client.Send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n" + header + length + "\r\n{\"prompt\": "));
    const auto response = client.ReadResponse();
    ASSERT_TRUE(response.has_value()) << header;
    EXPECT_EQ(response->status, status) << header;
  }
  RawClient waits(port());
  ASSERT_TRUE(waits.Send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer key\r\n" + length +
                         "Expect: 100-continue\r\n\r\n"));
  const auto response = waits.ReadHead();
  ASSERT_TRUE(response.has_value());
  EXPECT_EQ(response->status, 100);
}

TEST_F(ServerAccessTest, H21AForeignHostIsRefused) {
  ServerOptions options = TinyServer();
  options.access.allowed_hosts = {"Example.org"};
  Start(options);
  for (const char* host : {"localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:80", "192.168.3.4", "example.org:99"}) {
    EXPECT_EQ(Bare("GET", "/v1/models", "Host: " + std::string(host) + "\r\n").status, 200) << host;
  }
  for (const char* host : {"evil.example", "localhost.evil.example", "example.org.evil", "127.0.0.1.evil.example:80"}) {
    SCOPED_TRACE(host);
    for (const char* path : {"/v1/models", "/", "/health"}) {
      ExpectError(Bare("GET", path, "Host: " + std::string(host) + "\r\n"), 403, kInvalid, "forbidden", nullptr);
    }
  }
  for (const char* host : {"a:b", "[::1", ":80", "localhost:80x"}) {
    SCOPED_TRACE(host);
    ExpectError(Bare("GET", "/v1/models", "Host: " + std::string(host) + "\r\n"), 400, kInvalid, nullptr, nullptr);
  }
}

TEST_F(ServerAccessTest, H21PagesOfOtherOriginsMayNotCall) {
  ServerOptions options = TinyServer();
  options.access.allowed_hosts = {"example.org"};
  Start(options);
  const Json body = Greedy(PromptIds(5), 2);
  for (const char* origin :
       {"null", "http://evil.example", "https://localhost.evil.example", "http://192.168.3.4", "file://"}) {
    SCOPED_TRACE(origin);
    const Reply refused = Post("/v1/completions", body, "Origin: " + std::string(origin) + "\r\n");
    ExpectError(refused, 403, kInvalid, "forbidden", nullptr);
    EXPECT_FALSE(refused.raw.has_header("access-control-allow-origin"));
  }
  EXPECT_EQ(Stats().accepted, 0u);
  for (const char* origin : {"http://localhost:3000", "http://127.0.0.1:5173", "https://example.org", "http://[::1]:80"}) {
    const Reply reply = Post("/v1/completions", body, "Origin: " + std::string(origin) + "\r\n");
    EXPECT_EQ(reply.status, 200) << origin;
    EXPECT_EQ(reply.raw.header("access-control-allow-origin"), origin);  // never *
    EXPECT_EQ(reply.raw.header("vary"), "Origin");
  }
  EXPECT_FALSE(Get("/v1/models").raw.has_header("access-control-allow-origin"));
}

TEST_F(ServerAccessTest, H21APreflightNeedsNoKeyAndIsOnlyForPagesThatMayCall) {
  ServerOptions options = TinyServer();
  options.access.api_keys = {"key"};
  Start(options);
  const std::string ask =
      "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, content-type, x-stainless-os\r\n";
  const Reply allowed = Ask(port(), "OPTIONS", "/v1/chat/completions", {}, "Origin: http://localhost:3000\r\n" + ask);
  EXPECT_EQ(allowed.status, 204);
  EXPECT_EQ(allowed.raw.header("access-control-allow-origin"), "http://localhost:3000");
  EXPECT_NE(allowed.raw.header("access-control-allow-methods").find("POST"), std::string::npos);
  // OpenAI's own client sends headers of its own from a browser.
  EXPECT_EQ(allowed.raw.header("access-control-allow-headers"), "authorization, content-type, x-stainless-os");
  ExpectError(Ask(port(), "OPTIONS", "/v1/chat/completions", {}, "Origin: http://evil.example\r\n" + ask), 403, kInvalid,
              "forbidden", nullptr);
  // An error must be readable for the page too.
  const Reply refused = Get("/v1/models", "Origin: http://localhost:3000\r\n");
  ExpectError(refused, 401, kInvalid, "invalid_api_key", nullptr);
  EXPECT_EQ(refused.raw.header("access-control-allow-origin"), "http://localhost:3000");
}

// Also what is refused before it has become a request must be readable for a page that may call.
TEST_F(ServerAccessTest, H21ABodyThatIsTooLongIsToldToPagesThatMayCall) {
  ServerOptions options = TinyServer();
  options.http.max_body_bytes = 1000;
  Start(options);
  const std::string origin = "http://localhost:3000";
  const Json body = Greedy(PromptIds(5), 2, {{"user", std::string(1000, 'x')}});
  const Reply allowed = Post("/v1/completions", body, "Origin: " + origin + "\r\n");
  ExpectError(allowed, 413, kInvalid, nullptr, nullptr);
  EXPECT_EQ(allowed.raw.header("access-control-allow-origin"), origin);
  const Reply foreign = Post("/v1/completions", body, "Origin: http://evil.example\r\n");
  ExpectError(foreign, 413, kInvalid, nullptr, nullptr);
  EXPECT_FALSE(foreign.raw.has_header("access-control-allow-origin"));
}

}  // namespace
}  // namespace damask::server
