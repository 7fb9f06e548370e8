// The public API over the engine: translation only.
#include <span>
#include <utility>

#include "damask/damask.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "engine/generate.h"

namespace damask {

struct Model::Impl {
  std::unique_ptr<engine::Engine> engine;
};

struct Session::Impl {
  engine::Engine* engine = nullptr;
  engine::Session session;
  std::vector<tokenizer::ChatMessage> messages;  // of Chat
  // The last token of an answer that it does not end by itself: said, and not in the cache yet.
  std::optional<TokenId> pending = std::nullopt;

  Result<engine::GenerateResult> Run(std::span<const TokenId> ids, const engine::GenerateOptions& options,
                                     const engine::GenerateCallbacks& callbacks);
};

// Goes on behind the answer before. A callback may end it by an exception.
Result<engine::GenerateResult> Session::Impl::Run(std::span<const TokenId> ids, const engine::GenerateOptions& options,
                                                  const engine::GenerateCallbacks& callbacks) {
  // The pending token comes first: as soon as anything was appended, so was it. What was cancelled or failed before has not
  // taken it.
  struct TakesPending {
    Impl* impl;
    uint64_t before;
    ~TakesPending() {
      if (impl->session.length() != before) impl->pending.reset();
    }
  };
  std::vector<TokenId> all(ids.begin(), ids.end());
  if (pending) all.insert(all.begin(), *pending);
  const TakesPending taken{this, session.length()};
  return engine::Generate(engine, &session, all, options, callbacks);
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Model> Model::Load(const ModelOptions& options) {
  engine::EngineOptions engine_options;
  engine_options.model_path = options.path;
  engine_options.threads = options.threads;
  engine_options.target = options.target;
  engine_options.load = options.mmap ? LoadMode::kMap : LoadMode::kRead;
  engine_options.context = options.context;
  engine_options.policy = options.policy;
  const Result<kernels::KvType> kv = kernels::ParseKvType(options.kv);
  if (!kv.ok()) return kv.status().At("kv");
  engine_options.kv = *kv;
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<engine::Engine> engine, engine::Engine::Load(engine_options));
  return Model(std::make_unique<Impl>(Impl{std::move(engine)}));
}

ModelInfo Model::info() const {
  const engine::Engine& engine = *impl_->engine;
  const model::ModelConfig& config = engine.model().config();
  return {.architecture = std::string(model::ArchitectureName(config.architecture)),
          .parameters = engine.model().parameters(),
          .file_bytes = engine.model().file_bytes(),
          .layers = config.layers,
          .heads = config.heads,
          .kv_heads = config.kv_heads,
          .head_dim = config.head_dim,
          .vocab = config.vocab,
          .context = engine.context(),
          .kv_bytes_per_token = engine.kv_bytes_per_token(),
          .target = std::string(TargetName(engine.target())),
          .kv = std::string(kernels::KvTypeName(engine.kv_type()))};
}

Result<std::vector<TokenId>> Model::Tokenize(std::string_view text, bool parse_special) const {
  return impl_->engine->tokenizer().Encode(text, parse_special ? tokenizer::Special::kParse : tokenizer::Special::kPlain);
}

std::string Model::Detokenize(const std::vector<TokenId>& ids) const { return impl_->engine->tokenizer().Decode(ids, false); }

Session Model::NewSession() {
  engine::Engine* engine = impl_->engine.get();
  return Session(std::unique_ptr<Session::Impl>(new Session::Impl{engine, engine::Session(engine), {}}));
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Answer> Session::GenerateFromIds(const std::vector<TokenId>& prompt, const GenerateOptions& options) {
  engine::GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.sampler = {.temperature = options.temperature,
                      .top_k = options.top_k,
                      .top_p = options.top_p,
                      .min_p = options.min_p,
                      .repeat_penalty = options.repeat_penalty,
                      .seed = options.seed};
  generate.stop = options.stop;
  engine::GenerateCallbacks callbacks;
  callbacks.text = options.on_text;
  if (options.on_progress) {
    callbacks.progress = [&](uint64_t done, uint64_t total, double) { options.on_progress(done, total); };
  }
  callbacks.cancel = options.cancel;
  DAMASK_ASSIGN_OR_RETURN(engine::GenerateResult result, impl_->Run(prompt, generate, callbacks));
  if (!result.ids.empty() && !impl_->engine->tokenizer().IsEndOfGeneration(result.ids.back())) {
    impl_->pending = result.ids.back();
  }
  return Answer{.text = std::move(result.text),
                .ids = std::move(result.ids),
                .finish_reason = std::string(engine::FinishReasonName(result.finish)),
                .seed = result.seed,
                .prompt_tokens = result.prompt_tokens,
                .prefill_seconds = result.prefill_seconds,
                .decode_seconds = result.decode_seconds,
                .density_prefill = result.prefill_stats.density(),
                .density_decode = result.decode_stats.density()};
}

Result<Answer> Session::Generate(std::string_view prompt, const GenerateOptions& options) {
  const tokenizer::Tokenizer& tokenizer = impl_->engine->tokenizer();
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                          length() == 0 ? tokenizer::EncodePrompt(tokenizer, prompt, tokenizer::Special::kParse)
                                        : tokenizer.Encode(prompt, tokenizer::Special::kParse));
  return GenerateFromIds(ids, options);
}

Result<Answer> Session::Chat(std::string_view message, const GenerateOptions& options) {
  const std::optional<tokenizer::ChatFamily> family = engine::ModelChatFamily(*impl_->engine);
  if (!family) return Unsupported("the model has no chat template of a known family");
  if (impl_->messages.empty() && length() > 0) {
    return InvalidArgument(
        "the session holds text that is not a conversation; Chat begins in a new one, or behind Truncate(0)");
  }
  std::vector<tokenizer::ChatMessage> messages = impl_->messages;
  messages.push_back({"user", std::string(message)});
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer::EncodeChat(impl_->engine->tokenizer(), *family, messages));
  impl_->pending.reset();  // the conversation is encoded anew
  const size_t shared = engine::ReusePrefix(&impl_->session, ids);
  DAMASK_ASSIGN_OR_RETURN(Answer answer,
                          GenerateFromIds({ids.begin() + static_cast<std::ptrdiff_t>(shared), ids.end()}, options));
  if (answer.ids.empty()) return answer;  // cancelled before it began: nothing was said
  messages.push_back({"assistant", answer.text});
  impl_->messages = std::move(messages);
  return answer;
}

uint64_t Session::length() const { return impl_->session.length(); }
uint64_t Session::kv_bytes() const { return impl_->session.kv_bytes(); }
void Session::Truncate(uint64_t length) {
  impl_->pending.reset();
  impl_->messages.clear();
  impl_->session.Truncate(length);
}

}  // namespace damask
