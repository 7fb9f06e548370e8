#include "server/router.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

#include "server/answer_guarded.h"
#include "server/api_error.h"
#include "server/generation.h"
#include "server/llama_endpoints.h"
#include "server/metrics.h"
#include "server/page.h"

namespace damask::server {

namespace {

using ModelHandler = void (*)(const ServedModel&, const std::shared_ptr<Exchange>&);

void RespondWith(const std::shared_ptr<Exchange>& exchange, ApiResult<std::string> json) {
  if (const ApiError* error = std::get_if<ApiError>(&json)) {
    exchange->Respond(ApiErrorResponse(*error));
  } else {
    exchange->Respond({.body = std::get<std::string>(std::move(json))});
  }
}

template <Api kApi>
void Generate(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  AnswerGeneration(model, kApi, exchange);
}

void TokenizeText(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  RespondWith(exchange, Tokenize(model, exchange->request().body, [&] { return exchange->IsGone(); }));
}

void ApplyChatTemplate(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  RespondWith(exchange, ApplyTemplate(model, exchange->request().body));
}

void DetokenizeIds(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  RespondWith(exchange, Detokenize(model, exchange->request().body));
}

void ListModels(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  exchange->Respond({.body = ModelListJson(model.card())});
}

// "%2F" becomes "/", once; what is no escape stays as it is.
std::string PercentDecoded(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const char* const digits = text.data() + i + 1;
    const bool escape = text[i] == '%' && text.size() - i > 2;
    if (escape && std::from_chars(digits, digits + 2, byte, 16).ptr == digits + 2) {
      decoded += static_cast<char>(byte);
      i += 2;
    } else {
      decoded += text[i];
    }
  }
  return decoded;
}

// The name may have slashes in it, as they are or as escapes.
void ShowModel(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  const std::string& path = exchange->request().path;
  const std::string name = PercentDecoded(std::string_view(path).substr(path.find("/models/") + 8));
  if (name.empty() || !model.HasName(name)) {
    exchange->Respond(ApiErrorResponse(ModelNotFound(name)));
  } else {
    exchange->Respond({.body = ModelJson(model.card())});
  }
}

void ShowProps(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  exchange->Respond({.body = PropsJson(model)});
}

void ShowSlots(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  exchange->Respond({.body = SlotsJson(model)});
}

void ShowMetrics(const ServedModel& model, const std::shared_ptr<Exchange>& exchange) {
  exchange->Respond({.content_type = kMetricsContentType, .body = MetricsText(model.scheduler().stats())});
}

HttpResponse MaskResponse(const ServedModel* model) {
  if (model == nullptr) return ApiErrorResponse(ServerLoading());
  if (model->mask_page().empty()) {
    return ApiErrorResponse({.status = 404, .message = "no mask is in use", .code = "no_mask"});
  }
  // The page is one file with its style and script inside.
  return {.content_type = "text/html; charset=utf-8",
          .headers = {{"Content-Security-Policy",
                       "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
                       "frame-ancestors 'self'"}},
          .body = model->mask_page()};
}

void RefuseEmbeddings(const ServedModel&, const std::shared_ptr<Exchange>& exchange) {
  exchange->Respond(ApiErrorResponse(EndpointNotSupported("embeddings")));
}

bool IsBelow(std::string_view path, std::string_view prefix) {
  return path.size() > prefix.size() && path.substr(0, prefix.size()) == prefix;
}

HttpResponse PageResponse(const PageFile& file) {
  return {.content_type = std::string(file.content_type),
          .headers = {{"Content-Security-Policy", std::string(kPageSecurityPolicy)},
                      {"X-Content-Type-Options", "nosniff"},
                      {"Referrer-Policy", "no-referrer"},
                      {"Cache-Control", "no-cache"}},
          .body = std::string(file.content)};
}

using Headers = std::vector<std::pair<std::string, std::string>>;

HttpResponse WithHeaders(HttpResponse response, const Headers& headers) {
  response.headers.insert(response.headers.end(), headers.begin(), headers.end());
  return response;
}

// Answers with the headers that let the page of an allowed origin read them.
class CorsExchange : public Exchange {
 public:
  explicit CorsExchange(std::shared_ptr<Exchange> inner) : inner_(std::move(inner)), headers_(CorsHeaders(inner_->request())) {}

  const HttpRequest& request() const override { return inner_->request(); }
  void DropBody() override { inner_->DropBody(); }
  void Respond(HttpResponse response) override { inner_->Respond(WithHeaders(std::move(response), headers_)); }
  void BeginStream(HttpResponse head, KeepAlive keep_alive) override {
    inner_->BeginStream(WithHeaders(std::move(head), headers_), std::move(keep_alive));
  }
  void Write(std::string bytes) override { inner_->Write(std::move(bytes)); }
  void End() override { inner_->End(); }
  void Abort() override { inner_->Abort(); }
  void OnGone(std::function<void()> gone) override { inner_->OnGone(std::move(gone)); }
  bool IsGone() const override { return inner_->IsGone(); }

 private:
  std::shared_ptr<Exchange> inner_;
  Headers headers_;
};

}  // namespace

struct Router::Route {
  std::string_view method;
  std::string_view path;
  ModelHandler handler;
  bool below = false;  // everything below the path, too
  bool later = false;  // long work
  bool work = false;   // begins something new: not while stopping
};

const std::vector<Router::Route>& Router::Routes() {
  static const std::vector<Route> routes = {
      {"POST", "/v1/chat/completions", Generate<Api::kChat>, false, true, true},
      {"POST", "/chat/completions", Generate<Api::kChat>, false, true, true},
      {"POST", "/v1/completions", Generate<Api::kCompletions>, false, true, true},
      {"POST", "/completion", Generate<Api::kLlamaCompletion>, false, true, true},
      {"POST", "/completions", Generate<Api::kLlamaCompletion>, false, true, true},
      {"POST", "/tokenize", TokenizeText, false, true},
      {"POST", "/detokenize", DetokenizeIds, false, true},
      {"POST", "/apply-template", ApplyChatTemplate, false, true},
      {"POST", "/v1/embeddings", RefuseEmbeddings},
      {"POST", "/embeddings", RefuseEmbeddings},
      {"POST", "/embedding", RefuseEmbeddings},
      {"GET", "/v1/models", ListModels},
      {"GET", "/models", ListModels},
      {"GET", "/v1/models/", ShowModel, true},
      {"GET", "/props", ShowProps},
      {"GET", "/slots", ShowSlots},
      {"GET", "/metrics", ShowMetrics},
  };
  return routes;
}

HttpResponse Router::Health() const {
  if (stopping_.load()) return ApiErrorResponse(ServerStopping());
  if (model_.load() == nullptr) return ApiErrorResponse(ServerLoading());
  return {.body = R"({"status":"ok"})"};
}

// What needs no key: the page, pictures of the mask (nobody's data), and whether the server is well.
bool Router::IsOpenToAll(const std::string& path) {
  return FindPageFile(path) != nullptr || path == "/health" || path == "/v1/health" || path == "/mask";
}

HttpResponse Router::OpenToAll(const std::string& path) const {
  if (const PageFile* file = FindPageFile(path)) return PageResponse(*file);
  return path == "/mask" ? MaskResponse(model_.load()) : Health();
}

// The client may have gone while the request waited for a thread, or the server may be about to.
void Router::AnswerLater(const Route& route, const ServedModel& model, const std::shared_ptr<Exchange>& exchange) const {
  if (exchange->IsGone()) return;
  AnswerGuarded(exchange, [&] {
    if (route.work && stopping_.load()) return exchange->Respond(ApiErrorResponse(ServerStopping()));
    route.handler(model, exchange);
  });
}

void Router::Dispatch(const Route& route, const std::shared_ptr<Exchange>& exchange) const {
  const ServedModel* const model = model_.load();
  if (model == nullptr) {
    exchange->Respond(ApiErrorResponse(ServerLoading()));
  } else if (route.work && stopping_.load()) {
    exchange->Respond(ApiErrorResponse(ServerStopping()));
  } else if (route.later) {
    later_([this, &route, model, exchange] { AnswerLater(route, *model, exchange); });
  } else {
    route.handler(*model, exchange);
  }
}

std::optional<HttpResponse> Router::Refusal(const HttpRequest& request) const {
  if (const auto error = CheckHostAndOrigin(rules_, request)) return ApiErrorResponse(*error);
  const bool looks = request.method == "GET" || request.method == "HEAD";
  if (request.method == "OPTIONS" || (looks && IsOpenToAll(request.path))) return std::nullopt;
  if (const auto error = CheckApiKey(rules_, request)) return WithHeaders(ApiErrorResponse(*error), CorsHeaders(request));
  return std::nullopt;
}

HttpResponse Router::HttpError(int status, const std::string& message, const HttpRequest& head) const {
  HttpResponse response = ApiErrorResponse(status == 503   ? ServerFull(message)
                                           : status >= 500 ? ServerError(message)
                                                           : BadRequest(status, message));
  return CheckHostAndOrigin(rules_, head) ? response : WithHeaders(std::move(response), CorsHeaders(head));
}

void Router::Handle(const std::shared_ptr<Exchange>& outer) const {
  std::shared_ptr<Exchange> exchange = outer;
  AnswerGuarded(exchange, [&] {
    const HttpRequest& request = exchange->request();
    if (std::optional<HttpResponse> refusal = Refusal(request)) return exchange->Respond(*std::move(refusal));
    if (request.has_header("origin")) exchange = std::make_shared<CorsExchange>(exchange);
    const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
    if (method == "OPTIONS") return exchange->Respond({.status = 204, .content_type = ""});
    if (method == "GET" && IsOpenToAll(request.path)) return exchange->Respond(OpenToAll(request.path));

    const Route* other_method = nullptr;
    for (const Route& route : Routes()) {
      if (request.path != route.path && !(route.below && IsBelow(request.path, route.path))) continue;
      if (route.method == method) return Dispatch(route, exchange);
      other_method = &route;
    }
    if (other_method == nullptr && !IsOpenToAll(request.path))
      return exchange->Respond(ApiErrorResponse(UnknownUrl(request.method, request.path)));
    HttpResponse response = ApiErrorResponse(MethodNotSupported(request.method, request.path));
    response.headers.emplace_back("Allow", other_method != nullptr ? std::string(other_method->method) : "GET");
    exchange->Respond(std::move(response));
  });
}

}  // namespace damask::server
