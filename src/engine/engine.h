// The engine: a loaded model, the machine it runs on, and sessions over it. The command line, the server, the tests and the
// public C++ header all talk to this one interface.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"
#include "base/thread_pool.h"
#include "model/forward.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "policies/policy.h"
#include "tokenizer/chat_template.h"

namespace damask::engine {

using tokenizer::TokenId;

struct EngineOptions {
  std::string model_path;  // empty: the embedded reference model
  size_t threads = 0;      // 0: physical cores
  std::string target;      // "" or "auto": the best; else a name of base/cpu.h
  LoadMode load = LoadMode::kMap;
  uint64_t context = 0;                         // 0: the model's own; at most limits::kMaxContext
  std::string policy = "full";                  // SPEC of policies::Create
  model::AuditOptions audit;                    // none
  bool kv_release = false;                      // pages that no head can reach again leave the cache
  kernels::KvType kv = kernels::KvType::kBf16;  // what Forward::PageType makes of it
  bool repack = false;                          // weights also kept as prefill wants them
  model::RopeOverrides rope;
  std::optional<tokenizer::ChatFamily> chat_family;  // of chats, whatever the file's template says
};

// Called now and then during a prefill: tokens done, tokens in all, seconds so far.
using PrefillProgress = std::function<void(uint64_t done, uint64_t total, double seconds)>;

class Session;

class Engine {
 public:
  // Errors: one sentence naming file, key or flag.
  static Result<std::unique_ptr<Engine>> Load(const EngineOptions& options);
  ~Engine();

  const model::Model& model() const { return *model_; }
  const tokenizer::Tokenizer& tokenizer() const { return model_->tokenizer(); }
  const policies::Policy& policy() const { return *policy_; }
  // What a policy may know of this model.
  policies::ModelShape shape() const;
  // Sessions go on with the new policy from their next token on; what the old one remembered of them is forgotten. Sessions of
  // which the old one released pages cannot go on: Append refuses.
  Status SetPolicy(const std::string& spec);
  void SetPolicy(std::unique_ptr<policies::Policy> policy);
  // The same; gives back the old one, for who uses several in turn.
  std::unique_ptr<policies::Policy> ExchangePolicy(std::unique_ptr<policies::Policy> policy);
  bool embedded() const { return embedded_; }
  std::optional<tokenizer::ChatFamily> given_chat_family() const { return chat_family_; }
  Target target() const { return target_; }
  size_t threads() const { return pool_->num_threads(); }
  ThreadPool& pool() { return *pool_; }
  double load_seconds() const { return load_seconds_; }
  // How many positions a session may hold.
  uint64_t context() const { return context_; }
  kernels::KvType kv_type() const { return pages_->layout().type; }
  uint64_t kv_bytes_per_token() const;
  // What `repack` took.
  uint64_t repacked_bytes() const;
  // InvalidArgument naming an id outside the vocabulary.
  Status CheckIds(std::span<const TokenId> tokens) const;
  // TooLarge where a text of so many tokens is longer than the context.
  Status CheckLength(uint64_t tokens) const;
  uint64_t kv_bytes() const { return pages_->bytes_in_use(); }
  model::ForwardStats stats() const { return forward_->stats(); }
  void ResetStats() { forward_->ResetStats(); }
  // Of everything since the last reset.
  const model::AuditReport& audit() const { return forward_->audit(); }
  void ResetAudit() { forward_->ResetAudit(); }
  // The same, and heads that the audit widened are so no more: for texts that stand for themselves.
  void RestartAudit() { forward_->SetAudit(audit_options_); }
  void SetAudit(const model::AuditOptions& options) {
    audit_options_ = options;
    RestartAudit();
  }
  // Whether Session::DecodeGuesses is possible: Forward::MayGuess.
  bool MayGuess() const { return forward_->MayGuess(); }
  // One token each for several sessions of this engine, at most model::kDecodeRows, whose weights are then read once; the
  // logits are the same to the last bit as for each alone. Errors as Session::Append, InvalidArgument; no session has then
  // moved.
  Status Decode(std::span<Session* const> sessions, std::span<const TokenId> ids, const std::atomic<bool>* cancel);
  // Session::AppendChunk for several sessions of this engine, at most model::kDecodeRows, whose weights are then read once:
  // texts[i] goes to sessions[i], and each of them ReadsInCompany where there is more than one. The results are the same to the
  // last bit as for each alone. Errors as AppendChunk, InvalidArgument; no session has then moved.
  Status AppendChunks(std::span<Session* const> sessions, std::span<const std::span<const TokenId>> texts, size_t border,
                      const std::atomic<bool>* cancel);
  // For calibration, which goes through the model layer by layer.
  model::Forward& forward() { return *forward_; }
  model::PagePool* page_pool() { return pages_.get(); }

  // The unit that most of a prefill's products run on.
  kernels::ArithmeticUnit prefill_unit() const;
  // Names of what runs here: {"prefill_product", "avx512bf16 ..."}, {"decode_product", ...}, {"attention", ...}.
  std::vector<std::pair<std::string, std::string>> Kernels() const;

 private:
  friend class Session;
  Engine() = default;

  std::unique_ptr<model::Model> model_;
  std::unique_ptr<policies::Policy> policy_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<model::PagePool> pages_;
  std::unique_ptr<model::Forward> forward_;
  Target target_ = Target::kScalar;
  bool embedded_ = false;
  double load_seconds_ = 0;
  uint64_t context_ = 0;
  model::AuditOptions audit_options_;
  std::optional<tokenizer::ChatFamily> chat_family_;
};

// One conversation: its tokens and its KV cache. Sessions of one engine are used by one thread at a time.
class Session {
 public:
  explicit Session(Engine* engine);

  // Appends tokens and computes the logits of the last one. Errors: TooLarge where the context would overflow (nothing is then
  // appended), Cancelled (the chunks finished so far stay), OutOfMemory, BadFormat where NaN or infinity is computed.
  Status Append(std::span<const TokenId> tokens, const PrefillProgress& progress, const std::atomic<bool>* cancel);

  // As Append, and hands out the logits of every position, `rows` rows [rows, vocab] at a time.
  using LogitsRows = std::function<void(uint64_t first_position, size_t rows, const float* logits)>;
  Status AppendAll(std::span<const TokenId> tokens, const LogitsRows& sink, const PrefillProgress& progress,
                   const std::atomic<bool>* cancel);

  // As Append, of the first of these tokens only: up to the next position that is a multiple of `border`, itself a multiple of
  // kernels::kQueryBlockRows, and model::kChunkTokens at most. Gives how many; none at all is InvalidArgument. Results do not
  // depend on `border` where the policy does not (Policy::WantsChunks).
  Result<size_t> AppendChunk(std::span<const TokenId> tokens, size_t border, const std::atomic<bool>* cancel);
  // Whether the next chunk of a text with these tokens left may share a batch with other sessions' (Engine::AppendChunks): not
  // where the policy looks at whole chunks or is asked something, nor a whole text so short that it runs decode's products.
  bool ReadsInCompany(std::span<const TokenId> tokens) const;
  // Appends a drawn token and computes its logits.
  Status Decode(TokenId id, const std::atomic<bool>* cancel);
  // The same with guesses of the tokens behind it, at most model::kDecodeRows in all, in one batch. `next` is given the logits
  // behind each token but the last, in order, and draws what follows, or nothing where that ends the text; a guess stays as
  // long as it is what was drawn. Gives what was drawn last, where it was no guess: it is not in the session yet. Logits are
  // the same to the last bit as by Decode. Only where Engine::MayGuess. Errors as Append; nothing has then moved, but for what
  // `next` did.
  using DrawNext = std::function<std::optional<TokenId>(std::span<const float> logits)>;
  Result<std::optional<TokenId>> DecodeGuesses(TokenId id, std::span<const TokenId> guesses, const DrawNext& next,
                                               const std::atomic<bool>* cancel);

  // Of the prompt that is read next so many last tokens are the last user turn of a chat, with what its template puts behind
  // (conversation.h); 0: not known. For policies that ask (policies::Instruction::turn).
  void SetTurnTokens(size_t tokens) { turn_tokens_ = tokens; }

  // Lets `restore` put the pages of tokens of `prompt` that have been read before behind those the cache holds; it gives the
  // new length. What is in the cache already must be the beginning of `prompt`.
  Status Restore(std::span<const TokenId> prompt, const std::function<Result<uint64_t>(model::KvCache*)>& restore);
  const model::KvCache& cache() const { return cache_; }

  // Becomes what `other` of the same engine is, in pages that both own; has to be empty before. Unsupported where pages of
  // the other were released, or where the policy remembers of a text what its keys do not tell (Policy::WantsChunks): nothing
  // has then changed.
  Status Share(const Session& other);

  // Of everything computed since the last call.
  model::SegmentReport TakeReport() { return std::exchange(report_, {}); }

  // Of the last appended token [vocab].
  std::span<const float> logits() const { return logits_; }
  const std::vector<TokenId>& tokens() const { return tokens_; }
  uint64_t length() const { return cache_.length(); }
  uint64_t kv_bytes() const { return cache_.bytes(); }
  // The state of the engine's policy for these tokens; null for policies without one.
  policies::PolicyState* policy_state();
  // Forgets everything from position `length` on: more where the policy's state can only go back further, everything where
  // pages have been released, as they do not come back.
  void Truncate(uint64_t length);

 private:
  friend class Engine;
  Status CheckRoom(size_t tokens) const;
  Result<size_t> AppendNext(std::span<const TokenId> tokens, size_t border, model::LogitsWanted wanted, const LogitsRows& sink,
                            const std::atomic<bool>* cancel);
  // The chunk that comes next, and what is noted when it has been read.
  Result<model::Segment> NextSegment(std::span<const TokenId> tokens, size_t border, model::LogitsWanted wanted,
                                     const std::atomic<bool>* cancel);
  // Makes room for `count` more ids: behind a batch that was computed nothing may fail any more.
  void ReserveTokens(size_t count);
  void Note(const model::Segment& segment, const model::SegmentReport& report);
  policies::Instruction AskedNow() const;
  // Reads the policy's instruction behind the text so far, and forgets it.
  Status LookAhead(const policies::Instruction& instruction, std::span<const TokenId> rest, const std::atomic<bool>* cancel);
  Status AppendText(std::span<const TokenId> tokens, model::LogitsWanted wanted, const LogitsRows& sink,
                    const PrefillProgress& progress, const std::atomic<bool>* cancel);

  Engine* engine_;
  model::KvCache cache_;
  std::vector<TokenId> tokens_;
  size_t turn_tokens_ = 0;
  std::vector<float> logits_;
  model::SegmentReport report_;
};

}  // namespace damask::engine
