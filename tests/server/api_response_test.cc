#include "server/api_response.h"

#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "base/text.h"
#include "base/version.h"
#include "server/api_usage.h"

namespace damask::server {
namespace {

using Json = nlohmann::json;
using batching::DrawnToken;
using batching::TokenId;

// Token 1 is "He", 2 the first two bytes of a euro sign, 3 its last, 4 an empty piece.
std::string Bytes(TokenId id, bool spelled) {
  switch (id) {
    case 1: return "He";
    case 2: return "\xe2\x82";
    case 3: return "\xac";
    case 5: return spelled ? "<end>" : "";  // a control token
    default: return "";
  }
}

ResponseHead Head(Api api) {
  return {.api = api, .id = "cmpl-1", .created = 1700000000, .model = "tiny", .prompt_tokens = 100, .token_bytes = Bytes};
}

ResponseHead HeadWithLogprobs(Api api, size_t top) {
  ResponseHead head = Head(api);
  head.top_logprobs = top;
  return head;
}

batching::Outcome Ended(engine::FinishReason finish) {
  batching::Outcome outcome;
  outcome.finish = finish;
  outcome.seed = 7;
  outcome.usage = {.prompt_tokens = 100,
                   .cached_tokens = 64,
                   .completion_tokens = 11,
                   .prefill_seconds = 0.5,
                   .decode_seconds = 2,
                   .prefill = {.planned_pairs = 30, .causal_pairs = 100},
                   .decode = {.planned_pairs = 20, .causal_pairs = 100}};
  return outcome;
}

std::vector<DrawnToken> Drawn() {
  return {{.id = 1, .logprob = -0.5f, .top = {{1, -0.5f}, {4, -1.5f}}},
          {.id = 2, .logprob = -0.25f, .top = {{2, -0.25f}, {1, -std::numeric_limits<float>::infinity()}}},
          {.id = 3, .logprob = 0.0f, .top = {{3, 0.0f}, {2, -30.0f}}}};
}

Json Parse(const std::string& text) { return Json::parse(text); }

// The JSON of every event of a stream's text; each must be one line.
std::vector<Json> Events(std::string_view text) {
  std::vector<Json> events;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    EXPECT_EQ(text.substr(0, 6), "data: ");
    EXPECT_NE(end, std::string_view::npos);
    if (end == std::string_view::npos) break;
    const std::string_view data = text.substr(6, end - 6);
    EXPECT_EQ(data.find_first_of("\r\n"), std::string_view::npos);
    events.push_back(Json::parse(data));
    text.remove_prefix(end + 2);
  }
  return events;
}

Json OneEvent(const std::string& text) {
  const std::vector<Json> events = Events(text);
  EXPECT_EQ(events.size(), 1u) << text;
  return events.empty() ? Json() : events[0];
}

TEST(ApiResponseTest, IdsAreRandomLettersAndDigits) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) ids.insert(MakeResponseId(Api::kChat));
  EXPECT_EQ(ids.size(), 100u);
  for (const std::string& id : ids) {
    EXPECT_EQ(id.substr(0, 9), "chatcmpl-");
    EXPECT_EQ(id.size(), 9u + 24);
    EXPECT_EQ(id.substr(9).find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"),
              std::string::npos);
  }
  EXPECT_EQ(MakeResponseId(Api::kCompletions).substr(0, 5), "cmpl-");
}

TEST(ApiResponseTest, UsageHasCachedTokensDensityAndRecall) {
  batching::Usage usage = Ended(engine::FinishReason::kStop).usage;
  EXPECT_EQ(UsageJson(usage).dump(),
            R"({"prompt_tokens":100,"completion_tokens":11,"total_tokens":111,"prompt_tokens_details":{"cached_tokens":64},)"
            R"("attention_density":0.25,"attention_recall":null})");
  usage.audit.rows = 4;
  usage.audit.recall_sum = 3;
  EXPECT_EQ(UsageJson(usage)["attention_recall"], 0.75);
}

TEST(ApiResponseTest, TimingsCountWhatWasReadNow) {
  const Json timings = Parse(TimingsJson(Ended(engine::FinishReason::kStop).usage).dump());
  EXPECT_EQ(timings["cache_n"], 64);
  EXPECT_EQ(timings["prompt_n"], 36);
  EXPECT_EQ(timings["prompt_ms"], 500);
  EXPECT_EQ(timings["prompt_per_second"], 72);
  EXPECT_EQ(timings["predicted_n"], 11);
  EXPECT_EQ(timings["predicted_ms"], 2000);
  EXPECT_EQ(timings["predicted_per_second"], 5);
}

TEST(ApiResponseTest, TimingsOfNothingAreZeros) {
  const Json timings = Parse(TimingsJson({}).dump());
  EXPECT_EQ(timings["prompt_per_second"], 0);
  EXPECT_EQ(timings["predicted_per_second"], 0);
  EXPECT_EQ(timings["predicted_n"], 0);
}

TEST(ApiResponseTest, AWholeChatAnswer) {
  const Json json = Parse(WholeResponse(Head(Api::kChat), {.text = "Hello", .ids = {1}}, Ended(engine::FinishReason::kStop)));
  EXPECT_EQ(json["id"], "cmpl-1");
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["created"], 1700000000);
  EXPECT_EQ(json["model"], "tiny");
  EXPECT_EQ(json["system_fingerprint"], "damask-" + std::string(VersionString()));
  ASSERT_EQ(json["choices"].size(), 1u);
  EXPECT_EQ(json["choices"][0], Parse(R"({"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},
      "logprobs":null,"finish_reason":"stop"})"));
  EXPECT_EQ(json["usage"]["total_tokens"], 111);
  EXPECT_EQ(json["timings"]["cache_n"], 64);
  EXPECT_EQ(json["seed"], 7);
}

// As a request gives it back.
TEST(ApiResponseTest, ASeedBelowZeroStaysOne) {
  batching::Outcome outcome = Ended(engine::FinishReason::kStop);
  outcome.seed = static_cast<uint64_t>(-5);
  EXPECT_EQ(Parse(WholeResponse(Head(Api::kCompletions), {}, outcome))["seed"], -5);
  EXPECT_EQ(Parse(WholeResponse(Head(Api::kLlamaCompletion), {}, outcome))["generation_settings"]["seed"], -5);
}

TEST(ApiResponseTest, AWholeCompletion) {
  const Json json =
      Parse(WholeResponse(Head(Api::kCompletions), {.text = "Hello", .ids = {1}}, Ended(engine::FinishReason::kLength)));
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["choices"], Parse(R"([{"index":0,"text":"Hello","logprobs":null,"finish_reason":"length"}])"));
  EXPECT_EQ(json["usage"]["completion_tokens"], 11);
}

TEST(ApiResponseTest, AChatStreamBeginsWithTheRoleAndEndsWithTheReason) {
  ResponseStream stream(Head(Api::kChat));
  const Json first = OneEvent(stream.Begin());
  EXPECT_EQ(first["object"], "chat.completion.chunk");
  EXPECT_EQ(first["choices"][0]["delta"], Parse(R"({"role":"assistant","content":""})"));
  EXPECT_EQ(first["choices"][0]["finish_reason"], nullptr);
  const Json middle = OneEvent(stream.Piece({.text = "a\nb", .ids = {1}}));
  EXPECT_EQ(middle["choices"], Parse(R"([{"index":0,"delta":{"content":"a\nb"},"logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(stream.Piece({.text = "", .ids = {2}}), "") << "nothing to say yet";
  const Json last = OneEvent(stream.End(Ended(engine::FinishReason::kStop)));
  EXPECT_EQ(last["choices"], Parse(R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}])"));
  EXPECT_EQ(last["timings"]["prompt_n"], 36);
  EXPECT_EQ(last["seed"], 7);
  EXPECT_FALSE(middle.contains("seed"));
  EXPECT_FALSE(last.contains("usage"));
  EXPECT_EQ(first["id"], last["id"]);
}

TEST(ApiResponseTest, ThoughtsAreAMemberOfTheirOwn) {
  ResponseHead head = Head(Api::kChat);
  head.splitter.emplace(tokenizer::ChatFamily::kChatMl, "", tokenizer::Thoughts::kAsTheModel);
  const batching::Outcome outcome = Ended(engine::FinishReason::kStop);
  EXPECT_EQ(Parse(WholeResponse(head, {.text = "<think>\nhm\n</think>\n\nYes"}, outcome))["choices"][0]["message"],
            Parse(R"({"role":"assistant","content":"Yes","reasoning_content":"hm","refusal":null})"));
  EXPECT_EQ(Parse(WholeResponse(head, {.text = "Yes"}, outcome))["choices"][0]["message"],
            Parse(R"({"role":"assistant","content":"Yes","refusal":null})"));

  ResponseStream stream(head);
  EXPECT_EQ(stream.Piece({.text = "<thi", .ids = {1}}), "");
  EXPECT_EQ(OneEvent(stream.Piece({.text = "nk>\nhm", .ids = {1}}))["choices"][0]["delta"],
            Parse(R"({"reasoning_content":"hm"})"));
  EXPECT_EQ(OneEvent(stream.Piece({.text = "!\n</think>\n\nYes", .ids = {1}}))["choices"][0]["delta"],
            Parse(R"({"reasoning_content":"!","content":"Yes"})"));
  EXPECT_EQ(OneEvent(stream.End(outcome))["choices"][0]["delta"], Json::object());

  ResponseStream cut(head);
  EXPECT_EQ(cut.Piece({.text = "<thin", .ids = {1}}), "");
  EXPECT_EQ(OneEvent(cut.End(outcome))["choices"][0]["delta"], Parse(R"({"content":"<thin"})")) << "nothing is lost";
}

TEST(ApiResponseTest, ACompletionStreamIsTexts) {
  ResponseStream stream(Head(Api::kCompletions));
  EXPECT_EQ(stream.Begin(), "");
  const Json middle = OneEvent(stream.Piece({.text = "ab", .ids = {1}}));
  EXPECT_EQ(middle["object"], "text_completion");
  EXPECT_EQ(middle["choices"], Parse(R"([{"index":0,"text":"ab","logprobs":null,"finish_reason":null}])"));
  const Json last = OneEvent(stream.End(Ended(engine::FinishReason::kLength)));
  EXPECT_EQ(last["choices"], Parse(R"([{"index":0,"text":"","logprobs":null,"finish_reason":"length"}])"));
}

TEST(ApiResponseTest, H19UsageIsALastChunkWithoutChoices) {
  for (const Api api : {Api::kChat, Api::kCompletions}) {
    ResponseHead head = Head(api);
    head.include_usage = true;
    ResponseStream stream(head);
    EXPECT_EQ(OneEvent(stream.Piece({.text = "a", .ids = {1}})).at("usage"), nullptr);
    const std::vector<Json> end = Events(stream.End(Ended(engine::FinishReason::kStop)));
    ASSERT_EQ(end.size(), 2u);
    EXPECT_EQ(end[0]["choices"][0]["finish_reason"], "stop");
    EXPECT_EQ(end[0].at("usage"), nullptr);
    EXPECT_EQ(end[1]["choices"], Json::array());
    EXPECT_EQ(end[1]["usage"]["prompt_tokens_details"]["cached_tokens"], 64);
  }
}

TEST(ApiResponseTest, H19AStreamEndsWithDoneAndAnErrorIsOneEvent) {
  EXPECT_EQ(SseDone(Api::kChat), "data: [DONE]\n\n");
  EXPECT_EQ(SseDone(Api::kCompletions), "data: [DONE]\n\n");
  EXPECT_EQ(SseDone(Api::kLlamaCompletion), "");
  EXPECT_EQ(OneEvent(SseError(ServerError("two\nlines")))["error"]["message"], "two\nlines");
}

TEST(ApiResponseTest, ACancelledAnswerHasNoReason) {
  const batching::Outcome cancelled = Ended(engine::FinishReason::kCancelled);
  EXPECT_EQ(Parse(WholeResponse(Head(Api::kChat), {}, cancelled))["choices"][0].at("finish_reason"), nullptr);
  EXPECT_EQ(Parse(WholeResponse(Head(Api::kLlamaCompletion), {}, cancelled))["stop_type"], "none");
}

TEST(ApiResponseTest, ProgressHasLlamaServersNames) {
  const batching::Progress progress{.cached_tokens = 64, .read_tokens = 80, .prompt_tokens = 100, .seconds = 1.25};
  for (const Api api : {Api::kChat, Api::kCompletions, Api::kLlamaCompletion}) {
    const Json chunk = OneEvent(ResponseStream(Head(api)).Progress(progress));
    EXPECT_EQ(chunk["prompt_progress"], Parse(R"({"total":100,"cache":64,"processed":80,"time_ms":1250})"));
    if (api == Api::kLlamaCompletion) {
      EXPECT_EQ(chunk["stop"], false);
    } else {
      EXPECT_EQ(chunk["choices"], Json::array());
    }
  }
}

TEST(ApiResponseTest, AChunkThatSaysNothingIsOneAllTheSame) {
  EXPECT_EQ(OneEvent(ResponseStream(Head(Api::kChat)).Nothing())["choices"],
            Parse(R"([{"index":0,"delta":{},"logprobs":null,"finish_reason":null}])"));
  EXPECT_EQ(OneEvent(ResponseStream(Head(Api::kCompletions)).Nothing())["choices"],
            Parse(R"([{"index":0,"text":"","logprobs":null,"finish_reason":null}])"));
  const Json llama = OneEvent(ResponseStream(Head(Api::kLlamaCompletion)).Nothing());
  EXPECT_EQ(llama["content"], "");
  EXPECT_EQ(llama["stop"], false);
}

TEST(ApiResponseTest, ChatLogprobsHaveTextAndBytes) {
  const Json json = Parse(
      WholeResponse(HeadWithLogprobs(Api::kChat, 2), {.text = "x", .logprobs = Drawn()}, Ended(engine::FinishReason::kStop)));
  const Json& content = json["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 3u);
  EXPECT_EQ(content[0], Parse(R"({"token":"He","logprob":-0.5,"bytes":[72,101],"top_logprobs":[
      {"token":"He","logprob":-0.5,"bytes":[72,101]},{"token":"","logprob":-1.5,"bytes":[]}]})"));
  EXPECT_EQ(content[1]["token"], "\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(content[1]["bytes"], Parse("[226,130]"));
  EXPECT_EQ(content[1]["top_logprobs"][1]["logprob"], -9999) << "JSON has no infinity";
}

TEST(ApiResponseTest, CompletionLogprobsAreFourArrays) {
  const ResponseHead head = HeadWithLogprobs(Api::kCompletions, 2);
  const Json whole = Parse(WholeResponse(head, {.text = "x", .logprobs = Drawn()}, Ended(engine::FinishReason::kStop)));
  const Json& logprobs = whole["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Parse(R"(["He","bytes:\\xe2\\x82","bytes:\\xac"])"));
  EXPECT_EQ(logprobs["token_logprobs"], Parse("[-0.5,-0.25,0.0]"));
  EXPECT_EQ(logprobs["text_offset"], Parse("[0,2,3]"));
  EXPECT_EQ(logprobs["top_logprobs"][0], Parse(R"({"He":-0.5,"":-1.5})"));
  EXPECT_EQ(logprobs["top_logprobs"][2], Parse(R"({"bytes:\\xac":0.0,"bytes:\\xe2\\x82":-30.0})"));

  ResponseStream stream(head);
  OneEvent(stream.Piece({.text = "He", .ids = {1}, .logprobs = {Drawn()[0]}}));
  const Json second = OneEvent(stream.Piece({.text = "", .ids = {2}, .logprobs = {Drawn()[1]}}));
  EXPECT_EQ(second["choices"][0]["logprobs"]["text_offset"], Parse("[2]")) << "offsets go on over chunks";
}

TEST(ApiResponseTest, OffsetsDoNotCountControlTokensWhichAreNotInTheText) {
  const std::vector<DrawnToken> drawn = {{.id = 1}, {.id = 5}, {.id = 1}, {.id = 1}};
  const Json json = Parse(WholeResponse(HeadWithLogprobs(Api::kCompletions, 0), {.text = "HeHeHe", .logprobs = drawn},
                                        Ended(engine::FinishReason::kStop)));
  const Json& logprobs = json["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Parse(R"(["He","<end>","He","He"])"));
  EXPECT_EQ(logprobs["text_offset"], Parse("[0,2,2,4]"));
}

TEST(ApiResponseTest, CompletionLogprobsHaveTheDrawnTokenBesideTheLikeliest) {
  const std::vector<DrawnToken> drawn = {{.id = 1, .logprob = -7.5f, .top = {{3, -0.25f}}},
                                         {.id = 3, .logprob = -0.25f, .top = {{3, -0.25f}}}};
  const Json json = Parse(WholeResponse(HeadWithLogprobs(Api::kCompletions, 1), {.text = "x", .logprobs = drawn},
                                        Ended(engine::FinishReason::kStop)));
  EXPECT_EQ(json["choices"][0]["logprobs"]["top_logprobs"],
            Parse(R"([{"bytes:\\xac":-0.25,"He":-7.5},{"bytes:\\xac":-0.25}])"));
}

TEST(ApiResponseTest, WithoutRivalsTopLogprobsAreNull) {
  const Json json = Parse(WholeResponse(HeadWithLogprobs(Api::kCompletions, 0), {.logprobs = {{.id = 1, .logprob = -1}}},
                                        Ended(engine::FinishReason::kStop)));
  EXPECT_EQ(json["choices"][0]["logprobs"].at("top_logprobs"), nullptr);
  EXPECT_EQ(json["choices"][0]["logprobs"]["tokens"].size(), 1u);
}

TEST(ApiResponseTest, LlamaServersWholeAnswer) {
  batching::Outcome outcome = Ended(engine::FinishReason::kStop);
  const Json eos = Parse(WholeResponse(Head(Api::kLlamaCompletion), {.text = "Hello", .ids = {1, 2}}, outcome));
  EXPECT_EQ(eos["content"], "Hello");
  EXPECT_EQ(eos["tokens"], Parse("[1,2]"));
  EXPECT_EQ(eos["stop"], true);
  EXPECT_EQ(eos["stop_type"], "eos");
  EXPECT_EQ(eos["stopping_word"], "");
  EXPECT_EQ(eos["truncated"], false);
  EXPECT_EQ(eos["tokens_evaluated"], 100);
  EXPECT_EQ(eos["tokens_predicted"], 11);
  EXPECT_EQ(eos["tokens_cached"], 64);
  EXPECT_EQ(eos["generation_settings"]["seed"], 7);
  EXPECT_EQ(eos["attention_density"], 0.25);
  EXPECT_EQ(eos["timings"]["prompt_n"], 36);
  EXPECT_FALSE(eos.contains("completion_probabilities"));
  outcome.stop = "END";
  const Json word = Parse(WholeResponse(Head(Api::kLlamaCompletion), {}, outcome));
  EXPECT_EQ(word["stop_type"], "word");
  EXPECT_EQ(word["stopping_word"], "END");
  outcome = Ended(engine::FinishReason::kLength);
  EXPECT_EQ(Parse(WholeResponse(Head(Api::kLlamaCompletion), {}, outcome))["stop_type"], "limit");
}

TEST(ApiResponseTest, LlamaServersStreamCountsItsTokens) {
  ResponseStream stream(HeadWithLogprobs(Api::kLlamaCompletion, 2));
  EXPECT_EQ(stream.Begin(), "");
  OneEvent(stream.Piece({.text = "a", .ids = {1, 4}}));
  const Json chunk = OneEvent(stream.Piece({.text = "He", .ids = {1}, .logprobs = {Drawn()[0]}}));
  EXPECT_EQ(chunk["content"], "He");
  EXPECT_EQ(chunk["tokens"], Parse("[1]"));
  EXPECT_EQ(chunk["stop"], false);
  EXPECT_EQ(chunk["tokens_predicted"], 3);
  EXPECT_EQ(chunk["completion_probabilities"], Parse(R"([{"id":1,"token":"He","bytes":[72,101],"logprob":-0.5,"top_logprobs":[
      {"id":1,"token":"He","bytes":[72,101],"logprob":-0.5},{"id":4,"token":"","bytes":[],"logprob":-1.5}]}])"));
  const Json last = OneEvent(stream.End(Ended(engine::FinishReason::kLength)));
  EXPECT_EQ(last["stop"], true);
  EXPECT_EQ(last["content"], "");
  EXPECT_EQ(last["tokens"], Json::array());
}

TEST(ApiResponseTest, L08BrokenUtf8NeverBreaksAnAnswer) {
  const std::string broken = "a\xff\xe2\x82";
  const std::string mended = SanitizeUtf8(broken);
  batching::Outcome outcome = Ended(engine::FinishReason::kLength);
  outcome.stop = broken;
  for (const Api api : {Api::kChat, Api::kCompletions, Api::kLlamaCompletion}) {
    ResponseHead head = HeadWithLogprobs(api, 2);
    head.model = broken;
    head.include_usage = true;
    const Json whole = Parse(WholeResponse(head, {.text = broken, .ids = {2}, .logprobs = Drawn()}, outcome));
    EXPECT_EQ(whole["model"], mended);
    ResponseStream stream(head);
    const Json chunk = OneEvent(stream.Piece({.text = broken, .ids = {2}, .logprobs = Drawn()}));
    const Json text = api == Api::kChat          ? chunk["choices"][0]["delta"]["content"]
                      : api == Api::kCompletions ? chunk["choices"][0]["text"]
                                                 : chunk["content"];
    EXPECT_EQ(text, mended);
    EXPECT_FALSE(Events(stream.End(outcome)).empty());
  }
}

TEST(ApiResponseTest, PiecesAddUpToAnAnswer) {
  GatheredAnswer answer;
  answer.Add({.text = "a", .ids = {1}, .logprobs = {Drawn()[0]}});
  answer.Add({.text = "b", .ids = {2, 3}, .logprobs = {Drawn()[1], Drawn()[2]}});
  EXPECT_EQ(answer.text, "ab");
  EXPECT_EQ(answer.ids, (std::vector<TokenId>{1, 2, 3}));
  ASSERT_EQ(answer.logprobs.size(), 3u);
  EXPECT_EQ(answer.logprobs[2].id, 3);
}

}  // namespace
}  // namespace damask::server
