// What can be asked beside text.
#include <cmath>
#include <regex>
#include <set>
#include <sstream>

#include "base/log.h"
#include "tests/server/server_fixture.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

class ServerEndpointsTest : public ServerFixture {};

TEST_F(ServerEndpointsTest, TextBecomesTokensAndTextAgain) {
  Start();
  for (const char* text :
       {"tene rona lita", "gr\u00fc\u00dfe \u4f60\u597d", "", " two  spaces ", "<s> is plain </s>", "a\nb\t\"c\"\\"}) {
    const Reply tokens = Post("/tokenize", {{"content", text}, {"parse_special", false}});
    ASSERT_EQ(tokens.status, 200) << tokens.raw.body;
    ASSERT_TRUE(tokens.json["tokens"].is_array()) << tokens.raw.body;
    const Reply back = Post("/detokenize", {{"tokens", tokens.json["tokens"]}});
    ASSERT_EQ(back.status, 200) << back.raw.body;
    EXPECT_EQ(back.json["content"], text);
  }
  const Reply plain = Post("/tokenize", {{"content", "hello"}});
  const Reply special = Post("/tokenize", {{"content", "hello"}, {"add_special", true}});
  ASSERT_EQ(special.json["tokens"].size(), plain.json["tokens"].size() + 1);
  EXPECT_EQ(special.json["tokens"][0], 1);  // <s>
  const Reply pieces = Post("/tokenize", {{"content", "\u4f60"}, {"with_pieces", true}});
  ASSERT_FALSE(pieces.json["tokens"].empty());
  for (const Json& token : pieces.json["tokens"]) EXPECT_TRUE(token["id"].is_number() && token.contains("piece")) << token;
  // Text where it is some, with what JSON escapes, else its bytes.
  const std::string text = "a\"\n\u4f60";
  std::string joined;
  const Json spelled = Post("/tokenize", {{"content", text}, {"with_pieces", true}}).json["tokens"];
  for (const Json& token : spelled) {
    const Json& piece = token["piece"];
    if (piece.is_string()) joined += piece.get<std::string>();
    if (piece.is_array()) {
      for (const Json& byte : piece) joined += static_cast<char>(byte.get<int>());
    }
  }
  EXPECT_NE(joined.find(text), std::string::npos) << joined;
}

TEST_F(ServerEndpointsTest, H18TokensOutsideTheVocabularyAndWrongTypesAreNamed) {
  Start();
  constexpr char kInvalid[] = "invalid_request_error";
  ExpectError(Post("/tokenize", Json::object()), 400, kInvalid, "missing_required_parameter", "content");
  ExpectError(Post("/tokenize", {{"content", std::string((8 << 20) + 1, 'a')}}), 400, kInvalid, "invalid_value", "content");
  ExpectError(Post("/tokenize", {{"content", 3}}), 400, kInvalid, "invalid_type", "content");
  ExpectError(Post("/tokenize", {{"content", "a"}, {"add_special", "yes"}}), 400, kInvalid, "invalid_type", "add_special");
  ExpectError(Post("/detokenize", Json::object()), 400, kInvalid, "missing_required_parameter", "tokens");
  ExpectError(Post("/detokenize", {{"tokens", "abc"}}), 400, kInvalid, "invalid_type", "tokens");
  ExpectError(Post("/detokenize", {{"tokens", {1, "a"}}}), 400, kInvalid, "invalid_type", "tokens[1]");
  ExpectError(Post("/detokenize", {{"tokens", nullptr}}), 400, kInvalid, "missing_required_parameter", "tokens");
  ExpectError(Post("/detokenize", {{"tokens", {1, 1.5}}}), 400, kInvalid, "invalid_type", "tokens[1]");
  ExpectError(Post("/detokenize", {{"tokens", {1, -1}}}), 400, kInvalid, "integer_below_min_value", "tokens[1]");
  for (const Json& id : {Json(kTinyVocab), Json(~uint64_t{0})}) {
    ExpectError(Post("/detokenize", {{"tokens", {1, id}}}), 400, kInvalid, "integer_above_max_value", "tokens[1]");
  }
  EXPECT_EQ(Post("/detokenize", {{"tokens", {65.0}}}).json, Post("/detokenize", {{"tokens", {65}}}).json);
  EXPECT_EQ(Post("/detokenize", {{"tokens", Json::array()}}).json["content"], "");
}

TEST_F(ServerEndpointsTest, ModelsAreListedAndShown) {
  Start();
  const Reply list = Get("/v1/models");
  ASSERT_EQ(list.json["data"].size(), 1u) << list.raw.body;
  const Json& model = list.json["data"][0];
  EXPECT_EQ(model["id"], "tiny-1");
  EXPECT_EQ(model["meta"]["n_ctx"], kTinyContext);
  EXPECT_EQ(model["meta"]["n_vocab"], kTinyVocab);
  EXPECT_EQ(Get("/v1/models/tiny-1").json, model);
  EXPECT_EQ(Get("/models").json, list.json);
}

TEST_F(ServerEndpointsTest, AModelWithoutATemplateChatsInPlainText) {
  std::vector<std::string> warnings;
  SetLogSink([&](LogLevel level, const std::string& text) {
    if (level == LogLevel::kWarning) warnings.push_back(text);
  });
  ServerOptions options = TinyServer();
  options.model.engine.model_path = "";  // the embedded one
  Start(options);
  SetLogSink({});
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("no chat template: plain text is used"), std::string::npos) << warnings[0];
  EXPECT_TRUE(Get("/props").json["chat_template"].is_null());
  EXPECT_EQ(Get("/v1/models").json["data"][0]["id"], "damask-reference");

  Json chat = GreedyChat("first", 8);
  chat["messages"] = {{{"role", "system"}, {"content", "be kind"}},
                      {{"role", "user"}, {"content", "first"}},
                      {{"role", "assistant"}, {"content", "yes"}},
                      {{"role", "user"}, {"content", "second"}}};
  const Reply reply = Post("/v1/chat/completions", chat);
  ASSERT_EQ(reply.status, 200) << reply.raw.body;
  const std::string plain = "be kind\nfirst\nyes\nsecond\n";
  const Reply ids = Post("/tokenize", {{"content", plain}, {"add_special", true}, {"parse_special", false}});
  const Reply same = Post("/v1/completions", Greedy(ids.json["tokens"], 8));
  EXPECT_EQ(reply.json["usage"]["prompt_tokens"], ids.json["tokens"].size());
  // The embedded model's answers are lines.
  const std::string whole = TextOf(same);
  EXPECT_EQ(TextOf(reply), whole.substr(0, whole.find('\n')));
  ExpectWell();
}

TEST_F(ServerEndpointsTest, AGivenTemplateTakesThePlaceOfTheFiles) {
  for (const bool has_one : {true, false}) {
    ServerOptions options = TinyServer();
    if (!has_one) options.model.engine.model_path = "";
    options.model.engine.chat_family = tokenizer::ChatFamily::kVicuna;
    Start(options);
    EXPECT_EQ(Get("/props").json["chat_template"], "vicuna");
    const Reply reply = Post("/v1/chat/completions", GreedyChat("first", 8));
    const Reply ids = Post("/tokenize", {{"content", "USER: first\nASSISTANT:"}, {"add_special", true}});
    EXPECT_EQ(reply.json["usage"]["prompt_tokens"], ids.json["tokens"].size()) << has_one;
    EXPECT_EQ(TextOf(reply), TextOf(Post("/v1/completions", Greedy(ids.json["tokens"], 8)))) << has_one;
  }
}

TEST_F(ServerEndpointsTest, ATemplateMayBeAppliedAndAnAnswerContinued) {
  Start(TinyServer());
  Json chat = GreedyChat("first", 8);
  EXPECT_EQ(Post("/apply-template", chat).json["prompt"], "<|im_start|>user\nfirst<|im_end|>\n<|im_start|>assistant\n");
  chat["messages"].push_back({{"role", "assistant"}, {"content", "second"}});
  EXPECT_EQ(Post("/apply-template", chat).json["prompt"],
            "<|im_start|>user\nfirst<|im_end|>\n<|im_start|>assistant\nsecond<|im_end|>\n<|im_start|>assistant\n");
  chat["continue_final_message"] = true;
  const std::string begun = "<|im_start|>user\nfirst<|im_end|>\n<|im_start|>assistant\nsecond";
  EXPECT_EQ(Post("/apply-template", chat).json["prompt"], begun);
  const Reply reply = Post("/v1/chat/completions", chat);
  const Reply same = Post("/v1/completions", Greedy(begun, 8));
  EXPECT_EQ(reply.json["usage"]["prompt_tokens"], same.json["usage"]["prompt_tokens"]);
  EXPECT_EQ(TextOf(reply), TextOf(same));
  chat["messages"][1]["content"] = "";
  const Reply empty = Post("/v1/chat/completions", chat);
  EXPECT_EQ(empty.status, 400);
  EXPECT_EQ(empty.json["error"]["param"], "messages");
  EXPECT_EQ(Post("/apply-template", {{"prompt", "x"}}).status, 400);
}

TEST_F(ServerEndpointsTest, ThoughtsStandApartUnlessOneWantsOtherwise) {
  ServerOptions options = TinyServer();
  options.model.engine.model_path = TinyThinkingModel();
  Start(options);
  const auto ask = [this](const Json& more) {
    const Reply reply = Post("/v1/chat/completions", GreedyChat("first", 8, more));
    EXPECT_EQ(reply.status, 200) << reply.raw.body;
    return reply.json;
  };
  // A model with random weights never comes to an end with its thoughts.
  const Json apart = ask(Json::object());
  const Json& message = apart["choices"][0]["message"];
  EXPECT_EQ(message["content"], "");
  ASSERT_TRUE(message.contains("reasoning_content")) << apart;
  const Json together = ask({{"reasoning_format", "none"}});
  EXPECT_FALSE(together["choices"][0]["message"].contains("reasoning_content"));
  EXPECT_NE(together["choices"][0]["message"]["content"].get<std::string>().find(message["reasoning_content"]),
            std::string::npos);
  EXPECT_EQ(together["usage"]["prompt_tokens"], apart["usage"]["prompt_tokens"]);
  const Json at_once = ask({{"chat_template_kwargs", {{"enable_thinking", false}}}});
  EXPECT_FALSE(at_once["choices"][0]["message"].contains("reasoning_content"));
  EXPECT_NE(at_once["choices"][0]["message"]["content"], "");
  EXPECT_GT(at_once["usage"]["prompt_tokens"], apart["usage"]["prompt_tokens"]) << "the thoughts are ended in the prompt";
  ExpectWell();
}

TEST_F(ServerEndpointsTest, AServerMayForbidThoughts) {
  ServerOptions options = TinyServer();
  options.model.engine.model_path = TinyThinkingModel();
  options.model.thoughts = {.thoughts = tokenizer::Thoughts::kNone};
  Start(options);
  const Reply reply = Post("/v1/chat/completions", GreedyChat("first", 8));
  EXPECT_FALSE(reply.json["choices"][0]["message"].contains("reasoning_content")) << reply.raw.body;
  const Reply thinks =
      Post("/v1/chat/completions", GreedyChat("first", 8, {{"chat_template_kwargs", {{"enable_thinking", true}}}}));
  EXPECT_TRUE(thinks.json["choices"][0]["message"].contains("reasoning_content")) << thinks.raw.body;
}

TEST_F(ServerEndpointsTest, DefaultsOfTheServerHoldWhereARequestIsSilent) {
  ServerOptions options = TinyServer();
  options.model.requests = {.sampler = {.temperature = 0, .seed = 5}, .max_tokens = 3};
  options.model.engine.context = 24;
  Start(options);
  const Json params = Get("/props").json["default_generation_settings"]["params"];
  EXPECT_EQ(params["temperature"], 0.0);
  EXPECT_EQ(params["seed"], 5);
  EXPECT_EQ(params["n_predict"], 3);
  EXPECT_EQ(params["top_k"], 40);
  const Json prompt = PromptIds(20);
  const Reply silent = Post("/v1/completions", {{"prompt", prompt}});
  EXPECT_EQ(TextOf(silent), TextOf(Post("/v1/completions", Greedy(prompt, 3))));
  EXPECT_LE(silent.json["usage"]["completion_tokens"], 3);
  // A limit that nobody asked for is no reason to refuse a prompt behind which less is left.
  const Reply last = Post("/v1/completions", {{"prompt", PromptIds(23)}});
  EXPECT_EQ(last.status, 200) << last.raw.body;
  EXPECT_EQ(last.json["usage"]["completion_tokens"], 1);
  EXPECT_EQ(Post("/v1/completions", {{"prompt", PromptIds(23)}, {"max_tokens", 3}}).status, 400);
}

TEST_F(ServerEndpointsTest, PropsAndSlotsAreLlamaServers) {
  ServerOptions options = TinyServer();
  options.model.scheduler.parallel = 3;
  Start(options);
  const Json props = Get("/props").json;
  EXPECT_EQ(props["total_slots"], 3);
  EXPECT_EQ(props["default_generation_settings"]["n_ctx"], kTinyContext);
  EXPECT_NE(props["chat_template"].get<std::string>().find("<|im_start|>"), std::string::npos);
  EXPECT_EQ(props["attention"]["policy"], "full");
  EXPECT_TRUE(props["memory"]["kv_type"] == "bf16" || props["memory"]["kv_type"] == "f32");
  Json slots = Get("/slots").json;
  ASSERT_EQ(slots.size(), 3u);
  for (const Json& slot : slots) EXPECT_EQ(slot["is_processing"], false);

  SseClient running(port(), "/v1/completions", Endless());
  ASSERT_TRUE(WaitUntil([&] { return Get("/slots").json[0]["state"] == "drawing"; }));
  slots = Get("/slots").json;
  EXPECT_EQ(slots[0]["is_processing"], true);
  EXPECT_EQ(slots[0]["prompt_tokens"], 20);
  EXPECT_GT(slots[0]["kv_bytes"], 0);
  EXPECT_EQ(slots[1]["is_processing"], false);
  running.client().Close();
  ExpectWell();
}

TEST_F(ServerEndpointsTest, PropsTellTheTypeOfTheCache) {
  ServerOptions options = TinyServer();
  options.model.engine.kv = kernels::KvType::kQ8;
  Start(options);
  const Json memory = Get("/props").json["memory"];
  EXPECT_EQ(memory["kv_type"], "q8");
  EXPECT_EQ(memory["kv_bytes_per_token"], server_->model().engine().kv_bytes_per_token());
  EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(100), 6)).json["usage"]["completion_tokens"], 6);
}

// Every line of exposition format 0.0.4: a comment of a known kind, or a name and a number.
TEST_F(ServerEndpointsTest, MetricsAreReadableAndMove) {
  Start();
  const Reply before = Get("/metrics");
  EXPECT_EQ(before.raw.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  static const std::regex kHelp("# HELP [a-zA-Z_:][a-zA-Z0-9_:]* .+");
  static const std::regex kType("# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge)");
  static const std::regex kSample("([a-zA-Z_:][a-zA-Z0-9_:]*) [+-]?(\\d+(\\.\\d*)?|\\.\\d+)([eE][+-]?\\d+)?");
  std::set<std::string> typed;
  std::set<std::string> sampled;
  std::istringstream lines(before.raw.body);
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, kType)) {
      EXPECT_TRUE(typed.insert(match[1]).second) << line;
      const bool counter = match[2] == "counter";
      EXPECT_EQ(counter, match[1].str().size() > 6 && match[1].str().substr(match[1].str().size() - 6) == "_total") << line;
    } else if (std::regex_match(line, match, kSample)) {
      EXPECT_TRUE(typed.count(match[1]) == 1 && sampled.insert(match[1]).second) << line;
    } else {
      EXPECT_TRUE(std::regex_match(line, kHelp)) << line;
    }
  }
  EXPECT_EQ(typed, sampled);
  EXPECT_GT(sampled.size(), 20u);
  EXPECT_EQ(before.raw.body.back(), '\n');

  EXPECT_EQ(Metric("requests_finished_total"), 0);
  ASSERT_EQ(Post("/v1/completions", Greedy(PromptIds(40), 6)).json["usage"]["completion_tokens"], 6);
  ASSERT_TRUE(WaitForIdle());
  EXPECT_EQ(Metric("requests_accepted_total"), 1);
  EXPECT_EQ(Metric("requests_finished_total"), 1);
  EXPECT_EQ(Metric("prompt_tokens_total"), 40);
  EXPECT_EQ(Metric("completion_tokens_total"), 6);
  EXPECT_GT(Metric("prefill_seconds_total"), 0);
  EXPECT_GT(Metric("decode_seconds_total"), 0);
  EXPECT_EQ(Metric("attention_density_prefill"), 1);
  EXPECT_EQ(Metric("kv_bytes"), 0);
}

TEST_F(ServerEndpointsTest, EmbeddingsAre501AndNotWorthAnotherTry) {
  Start();
  for (const char* path : {"/v1/embeddings", "/embeddings", "/embedding"}) {
    const Reply reply = Post(path, {{"input", "text"}});
    ExpectError(reply, 501, "not_supported_error", "unsupported_endpoint", nullptr);
    EXPECT_EQ(reply.raw.header("x-should-retry"), "false");
  }
}

// llama-server's clients warm up a prompt so.
TEST_F(ServerEndpointsTest, APromptMayBeReadWithoutAnAnswer) {
  ServerOptions options = TinyServer();
  options.model.prefixes.memory_bytes = uint64_t{1} << 28;
  Start(options);
  const Reply read = Post("/completion", {{"prompt", PromptIds(700)}, {"n_predict", 0}});
  ASSERT_EQ(read.status, 200) << read.raw.body;
  EXPECT_EQ(read.json["content"], "");
  EXPECT_EQ(read.json["tokens_predicted"], 0);
  EXPECT_EQ(read.json["stop_type"], "limit");
  EXPECT_EQ(CachedTokens(Post("/completion", Greedy(PromptIds(700), 3))), 640u);

  SseClient stream(port(), "/completion", {{"prompt", PromptIds(1300, 41)}, {"n_predict", 0}, {"return_progress", true}});
  stream.ReadAll();
  ASSERT_GE(stream.events().size(), 4u);
  EXPECT_EQ(stream.events()[stream.events().size() - 2]["prompt_progress"]["processed"], 1300);
  EXPECT_EQ(stream.events().back()["stop"], true);
  EXPECT_EQ(stream.text(), "");
  ExpectWell();
}

TEST_F(ServerEndpointsTest, LogprobsComeInAllThreeShapes) {
  Start();
  const Json chat = Post("/v1/chat/completions", GreedyChat("hello", 4, {{"logprobs", true}, {"top_logprobs", 3}})).json;
  const Json& content = chat["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), chat["usage"]["completion_tokens"]) << chat;
  for (const Json& token : content) {
    ASSERT_EQ(token["top_logprobs"].size(), 3u);
    EXPECT_EQ(token["logprob"], token["top_logprobs"][0]["logprob"]);  // greedy
    EXPECT_LE(token["logprob"], 0);
  }
  const Json plain = Post("/v1/completions", Greedy(PromptIds(9), 4, {{"logprobs", 2}})).json;
  EXPECT_EQ(plain["choices"][0]["logprobs"]["token_logprobs"].size(), plain["usage"]["completion_tokens"]) << plain;
  const Json llama = Post("/completion", Greedy(PromptIds(9), 4, {{"n_probs", 2}})).json;
  EXPECT_EQ(llama["completion_probabilities"].size(), llama["tokens_predicted"]) << llama;
}

TEST_F(ServerEndpointsTest, ThePageIsServedAndTheMaskWhereThereIsOne) {
  Start();
  const Reply page = Get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.raw.header("content-type").rfind("text/html", 0), 0u);
  EXPECT_NE(page.raw.header("content-security-policy").find("default-src"), std::string::npos);
  ExpectError(Get("/mask"), 404, "invalid_request_error", "no_mask", nullptr);

  ServerOptions options = TinyServer();
  options.model.engine.model_path = "";  // the embedded one
  options.model.engine.policy = "dam:mask=" + std::string(DAMASK_SOURCE_DIR) + "/models/reference.mask";
  Start(options);
  const Reply mask = Get("/mask");
  EXPECT_EQ(mask.status, 200);
  EXPECT_EQ(mask.raw.header("content-type").rfind("text/html", 0), 0u);
  EXPECT_TRUE(mask.raw.has_header("content-security-policy"));
  EXPECT_EQ(Get("/props").json["attention"]["mask_pictures"], true);
  const Reply sparse = Post("/v1/completions", Greedy(PromptIds(2000), 2));
  ASSERT_EQ(sparse.status, 200) << sparse.raw.body;
  EXPECT_LT(sparse.json["usage"]["attention_density"], 1);
  EXPECT_LT(Metric("attention_density_prefill"), 1);
}

// The embedded model copies the end of a line that the prompt has said before: guesses come true.
TEST_F(ServerEndpointsTest, GuessesAreCountedAndChangeNoAnswer) {
  std::string prompt;
  for (int i = 0; i < 6; ++i) prompt += "line quiet-jacket: REGISTER_CONTENT is <40917>\n";
  const auto complete = [&](size_t guesses) {
    ServerOptions options = TinyServer();
    options.model.engine.model_path = "";  // the embedded one
    options.model.scheduler.guesses = guesses;
    Start(options);
    const Reply reply = Post("/completion", {{"prompt", prompt + "line quiet-jacket:"}, {"n_predict", 24}, {"temperature", 0}});
    EXPECT_EQ(reply.status, 200) << reply.raw.body;
    return reply.json;
  };
  const Json alone = complete(0);
  const Json guessed = complete(5);
  EXPECT_EQ(guessed["content"], alone["content"]);
  EXPECT_FALSE(alone["timings"].contains("draft_n"));
  EXPECT_GT(guessed["timings"]["draft_n_accepted"], 0);
  EXPECT_GE(guessed["timings"]["draft_n"], guessed["timings"]["draft_n_accepted"]);
}

// The instruction's rows are counted where they are computed, so the density tells how many there were.
TEST_F(ServerEndpointsTest, CitrusAsksWithTheLastTurnOfAChat) {
  std::string text;
  for (int i = 0; i < 60; ++i) text += "a line of the document\n";
  std::string question = "what";
  for (int i = 0; i < 12; ++i) question += " is in line number four";
  const auto density = [&](const std::string& last, const std::string& asked) {
    ServerOptions options = TinyServer();
    options.model.engine.policy = "citrus:keep=64,chunk=64" + last;
    Start(options);
    const Reply reply = Post("/v1/chat/completions", GreedyChat(text + "\n" + asked, 1));
    EXPECT_EQ(reply.status, 200) << reply.raw.body;
    return reply.json["usage"]["attention_density"].get<double>();
  };
  EXPECT_GT(density("", question), density(",last=32", question));
  EXPECT_LT(density("", "?"), density(",last=200", "?"));
}

}  // namespace
}  // namespace damask::server
