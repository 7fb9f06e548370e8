// The public API over the engine: translation, turns of threads, and no exception out.
#include <exception>
#include <mutex>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "damask/damask.h"
#include "engine/conversation.h"
#include "engine/engine.h"
#include "engine/generate.h"

namespace damask {
namespace {

// What is thrown inside becomes an error; what a callback has thrown goes on to the caller.
template <typename F>
auto Border(F body, const bool& callback_threw = false) -> decltype(body()) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    if (callback_threw) throw;
    return OutOfMemory("no memory left");  // so short that it needs none itself
  } catch (const std::exception& error) {
    if (callback_threw) throw;
    return Internal(error.what());
  }
}

// The same for plain values: an empty one.
template <typename F>
auto EmptyBorder(F body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception&) {
    return {};
  }
}

// A call's turn: it has the engine for itself, but while a callback runs, which may take long or use other sessions.
class Turn {
 public:
  explicit Turn(std::mutex* mutex) : lock_(*mutex) {}

  template <typename F, typename... Args>
  void CallBack(const F& callback, Args... args) {
    struct Relock {
      std::unique_lock<std::mutex>* lock;
      ~Relock() { lock->lock(); }
    };
    lock_.unlock();
    const Relock relock{&lock_};
    try {
      callback(args...);
    } catch (...) {
      callback_threw_ = true;
      throw;
    }
  }
  const bool& callback_threw() const { return callback_threw_; }

 private:
  std::unique_lock<std::mutex> lock_;
  bool callback_threw_ = false;
};

enum class Content { kNothing, kConversation, kText };

}  // namespace

struct Model::Impl {
  std::unique_ptr<engine::Engine> engine;
  std::mutex mutex = {};  // engine, compute pool and pages serve one thread at a time
};

struct Session::Impl {
  explicit Impl(Model::Impl* of) : model(of), session(std::in_place, of->engine.get()) {}
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    const std::lock_guard lock(model->mutex);
    session.reset();
  }

  template <typename F>
  Result<Answer> Take(F body);
  Result<Answer> Read(Turn* turn, std::span<const TokenId> ids, const GenerateOptions& options, Content after);
  Result<Answer> Generate(Turn* turn, std::span<const TokenId> prompt, const GenerateOptions& options);
  Result<Answer> GenerateText(Turn* turn, std::string_view prompt, const GenerateOptions& options);
  Result<Answer> Chat(Turn* turn, std::string_view message, const GenerateOptions& options);
  void Truncate(uint64_t length);
  std::string TextOf(std::span<const TokenId> ids) const;

  Model::Impl* model;
  std::optional<engine::Session> session;        // but in the destructor there is one
  Content content = Content::kNothing;           // of the cache
  std::vector<tokenizer::ChatMessage> messages;  // of Chat
  std::vector<TokenId> said;                     // the last of these, an answer
  // The last token of an answer that it does not end by itself: said, and not in the cache yet.
  std::optional<TokenId> pending;
  bool answering = false;
};

namespace {

engine::GenerateOptions EngineOptionsOf(const GenerateOptions& options) {
  engine::GenerateOptions generate;
  generate.max_tokens = options.max_tokens;
  generate.sampler = {.temperature = options.temperature,
                      .top_k = options.top_k,
                      .top_p = options.top_p,
                      .min_p = options.min_p,
                      .repeat_penalty = options.repeat_penalty,
                      .repeat_last_n = options.repeat_last_n,
                      .presence_penalty = options.presence_penalty,
                      .frequency_penalty = options.frequency_penalty,
                      .seed = options.seed};
  generate.stop = options.stop;
  generate.guesses = options.guesses;
  return generate;
}

Answer AnswerOf(engine::GenerateResult result, const model::SegmentReport& prefill, const model::SegmentReport& decode) {
  return {.text = std::move(result.text),
          .ids = std::move(result.ids),
          .finish_reason = std::string(engine::FinishReasonName(result.finish)),
          .seed = result.seed,
          .prompt_tokens = result.prompt_tokens,
          .prefill_seconds = result.prefill_seconds,
          .decode_seconds = result.decode_seconds,
          .density_prefill = prefill.density(),
          .density_decode = decode.density()};
}

// Of a session that was moved from, or for which there was no memory.
Status NoSession() { return OutOfMemory("no memory was left for the Session, or it has been moved from"); }

}  // namespace

template <typename F>
Result<Answer> Session::Impl::Take(F body) {
  Turn turn(&model->mutex);
  return Border(
      [&]() -> Result<Answer> {
        if (answering) return InvalidArgument("the session is in the middle of an answer");
        struct Answering {
          bool* flag;
          ~Answering() { *flag = false; }
        };
        answering = true;
        const Answering until_here{&answering};
        return body(&turn);
      },
      turn.callback_threw());
}

// Goes on behind the answer before. A callback may end it by an exception. What is read makes of the cache what `after` says.
Result<Answer> Session::Impl::Read(Turn* turn, std::span<const TokenId> ids, const GenerateOptions& options, Content after) {
  // The pending token comes first: as soon as anything was appended, so was it. What was cancelled or failed before has not
  // taken it.
  struct Noting {
    Impl* impl;
    uint64_t before;
    Content after;
    ~Noting() {
      if (impl->session->length() == before) return;
      impl->pending.reset();
      impl->content = after;
    }
  };
  std::vector<TokenId> all(ids.begin(), ids.end());
  if (pending) all.insert(all.begin(), *pending);
  (void)session->TakeReport();
  model::SegmentReport prefill;
  engine::GenerateCallbacks callbacks;
  callbacks.progress = [&](uint64_t done, uint64_t total, double) {
    prefill.Add(session->TakeReport());
    if (options.on_progress) turn->CallBack(options.on_progress, done, total);
  };
  if (options.on_text) callbacks.text = [&](std::string_view text) { turn->CallBack(options.on_text, text); };
  callbacks.cancel = options.cancel;
  Result<engine::GenerateResult> result = [&] {
    const Noting noting{this, session->length(), after};
    return engine::Generate(model->engine.get(), &*session, all, EngineOptionsOf(options), callbacks);
  }();
  if (!result.ok()) return result.status();
  if (!result->ids.empty() && !model->engine->tokenizer().IsEndOfGeneration(result->ids.back())) pending = result->ids.back();
  return AnswerOf(*std::move(result), prefill, session->TakeReport());
}

Result<Answer> Session::Impl::Generate(Turn* turn, std::span<const TokenId> prompt, const GenerateOptions& options) {
  // Nothing new is said: the answer of a conversation goes on.
  const bool same_answer = prompt.empty() && pending && content == Content::kConversation && !messages.empty();
  session->SetTurnTokens(0);
  DAMASK_ASSIGN_OR_RETURN(Answer answer, Read(turn, prompt, options, same_answer ? Content::kConversation : Content::kText));
  if (same_answer) {
    said.insert(said.end(), answer.ids.begin(), answer.ids.end());
    messages.back().content = TextOf(said);
  }
  return answer;
}

// Of all the tokens at once: an answer may have been cut off within a character.
std::string Session::Impl::TextOf(std::span<const TokenId> ids) const {
  tokenizer::StreamDecoder decoder(&model->engine->tokenizer(), /*at_start=*/false);
  std::string text;
  for (const TokenId id : ids) text += decoder.Add(id);
  return text + decoder.Finish();
}

Result<Answer> Session::Impl::GenerateText(Turn* turn, std::string_view prompt, const GenerateOptions& options) {
  const tokenizer::Tokenizer& tokenizer = model->engine->tokenizer();
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids,
                          session->length() == 0 ? tokenizer::EncodePrompt(tokenizer, prompt, tokenizer::Special::kParse)
                                                 : tokenizer.EncodeBehind(pending.value_or(session->tokens().back()), prompt,
                                                                          tokenizer::Special::kParse));
  return Generate(turn, ids, options);
}

Result<Answer> Session::Impl::Chat(Turn* turn, std::string_view message, const GenerateOptions& options) {
  const std::optional<tokenizer::ChatFamily> family = engine::ModelChatFamily(*model->engine);
  if (!family) return Unsupported("the model has no chat template of a known family");
  if (content == Content::kText) {
    return InvalidArgument(
        "the session holds text that is not a conversation; Chat begins in a new one, or behind Truncate(0)");
  }
  std::vector<tokenizer::ChatMessage> all = messages;
  all.push_back({"user", std::string(message)});
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, tokenizer::EncodeChat(model->engine->tokenizer(), *family, all));
  // Before anything of the session is given up.
  DAMASK_RETURN_IF_ERROR(engine::ValidateGenerateOptions(EngineOptionsOf(options)));
  DAMASK_RETURN_IF_ERROR(model->engine->CheckLength(ids.size()));
  size_t turn_tokens = 0;
  if (model->engine->policy().AskedInstruction().turn) {
    DAMASK_ASSIGN_OR_RETURN(turn_tokens, engine::TurnTokens(model->engine->tokenizer(), {.family = family}, message));
  }
  session->SetTurnTokens(turn_tokens);
  pending.reset();  // the conversation is encoded anew
  content = Content::kConversation;
  const size_t shared = engine::ReusePrefix(&*session, ids);
  DAMASK_ASSIGN_OR_RETURN(Answer answer, Read(turn, std::span(ids).subspan(shared), options, Content::kConversation));
  if (answer.ids.empty()) return answer;  // nothing was said: what was read is kept or dropped by the next turn
  all.push_back({"assistant", answer.text});
  messages = std::move(all);
  said = answer.ids;
  return answer;
}

void Session::Impl::Truncate(uint64_t length) {
  if (answering || length > session->length()) return;
  pending.reset();
  if (length > 0 && length == session->length()) return;
  messages.clear();
  session->Truncate(length);
  content = session->length() == 0 ? Content::kNothing : Content::kText;
}

Model::Model(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Model::Model(Model&&) noexcept = default;
Model& Model::operator=(Model&&) noexcept = default;
Model::~Model() = default;

Result<Model> Model::Load(const ModelOptions& options) {
  return Border([&]() -> Result<Model> {
    engine::EngineOptions engine_options;
    engine_options.model_path = options.path;
    engine_options.threads = options.threads;
    engine_options.target = options.target;
    engine_options.load = options.mmap ? LoadMode::kMap : LoadMode::kRead;
    engine_options.context = options.context;
    engine_options.policy = options.policy;
    engine_options.repack = options.repack;
    engine_options.rope = {.scaling = options.rope_scaling,
                           .factor = options.rope_scale,
                           .base = options.rope_base,
                           .original_context = options.rope_original_context};
    const Result<kernels::KvType> kv = kernels::ParseKvType(options.kv);
    if (!kv.ok()) return kv.status().At("kv");
    engine_options.kv = *kv;
    DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<engine::Engine> engine, engine::Engine::Load(engine_options));
    return Model(std::unique_ptr<Impl>(new Impl{.engine = std::move(engine)}));
  });
}

ModelInfo Model::info() const {
  const engine::Engine& engine = *impl_->engine;
  const model::ModelConfig& config = engine.model().config();
  return EmptyBorder([&]() -> ModelInfo {
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
  });
}

Result<std::vector<TokenId>> Model::Tokenize(std::string_view text, bool parse_special) const {
  return Border([&]() -> Result<std::vector<TokenId>> {
    return impl_->engine->tokenizer().Encode(text, parse_special ? tokenizer::Special::kParse : tokenizer::Special::kPlain);
  });
}

std::string Model::Detokenize(const std::vector<TokenId>& ids) const {
  return EmptyBorder([&] { return impl_->engine->tokenizer().Decode(ids, false); });
}

Session Model::NewSession() {
  return Session(EmptyBorder([&] { return std::make_unique<Session::Impl>(impl_.get()); }));
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::Session(Session&&) noexcept = default;
Session& Session::operator=(Session&&) noexcept = default;
Session::~Session() = default;

Result<Answer> Session::GenerateFromIds(const std::vector<TokenId>& prompt, const GenerateOptions& options) {
  Impl* const impl = impl_.get();
  if (impl == nullptr) return NoSession();
  return impl->Take([&](Turn* turn) { return impl->Generate(turn, prompt, options); });
}

Result<Answer> Session::Generate(std::string_view prompt, const GenerateOptions& options) {
  Impl* const impl = impl_.get();
  if (impl == nullptr) return NoSession();
  return impl->Take([&](Turn* turn) { return impl->GenerateText(turn, prompt, options); });
}

Result<Answer> Session::Chat(std::string_view message, const GenerateOptions& options) {
  Impl* const impl = impl_.get();
  if (impl == nullptr) return NoSession();
  return impl->Take([&](Turn* turn) { return impl->Chat(turn, message, options); });
}

Result<Session> Session::Fork() {
  if (impl_ == nullptr) return NoSession();
  return Border([&]() -> Result<Session> {
    auto fork = std::make_unique<Impl>(impl_->model);  // before the lock, which its end takes, too
    const std::lock_guard lock(impl_->model->mutex);
    DAMASK_RETURN_IF_ERROR(fork->session->Share(*impl_->session));
    fork->content = impl_->content;
    fork->messages = impl_->messages;
    fork->said = impl_->said;
    fork->pending = impl_->pending;
    return Session(std::move(fork));
  });
}

const std::vector<TokenId>& Session::tokens() const {
  static const std::vector<TokenId> none;
  return impl_ == nullptr ? none : impl_->session->tokens();
}

uint64_t Session::length() const { return impl_ == nullptr ? 0 : impl_->session->length(); }
uint64_t Session::kv_bytes() const { return impl_ == nullptr ? 0 : impl_->session->kv_bytes(); }

void Session::Truncate(uint64_t length) {
  if (impl_ == nullptr) return;
  const std::lock_guard lock(impl_->model->mutex);
  // What may want memory, a policy's first state, is wanted only where there is nothing to forget.
  (void)Border([&]() -> Status {
    impl_->Truncate(length);
    return {};
  }).ok();
}

}  // namespace damask
