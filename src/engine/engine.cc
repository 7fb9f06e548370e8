#include "engine/engine.h"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>

#include "base/limits.h"
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
  DAMASK_ASSIGN_OR_RETURN(engine->target_, ParseTarget(options.target));
  DAMASK_ASSIGN_OR_RETURN(const size_t threads, ThreadsFor(options.threads));
  if (options.context > limits::kMaxContext) {
    return InvalidArgument(fmt::format("--ctx-size is {}, at most {} is possible", options.context, limits::kMaxContext));
  }
  const model::LoadOptions load = {.load = options.load, .rope = options.rope, .context = options.context};
  engine->embedded_ = options.model_path.empty();
  if (engine->embedded_) {
    DAMASK_ASSIGN_OR_RETURN(engine->model_, model::Model::LoadEmbedded(load));
  } else {
    DAMASK_ASSIGN_OR_RETURN(engine->model_, model::Model::Load(options.model_path, load));
  }
  const model::ModelConfig& config = engine->model_->config();
  DAMASK_ASSIGN_OR_RETURN(engine->policy_, policies::Create(options.policy, engine->shape()));
  engine->context_ = options.context == 0 ? config.context : options.context;
  engine->pool_ = std::make_unique<ThreadPool>(threads);
  engine->pages_ =
      std::make_unique<model::PagePool>(kernels::PageLayout{config.head_dim, model::Forward::PageType(engine->target_)});
  engine->forward_ =
      std::make_unique<model::Forward>(engine->model_.get(), engine->policy_.get(), engine->pool_.get(), engine->target_);
  engine->forward_->SetAudit(options.audit);
  engine->forward_->SetRelease(options.kv_release);
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
          .target = target_,
          .fingerprint = [model = model_.get()] { return FingerprintOf(*model); }};
}

Status Engine::SetPolicy(const std::string& spec) {
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<policies::Policy> policy, policies::Create(spec, shape()));
  SetPolicy(std::move(policy));
  return {};
}

void Engine::SetPolicy(std::unique_ptr<policies::Policy> policy) {
  policy_ = std::move(policy);
  forward_->SetPolicy(policy_.get());
}

uint64_t Engine::kv_bytes_per_token() const {
  return model::KvCache::BytesPerToken(model_->config(), model::Forward::PageType(target_));
}

std::vector<std::pair<std::string, std::string>> Engine::Kernels() const {
  const model::ModelConfig& config = model_->config();
  const kernels::WeightView& weights = model_->layers().front().gate;
  const kernels::AttentionShape shape = {
      .head_dim = config.head_dim, .group = config.group(), .kv = model::Forward::PageType(target_)};
  return {{"prefill_product", forward_->DescribeProduct(kernels::Phase::kPrefill, weights.type)},
          {"decode_product", forward_->DescribeProduct(kernels::Phase::kDecode, weights.type)},
          {"attention", kernels::AttentionName(target_, shape)}};
}

kernels::ArithmeticUnit Engine::prefill_unit() const { return forward_->PrefillUnit(model_->layers().front().gate.type); }

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
  return AppendChunks(tokens, model::LogitsWanted::kLast, nullptr, progress, cancel);
}

Status Session::AppendAll(std::span<const TokenId> tokens, const LogitsRows& sink, const PrefillProgress& progress,
                          const std::atomic<bool>* cancel) {
  return AppendChunks(tokens, model::LogitsWanted::kAll, sink, progress, cancel);
}

Status Session::AppendChunks(std::span<const TokenId> tokens, model::LogitsWanted wanted, const LogitsRows& sink,
                             const PrefillProgress& progress, const std::atomic<bool>* cancel) {
  if (length() + tokens.size() > engine_->context()) {
    return TooLarge(
        fmt::format("{} tokens do not fit the context of {} (raise --ctx-size, and --rope-scaling past the trained length)",
                    length() + tokens.size(), engine_->context()));
  }
  const size_t vocab = engine_->model_->config().vocab;
  for (const TokenId id : tokens) {
    if (id < 0 || static_cast<size_t>(id) >= vocab) {
      return InvalidArgument(fmt::format("token id {} is outside the vocabulary of {}", id, vocab));
    }
  }
  const Timer timer;
  for (size_t done = 0; done < tokens.size();) {
    // Chunks end at fixed positions, so that a row's arithmetic does not depend on where the text was cut.
    const uint64_t position = length();
    const size_t count = std::min<size_t>(tokens.size() - done, model::kChunkTokens - position % model::kChunkTokens);
    const bool last = done + count == tokens.size();
    const model::LogitsWanted rows = wanted == model::LogitsWanted::kAll || last ? wanted : model::LogitsWanted::kNone;
    const model::Segment segment = {&cache_, tokens.subspan(done, count), rows, last};
    const auto take = [&](size_t, size_t first_row, size_t num_rows, const float* logits) {
      if (sink) sink(position + first_row, num_rows, logits);
      const float* final_row = logits + (num_rows - 1) * vocab;
      if (first_row + num_rows == count) logits_.assign(final_row, final_row + vocab);
    };
    DAMASK_RETURN_IF_ERROR(engine_->forward_->Run({&segment, 1}, take, cancel));
    tokens_.insert(tokens_.end(), segment.tokens.begin(), segment.tokens.end());
    done += count;
    if (progress) progress(done, tokens.size(), timer.Seconds());
  }
  return {};
}

}  // namespace damask::engine
