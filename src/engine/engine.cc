#include "engine/engine.h"

#include <algorithm>
#include <atomic>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/timer.h"
#include "engine/fingerprint.h"
#include "kernels/attention.h"
#include "policies/registry.h"

namespace damask::engine {
namespace {

Result<size_t> ThreadsFor(size_t wanted) {
  if (wanted > limits::kMaxThreads) {
    return InvalidArgument(fmt::format("--threads is {}, at most {} are possible", wanted, limits::kMaxThreads));
  }
  return wanted == 0 ? DefaultThreadCount() : wanted;
}

}  // namespace

Result<std::unique_ptr<Engine>> Engine::Load(const EngineOptions& options) {
  const Timer timer;
  std::unique_ptr<Engine> engine(new Engine);
  DAMASK_ASSIGN_OR_RETURN(engine->target_, PrepareTarget(options.target));
  DAMASK_ASSIGN_OR_RETURN(const size_t threads, ThreadsFor(options.threads));
  if (options.context > limits::kMaxContext) {
    return InvalidArgument(fmt::format("--ctx-size is {}, at most {} is possible", options.context, limits::kMaxContext));
  }
  const model::LoadOptions load = {.load = options.load, .rope = options.rope, .context = options.context};
  engine->embedded_ = options.model_path.empty();
  engine->chat_family_ = options.chat_family;
  if (engine->embedded_) {
    DAMASK_ASSIGN_OR_RETURN(engine->model_, model::Model::LoadEmbedded(load));
  } else {
    DAMASK_ASSIGN_OR_RETURN(engine->model_, model::Model::Load(options.model_path, load));
  }
  const model::ModelConfig& config = engine->model_->config();
  DAMASK_ASSIGN_OR_RETURN(engine->policy_, policies::Create(options.policy, engine->shape()));
  engine->context_ = options.context == 0 ? config.context : options.context;
  engine->pool_ = std::make_unique<ThreadPool>(threads);
  const kernels::KvType kv = model::Forward::PageType(engine->target_, options.kv);
  engine->pages_ = std::make_unique<model::PagePool>(kernels::PageLayout{config.head_dim, kv});
  engine->forward_ =
      std::make_unique<model::Forward>(engine->model_.get(), engine->policy_.get(), engine->pool_.get(), engine->target_, kv);
  engine->SetAudit(options.audit);
  engine->forward_->SetRelease(options.kv_release);
  if (options.repack) DAMASK_RETURN_IF_ERROR(engine->forward_->Repack());
  engine->load_seconds_ = timer.Seconds();
  return engine;
}

Engine::~Engine() = default;

policies::ModelShape Engine::shape() const {
  const model::ModelConfig& config = model_->config();
  return {.layers = config.layers,
          .heads = config.heads,
          .kv_heads = config.kv_heads,
          .head_dim = config.head_dim,
          .windows = config.windows,
          .rope_halves = config.rope.kind == kernels::RopeKind::kHalves,
          .target = target_,
          .fingerprint = [model = model_.get()] { return FingerprintOf(*model); }};
}

Status Engine::SetPolicy(const std::string& spec) {
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<policies::Policy> policy, policies::Create(spec, shape()));
  SetPolicy(std::move(policy));
  return {};
}

void Engine::SetPolicy(std::unique_ptr<policies::Policy> policy) { ExchangePolicy(std::move(policy)); }

std::unique_ptr<policies::Policy> Engine::ExchangePolicy(std::unique_ptr<policies::Policy> policy) {
  std::swap(policy, policy_);
  forward_->SetPolicy(policy_.get());
  return policy;
}

uint64_t Engine::kv_bytes_per_token() const { return model::KvCache::BytesPerToken(model_->config(), kv_type()); }

uint64_t Engine::repacked_bytes() const { return forward_->repacked_bytes(); }

std::vector<std::pair<std::string, std::string>> Engine::Kernels() const {
  const model::ModelConfig& config = model_->config();
  const kernels::WeightView& weights = model_->layers().back().feed_forward.front().gate;
  const kernels::AttentionShape shape = {.head_dim = config.head_dim, .group = config.group(), .kv = kv_type()};
  return {{"prefill_product", forward_->DescribeProduct(kernels::Phase::kPrefill, weights.type)},
          {"decode_product", forward_->DescribeProduct(kernels::Phase::kDecode, weights.type)},
          {"attention", kernels::AttentionName(target_, shape)}};
}

kernels::ArithmeticUnit Engine::prefill_unit() const {
  return forward_->PrefillUnit(model_->layers().back().feed_forward.front().gate.type);
}

Session::Session(Engine* engine) : engine_(engine), cache_(engine->model_->config(), engine->pages_.get()) {}

policies::PolicyState* Session::policy_state() { return cache_.state(engine_->policy()); }

void Session::Truncate(uint64_t length) {
  if (cache_.released_end() > 0 && length < cache_.length()) length = 0;
  if (const policies::PolicyState* state = policy_state(); state != nullptr && length < cache_.length()) {
    length = state->ExactLength(length);
  }
  cache_.Truncate(length);
  tokens_.resize(std::min<size_t>(tokens_.size(), length));
}

Status Session::Append(std::span<const TokenId> tokens, const PrefillProgress& progress, const std::atomic<bool>* cancel) {
  return AppendText(tokens, model::LogitsWanted::kLast, nullptr, progress, cancel);
}

Status Session::AppendAll(std::span<const TokenId> tokens, const LogitsRows& sink, const PrefillProgress& progress,
                          const std::atomic<bool>* cancel) {
  return AppendText(tokens, model::LogitsWanted::kAll, sink, progress, cancel);
}

Status Engine::CheckIds(std::span<const TokenId> tokens) const {
  const size_t vocab = model_->config().vocab;
  for (const TokenId id : tokens) {
    if (id < 0 || static_cast<size_t>(id) >= vocab) {
      return InvalidArgument(fmt::format("token id {} is outside the vocabulary of {}", id, vocab));
    }
  }
  return {};
}

Status Engine::CheckLength(uint64_t tokens) const {
  if (tokens <= context_) return {};
  return TooLarge(
      fmt::format("{} tokens do not fit the context of {} (raise --ctx-size, and --rope-scaling past the trained length)",
                  tokens, context_));
}

Status Session::CheckRoom(size_t tokens) const { return engine_->CheckLength(length() + tokens); }

// Chunks end at fixed positions, so that query blocks and policies see the same rows however a text was cut.
Result<model::Segment> Session::NextSegment(std::span<const TokenId> tokens, size_t border, model::LogitsWanted wanted,
                                            const std::atomic<bool>* cancel) {
  if (const size_t own = engine_->policy_->ChunkRows(); own != 0) border = std::min(border, own);
  size_t count = std::min<size_t>(tokens.size(), border - length() % border);
  const bool all = wanted == model::LogitsWanted::kAll;  // a text whose every token is judged: nothing is asked of it
  const policies::Instruction instruction = all ? policies::Instruction() : AskedNow();
  const size_t closing = std::min(instruction.text.empty() ? instruction.last : 0, tokens.size());
  // What is asked at the end of a prompt is one chunk: cut in two, its second part would judge the first.
  count = tokens.size() > closing ? std::min(count, tokens.size() - closing) : tokens.size();
  if (instruction.given()) DAMASK_RETURN_IF_ERROR(LookAhead(instruction, tokens, cancel));
  const bool last = count == tokens.size();
  ReserveTokens(count);
  return model::Segment{.cache = &cache_,
                        .tokens = tokens.first(count),
                        .logits = all || last ? wanted : model::LogitsWanted::kNone,
                        .prompt_end = last,
                        .closing = tokens.size() <= closing};
}

// A text that is longer in the cache than here would be one that nobody can go on with.
void Session::ReserveTokens(size_t count) {
  const size_t wanted = tokens_.size() + count;
  if (wanted > tokens_.capacity()) tokens_.reserve(std::max(wanted, 2 * tokens_.capacity()));
}

void Session::Note(const model::Segment& segment, const model::SegmentReport& report) {
  report_.Add(report);
  tokens_.insert(tokens_.end(), segment.tokens.begin(), segment.tokens.end());
}

Result<size_t> Session::AppendNext(std::span<const TokenId> tokens, size_t border, model::LogitsWanted wanted,
                                   const LogitsRows& sink, const std::atomic<bool>* cancel) {
  const uint64_t position = length();
  DAMASK_ASSIGN_OR_RETURN(const model::Segment segment, NextSegment(tokens, border, wanted, cancel));
  const size_t count = segment.tokens.size();
  const size_t vocab = engine_->model_->config().vocab;
  const auto take = [&](size_t, size_t first_row, size_t num_rows, const float* logits) {
    if (sink) sink(position + first_row, num_rows, logits);
    const float* final_row = logits + (num_rows - 1) * vocab;
    if (first_row + num_rows == count) logits_.assign(final_row, final_row + vocab);
  };
  DAMASK_RETURN_IF_ERROR(engine_->forward_->Run({&segment, 1}, take, cancel));
  Note(segment, engine_->forward_->segment_reports()[0]);
  return count;
}

policies::Instruction Session::AskedNow() const {
  policies::Instruction instruction = engine_->policy_->AskedInstruction();
  if (instruction.turn && turn_tokens_ > 0) instruction.last = std::min(turn_tokens_, policies::kMaxInstructionTokens);
  return instruction;
}

namespace {

// Once for each policy: an instruction is read before every chunk.
void WarnOfLongInstruction(uint64_t policy, size_t tokens) {
  static std::atomic<uint64_t> warned{0};  // no policy has this id
  if (warned.exchange(policy) == policy) return;
  LogWarning(fmt::format("the instruction has {} tokens: its last {} are read", tokens, policies::kMaxInstructionTokens));
}

}  // namespace

// Errors: those of reading, and of an instruction that cannot be read.
Status Session::LookAhead(const policies::Instruction& instruction, std::span<const TokenId> rest,
                          const std::atomic<bool>* cancel) {
  if (length() == 0 || (instruction.text.empty() && rest.size() <= instruction.last)) return {};  // it is read for good now
  std::vector<TokenId> ids(rest.end() - static_cast<std::ptrdiff_t>(std::min(instruction.last, rest.size())), rest.end());
  if (!instruction.text.empty()) {
    DAMASK_ASSIGN_OR_RETURN(ids, engine_->tokenizer().Encode(instruction.text, tokenizer::Special::kPlain));
  }
  if (ids.size() > policies::kMaxInstructionTokens) WarnOfLongInstruction(engine_->policy_->id(), ids.size());
  const size_t skipped = policies::FirstInstructionToken(ids.size(), engine_->context() - length());
  ids.erase(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(skipped));
  if (ids.empty()) return {};
  DAMASK_RETURN_IF_ERROR(engine_->CheckIds(ids));
  const model::Segment segment = {.cache = &cache_, .tokens = ids, .prompt_end = false, .aside = true};
  DAMASK_RETURN_IF_ERROR(engine_->forward_->Run({&segment, 1}, {}, cancel));
  report_.Add(engine_->forward_->segment_reports()[0]);
  return {};
}

Result<size_t> Session::AppendChunk(std::span<const TokenId> tokens, size_t border, const std::atomic<bool>* cancel) {
  const uint64_t before = length();
  Session* const self = this;
  DAMASK_RETURN_IF_ERROR(engine_->AppendChunks({&self, 1}, {&tokens, 1}, border, cancel));
  return length() - before;
}

bool Session::ReadsInCompany(std::span<const TokenId> tokens) const {
  const policies::Policy& policy = *engine_->policy_;
  const bool tiny = length() == 0 && tokens.size() <= model::kDecodeRows;
  return !tiny && !policy.WantsChunks() && !AskedNow().given();
}

Status Engine::AppendChunks(std::span<Session* const> sessions, std::span<const std::span<const TokenId>> texts, size_t border,
                            const std::atomic<bool>* cancel) {
  if (sessions.size() != texts.size() || sessions.size() > model::kDecodeRows) {
    return InvalidArgument(fmt::format("{} sessions cannot read {} texts in one batch", sessions.size(), texts.size()));
  }
  if (border == 0 || border % kernels::kQueryBlockRows != 0 || border > model::kChunkTokens) {
    return InvalidArgument(fmt::format("chunks cannot end at multiples of {}: expected a multiple of {}, {} at most", border,
                                       kernels::kQueryBlockRows, model::kChunkTokens));
  }
  if (sessions.empty()) return {};
  std::vector<model::Segment> batch;
  for (size_t i = 0; i < sessions.size(); ++i) {
    const std::span<const TokenId> text = texts[i];
    if (text.empty()) return InvalidArgument("there is no token to read");
    DAMASK_RETURN_IF_ERROR(sessions[i]->CheckRoom(text.size()));
    // What is asked at the end of a prompt is read as one chunk, and before it.
    const size_t read_now = std::max(border, policies::kMaxInstructionTokens);
    DAMASK_RETURN_IF_ERROR(CheckIds(text.first(std::min(text.size(), read_now))));
    if (sessions.size() > 1 && !sessions[i]->ReadsInCompany(text))
      return InvalidArgument("this text is read in a batch of its own");
    DAMASK_ASSIGN_OR_RETURN(const model::Segment segment,
                            sessions[i]->NextSegment(text, border, model::LogitsWanted::kLast, cancel));
    batch.push_back(segment);
  }
  const size_t vocab = model_->config().vocab;
  const auto take = [&](size_t i, size_t, size_t, const float* logits) { sessions[i]->logits_.assign(logits, logits + vocab); };
  DAMASK_RETURN_IF_ERROR(forward_->Run(batch, take, cancel));
  for (size_t i = 0; i < sessions.size(); ++i) sessions[i]->Note(batch[i], forward_->segment_reports()[i]);
  return {};
}

Status Session::AppendText(std::span<const TokenId> tokens, model::LogitsWanted wanted, const LogitsRows& sink,
                           const PrefillProgress& progress, const std::atomic<bool>* cancel) {
  DAMASK_RETURN_IF_ERROR(CheckRoom(tokens.size()));
  DAMASK_RETURN_IF_ERROR(engine_->CheckIds(tokens));
  const Timer timer;
  for (size_t done = 0; done < tokens.size();) {
    DAMASK_ASSIGN_OR_RETURN(const size_t count, AppendNext(tokens.subspan(done), model::kChunkTokens, wanted, sink, cancel));
    done += count;
    if (progress) progress(done, tokens.size(), timer.Seconds());
  }
  return {};
}

Status Session::Decode(TokenId id, const std::atomic<bool>* cancel) {
  Session* const self = this;
  return engine_->Decode({&self, 1}, {&id, 1}, cancel);
}

Status Engine::Decode(std::span<Session* const> sessions, std::span<const TokenId> ids, const std::atomic<bool>* cancel) {
  if (sessions.size() != ids.size() || sessions.size() > model::kDecodeRows) {
    return InvalidArgument(fmt::format("{} sessions cannot take {} tokens in one batch", sessions.size(), ids.size()));
  }
  if (sessions.empty()) return {};
  DAMASK_RETURN_IF_ERROR(CheckIds(ids));
  std::vector<model::Segment> batch;
  for (size_t i = 0; i < sessions.size(); ++i) {
    DAMASK_RETURN_IF_ERROR(sessions[i]->CheckRoom(1));
    sessions[i]->ReserveTokens(1);
    batch.push_back(
        {.cache = &sessions[i]->cache_, .tokens = ids.subspan(i, 1), .logits = model::LogitsWanted::kLast, .decode = true});
  }
  const size_t vocab = model_->config().vocab;
  const auto take = [&](size_t i, size_t, size_t, const float* logits) { sessions[i]->logits_.assign(logits, logits + vocab); };
  DAMASK_RETURN_IF_ERROR(forward_->Run(batch, take, cancel));
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i]->report_.Add(forward_->segment_reports()[i]);
    sessions[i]->tokens_.push_back(ids[i]);
  }
  return {};
}

Result<std::optional<TokenId>> Session::DecodeGuesses(TokenId id, std::span<const TokenId> guesses, const DrawNext& next,
                                                      const std::atomic<bool>* cancel) {
  if (guesses.size() >= model::kDecodeRows || !engine_->MayGuess()) {
    return InvalidArgument(fmt::format("{} guesses cannot be checked under the policy {}: expected at most {}", guesses.size(),
                                       engine_->policy().Spec(), engine_->MayGuess() ? model::kDecodeRows - 1 : 0));
  }
  const size_t tokens_before = tokens_.size();
  std::vector<TokenId> ids = {id};
  ids.insert(ids.end(), guesses.begin(), guesses.end());
  DAMASK_RETURN_IF_ERROR(CheckRoom(ids.size()));
  DAMASK_RETURN_IF_ERROR(engine_->CheckIds(ids));
  size_t kept = 1;
  std::optional<TokenId> drawn;
  const size_t vocab = engine_->model_->config().vocab;
  const auto take = [&](size_t, size_t, size_t, const float* logits) {
    tokens_.push_back(id);
    for (; kept < ids.size(); ++kept) {
      drawn = next({logits + (kept - 1) * vocab, vocab});
      if (drawn != ids[kept]) break;
      tokens_.push_back(ids[kept]);
    }
    if (kept == ids.size()) drawn.reset();
    const float* const last = logits + (kept - 1) * vocab;
    logits_.assign(last, last + vocab);
  };
  const model::Segment segment = {
      .cache = &cache_, .tokens = ids, .logits = model::LogitsWanted::kAll, .decode = true, .kept = &kept};
  const Status status = engine_->forward_->Run({&segment, 1}, take, cancel);
  if (!status.ok()) tokens_.resize(tokens_before);
  if (status.code() == StatusCode::kBadFormat) {  // it may be a wrong guess that broken weights make NaN of
    DAMASK_RETURN_IF_ERROR(Decode(id, cancel));
    return std::optional<TokenId>();
  }
  DAMASK_RETURN_IF_ERROR(status);
  report_.Add(engine_->forward_->segment_reports()[0]);
  return drawn;
}

Status Session::Share(const Session& other) {
  if (other.engine_ != engine_) return Internal("a session cannot become one of another engine");
  if (engine_->policy_->WantsChunks()) {
    return Unsupported(fmt::format("what the policy {} remembers of a text cannot be shared", engine_->policy_->Spec()));
  }
  std::vector<TokenId> tokens = other.tokens_;
  std::vector<float> logits = other.logits_;
  DAMASK_RETURN_IF_ERROR(cache_.Share(other.cache_));
  tokens_ = std::move(tokens);
  logits_ = std::move(logits);
  turn_tokens_ = other.turn_tokens_;
  return {};
}

Status Session::Restore(std::span<const TokenId> prompt, const std::function<Result<uint64_t>(model::KvCache*)>& restore) {
  const uint64_t before = length();
  DAMASK_ASSIGN_OR_RETURN(const uint64_t after, restore(&cache_));
  for (uint64_t i = before; i < after; ++i) tokens_.push_back(prompt[i]);
  return {};
}

}  // namespace damask::engine
