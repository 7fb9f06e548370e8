#include "server/api_request.h"

#include <filesystem>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "base/limits.h"
#include "server/llama_requests.h"
#include "tests/temp_dir.h"

namespace damask::server {
namespace {

using tokenizer::TokenId;

constexpr Api kApis[] = {Api::kCompletions, Api::kChat, Api::kLlamaCompletion};

// A request of that kind with `members` ("\"n\": 1") beside what it cannot do without.
std::string Body(Api api, const std::string& members) {
  const std::string needed = api == Api::kChat ? R"("messages":[{"role":"user","content":"Hi"}])" : R"("prompt":"Hi")";
  return "{" + needed + (members.empty() ? "" : ",") + members + "}";
}

std::string Prompt(const std::string& value) { return R"({"prompt":)" + value + "}"; }
std::string Messages(const std::string& value) { return R"({"messages":)" + value + "}"; }
std::string Message(const std::string& members) { return Messages("[{" + members + "}]"); }

ApiRequest Accepted(Api api, const std::string& body) {
  ApiResult<ApiRequest> result = ParseApiRequest(api, body);
  const ApiError* error = std::get_if<ApiError>(&result);
  EXPECT_EQ(error, nullptr) << body.substr(0, 200) << ": " << (error == nullptr ? "" : error->message);
  return error == nullptr ? std::get<ApiRequest>(std::move(result)) : ApiRequest{};
}

// The error of a request that must be refused with 400.
ApiError Refused(Api api, const std::string& body) {
  ApiResult<ApiRequest> result = ParseApiRequest(api, body);
  const ApiError* error = std::get_if<ApiError>(&result);
  EXPECT_NE(error, nullptr) << "accepted: " << body.substr(0, 200);
  if (error == nullptr) return {.status = 0};
  EXPECT_EQ(error->status, 400) << body.substr(0, 200);
  EXPECT_EQ(error->type, "invalid_request_error") << body.substr(0, 200);
  EXPECT_LT(error->message.size(), 600u) << body.substr(0, 200);
  return *error;
}

void ExpectRefused(Api api, const std::string& body, const std::string& param, const std::string& code) {
  const ApiError error = Refused(api, body);
  EXPECT_EQ(error.param.value_or("(none)"), param) << body.substr(0, 200) << ": " << error.message;
  EXPECT_EQ(error.code.value_or("(none)"), code) << body.substr(0, 200) << ": " << error.message;
}

// `member` refused beside an otherwise sound request of each kind.
void ExpectMemberRefused(const std::string& member, const std::string& param, const std::string& code) {
  for (const Api api : kApis) ExpectRefused(api, Body(api, member), param, code);
}

TEST(ApiRequest, WhereItIsSilentTheServersDefaultsHold) {
  const RequestDefaults defaults = {
      .sampler = {.temperature = 0.25f, .top_k = 7, .top_p = 0, .min_p = 0.2f, .repeat_penalty = 1.5f, .seed = 9},
      .max_tokens = 33};
  const auto read = [&](const std::string& members) {
    ApiResult<ApiRequest> result = ParseApiRequest(Api::kCompletions, R"({"prompt":"x")" + members + "}", defaults);
    EXPECT_EQ(result.index(), 0u) << members;
    return std::get<ApiRequest>(std::move(result));
  };
  const ApiRequest silent = read("");
  EXPECT_EQ(silent.options.sampler.temperature, 0.25f);
  EXPECT_EQ(silent.options.sampler.top_k, 1u) << "a top_p of 0 is the likeliest token";
  EXPECT_EQ(silent.options.sampler.min_p, 0.2f);
  EXPECT_EQ(silent.options.sampler.repeat_penalty, 1.5f);
  EXPECT_EQ(silent.options.sampler.seed, 9u);
  EXPECT_EQ(silent.options.max_tokens, 33u);
  EXPECT_FALSE(silent.max_tokens_given);
  const ApiRequest own = read(R"(,"temperature":1,"top_p":0.5,"min_p":0,"repeat_penalty":1,"seed":-1,"max_tokens":5)");
  EXPECT_EQ(own.options.sampler.temperature, 1.0f);
  EXPECT_EQ(own.options.sampler.top_k, 7u);
  EXPECT_EQ(own.options.sampler.top_p, 0.5f);
  EXPECT_EQ(own.options.sampler.min_p, 0.0f);
  EXPECT_EQ(own.options.sampler.repeat_penalty, 1.0f);
  EXPECT_EQ(own.options.sampler.seed, std::nullopt);
  EXPECT_EQ(own.options.max_tokens, 5u);
  EXPECT_EQ(read(R"(,"n_predict":-1)").options.max_tokens, limits::kMaxContext);
}

TEST(ApiRequestTest, H01WhatIsNoJsonIsRefusedWithoutAField) {
  const std::string deep = Body(Api::kChat, R"("x":)" + std::string(100'000, '[') + std::string(100'000, ']'));
  for (const std::string& body :
       {std::string(), std::string(R"({"prompt": "Hi")"), std::string("prompt=Hi"),
        std::string("{\"prompt\": \"\xc4\xe3\xba\xc3\"}"),  // GBK
        std::string(R"({"prompt": "\ud800"})"), std::string(R"({"prompt": "\udc00\ud800"})"),
        std::string("{\"prompt\": \"\xed\xa0\x80\"}"), deep, std::string(R"({"prompt": "a", "prompt": "b"})"),
        std::string(R"({"prompt":"Hi"} {})"), std::string("{\"prompt\":\"Hi\"}\0x", 17)}) {
    for (const Api api : kApis) ExpectRefused(api, body, "(none)", "(none)");
  }
}

TEST(ApiRequestTest, H01TooManyValuesAreRefused) {
  std::string body = R"({"prompt":"Hi","x":[0)";
  for (uint64_t i = 0; i < limits::kMaxRequestJson; ++i) body += ",0";
  ExpectRefused(Api::kCompletions, body + "]}", "(none)", "(none)");
}

TEST(ApiRequestTest, H02WhatIsNoObjectIsRefused) {
  for (const char* body : {"[]", "null", "7", R"("text")", R"([{"prompt":"Hi"}])"}) {
    for (const Api api : kApis) ExpectRefused(api, body, "(none)", "(none)");
  }
}

TEST(ApiRequestTest, H03MessagesMustBeThere) {
  ExpectRefused(Api::kChat, "{}", "messages", "missing_required_parameter");
  ExpectRefused(Api::kChat, Messages("null"), "messages", "missing_required_parameter");
  ExpectRefused(Api::kChat, Messages("[]"), "messages", "invalid_value");
  ExpectRefused(Api::kChat, Messages("\"Hi\""), "messages", "invalid_type");
  ExpectRefused(Api::kChat, Messages("{}"), "messages", "invalid_type");
  ExpectRefused(Api::kChat, Messages(R"(["Hi"])"), "messages[0]", "invalid_type");
  ExpectRefused(Api::kChat, Messages("[null]"), "messages[0]", "invalid_type");
}

TEST(ApiRequestTest, H03RolesAreChecked) {
  const auto role = [](const std::string& value) { return Message(R"("content":"Hi","role":)" + value); };
  ExpectRefused(Api::kChat, Message(R"("content":"Hi")"), "messages[0].role", "missing_required_parameter");
  ExpectRefused(Api::kChat, role("null"), "messages[0].role", "missing_required_parameter");
  ExpectRefused(Api::kChat, role("3"), "messages[0].role", "invalid_type");
  ExpectRefused(Api::kChat, role(R"("wizard")"), "messages[0].role", "invalid_value");
  ExpectRefused(Api::kChat, role(R"("tool")"), "messages[0].role", "unsupported_value");
  ExpectRefused(Api::kChat, role(R"("function")"), "messages[0].role", "unsupported_value");
}

TEST(ApiRequestTest, H03ContentIsChecked) {
  const auto content = [](const std::string& value) { return Message(R"("role":"user","content":)" + value); };
  ExpectRefused(Api::kChat, Message(R"("role":"user")"), "messages[0].content", "missing_required_parameter");
  ExpectRefused(Api::kChat, content("null"), "messages[0].content", "invalid_type");
  ExpectRefused(Api::kChat, content("12"), "messages[0].content", "invalid_type");
  ExpectRefused(Api::kChat, content("{}"), "messages[0].content", "invalid_type");
  ExpectRefused(Api::kChat, content("[]"), "messages[0].content", "invalid_value");
  ExpectRefused(Api::kChat, content(R"(["Hi"])"), "messages[0].content[0]", "invalid_type");
  ExpectRefused(Api::kChat, content(R"([{"text":"Hi"}])"), "messages[0].content[0].type", "missing_required_parameter");
  ExpectRefused(Api::kChat, content(R"([{"type":"text"}])"), "messages[0].content[0].text", "missing_required_parameter");
  ExpectRefused(Api::kChat, content(R"([{"type":"text","text":1}])"), "messages[0].content[0].text", "invalid_type");
  ExpectRefused(Api::kChat, content(R"([{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"x"}}])"),
                "messages[0].content[1].type", "unsupported_value");
}

TEST(ApiRequestTest, H03TheFaultOfALaterMessageNamesIt) {
  ExpectRefused(Api::kChat, Messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":5}])"),
                "messages[1].content", "invalid_type");
}

TEST(ApiRequestTest, H03MessagesAreCounted) {
  std::string list = R"([{"role":"user","content":"a"})";
  for (size_t i = 1; i < limits::kMaxChatMessages; ++i) list += R"(,{"role":"user","content":"a"})";
  EXPECT_EQ(Accepted(Api::kChat, Messages(list + "]")).messages.size(), limits::kMaxChatMessages);
  ExpectRefused(Api::kChat, Messages(list + R"(,{"role":"user","content":"a"}])"), "messages", "invalid_value");
}

TEST(ApiRequestTest, MessagesAreReadWithTheirRoles) {
  const ApiRequest request = Accepted(Api::kChat, Messages(R"([{"role":"developer","content":"Be brief.","name":"x"},
      {"role":"user","content":[{"type":"text","text":"one"},{"type":"text","text":"two"}]},
      {"role":"assistant","content":"","tool_calls":[]},{"role":"user","content":"\u00e9\ud83d\ude00"}])"));
  ASSERT_EQ(request.messages.size(), 4u);
  EXPECT_EQ(request.messages[0].role, "system");
  EXPECT_EQ(request.messages[0].content, "Be brief.");
  EXPECT_EQ(request.messages[1].role, "user");
  EXPECT_EQ(request.messages[1].content, "one\ntwo");
  EXPECT_EQ(request.messages[2].role, "assistant");
  EXPECT_EQ(request.messages[2].content, "");
  EXPECT_EQ(request.messages[3].content, "\xc3\xa9\xf0\x9f\x98\x80");
}

TEST(ApiRequestTest, APromptIsATextOrOneArrayOfIds) {
  for (const Api api : {Api::kCompletions, Api::kLlamaCompletion}) {
    EXPECT_EQ(Accepted(api, Prompt(R"("Hi")")).prompt, "Hi");
    EXPECT_EQ(Accepted(api, Prompt(R"(["Hi"])")).prompt, "Hi");
    EXPECT_EQ(Accepted(api, Prompt("\"\"")).prompt, "");
    EXPECT_EQ(Accepted(api, Prompt("[1,2.0,2147483647]")).prompt_ids, (std::vector<TokenId>{1, 2, 2147483647}));
    EXPECT_EQ(Accepted(api, Prompt("[[7]]")).prompt_ids, (std::vector<TokenId>{7}));
  }
}

TEST(ApiRequestTest, H18IdsOfAPromptAreRangeChecked) {
  for (const Api api : {Api::kCompletions, Api::kLlamaCompletion}) {
    ExpectRefused(api, Prompt("[1,-1]"), "prompt[1]", "integer_below_min_value");
    ExpectRefused(api, Prompt("[2147483648]"), "prompt[0]", "integer_above_max_value");
    ExpectRefused(api, Prompt("[[0,18446744073709551615]]"), "prompt[0][1]", "integer_above_max_value");
    ExpectRefused(api, Prompt("[0.5]"), "prompt[0]", "invalid_type");
    ExpectRefused(api, Prompt("[[null]]"), "prompt[0][0]", "invalid_type");
  }
}

TEST(ApiRequestTest, H05SeveralOrMixedPromptsAreRefused) {
  for (const Api api : {Api::kCompletions, Api::kLlamaCompletion}) {
    for (const char* prompt : {R"(["a","b"])", "[[1],[2]]", R"(["a",1])", R"([1,"a"])", R"({"prompt_string":"a"})"}) {
      ExpectRefused(api, Prompt(prompt), "prompt", "unsupported_value");
    }
  }
}

TEST(ApiRequestTest, H03APromptMustBeThere) {
  for (const Api api : {Api::kCompletions, Api::kLlamaCompletion}) {
    ExpectRefused(api, "{}", "prompt", "missing_required_parameter");
    ExpectRefused(api, Prompt("7"), "prompt", "invalid_type");
    ExpectRefused(api, Prompt("[]"), "prompt", "invalid_value");
    ExpectRefused(api, Prompt("[[]]"), "prompt[0]", "invalid_value");
    ExpectRefused(api, Prompt("[{}]"), "prompt[0]", "invalid_type");
  }
}

TEST(ApiRequestTest, H04DecimalsOutOfRangeAreRefused) {
  const std::vector<std::pair<std::string, std::string>> too_large = {{"temperature", "200"},
                                                                      {"top_p", "5"},
                                                                      {"min_p", "1.01"},
                                                                      {"presence_penalty", "2.5"},
                                                                      {"frequency_penalty", "3"},
                                                                      {"repeat_penalty", "1e6"},
                                                                      {"repetition_penalty", "1e300"}};
  for (const auto& [name, value] : too_large) {
    ExpectMemberRefused("\"" + name + "\":" + value, name, "decimal_above_max_value");
  }
  for (const char* name :
       {"temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty", "repeat_penalty", "repetition_penalty"}) {
    ExpectMemberRefused("\"" + std::string(name) + "\":-2.5", name, "decimal_below_min_value");
    ExpectMemberRefused("\"" + std::string(name) + R"(":"NaN")", name, "invalid_type");
    ExpectMemberRefused("\"" + std::string(name) + "\":[1]", name, "invalid_type");
  }
  ExpectMemberRefused("\"repeat_penalty\":0", "repeat_penalty", "decimal_below_min_value");
  EXPECT_EQ(Accepted(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, "\"temperature\":5")).options.sampler.temperature, 5);
  ExpectRefused(Api::kChat, Body(Api::kChat, "\"temperature\":5"), "temperature", "decimal_above_max_value");
}

TEST(ApiRequestTest, H04CountsOutOfRangeAreRefused) {
  for (const Api api : {Api::kCompletions, Api::kChat}) {
    for (const char* name : {"max_tokens", "max_completion_tokens"}) {
      const auto refused = [&](const std::string& value, const std::string& code) {
        ExpectRefused(api, Body(api, "\"" + std::string(name) + "\":" + value), name, code);
      };
      refused("-1", "integer_below_min_value");
      refused("0", "integer_below_min_value");
      refused("9223372036854775808", "integer_above_max_value");   // 2^63
      refused("18446744073709551616", "integer_above_max_value");  // 2^64: no longer an integer for the parser
      refused("-9223372036854775809", "integer_below_min_value");
      refused("1e300", "integer_above_max_value");
      refused("1.5", "invalid_type");
      refused("\"8\"", "invalid_type");
      refused("true", "invalid_type");
    }
  }
  ExpectMemberRefused("\"n\":0", "n", "integer_below_min_value");
  ExpectMemberRefused("\"best_of\":-3", "best_of", "integer_below_min_value");
  ExpectMemberRefused("\"n\":\"two\"", "n", "invalid_type");
}

TEST(ApiRequestTest, H04AnIntegerMayBeWrittenAsADecimal) {
  EXPECT_EQ(Accepted(Api::kChat, Body(Api::kChat, "\"max_tokens\":1.0")).options.max_tokens, 1u);
  EXPECT_EQ(Accepted(Api::kChat, Body(Api::kChat, "\"max_tokens\":1e3")).options.max_tokens, 1000u);
}

TEST(ApiRequestTest, H05WhatDamaskLacksIsRefusedByName) {
  for (const char* member :
       {R"("tools":[{"type":"function"}])", R"("functions":[{"name":"f"}])", R"("logit_bias":{"50256":-100})",
        R"("logit_bias":[[1,2]])", R"("suffix":"end")", R"("audio":{"voice":"x"})", R"("lora":[{"id":0}])",
        R"("stop_token_ids":[2])", R"("guided_json":{})", R"("guided_regex":"a+")", R"("guided_choice":["a"])",
        R"("guided_grammar":"root")", R"("response_fields":["content"])"}) {
    const std::string name = std::string(member).substr(1, std::string(member).find('"', 1) - 1);
    ExpectMemberRefused(member, name, "unsupported_parameter");
  }
  for (const char* member : {"\"n\":2",
                             "\"best_of\":4",
                             R"("tool_choice":"required")",
                             R"("tool_choice":{"type":"function"})",
                             R"("function_call":{"name":"f"})",
                             R"("response_format":{"type":"json_object"})",
                             R"("response_format":{})",
                             R"("modalities":["text","audio"])",
                             R"("modalities":[])",
                             "\"echo\":true",
                             "\"mirostat\":2",
                             "\"typical_p\":0.9",
                             "\"xtc_probability\":0.5",
                             "\"dry_multiplier\":0.8",
                             "\"n_cmpl\":2",
                             "\"min_tokens\":5",
                             "\"thinking_budget_tokens\":100",
                             "\"add_generation_prompt\":false",
                             R"("samplers":["temperature","penalties","top_k","top_p","min_p"])",
                             R"("samplers":"kept")",
                             R"("samplers":{})"}) {
    const std::string name = std::string(member).substr(1, std::string(member).find('"', 1) - 1);
    ExpectMemberRefused(member, name, "unsupported_value");
  }
  ExpectMemberRefused("\"response_format\":\"json\"", "response_format", "invalid_type");
  ExpectMemberRefused("\"response_format\":{\"type\":5}", "response_format.type", "invalid_type");
  ExpectRefused(Api::kChat, Message(R"("role":"assistant","content":null,"tool_calls":[{"id":"x"}])"), "messages[0].tool_calls",
                "unsupported_parameter");
}

TEST(ApiRequestTest, H05ValuesThatAskForNothingAreTaken) {
  for (const Api api : kApis) {
    Accepted(api, Body(api, R"("tools":[],"functions":null,"logit_bias":{},"suffix":"","audio":null,"grammar":"","lora":[],
        "n":1,"best_of":1.0,"tool_choice":"auto","function_call":"none","response_format":{"type":"text"},
        "modalities":["text"],"echo":false,"ignore_eos":false,"mirostat":0,"typical_p":1.0,"xtc_probability":0.0,
        "dry_multiplier":0,"top_n_sigma":-1.0,"json_schema":null,"n_cmpl":1,"min_tokens":0,"thinking_budget_tokens":-1,
        "add_generation_prompt":true,"continue_final_message":false,"stop_token_ids":[],"guided_choice":[],
        "samplers":["penalties","dry","top_n_sigma","top_k","typ_p","top_p","min_p","xtc","temperature"])"));
    Accepted(api, Body(api, R"("samplers":"edskypmxt")"));
  }
}

TEST(ApiRequestTest, AnAnswerThatHasBegunIsContinuedWhereThatIsAskedFor) {
  const auto chat = [](const std::string& members) {
    return R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}])" + members + "}";
  };
  EXPECT_EQ(Accepted(Api::kChat, chat("")).last_turn, tokenizer::LastTurn::kAnswered);
  for (const char* const members :
       {R"(,"continue_final_message":true)", R"(,"continue_final_message":true,"add_generation_prompt":false)"}) {
    EXPECT_EQ(Accepted(Api::kChat, chat(members)).last_turn, tokenizer::LastTurn::kContinued);
  }
  ExpectRefused(Api::kChat, chat(R"(,"continue_final_message":1)"), "continue_final_message", "invalid_type");
  ExpectRefused(Api::kChat, Body(Api::kChat, R"("continue_final_message":true)"), "continue_final_message", "invalid_value");
  ExpectRefused(Api::kCompletions, Body(Api::kCompletions, R"("continue_final_message":true)"), "continue_final_message",
                "unsupported_value");
}

TEST(ApiRequestTest, H05SamplersThatAreLeftOutAreOff) {
  for (const Api api : kApis) {
    const auto sampler = [api](const std::string& list) {
      return Accepted(api, Body(api, R"("temperature":0.5,"top_k":7,"top_p":0.6,"min_p":0.2,"repeat_penalty":1.5,
          "presence_penalty":1,"frequency_penalty":1,"samplers":)" +
                                         list))
          .options.sampler;
    };
    const engine::SamplerOptions warm = sampler(R"(["temperature"])");
    EXPECT_EQ(warm.temperature, 0.5f);
    EXPECT_EQ(warm.top_k, 0u);
    EXPECT_EQ(warm.top_p, 1.0f);
    EXPECT_EQ(warm.min_p, 0.0f);
    EXPECT_EQ(warm.repeat_penalty, 1.0f);
    EXPECT_EQ(warm.presence_penalty, 0.0f);
    EXPECT_EQ(warm.frequency_penalty, 0.0f);
    const engine::SamplerOptions some = sampler(R"("ek")");
    EXPECT_EQ(some.temperature, 1.0f);
    EXPECT_EQ(some.top_k, 7u);
    EXPECT_EQ(some.top_p, 1.0f);
    EXPECT_EQ(some.repeat_penalty, 1.5f);
    EXPECT_EQ(some.presence_penalty, 1.0f);
    EXPECT_EQ(sampler("[]").temperature, 1.0f);
    // A top_p of 0 is the likeliest token alone, whether top_k is in the list or not.
    EXPECT_EQ(Accepted(api, Body(api, R"("top_p":0,"samplers":["top_p"])")).options.sampler.top_k, 1u);
    EXPECT_EQ(Accepted(api, Body(api, R"("top_p":0,"samplers":["top_k"])")).options.sampler.top_k, 40u);
  }
}

TEST(ApiRequestTest, WhatIsRefusedSaysWhatIsTaken) {
  EXPECT_NE(Refused(Api::kChat, Body(Api::kChat, R"("tool_choice":"required")")).message.find(R"(only "none" or "auto")"),
            std::string::npos);
  EXPECT_NE(Refused(Api::kCompletions, Body(Api::kCompletions, R"("logprobs":true)"))
                .message.find("the number of likeliest tokens, an integer from 0 to 5, but got a boolean"),
            std::string::npos);
  EXPECT_NE(Refused(Api::kChat, Body(Api::kChat, R"("samplers":["min_p","top_k"])")).message.find("in this order"),
            std::string::npos);
}

TEST(ApiRequestTest, H16UnknownFieldsAreIgnoredWhateverTheyHold) {
  for (const Api api : kApis) {
    Accepted(api, Body(api, R"("store":true,"metadata":{"a":[1,{"b":null}]},"service_tier":7,"parallel_tool_calls":"x",
        "cache_prompt":"maybe","min_keep":{},"timings_per_token":1,"user":5,"":0,"prefill":[[]])"));
  }
}

TEST(ApiRequestTest, H16NullIsTheSameAsAbsent) {
  for (const Api api : kApis) {
    const ApiRequest request = Accepted(api, Body(api, R"("model":null,"max_tokens":null,"temperature":null,"top_p":null,
        "min_p":null,"top_k":null,"seed":null,"stop":null,"stream":null,"stream_options":null,"logprobs":null,
        "top_logprobs":null,"n_probs":null,"presence_penalty":null,"n":null,"response_format":null,"user":null)"));
    EXPECT_EQ(request.model, "");
    EXPECT_FALSE(request.max_tokens_given);
    EXPECT_FALSE(request.stream);
    EXPECT_EQ(request.top_logprobs, std::nullopt);
    EXPECT_EQ(request.options.sampler.seed, std::nullopt);
  }
}

TEST(ApiRequestTest, H16StopStringsAreBounded) {
  const std::string longest(limits::kMaxStopBytes, 'x');
  std::string most = "[\"a\"";
  for (size_t i = 1; i < limits::kMaxStopStrings; ++i) most += ",\"a\"";
  std::string far_too_many = "[\"a\"";
  for (int i = 0; i < 10'000; ++i) far_too_many += ",\"a\"";
  ExpectMemberRefused(R"("stop":"")", "stop", "invalid_value");
  ExpectMemberRefused(R"("stop":["a",""])", "stop[1]", "invalid_value");
  ExpectMemberRefused("\"stop\":\"x" + longest + "\"", "stop", "invalid_value");
  ExpectMemberRefused("\"stop\":" + most + ",\"a\"]", "stop", "invalid_value");
  ExpectMemberRefused("\"stop\":" + far_too_many + "]", "stop", "invalid_value");
  ExpectMemberRefused("\"stop\":5", "stop", "invalid_type");
  ExpectMemberRefused("\"stop\":[\"a\",null]", "stop[1]", "invalid_type");
  for (const Api api : kApis) {
    EXPECT_EQ(Accepted(api, Body(api, "\"stop\":\"" + longest + "\"")).options.stop, std::vector<std::string>{longest});
    EXPECT_EQ(Accepted(api, Body(api, "\"stop\":" + most + "]")).options.stop.size(), limits::kMaxStopStrings);
    EXPECT_TRUE(Accepted(api, Body(api, "\"stop\":[]")).options.stop.empty());
  }
}

TEST(ApiRequestTest, H16ALongUserNameIsRefused) {
  const auto user = [](size_t bytes) { return R"("user":")" + std::string(bytes, 'u') + "\""; };
  ExpectMemberRefused(user(1 << 20), "user", "invalid_value");
  ExpectMemberRefused(user((64 << 10) + 1), "user", "invalid_value");
  Accepted(Api::kChat, Body(Api::kChat, user(64 << 10)));
}

TEST(ApiRequestTest, H17AGrammarOrSchemaIsRefusedBeforeAnythingIsGenerated) {
  ExpectMemberRefused(R"("grammar":"root ::= (((")", "grammar", "unsupported_parameter");
  ExpectMemberRefused(R"("grammar":"root ::= \"a\"")", "grammar", "unsupported_parameter");
  ExpectMemberRefused(R"("json_schema":{"type":"object"})", "json_schema", "unsupported_parameter");
  ExpectMemberRefused(R"("json_schema":{})", "json_schema", "unsupported_parameter");
  ExpectMemberRefused(R"("response_format":{"type":"json_schema","json_schema":{"schema":7}})", "response_format",
                      "unsupported_value");
}

TEST(ApiRequestTest, H18IntegersAreRangeChecked) {
  for (const char* name : {"top_k", "repeat_last_n"}) {
    ExpectMemberRefused("\"" + std::string(name) + "\":-2", name, "integer_below_min_value");
    ExpectMemberRefused("\"" + std::string(name) + "\":2147483647", name, "integer_above_max_value");
    ExpectMemberRefused("\"" + std::string(name) + "\":9223372036854775807", name, "integer_above_max_value");
    ExpectMemberRefused("\"" + std::string(name) + "\":-9223372036854775808", name, "integer_below_min_value");
    ExpectMemberRefused("\"" + std::string(name) + "\":0.5", name, "invalid_type");
  }
  ExpectMemberRefused("\"seed\":9223372036854775808", "seed", "integer_above_max_value");
  ExpectMemberRefused("\"seed\":-1e30", "seed", "integer_below_min_value");
  ExpectMemberRefused("\"seed\":\"42\"", "seed", "invalid_type");
}

TEST(ApiRequestTest, H18LlamaServersIndicesReachNothing) {
  for (const Api api : kApis) {
    Accepted(api, Body(api, R"("n_keep":-9223372036854775808,"n_discard":-5,"id_slot":1000000000000)"));
  }
}

TEST(ApiRequestTest, ASeedIsAnySigned64BitIntegerAndMinusOneIsRandom) {
  const auto seed = [](const std::string& value) {
    return Accepted(Api::kChat, Body(Api::kChat, "\"seed\":" + value)).options.sampler.seed;
  };
  EXPECT_EQ(seed("0"), 0u);
  EXPECT_EQ(seed("9223372036854775807"), uint64_t{9223372036854775807u});
  EXPECT_EQ(seed("-9223372036854775808"), uint64_t{1} << 63);
  EXPECT_EQ(seed("-2"), std::numeric_limits<uint64_t>::max() - 1);
  EXPECT_EQ(seed("-1"), std::nullopt);
}

TEST(ApiRequestTest, SilentRequestsGetLlamaServersDefaults) {
  for (const Api api : kApis) {
    const ApiRequest request = Accepted(api, Body(api, ""));
    const engine::SamplerOptions& sampler = request.options.sampler;
    EXPECT_EQ(request.api, api);
    EXPECT_FLOAT_EQ(sampler.temperature, 0.8f);
    EXPECT_EQ(sampler.top_k, 40u);
    EXPECT_FLOAT_EQ(sampler.top_p, 0.95f);
    EXPECT_FLOAT_EQ(sampler.min_p, 0.05f);
    EXPECT_EQ(sampler.repeat_penalty, 1.0f);
    EXPECT_EQ(sampler.presence_penalty, 0.0f);
    EXPECT_EQ(sampler.frequency_penalty, 0.0f);
    EXPECT_FALSE(request.max_tokens_given);
    EXPECT_EQ(request.options.max_tokens, limits::kMaxContext);
    EXPECT_FALSE(request.include_progress);
    EXPECT_FALSE(request.include_usage);
  }
}

TEST(ApiRequestTest, SamplingFieldsAreRead) {
  for (const Api api : kApis) {
    const ApiRequest request =
        Accepted(api, Body(api, R"("model":"m","temperature":0,"top_k":7,"top_p":0.5,"min_p":0.25,"presence_penalty":-2,
        "frequency_penalty":1.5,"repetition_penalty":3,"repeat_penalty":1.25,"repeat_last_n":-1,"max_tokens":9)"));
    const engine::SamplerOptions& sampler = request.options.sampler;
    EXPECT_EQ(request.model, "m");
    EXPECT_EQ(sampler.temperature, 0.0f);
    EXPECT_EQ(sampler.top_k, 7u);
    EXPECT_EQ(sampler.top_p, 0.5f);
    EXPECT_EQ(sampler.min_p, 0.25f);
    EXPECT_EQ(sampler.presence_penalty, -2.0f);
    EXPECT_EQ(sampler.frequency_penalty, 1.5f);
    EXPECT_EQ(sampler.repeat_penalty, 1.25f) << "llama.cpp's name wins";
    EXPECT_EQ(sampler.repeat_last_n, limits::kMaxContext);
    EXPECT_TRUE(request.max_tokens_given);
    EXPECT_EQ(request.options.max_tokens, 9u);
  }
  EXPECT_EQ(Accepted(Api::kChat, Body(Api::kChat, "\"top_k\":-1")).options.sampler.top_k, 0u);
  ExpectMemberRefused("\"model\":5", "model", "invalid_type");
}

TEST(ApiRequestTest, TopPOfZeroIsGreedy) {
  for (const char* value : {"0", "0.0", "1e-300"}) {
    const ApiRequest request = Accepted(Api::kChat, Body(Api::kChat, "\"top_k\":40,\"top_p\":" + std::string(value)));
    EXPECT_EQ(request.options.sampler.top_k, 1u);
    EXPECT_GT(request.options.sampler.top_p, 0.0f);  // which the sampler wants
  }
}

TEST(ApiRequestTest, OfTwoLengthsTheNewerNameWins) {
  EXPECT_EQ(Accepted(Api::kChat, Body(Api::kChat, R"("max_completion_tokens":5,"max_tokens":9)")).options.max_tokens, 5u);
  ExpectRefused(Api::kChat, Body(Api::kChat, R"("max_completion_tokens":5,"max_tokens":0)"), "max_tokens",
                "integer_below_min_value");
  EXPECT_EQ(Accepted(Api::kCompletions, Body(Api::kCompletions, R"("n_predict":0,"max_tokens":9)")).options.max_tokens, 0u);
  EXPECT_FALSE(Accepted(Api::kChat, Body(Api::kChat, R"("n_predict":-1,"max_tokens":9)")).max_tokens_given);
}

TEST(ApiRequestTest, LlamaServersLengthMayBeOpenOrNothing) {
  const auto length = [](const std::string& member) {
    return Accepted(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, member)).options.max_tokens;
  };
  EXPECT_EQ(length("\"max_completion_tokens\":3"), 3u);
  EXPECT_EQ(length("\"max_completion_tokens\":-1"), limits::kMaxContext);
  const auto parsed = [](const std::string& members) {
    return Accepted(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, members));
  };
  EXPECT_FALSE(parsed("\"n_predict\":-1").max_tokens_given);
  EXPECT_TRUE(parsed("\"n_predict\":0").max_tokens_given);
  EXPECT_EQ(parsed("\"n_predict\":0").options.max_tokens, 0u);
  EXPECT_EQ(parsed("\"n_predict\":3,\"max_tokens\":9").options.max_tokens, 3u);
  ExpectRefused(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, "\"n_predict\":-2"), "n_predict", "integer_below_min_value");
  ExpectRefused(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, "\"n_predict\":16777217"), "n_predict",
                "integer_above_max_value");
}

TEST(ApiRequestTest, LogprobsAreAskedForInEachApisOwnWay) {
  const auto top = [](Api api, const std::string& members) { return Accepted(api, Body(api, members)).top_logprobs; };
  EXPECT_EQ(top(Api::kChat, R"("logprobs":true,"top_logprobs":20)"), 20u);
  EXPECT_EQ(top(Api::kChat, R"("logprobs":true)"), 0u);
  EXPECT_EQ(top(Api::kChat, R"("logprobs":false,"top_logprobs":0)"), std::nullopt);
  EXPECT_EQ(top(Api::kCompletions, R"("logprobs":5)"), 5u);
  EXPECT_EQ(top(Api::kCompletions, R"("logprobs":0)"), 0u);
  EXPECT_EQ(top(Api::kCompletions, R"("logprobs":false)"), std::nullopt);
  EXPECT_EQ(top(Api::kLlamaCompletion, R"("n_probs":3)"), 3u);
  EXPECT_EQ(top(Api::kLlamaCompletion, R"("n_probs":0)"), std::nullopt);
  ExpectRefused(Api::kChat, Body(Api::kChat, R"("logprobs":true,"top_logprobs":21)"), "top_logprobs",
                "integer_above_max_value");
  ExpectRefused(Api::kChat, Body(Api::kChat, R"("top_logprobs":2)"), "top_logprobs", "invalid_value");
  ExpectRefused(Api::kChat, Body(Api::kChat, R"("logprobs":3)"), "logprobs", "invalid_type");
  ExpectRefused(Api::kCompletions, Body(Api::kCompletions, R"("logprobs":6)"), "logprobs", "integer_above_max_value");
  ExpectRefused(Api::kCompletions, Body(Api::kCompletions, R"("logprobs":true)"), "logprobs", "invalid_type");
  ExpectRefused(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, R"("n_probs":21)"), "n_probs", "integer_above_max_value");
  ExpectRefused(Api::kLlamaCompletion, Body(Api::kLlamaCompletion, R"("n_probs":-1)"), "n_probs", "integer_below_min_value");
}

TEST(ApiRequestTest, StreamOptionsAreRead) {
  for (const Api api : kApis) {
    const ApiRequest request =
        Accepted(api, Body(api, R"("stream":true,"stream_options":{"include_usage":true,"include_progress":true,"x":1})"));
    EXPECT_TRUE(request.stream);
    EXPECT_TRUE(request.include_usage);
    EXPECT_TRUE(request.include_progress);
    EXPECT_TRUE(Accepted(api, Body(api, R"("return_progress":true,"stream_options":{})")).include_progress);
  }
  ExpectMemberRefused(R"("stream":"yes")", "stream", "invalid_type");
  ExpectMemberRefused(R"("stream_options":[])", "stream_options", "invalid_type");
  ExpectMemberRefused(R"("stream_options":{"include_usage":1})", "stream_options.include_usage", "invalid_type");
}

TEST(ApiRequestTest, ThoughtsAreAllowedAndPlacedByTheChat) {
  const auto accepted = [](const char* members) { return Accepted(Api::kChat, Body(Api::kChat, members)); };
  EXPECT_EQ(accepted(R"("chat_template_kwargs":{"enable_thinking":false,"x":1})").thinks, false);
  EXPECT_EQ(accepted(R"("chat_template_kwargs":{"enable_thinking":true})").thinks, true);
  EXPECT_EQ(accepted(R"("chat_template_kwargs":{})").thinks, std::nullopt);
  EXPECT_EQ(accepted(R"("chat_template_kwargs":{})").thoughts, std::nullopt);
  EXPECT_EQ(accepted(R"("reasoning_effort":"high")").thoughts, tokenizer::Thoughts::kHigh);
  EXPECT_EQ(accepted(R"("reasoning_effort":"xhigh")").thoughts, tokenizer::Thoughts::kHigh);
  EXPECT_EQ(accepted(R"("reasoning_effort":"minimal")").thoughts, tokenizer::Thoughts::kLow);
  EXPECT_EQ(accepted(R"("reasoning_effort":"none")").thoughts, tokenizer::Thoughts::kNone);
  EXPECT_EQ(accepted(R"("reasoning_effort":null)").thoughts, std::nullopt);
  EXPECT_EQ(accepted(R"("chat_template_kwargs":{"reasoning_effort":"low"})").thoughts, tokenizer::Thoughts::kLow);
  EXPECT_EQ(accepted(R"("reasoning_format":"none")").thoughts_apart, false);
  EXPECT_EQ(accepted(R"("reasoning_format":"auto")").thoughts_apart, true);
  EXPECT_EQ(accepted(R"("reasoning_format":"deepseek")").thoughts_apart, true);
  EXPECT_EQ(accepted(R"("reasoning_format":null)").thoughts_apart, std::nullopt);
  const auto refused = [](const char* members, const char* param, const char* code) {
    ExpectRefused(Api::kChat, Body(Api::kChat, members), param, code);
  };
  refused(R"("chat_template_kwargs":{"enable_thinking":"no"})", "chat_template_kwargs.enable_thinking", "invalid_type");
  refused(R"("reasoning_effort":"loud")", "reasoning_effort", "invalid_value");
  refused(R"("reasoning_effort":3)", "reasoning_effort", "invalid_type");
  refused(R"("chat_template_kwargs":{"reasoning_effort":"loud"})", "chat_template_kwargs.reasoning_effort", "invalid_value");
  refused(R"("chat_template_kwargs":[])", "chat_template_kwargs", "invalid_type");
  refused(R"("reasoning_format":"loud")", "reasoning_format", "invalid_value");
}

TEST(ApiRequestTest, TheFirstFaultIsReported) {
  ExpectRefused(Api::kCompletions, R"({"temperature":9,"top_p":9})", "prompt", "missing_required_parameter");
}

TEST(ApiRequestTest, MessagesOfErrorsQuoteAndCutWhatTheClientSent) {
  const ApiError error = Refused(Api::kChat, Message(R"("content":"Hi","role":"\u001b[2J)" + std::string(5000, 'r') + "\""));
  EXPECT_EQ(error.message.find('\x1b'), std::string::npos);
  EXPECT_NE(error.message.find(R"(\x1b[2Jrrr)"), std::string::npos) << error.message;
}

TEST(ApiRequestTest, R6EveryRequestOfTheCorpusIsReadOrRefused) {
  size_t read = 0;
  size_t refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(DAMASK_SOURCE_DIR) + "/tests/corpus/api_request")) {
    const std::string body = damask::test::ReadBytes(entry.path());
    for (const Api api : kApis) ++(ParseApiRequest(api, body).index() == 0 ? read : refused);
    ++(ParseTokenizeRequest(body).index() == 0 ? read : refused);
    ++(ParseDetokenizeRequest(body, 1000).index() == 0 ? read : refused);
  }
  EXPECT_GT(read, 0u);
  EXPECT_GT(refused, 0u);
}

}  // namespace
}  // namespace damask::server
