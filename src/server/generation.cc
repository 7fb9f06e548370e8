#include "server/generation.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "engine/conversation.h"
#include "server/answer_guarded.h"
#include "server/api_response.h"

namespace damask::server {
namespace {

using tokenizer::TokenId;

tokenizer::Thoughts ThoughtsOf(const ServedModel& model, const ApiRequest& request) {
  using tokenizer::Thoughts;
  const Thoughts thoughts = request.thoughts.value_or(model.thought_options().thoughts);
  if (!request.thinks) return thoughts;
  if (!*request.thinks) return Thoughts::kNone;
  return thoughts == Thoughts::kNone ? Thoughts::kAsTheModel : thoughts;
}

Result<std::vector<TokenId>> EncodeMessages(const ServedModel& model, const ApiRequest& request) {
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  if (model.chat_family()) {
    return tokenizer::EncodeChat(tokenizer, *model.chat_family(), request.messages, ThoughtsOf(model, request),
                                 request.last_turn);
  }
  const std::string text = engine::PlainChatText(model.chat_form().plain, request.messages, request.last_turn);
  return tokenizer::EncodePrompt(tokenizer, text, tokenizer::Special::kPlain);
}

// The same as text.
Result<std::string> TextOfMessages(const ServedModel& model, const ApiRequest& request) {
  if (!model.chat_family()) return engine::PlainChatText(model.chat_form().plain, request.messages, request.last_turn);
  return tokenizer::ChatText(model.engine().tokenizer(), *model.chat_family(), request.messages, ThoughtsOf(model, request),
                             request.last_turn);
}

// Where thoughts are told apart from the answer.
std::optional<tokenizer::ThoughtSplitter> SplitterOf(const ServedModel& model, const ApiRequest& request) {
  const bool apart = request.thoughts_apart.value_or(model.thought_options().apart);
  if (request.api != Api::kChat || !model.chat_family() || !apart) return std::nullopt;
  const std::string_view jinja = tokenizer::TemplateOf(model.engine().tokenizer(), *model.chat_family());
  if (!tokenizer::ThinksAloud(*model.chat_family(), jinja)) return std::nullopt;
  // An answer that has begun is past its thoughts.
  const bool continues = request.last_turn == tokenizer::LastTurn::kContinued;
  const tokenizer::Thoughts thoughts = continues ? tokenizer::Thoughts::kNone : ThoughtsOf(model, request);
  return tokenizer::ThoughtSplitter(*model.chat_family(), jinja, thoughts);
}

ApiResult<std::vector<TokenId>> Encode(const ServedModel& model, const ApiRequest& request) {
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  if (!request.prompt_ids.empty()) {
    const Status status = model.engine().CheckIds(request.prompt_ids);
    if (!status.ok()) return InvalidValue("prompt", status.message());
    return request.prompt_ids;
  }
  Result<std::vector<TokenId>> ids = request.api == Api::kChat
                                         ? EncodeMessages(model, request)
                                         : tokenizer::EncodePrompt(tokenizer, request.prompt, tokenizer::Special::kParse);
  const char* const field = request.api == Api::kChat ? "messages" : "prompt";
  if (!ids.ok()) return InvalidValue(field, ids.status().ToString());
  if (ids->empty()) return InvalidValue(field, "the prompt is empty");
  return *std::move(ids);
}

// Of a chat that ends with a user's turn, where the policy asks for it.
ApiResult<size_t> TurnTokens(const ServedModel& model, const ApiRequest& request) {
  const bool wanted = request.api == Api::kChat && model.engine().policy().AskedInstruction().turn;
  if (!wanted || request.messages.back().role != "user") return size_t{0};
  Result<size_t> tokens = engine::TurnTokens(model.engine().tokenizer(), model.chat_form(), request.messages.back().content,
                                             ThoughtsOf(model, request));
  if (!tokens.ok()) return InvalidValue("messages", tokens.status().ToString());
  return *tokens;
}

// Nothing that was asked for is cut to fit: a prompt that does not fit is an error, and an answer of which a request says no
// length gets what is left.
std::optional<ApiError> FitContext(uint64_t context, size_t prompt_tokens, ApiRequest* request) {
  const uint64_t wanted = request->max_tokens_given ? request->options.max_tokens : 1;
  if (prompt_tokens > context || wanted > context - prompt_tokens) {
    return ContextLengthExceeded(prompt_tokens, request->max_tokens_given ? wanted : 0, context,
                                 request->api == Api::kChat ? "messages" : "prompt");
  }
  request->options.max_tokens = std::min<uint64_t>(request->options.max_tokens, context - prompt_tokens);
  return std::nullopt;
}

// What became of work that ended without an answer; nothing for an answer.
std::optional<ApiError> ErrorOf(const ServedModel& model, const batching::Outcome& outcome) {
  if (outcome.status.code() == StatusCode::kTooLarge) {
    return RequestTimedOut(outcome.status.message(), model.keeps_prompts());
  }
  if (!outcome.status.ok()) return ServerError(outcome.status.ToString());
  if (outcome.finish == engine::FinishReason::kCancelled) return ServerStopping();
  return std::nullopt;
}

// Collects the answer and sends it whole.
class WholeAnswer : public batching::Listener, public std::enable_shared_from_this<WholeAnswer> {
 public:
  WholeAnswer(const ServedModel& model, std::shared_ptr<Exchange> exchange, ResponseHead head)
      : model_(model), exchange_(std::move(exchange)), head_(std::move(head)) {}

  void OnPiece(batching::Piece&& piece) override { answer_.Add(std::move(piece)); }
  void OnDone(const batching::Outcome& outcome) override {
    model_.answer_writer().Post([self = shared_from_this(), outcome] { self->Respond(outcome); });
  }

 private:
  void Respond(const batching::Outcome& outcome) {
    AnswerGuarded(exchange_, [&] {
      if (const std::optional<ApiError> error = ErrorOf(model_, outcome)) {
        exchange_->Respond(ApiErrorResponse(*error));
      } else if (!exchange_->IsGone()) {
        exchange_->Respond({.body = WholeResponse(head_, answer_, outcome)});
      }
    });
    exchange_.reset();
  }

  const ServedModel& model_;
  std::shared_ptr<Exchange> exchange_;
  ResponseHead head_;
  GatheredAnswer answer_;
};

// Sends server-sent events as the text comes.
class StreamedAnswer : public batching::Listener {
 public:
  StreamedAnswer(const ServedModel& model, std::shared_ptr<Exchange> exchange, ResponseHead head, bool progress)
      : model_(model), exchange_(std::move(exchange)), api_(head.api), progress_(progress), stream_(std::move(head)) {}

  // The head of the answer, as soon as the request has been accepted: whichever thread comes first.
  void Begin() {
    const std::lock_guard lock(mutex_);
    if (std::exchange(begun_, true) || exchange_ == nullptr) return;
    exchange_->BeginStream(
        {.content_type = "text/event-stream", .headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}}},
        {.text = std::string(kSseKeepAlive), .data = stream_.Nothing()});
    exchange_->Write(stream_.Begin());
  }

  void OnProgress(const batching::Progress& progress) override {
    Begin();
    if (progress_) exchange_->Write(stream_.Progress(progress));
  }
  void OnPiece(batching::Piece&& piece) override {
    Begin();
    exchange_->Write(stream_.Piece(piece));
  }
  void OnDone(const batching::Outcome& outcome) override {
    Begin();
    if (const std::optional<ApiError> error = ErrorOf(model_, outcome)) {
      exchange_->Write(SseError(*error));
    } else {
      exchange_->Write(stream_.End(outcome) + SseDone(api_));
    }
    exchange_->End();
    const std::lock_guard lock(mutex_);
    exchange_.reset();
  }

 private:
  const ServedModel& model_;
  std::mutex mutex_;
  bool begun_ = false;
  std::shared_ptr<Exchange> exchange_;
  const Api api_;
  const bool progress_;
  ResponseStream stream_;
};

ApiError RefusedBy(const Status& status) {
  if (status.code() == StatusCode::kTooLarge) return ServerBusy();
  if (status.code() == StatusCode::kCancelled) return ServerStopping();
  return FromStatus(status);
}

// Listener and, for a stream, what begins it.
template <typename ListenerType>
void Submit(const ServedModel& model, batching::Request&& request, const std::shared_ptr<ListenerType>& listener,
            const std::shared_ptr<Exchange>& exchange) {
  batching::Scheduler* const scheduler = &model.scheduler();
  const Result<uint64_t> id = scheduler->Submit(std::move(request), listener);
  if (!id.ok()) {
    exchange->Respond(ApiErrorResponse(RefusedBy(id.status())));
    return;
  }
  if constexpr (std::is_same_v<ListenerType, StreamedAnswer>) listener->Begin();
  exchange->OnGone([scheduler, request_id = *id] { scheduler->Cancel(request_id); });
}

ResponseHead MakeHead(const ServedModel& model, const ApiRequest& request, size_t prompt_tokens) {
  const tokenizer::Tokenizer* const tokenizer = &model.engine().tokenizer();
  return {.api = request.api,
          .id = MakeResponseId(request.api),
          .created = model.SecondsNow(),
          .model = model.card().id,
          .top_logprobs = request.top_logprobs,
          .include_usage = request.include_usage,
          .splitter = SplitterOf(model, request),
          .prompt_tokens = prompt_tokens,
          .token_bytes = [tokenizer](TokenId id, bool spelled) { return tokenizer->Piece(id, spelled); }};
}

std::optional<ApiError> Begin(const ServedModel& model, ApiRequest* request, const std::shared_ptr<Exchange>& exchange) {
  if (!model.HasName(request->model)) return ModelNotFound(request->model);
  if (exchange->IsGone()) return std::nullopt;
  ApiResult<std::vector<TokenId>> encoded = Encode(model, *request);
  if (const ApiError* error = std::get_if<ApiError>(&encoded)) return *error;
  if (exchange->IsGone()) return std::nullopt;
  std::vector<TokenId>& prompt = std::get<0>(encoded);
  if (std::optional<ApiError> error = FitContext(model.engine().context(), prompt.size(), request)) return error;
  ApiResult<size_t> turn_tokens = TurnTokens(model, *request);
  if (const ApiError* error = std::get_if<ApiError>(&turn_tokens)) return *error;
  if (request->api == Api::kChat && !model.chat_family()) {
    for (std::string& stop : engine::PlainChatStops(model.chat_form().plain)) request->options.stop.push_back(std::move(stop));
  }
  ResponseHead head = MakeHead(model, *request, prompt.size());
  batching::Request work = {.prompt = std::move(prompt),
                            .turn_tokens = std::get<0>(turn_tokens),
                            .options = request->options,
                            .top_logprobs = request->top_logprobs};
  if (request->stream) {
    Submit(model, std::move(work),
           std::make_shared<StreamedAnswer>(model, exchange, std::move(head), request->include_progress), exchange);
  } else {
    Submit(model, std::move(work), std::make_shared<WholeAnswer>(model, exchange, std::move(head)), exchange);
  }
  return std::nullopt;
}

}  // namespace

ApiResult<std::string> ApplyTemplate(const ServedModel& model, const std::string& body) {
  ApiResult<ApiRequest> parsed = ParseApiRequest(Api::kChat, body, model.request_defaults());
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  const ApiRequest& request = std::get<ApiRequest>(parsed);
  const Result<std::string> text = TextOfMessages(model, request);
  if (!text.ok()) return InvalidValue("messages", text.status().ToString());
  return nlohmann::ordered_json{{"prompt", SanitizeUtf8(*text)}}.dump();
}

void AnswerGeneration(const ServedModel& model, Api api, const std::shared_ptr<Exchange>& exchange) {
  ApiResult<ApiRequest> request = ParseApiRequest(api, exchange->request().body, model.request_defaults());
  exchange->DropBody();
  std::optional<ApiError> error;
  if (const ApiError* wrong = std::get_if<ApiError>(&request)) {
    error = *wrong;
  } else {
    error = Begin(model, &std::get<ApiRequest>(request), exchange);
  }
  if (error) exchange->Respond(ApiErrorResponse(*error));
}

}  // namespace damask::server
