// Streams from end to end: their shape in all three APIs, comments while nothing is said, stop strings, broken UTF-8.
#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "base/text.h"
#include "tests/server/server_fixture.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

constexpr char kReplacement[] = "\xef\xbf\xbd";

class ServerStreamTest : public ServerFixture {};

TEST_F(ServerStreamTest, H19AChatStreamHasItsShape) {
  Start();
  const Json body = GreedyChat("tell me", 12, {{"stream_options", {{"include_usage", true}}}});
  SseClient stream(port(), "/v1/chat/completions", body);
  EXPECT_EQ(stream.status(), 200);
  EXPECT_EQ(stream.head().header("content-type"), "text/event-stream");
  EXPECT_EQ(stream.head().header("cache-control"), "no-cache");
  stream.ReadAll();
  EXPECT_EQ(stream.broken(), "");
  EXPECT_TRUE(stream.done());
  EXPECT_TRUE(stream.whole());
  const std::vector<Json>& events = stream.events();
  ASSERT_GE(events.size(), 3u);
  EXPECT_EQ(events[0]["choices"][0]["delta"]["role"], "assistant");
  for (const Json& event : events) {
    EXPECT_EQ(event["id"], events[0]["id"]);
    EXPECT_EQ(event["object"], "chat.completion.chunk");
  }
  const Json& last = events[events.size() - 2];
  EXPECT_TRUE(last["choices"][0]["finish_reason"] == "length" || last["choices"][0]["finish_reason"] == "stop") << last;
  EXPECT_TRUE(last.contains("timings"));
  EXPECT_TRUE(events.back()["choices"].empty());
  const Reply whole = Post("/v1/chat/completions", body);
  ASSERT_EQ(whole.status, 200) << whole.raw.body;
  EXPECT_EQ(stream.text(), TextOf(whole));
  EXPECT_EQ(events.back()["usage"], whole.json["usage"]);
  EXPECT_EQ(whole.json["usage"]["prompt_tokens_details"]["cached_tokens"], 0);
}

TEST_F(ServerStreamTest, H19TheOtherTwoApisHaveTheirs) {
  Start();
  const Json body = Greedy(PromptIds(30), 12);
  SseClient openai(port(), "/v1/completions", body);
  openai.ReadAll();
  EXPECT_TRUE(openai.done() && openai.whole()) << openai.broken();
  for (const Json& event : openai.events()) EXPECT_FALSE(event.contains("usage"));
  SseClient llama(port(), "/completion", body);
  llama.ReadAll();
  EXPECT_FALSE(llama.done());  // "stop": true says it
  EXPECT_TRUE(llama.whole()) << llama.broken();
  ASSERT_FALSE(llama.events().empty());
  for (const Json& event : llama.events()) EXPECT_EQ(event["stop"], &event == &llama.events().back());
  EXPECT_EQ(openai.text(), TextOf(Post("/v1/completions", body)));
  EXPECT_EQ(llama.text(), openai.text());
  EXPECT_EQ(TextOf(Post("/completion", body)), openai.text());
}

TEST_F(ServerStreamTest, H19AnErrorBehindTheHeadIsOneEventWithoutDone) {
  ServerOptions options = TinyServer();
  options.model.scheduler.parallel = 1;
  options.model.scheduler.timeout_seconds = 2;
  Start(options);
  SseClient slow(port(), "/v1/completions", Greedy(PromptIds(100000), 1));
  SseClient queued(port(), "/completion", Greedy(PromptIds(100000, 41), 1));
  for (SseClient* stream : {&slow, &queued}) {
    EXPECT_EQ(stream->status(), 200);
    stream->ReadAll();
    EXPECT_FALSE(stream->done());
    ASSERT_FALSE(stream->events().empty());
    ASSERT_TRUE(stream->events().back().contains("error")) << stream->events().back();
    EXPECT_EQ(stream->events().back()["error"]["code"], "request_timeout");
    EXPECT_TRUE(stream->events().back()["error"].contains("param"));
  }
  ExpectWell();
}

TEST_F(ServerStreamTest, H06ACommentComesWhileALongPromptIsReadAndWhileARequestWaits) {
  ServerOptions options = TinyServer();
  options.model.scheduler.parallel = 1;
  Start(options);
  SseClient reading(port(), "/v1/completions", Greedy(PromptIds(100000), 1));
  SseClient waiting(port(), "/v1/completions", Greedy(PromptIds(5), 1));
  for (SseClient* stream : {&reading, &waiting}) {
    ASSERT_EQ(stream->status(), 200);
    EXPECT_EQ(stream->client().ReadEvent(), ":");
  }
  EXPECT_EQ(Stats().reading, 1u);
  EXPECT_EQ(Stats().queued, 1u);
  reading.client().Close();
  waiting.ReadAll();
  EXPECT_TRUE(waiting.done());
  ExpectWell();
}

TEST_F(ServerStreamTest, ProgressIsToldWhereItIsAskedFor) {
  Start();
  SseClient openai(port(), "/v1/completions", Greedy(PromptIds(1300), 2, {{"stream_options", {{"include_progress", true}}}}));
  SseClient llama(port(), "/completion", Greedy(PromptIds(1300, 41), 2, {{"return_progress", true}}));
  for (SseClient* stream : {&openai, &llama}) {
    stream->ReadAll();
    std::vector<uint64_t> processed;
    for (const Json& event : stream->events()) {
      if (!event.contains("prompt_progress")) continue;
      EXPECT_EQ(event["prompt_progress"]["total"], 1300);
      processed.push_back(event["prompt_progress"]["processed"]);
    }
    ASSERT_GE(processed.size(), 3u);
    EXPECT_TRUE(std::is_sorted(processed.begin(), processed.end()));
    EXPECT_EQ(processed.back(), 1300u);
    EXPECT_TRUE(stream->whole());
  }
}

// The pieces of a greedy answer, as /completion streams them.
std::vector<std::string> Pieces(uint16_t port, const Json& body) {
  SseClient stream(port, "/completion", body);
  stream.ReadAll();
  std::vector<std::string> pieces;
  for (const Json& event : stream.events()) {
    if (const std::string piece = event.value("content", ""); !piece.empty()) pieces.push_back(piece);
  }
  return pieces;
}

bool IsAscii(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 128; });
}

TEST_F(ServerStreamTest, H19StopStringsOverTokenBordersAreNeverSent) {
  Start();
  size_t tried = 0;
  for (const size_t step : {37u, 41u, 43u, 53u, 59u}) {
    const Json body = Greedy(PromptIds(25, step), 40);
    const std::vector<std::string> pieces = Pieces(port(), body);
    const std::string text = TextOf(Post("/completion", body));
    for (size_t i = 0; i + 1 < pieces.size() && i < 8; ++i) {
      const std::string stop = pieces[i] + pieces[i + 1].substr(0, 1);
      if (!IsAscii(stop)) continue;
      ++tried;
      SCOPED_TRACE(Quote(stop));
      const std::string expected = text.substr(0, text.find(stop));
      Json stopped = body;
      stopped["stop"] = {"never in it at all", stop};
      SseClient openai(port(), "/v1/completions", stopped);
      openai.ReadAll();
      EXPECT_EQ(openai.text(), expected);
      EXPECT_EQ(openai.finish(), "stop");
      SseClient llama(port(), "/completion", stopped);
      llama.ReadAll();
      EXPECT_EQ(llama.text(), expected);
      EXPECT_EQ(llama.finish(), "word");
      EXPECT_EQ(llama.events().back()["stopping_word"], stop);
      EXPECT_EQ(TextOf(Post("/v1/completions", stopped)), expected);
    }
  }
  EXPECT_GE(tried, 5u);
  ExpectWell();
}

TEST_F(ServerStreamTest, H19WhatOnlyBeginsLikeAStopStringIsSentAfterAll) {
  Start();
  const Json body = Greedy(PromptIds(25), 40);
  const std::string text = TextOf(Post("/completion", body));
  size_t tried = 0;
  for (const std::string& piece : Pieces(port(), body)) {
    if (!IsAscii(piece)) continue;
    ++tried;
    Json stopped = body;
    stopped["stop"] = piece + "\x01never";
    SseClient stream(port(), "/completion", stopped);
    stream.ReadAll();
    EXPECT_EQ(stream.text(), text);
  }
  EXPECT_GE(tried, 5u);
  ExpectWell();
}

TEST_F(ServerStreamTest, L08TokensThatAreNoTextNeverBreakTheJson) {
  Start();
  size_t replaced = 0;
  for (int seed = 0; seed < 20; ++seed) {
    const Json body = {{"prompt", PromptIds(20)},
                       {"max_tokens", 5 + seed % 4},
                       {"temperature", 2},
                       {"top_k", 0},
                       {"top_p", 1},
                       {"min_p", 0},
                       {"seed", 1000 + seed},
                       {"logprobs", 2}};
    const Reply whole = Post("/v1/completions", body);
    ASSERT_EQ(whole.status, 200) << whole.raw.body;
    EXPECT_TRUE(IsValidUtf8(whole.raw.body));
    SseClient stream(port(), "/v1/completions", body);
    stream.ReadAll();
    EXPECT_EQ(stream.broken(), "");
    EXPECT_TRUE(stream.done());
    EXPECT_EQ(stream.text(), TextOf(whole));
    replaced += TextOf(whole).find(kReplacement) != std::string::npos ? 1 : 0;
  }
  EXPECT_GT(replaced, 0u);  // else nothing was tested
}

TEST_F(ServerStreamTest, ASeedGivesTheSameAnswerAgainAndAnotherSeedAnother) {
  Start();
  Json body = {{"prompt", PromptIds(20)}, {"max_tokens", 24}, {"temperature", 1.5}, {"seed", 7}};
  const std::string first = TextOf(Post("/v1/completions", body));
  EXPECT_EQ(TextOf(Post("/v1/completions", body)), first);
  body["seed"] = 8;
  EXPECT_NE(TextOf(Post("/v1/completions", body)), first);
}

}  // namespace
}  // namespace damask::server
