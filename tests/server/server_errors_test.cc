// BAD_INPUT.md section 6 from end to end: what a client sends wrongly, what it is told, and that the next one is served.
#include <string>
#include <thread>
#include <vector>

#include "tests/server/server_fixture.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

constexpr char kInvalid[] = "invalid_request_error";
constexpr const char* kGenerationPaths[] = {"/v1/chat/completions", "/v1/completions", "/completion"};

class ServerErrorsTest : public ServerFixture {};

TEST_F(ServerErrorsTest, H01WhatIsNoJsonIs400) {
  Start();
  const std::string bodies[] = {"",
                                R"({"prompt": "a)",
                                "prompt=a",
                                "{\"prompt\": \"\xc4\xe3\xba\xc3\"}",  // GBK
                                R"({"prompt": "\ud800"})",
                                std::string(100000, '['),
                                R"({"prompt": "a", "prompt": "b"})",
                                R"({"prompt": "a"} x)"};
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/completion", "/tokenize", "/detokenize"}) {
    for (const std::string& body : bodies) {
      SCOPED_TRACE(path + (" " + body.substr(0, 40)));
      ExpectError(PostText(path, body), 400, kInvalid, nullptr, nullptr);
    }
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H02WhatIsNoObjectIs400) {
  Start();
  for (const char* path : {"/v1/chat/completions", "/v1/completions", "/completion", "/tokenize", "/detokenize"}) {
    for (const char* body : {"[]", "null", "3", R"("text")", "true"}) {
      SCOPED_TRACE(path + std::string(" ") + body);
      ExpectError(PostText(path, body), 400, kInvalid, nullptr, nullptr);
    }
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H03MessagesAreCheckedAndNamed) {
  Start();
  struct Row {
    const char* messages;
    const char* code;
    const char* param;
  };
  const Row rows[] = {
      {"null", "missing_required_parameter", "messages"},
      {"[]", "invalid_value", "messages"},
      {"\"hello\"", "invalid_type", "messages"},
      {"[3]", "invalid_type", "messages[0]"},
      {R"([{"role": "user", "content": "a"}, {"role": "king", "content": "b"}])", "invalid_value", "messages[1].role"},
      {R"([{"content": "a"}])", "missing_required_parameter", "messages[0].role"},
      {R"([{"role": "user", "content": null}])", "invalid_type", "messages[0].content"},
      {R"([{"role": "user", "content": 7}])", "invalid_type", "messages[0].content"},
      {R"([{"role": "user"}])", "missing_required_parameter", "messages[0].content"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.messages);
    ExpectError(PostText("/v1/chat/completions", std::string(R"({"messages": )") + row.messages + "}"), 400, kInvalid, row.code,
                row.param);
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H04NumbersOutOfRangeAreNamed) {
  Start();
  struct Row {
    const char* field;
    Json value;
    const char* code;
  };
  const Row rows[] = {
      {"temperature", 200, "decimal_above_max_value"},
      {"temperature", -1, "decimal_below_min_value"},
      {"temperature", "NaN", "invalid_type"},
      {"top_p", 5, "decimal_above_max_value"},
      {"max_tokens", -1, "integer_below_min_value"},
      {"max_tokens", 0, "integer_below_min_value"},
      {"max_tokens", uint64_t{1} << 63, "integer_above_max_value"},
      {"max_tokens", 1.5, "invalid_type"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.field + row.value.dump());
    ExpectError(Post("/v1/chat/completions", GreedyChat("hello", 3, {{row.field, row.value}})), 400, kInvalid, row.code,
                row.field);
  }
  ExpectError(Post("/v1/completions", Greedy("a", 3, {{"n", 0}})), 400, kInvalid, "integer_below_min_value", "n");
  ExpectWell();
}

TEST_F(ServerErrorsTest, H05WhatDamaskLacksIsRefusedByName) {
  Start();
  const Json tools = {{{"type", "function"}, {"function", {{"name", "f"}}}}};
  ExpectError(Post("/v1/chat/completions", GreedyChat("hello", 3, {{"tools", tools}})), 400, kInvalid, "unsupported_parameter",
              "tools");
  ExpectError(Post("/v1/completions", Greedy("a", 3, {{"n", 2}})), 400, kInvalid, "unsupported_value", "n");
  ExpectWell();
}

TEST_F(ServerErrorsTest, H07WhatDoesNotFitTheContextIsRefusedAndNeverCut) {
  ServerOptions options = TinyServer();
  options.model.engine.context = 100;
  Start(options);
  const auto expect_too_long = [&](const char* path, const Json& body, const char* param, uint64_t prompt_tokens) {
    const Reply reply = Post(path, body);
    ExpectError(reply, 400, kInvalid, "context_length_exceeded", param);
    EXPECT_EQ(reply.json["error"]["n_prompt_tokens"], prompt_tokens);
    EXPECT_EQ(reply.json["error"]["n_ctx"], 100);
  };
  expect_too_long("/v1/completions", Greedy(PromptIds(101), 1), "prompt", 101);
  expect_too_long("/v1/completions", Greedy(PromptIds(90), 11), "prompt", 90);
  expect_too_long("/completion", {{"prompt", PromptIds(100)}}, "prompt", 100);
  expect_too_long("/v1/completions", Greedy(PromptIds(90), 11, {{"stream", true}}), "prompt", 90);
  const std::string text(400, 'x');
  const Reply chat = Post("/v1/chat/completions", GreedyChat(text, 1));
  ExpectError(chat, 400, kInvalid, "context_length_exceeded", "messages");

  const Reply fits = Post("/v1/completions", Greedy(PromptIds(90), 10, {{"logprobs", 0}}));
  ASSERT_EQ(fits.status, 200) << fits.raw.body;
  EXPECT_EQ(fits.json["usage"]["prompt_tokens"], 90);
  ExpectWell();
}

TEST_F(ServerErrorsTest, H08TheModelMayBeNamedOrNotButNoOther) {
  ServerOptions options = TinyServer();
  options.model.alias = "the/alias";
  Start(options);
  for (const char* path : kGenerationPaths) {
    SCOPED_TRACE(path);
    Json body = path == kGenerationPaths[0] ? GreedyChat("hello", 2) : Greedy(PromptIds(5), 2);
    EXPECT_EQ(Post(path, body).status, 200);
    for (const char* name : {"the/alias", "tiny-1", ""}) {
      body["model"] = name;
      EXPECT_EQ(Post(path, body).status, 200) << name;
    }
    body["model"] = "gpt-4";
    ExpectError(Post(path, body), 404, kInvalid, "model_not_found", "model");
  }
  for (const char* name : {"the/alias", "the%2Falias", "the%2falias", "%74iny-1"}) {
    EXPECT_EQ(Get(std::string("/v1/models/") + name).status, 200) << name;
  }
  for (const char* name : {"gpt-4", "the%252Falias", "the%2", "the%", "the%zzalias", "the+alias"}) {
    SCOPED_TRACE(name);
    ExpectError(Get(std::string("/v1/models/") + name), 404, kInvalid, "model_not_found", "model");
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H10UnknownPathsAndWrongMethods) {
  Start();
  for (const char* path : {"/nothing", "/v1", "/v1/chat/completions/", "//", "/v1/../health", "/%2e%2e/etc"}) {
    SCOPED_TRACE(path);
    ExpectError(Get(path), 404, kInvalid, "unknown_url", nullptr);
  }
  for (const char* path : kGenerationPaths) {
    const Reply reply = Get(path);
    ExpectError(reply, 405, kInvalid, "method_not_supported", nullptr);
    EXPECT_EQ(reply.raw.header("allow"), "POST");
  }
  for (const char* path : {"/", "/health", "/props", "/metrics", "/v1/models"}) {
    const Reply reply = Ask(port(), "DELETE", path);
    ExpectError(reply, 405, kInvalid, "method_not_supported", nullptr);
    EXPECT_EQ(reply.raw.header("allow"), "GET") << path;
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H11WhatIsTooLongOrNotHttpIsToldInTheSameShape) {
  ServerOptions options = TinyServer();
  options.http.max_body_bytes = 5000;
  options.http.max_header_bytes = 4000;
  Start(options);
  ExpectError(PostText("/v1/completions", std::string(5001, ' ')), 413, kInvalid, nullptr, nullptr);
  ExpectError(Get("/health", "X-Long: " + std::string(5000, 'x') + "\r\n"), 431, kInvalid, nullptr, nullptr);
  const std::string post = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n";
  for (const char* rest : {"Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}", "Content-Length: many\r\n\r\n{}",
                           "Transfer-Encoding: chunked\r\n\r\ngarbage\r\n"}) {
    SCOPED_TRACE(rest);
    RawClient client(port());
    ASSERT_TRUE(client.Send(post + rest));
    const std::optional<RawResponse> response = client.ReadResponse();
    ASSERT_TRUE(response);
    ExpectError({response->status, Json::parse(response->body, nullptr, false), *response}, 400, kInvalid, nullptr, nullptr);
  }
  ExpectWell();
}

TEST_F(ServerErrorsTest, H11WhereAllBodiesTogetherAreTooLongItIs503WithRetryAfter) {
  ServerOptions options = TinyServer();
  options.http.max_body_bytes = options.http.max_total_body_bytes = 5000;
  Start(options);
  const Json padded = Greedy(PromptIds(5), 2, {{"user", std::string(2000, 'x')}});
  RawClient slow(port());
  ASSERT_TRUE(slow.Send("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000\r\n\r\n" + std::string(4000, ' ')));
  Reply refused;
  ASSERT_TRUE(WaitUntil([&] { return (refused = Post("/v1/completions", padded)).status != 200; }));
  ExpectError(refused, 503, "server_error", nullptr, nullptr);
  EXPECT_NE(refused.raw.header("retry-after"), "");
  slow.Close();
  ASSERT_TRUE(WaitUntil([&] { return Post("/v1/completions", padded).status == 200; }));
  // What has been read is not held while it is answered.
  Json endless = Endless();
  endless["user"] = std::string(4000, 'x');
  SseClient stream(port(), "/v1/completions", endless);
  ASSERT_TRUE(stream.NextData());
  EXPECT_EQ(Post("/v1/completions", padded).status, 200);
  stream.client().Close();
  ExpectWell();
}

// docs/server.md: what a request says of its body's type does not matter.
TEST_F(ServerErrorsTest, H12AnyContentTypeIsTaken) {
  Start();
  for (const char* type : {"Content-Type: text/plain\r\n", "Content-Type: application/json; charset=latin1\r\n", ""}) {
    EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(5), 2), type).status, 200) << type;
  }
}

TEST_F(ServerErrorsTest, H13AFullQueueIs429WithRetryAfter) {
  ServerOptions options = TinyServer();
  options.model.scheduler.parallel = 1;
  options.model.scheduler.queue = 1;
  Start(options);
  SseClient running(port(), "/v1/completions", Endless());
  ASSERT_EQ(running.status(), 200);
  ASSERT_TRUE(WaitUntil([&] { return Stats().drawing == 1; }));
  SseClient waiting(port(), "/v1/completions", Endless());
  ASSERT_EQ(waiting.status(), 200);
  for (const bool stream : {false, true}) {
    const Reply refused = Post("/v1/completions", Greedy(PromptIds(5), 2, {{"stream", stream}}));
    ExpectError(refused, 429, "requests", "rate_limit_exceeded", nullptr);
    EXPECT_GE(std::atoi(refused.raw.header("retry-after").c_str()), 1);
  }
  EXPECT_EQ(Stats().refused, 2u);
  running.client().Close();
  waiting.client().Close();
  ExpectWell();
}

TEST_F(ServerErrorsTest, APromptThatIsNotReadInTimeIsToldNotToBeAskedAgain) {
  ServerOptions options = TinyServer();
  options.model.scheduler.timeout_seconds = 1;
  Start(options);
  const Reply reply = Post("/v1/completions", Greedy(PromptIds(100000), 1));
  ExpectError(reply, 429, "requests", "request_timeout", nullptr);
  EXPECT_NE(reply.json["error"]["message"].get<std::string>().find("--timeout"), std::string::npos);
  EXPECT_EQ(reply.raw.header("x-should-retry"), "false");
  EXPECT_FALSE(reply.raw.has_header("retry-after"));
}

TEST_F(ServerErrorsTest, APromptThatIsNotReadInTimeGoesOnWhereItIsKept) {
  ServerOptions options = TinyServer();
  options.model.scheduler.timeout_seconds = 1;
  options.model.prefixes.memory_bytes = uint64_t{1} << 30;
  Start(options);
  const Reply reply = Post("/v1/completions", Greedy(PromptIds(100000), 1));
  ExpectError(reply, 429, "requests", "request_timeout", nullptr);
  EXPECT_FALSE(reply.raw.has_header("x-should-retry"));
  EXPECT_TRUE(WaitForIdle());
  EXPECT_GT(CachedTokens(Post("/v1/completions", Greedy(PromptIds(200), 1))), 0u);
}

TEST_F(ServerErrorsTest, H14WhileTheModelIsLoadedEverythingThatNeedsItIs503) {
  Listen();
  for (const char* path : kGenerationPaths) {
    const Reply reply = Post(path, Greedy(PromptIds(5), 2));
    ExpectError(reply, 503, "server_error", nullptr, nullptr);
    EXPECT_GE(std::atoi(reply.raw.header("retry-after").c_str()), 1);
  }
  for (const char* path : {"/health", "/v1/models", "/props", "/slots", "/metrics", "/v1/models/x", "/mask"}) {
    SCOPED_TRACE(path);
    ExpectError(Get(path), 503, "server_error", nullptr, nullptr);
  }
  EXPECT_EQ(Get("/").status, 200);  // the page waits by itself
  ExpectError(Get("/nothing"), 404, kInvalid, "unknown_url", nullptr);
  ASSERT_TRUE(server_->Load().ok());
  ExpectWell();
}

TEST_F(ServerErrorsTest, H16UnknownFieldsAreIgnoredAndKnownOnesBounded) {
  Start();
  const Json plain = Greedy(PromptIds(30), 8);
  Json more = plain;
  more.update({{"metadata", {{"a", {1, 2}}}}, {"service_tier", 5}, {"store", "yes"}, {"cache_prompt", true}});
  EXPECT_EQ(TextOf(Post("/v1/completions", more)), TextOf(Post("/v1/completions", plain)));
  const auto with = [&](const char* name, const Json& value) {
    return Post("/v1/completions", Greedy("a", 1, {{name, value}}));
  };
  ExpectError(with("stop", ""), 400, kInvalid, "invalid_value", "stop");
  ExpectError(with("stop", Json(std::vector<std::string>(10000, "x"))), 400, kInvalid, "invalid_value", "stop");
  ExpectError(with("user", std::string(1 << 20, 'u')), 400, kInvalid, "invalid_value", "user");
  ExpectWell();
}

TEST_F(ServerErrorsTest, H17AGrammarIsRefusedAndNothingIsGenerated) {
  Start();
  ExpectError(Post("/completion", {{"prompt", "a"}, {"grammar", "root ::= ((("}}), 400, kInvalid, "unsupported_parameter",
              "grammar");
  ExpectError(Post("/v1/chat/completions", GreedyChat("a", 3, {{"response_format", {{"type", "json_object"}}}})), 400, kInvalid,
              "unsupported_value", "response_format");
  EXPECT_EQ(Stats().accepted, 0u);
  ExpectWell();
}

TEST_F(ServerErrorsTest, H18IntegersThatOthersUseAsIndicesReachNothing) {
  Start();
  const Json plain = Greedy(PromptIds(30), 8);
  Json more = plain;
  more.update({{"n_keep", -5}, {"n_discard", -1}, {"id_slot", 1 << 30}, {"seed", -1}, {"top_k", -1}});
  EXPECT_EQ(TextOf(Post("/completion", more)), TextOf(Post("/completion", plain)));
  ExpectError(Post("/completion", {{"prompt", "a"}, {"top_k", -2}}), 400, kInvalid, "integer_below_min_value", "top_k");
  ExpectError(Post("/completion", {{"prompt", {1, 2, kTinyVocab}}}), 400, kInvalid, "invalid_value", "prompt");
  ExpectError(Post("/completion", {{"prompt", {1, -2}}}), 400, kInvalid, "integer_below_min_value", "prompt[1]");
  ExpectWell();
}

TEST_F(ServerErrorsTest, H20ASlowSenderHoldsNoPlaceAndIsCutOff) {
  ServerOptions options = TinyServer();
  options.model.scheduler.parallel = 1;
  options.http.body_timeout = std::chrono::milliseconds(1000);
  Start(options);
  RawClient slow(port());
  ASSERT_TRUE(slow.Send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{"));
  EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(5), 2)).status, 200);
  const std::optional<RawResponse> answer = slow.ReadResponse();
  ASSERT_TRUE(answer);
  ExpectError({answer->status, Json::parse(answer->body, nullptr, false), *answer}, 408, kInvalid, nullptr, nullptr);
  ExpectWell();
}

TEST_F(ServerErrorsTest, H20ASlowReaderEndsItsOwnRequestAndNobodyElses) {
  ServerOptions options = TinyServer();
  options.http.max_pending_output = 20000;
  Start(options);
  RawClient slow(port(), "127.0.0.1", 4096);
  Json body = Endless();
  body["n_probs"] = 20;  // many bytes of every token
  ASSERT_TRUE(slow.Send(RawClient::Request("POST", "/completion", body.dump())));
  SseClient other(port(), "/v1/completions", Greedy(PromptIds(40, 41), 200));
  other.ReadAll();
  EXPECT_TRUE(other.whole() && other.done());
  EXPECT_TRUE(WaitUntil([&] { return Stats().cancelled == 1; }));
  ExpectWell();
}

TEST_F(ServerErrorsTest, H22AConnectionMayBeUsedInEveryWayHttpAllows) {
  Start();
  const std::string ask = Greedy(PromptIds(9), 3).dump();
  RawClient client(port());
  // Pipelined: a generation, then something quick. The order stays.
  ASSERT_TRUE(client.Send(RawClient::Request("POST", "/v1/completions", ask) + RawClient::Request("GET", "/health")));
  const auto first = client.ReadResponse();
  const auto second = client.ReadResponse();
  ASSERT_TRUE(first && second);
  EXPECT_NE(first->body.find("text_completion"), std::string::npos);
  EXPECT_EQ(second->body, R"({"status":"ok"})");
  // The body waits for a 100.
  ASSERT_TRUE(client.Send("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: " +
                          std::to_string(ask.size()) + "\r\n\r\n"));
  const auto go_on = client.ReadHead();
  ASSERT_TRUE(go_on);
  EXPECT_EQ(go_on->status, 100);
  ASSERT_TRUE(client.Send(ask));
  const auto third = client.ReadResponse();
  ASSERT_TRUE(third);
  EXPECT_EQ(third->status, 200);
  // HEAD, then HTTP/1.0 with a stream: the end of the connection is its end.
  ASSERT_TRUE(client.Send("HEAD /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"));
  const auto head = client.ReadResponse(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200);
  Json stream = Greedy(PromptIds(9), 3);
  stream["stream"] = true;
  const std::string body = stream.dump();
  ASSERT_TRUE(
      client.Send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body));
  const auto old = client.ReadResponse();
  ASSERT_TRUE(old);
  EXPECT_TRUE(old->whole);
  EXPECT_NE(old->body.find("data: [DONE]\n\n"), std::string::npos);
  ExpectWell();
}

}  // namespace
}  // namespace damask::server
