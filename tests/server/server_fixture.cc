#include "tests/server/server_fixture.h"

#include <limits>
#include <map>
#include <stdexcept>

#include "base/thread_pool.h"
#include "tools/make_model/make_model.h"

namespace damask::server {
namespace {

// The text of a template is only recognised, never run.
constexpr char kChatMl[] =
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + "
    "'\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

// As QwQ's.
constexpr char kThinking[] =
    "{% for message in messages %}{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}"
    "{{'<|im_start|>' + message['role'] + '\\n' + content + '<|im_end|>' + '\\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}";

std::string MakeModel(const std::string& name, uint64_t seed, const char* jinja) {
  static const test::TempDir dir;
  static std::map<std::string, std::string> made;
  std::string& path = made[name];
  if (!path.empty()) return path;
  ThreadPool pool(1);
  const make_model::ModelSpec spec = {.vocab = kTinyVocab, .context = kTinyContext, .seed = seed};
  const Status status = make_model::WriteHuggingFaceModel(spec, dir.File(name), &pool);
  if (!status.ok()) throw std::runtime_error(status.ToString());
  dir.Write(name + "/chat_template.jinja", jinja);
  return path = dir.File(name);
}

}  // namespace

std::string TinyChatModel(uint64_t seed) { return MakeModel("tiny-" + std::to_string(seed), seed, kChatMl); }

std::string TinyThinkingModel() { return MakeModel("thinking", 1, kThinking); }

ServerOptions TinyServer() {
  ServerOptions options;
  options.port = 0;
  options.model.engine.model_path = TinyChatModel();
  options.model.engine.threads = 2;
  options.model.prefixes.memory_bytes = 0;
  return options;
}

Reply Ask(uint16_t port, std::string_view method, std::string_view path, std::string_view body, std::string_view headers) {
  Reply reply;
  std::optional<RawResponse> response = Fetch(port, method, path, body, headers);
  if (!response || !response->whole) return reply;
  reply.raw = *std::move(response);
  reply.status = reply.raw.status;
  reply.json = Json::parse(reply.raw.body, nullptr, false);
  return reply;
}

Json PromptIds(size_t count, size_t step) {
  Json ids = Json::array();
  for (size_t i = 0; i < count; ++i) ids.push_back((i * step + 11) % kTinyVocab);
  return ids;
}

Json Greedy(const Json& prompt, uint64_t max_tokens, const Json& more) {
  Json body = {{"prompt", prompt}, {"max_tokens", max_tokens}, {"temperature", 0}};
  body.update(more);
  return body;
}

Json GreedyChat(const std::string& text, uint64_t max_tokens, const Json& more) {
  Json body = {{"messages", {{{"role", "user"}, {"content", text}}}}, {"max_tokens", max_tokens}, {"temperature", 0}};
  body.update(more);
  return body;
}

// Greedy answers of a random model meet the end token sooner or later; one that is led to repeat itself does not.
Json Endless() { return Greedy(PromptIds(20), 100000, {{"stream", true}, {"repeat_penalty", 0.01}}); }

std::string TextOf(const Reply& reply) {
  const Json& json = reply.json;
  if (reply.status != 200) return "status " + std::to_string(reply.status) + ": " + reply.raw.body;
  if (json.contains("content")) return json["content"];
  const Json& choice = json.at("choices").at(0);
  return choice.contains("text") ? choice["text"] : choice.at("message").at("content");
}

uint64_t CachedTokens(const Reply& reply) {
  EXPECT_EQ(reply.status, 200) << reply.raw.body;
  if (reply.status != 200) return 0;
  return reply.json.contains("usage") ? reply.json["usage"]["prompt_tokens_details"]["cached_tokens"]
                                      : reply.json["tokens_cached"];
}

void ExpectError(const Reply& reply, int status, const char* type, const char* code, const char* param) {
  EXPECT_EQ(reply.status, status) << reply.raw.body;
  EXPECT_EQ(reply.raw.header("content-type"), "application/json");
  ASSERT_TRUE(reply.json.is_object() && reply.json.contains("error")) << reply.raw.body;
  const Json& error = reply.json["error"];
  const auto text_or_null = [](const char* text) { return text != nullptr ? Json(text) : Json(nullptr); };
  ASSERT_TRUE(error.contains("type") && error.contains("code") && error.contains("param")) << error;
  EXPECT_TRUE(error.contains("message") && error["message"].is_string() && !error["message"].empty()) << error;
  EXPECT_EQ(error["type"], type) << error;
  EXPECT_EQ(error["code"], text_or_null(code)) << error;
  EXPECT_EQ(error["param"], text_or_null(param)) << error;
}

void ServerFixture::Listen(const ServerOptions& options) {
  server_.reset();
  auto listening = Server::Listen(options);
  ASSERT_TRUE(listening.ok()) << listening.status().ToString();
  server_ = *std::move(listening);
}

void ServerFixture::Start(const ServerOptions& options) {
  Listen(options);
  if (HasFatalFailure()) return;
  const Status status = server_->Load();
  ASSERT_TRUE(status.ok()) << status.ToString();
}

bool ServerFixture::WaitForIdle() const { return server_->model().scheduler().WaitIdle(kPatience.count()); }

void ServerFixture::ExpectWell() const {
  EXPECT_TRUE(WaitForIdle());
  EXPECT_EQ(Get("/health").raw.body, R"({"status":"ok"})");
  const Reply reply = Post("/v1/completions", Greedy(PromptIds(9), 3));
  EXPECT_EQ(reply.status, 200) << reply.raw.body;
  EXPECT_TRUE(WaitForIdle());
  batching::SchedulerStats stats = Stats();
  EXPECT_EQ(stats.queued + stats.reading + stats.drawing, 0u);
  // Pages on their way to the disk are held until they are there. memory_bytes counts more than the pages.
  const auto holds_no_more_than_it_keeps = [&] {
    stats = Stats();
    return stats.kv_bytes <= stats.prefix.memory_bytes;
  };
  EXPECT_TRUE(WaitUntil(holds_no_more_than_it_keeps)) << stats.kv_bytes << " of " << stats.prefix.memory_bytes;
}

double ServerFixture::Metric(const std::string& name) const {
  EXPECT_TRUE(WaitForIdle());
  const std::string text = "\n" + Get("/metrics").raw.body;
  const std::string begin = "\ndamask_" + name + " ";
  const size_t found = text.find(begin);
  if (found == std::string::npos) return std::numeric_limits<double>::quiet_NaN();
  return std::stod(text.substr(found + begin.size()));
}

}  // namespace damask::server
