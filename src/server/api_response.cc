#include "server/api_response.h"

#include <iterator>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/entropy.h"
#include "base/text.h"
#include "base/version.h"
#include "server/api_usage.h"
#include "server/llama_response.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

enum class Form { kWhole, kChunk };

const char* ObjectName(Api api, Form form) {
  if (api != Api::kChat) return "text_completion";
  return form == Form::kWhole ? "chat.completion" : "chat.completion.chunk";
}

// The members that every answer and chunk of OpenAI's begins with.
Json Envelope(const ResponseHead& head, Form form, Json choices) {
  return {{"id", head.id},
          {"object", ObjectName(head.api, form)},
          {"created", head.created},
          {"model", SanitizeUtf8(head.model)},
          {"system_fingerprint", fmt::format("damask-{}", VersionString())},
          {"choices", std::move(choices)}};
}

// OpenAI has no word for a cancelled answer; null says that it did not come to an end.
Json FinishJson(engine::FinishReason finish) {
  if (finish == engine::FinishReason::kCancelled) return nullptr;
  return engine::FinishReasonName(finish);
}

Json LogprobsJson(const ResponseHead& head, const std::vector<batching::DrawnToken>& tokens, uint64_t* offset) {
  if (!head.top_logprobs || tokens.empty()) return nullptr;
  return head.api == Api::kChat ? ChatLogprobsJson(tokens, head.token_bytes)
                                : CompletionLogprobsJson(tokens, *head.top_logprobs, head.token_bytes, offset);
}

// `content` is the member that carries the text: "message", "delta" or "text".
Json ChoiceJson(const char* content, Json value, Json logprobs, Json finish) {
  return {{"index", 0}, {content, std::move(value)}, {"logprobs", std::move(logprobs)}, {"finish_reason", std::move(finish)}};
}

using Text = tokenizer::ThoughtSplitter::Text;

// Of a chunk: the text becomes delta.content or text, thoughts delta.reasoning_content.
Json ChunkChoice(Api api, const Text& text, Json logprobs, Json finish) {
  if (api == Api::kCompletions) return ChoiceJson("text", SanitizeUtf8(text.answer), std::move(logprobs), std::move(finish));
  Json delta = Json::object();
  if (!text.thoughts.empty()) delta["reasoning_content"] = SanitizeUtf8(text.thoughts);
  if (!text.answer.empty()) delta["content"] = SanitizeUtf8(text.answer);
  return ChoiceJson("delta", std::move(delta), std::move(logprobs), std::move(finish));
}

Json MessageJson(const ResponseHead& head, const std::string& text) {
  Json message = {{"role", "assistant"}};
  if (!head.splitter) {
    message["content"] = SanitizeUtf8(text);
  } else {
    tokenizer::ThoughtSplitter splitter = *head.splitter;
    const Text most = splitter.Add(text);
    const Text rest = splitter.Finish();
    const std::string thoughts = most.thoughts + rest.thoughts;
    message["content"] = SanitizeUtf8(most.answer + rest.answer);
    if (!thoughts.empty()) message["reasoning_content"] = SanitizeUtf8(thoughts);
  }
  message["refusal"] = nullptr;
  return message;
}

Json ProgressJson(const batching::Progress& progress) {
  return {{"total", progress.prompt_tokens},
          {"cache", progress.cached_tokens},
          {"processed", progress.read_tokens},
          {"time_ms", static_cast<uint64_t>(1000 * progress.seconds)}};
}

std::string Event(const Json& json) { return SseEvent(json.dump()); }

}  // namespace

std::string MakeResponseId(Api api) {
  static constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  std::string id = api == Api::kChat ? "chatcmpl-" : "cmpl-";
  std::mt19937_64 random(RandomSeed());
  std::uniform_int_distribution<size_t> letter(0, kAlphabet.size() - 1);
  for (int i = 0; i < 24; ++i) id += kAlphabet[letter(random)];
  return id;
}

void GatheredAnswer::Add(batching::Piece&& piece) {
  text += piece.text;
  ids.insert(ids.end(), piece.ids.begin(), piece.ids.end());
  logprobs.insert(logprobs.end(), std::make_move_iterator(piece.logprobs.begin()),
                  std::make_move_iterator(piece.logprobs.end()));
}

std::string WholeResponse(const ResponseHead& head, const GatheredAnswer& answer, const batching::Outcome& outcome) {
  if (head.api == Api::kLlamaCompletion) return LlamaFinal(head, answer, outcome).dump();
  uint64_t offset = 0;
  Json logprobs = LogprobsJson(head, answer.logprobs, &offset);
  const bool chat = head.api == Api::kChat;
  Json choice = ChoiceJson(chat ? "message" : "text", chat ? MessageJson(head, answer.text) : Json(SanitizeUtf8(answer.text)),
                           std::move(logprobs), FinishJson(outcome.finish));
  Json json = Envelope(head, Form::kWhole, Json::array({std::move(choice)}));
  json["usage"] = UsageJson(outcome.usage);
  json["timings"] = TimingsJson(outcome.usage);
  json["seed"] = SeedJson(outcome);
  return json.dump();
}

// With the usage to come in a chunk of its own, the others say that they have none.
Json ResponseStream::Chunk(Json choices) const {
  Json chunk = Envelope(head_, Form::kChunk, std::move(choices));
  if (head_.include_usage) chunk["usage"] = nullptr;
  return chunk;
}

std::string ResponseStream::Begin() const {
  if (head_.api != Api::kChat) return "";
  return Event(Chunk(Json::array({ChoiceJson("delta", {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr)})));
}

std::string ResponseStream::Progress(const batching::Progress& progress) const {
  Json chunk = head_.api == Api::kLlamaCompletion ? LlamaChunk(head_, {}, 0) : Chunk(Json::array());
  chunk["prompt_progress"] = ProgressJson(progress);
  return Event(chunk);
}

std::string ResponseStream::Nothing() const {
  if (head_.api == Api::kLlamaCompletion) return Event(LlamaChunk(head_, {}, 0));
  return Event(Chunk(Json::array({ChunkChoice(head_.api, {}, nullptr, nullptr)})));
}

std::string ResponseStream::Piece(const batching::Piece& piece) {
  tokens_ += piece.ids.size();
  if (head_.api == Api::kLlamaCompletion) return Event(LlamaChunk(head_, piece, tokens_));
  Json logprobs = LogprobsJson(head_, piece.logprobs, &text_offset_);
  const Text text = head_.splitter ? head_.splitter->Add(piece.text) : Text{.answer = piece.text};
  if (text.thoughts.empty() && text.answer.empty() && logprobs.is_null()) return "";
  return Event(Chunk(Json::array({ChunkChoice(head_.api, text, std::move(logprobs), nullptr)})));
}

std::string ResponseStream::End(const batching::Outcome& outcome) {
  if (head_.api == Api::kLlamaCompletion) return Event(LlamaFinal(head_, {}, outcome));
  const Text rest = head_.splitter ? head_.splitter->Finish() : Text{};
  Json last = Chunk(Json::array({ChunkChoice(head_.api, rest, nullptr, FinishJson(outcome.finish))}));
  last["timings"] = TimingsJson(outcome.usage);
  last["seed"] = SeedJson(outcome);
  if (!head_.include_usage) return Event(last);
  Json usage = Envelope(head_, Form::kChunk, Json::array());
  usage["usage"] = UsageJson(outcome.usage);
  return Event(last) + Event(usage);
}

std::string SseEvent(std::string_view json) { return fmt::format("data: {}\n\n", json); }

std::string SseError(const ApiError& error) { return SseEvent(ApiErrorJson(error)); }

std::string SseDone(Api api) { return api == Api::kLlamaCompletion ? "" : SseEvent("[DONE]"); }

}  // namespace damask::server
