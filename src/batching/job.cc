#include "batching/job.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "batching/logprobs.h"
#include "kernels/page.h"

namespace damask::batching {
namespace {

// A long prompt goes to the store in pieces of this many tokens, so that a prompt that is broken off is not lost, and what
// waits for the disk stays bounded.
constexpr uint64_t kKeepEvery = 4096;

}  // namespace

Job::Job(uint64_t id, Request request, std::shared_ptr<Listener> listener)
    : id_(id), request_(std::move(request)), listener_(std::move(listener)), guesser_(request_.options.guesses) {
  usage_.prompt_tokens = request_.prompt.size();
}

void Job::Start(engine::Engine* engine) {
  session_ = std::make_unique<engine::Session>(engine);
  session_->SetTurnTokens(request_.turn_tokens);
  state_ = JobState::kReading;
  usage_.queue_seconds = age_.Seconds();
  stage_.Restart();
}

bool Job::intact() const {
  const uint64_t length = session_->length();
  const bool expected = state_ == JobState::kDrawing ? length + 1 == usage_.prompt_tokens + usage_.completion_tokens
                                                     : length == usage_.read_tokens;
  return expected && length == session_->tokens().size();
}

// Other requests may have read more of this prompt since the last chunk.
uint64_t Job::Restore(PrefixStore* store) {
  restoring_ = false;
  const uint64_t before = session_->length();
  if (before % kernels::kPageTokens != 0) return 0;
  const uint64_t longest = store->Longest(request_.prompt);
  // The first time even in vain: the store counts hits and misses.
  if (std::exchange(looked_, true) && longest <= std::max(before, out_of_reach_)) return 0;
  const Status status =
      session_->Restore(request_.prompt, [&](model::KvCache* cache) { return store->Restore(request_.prompt, cache); });
  if (!status.ok()) LogWarning("prefix store: " + status.ToString());
  const uint64_t restored = Took(before);
  if (restored == 0) {
    out_of_reach_ = longest;
    return 0;
  }
  kept_tokens_ = std::max(kept_tokens_, session_->length());
  restoring_ = session_->length() < longest;
  if (restoring_) TellProgress();
  return restored;
}

uint64_t Job::TakeFrom(const Job& other) {
  if (&other == this || other.session_ == nullptr) return 0;
  const uint64_t before = session_->length();
  const std::vector<TokenId>& mine = request_.prompt;
  const std::vector<TokenId>& theirs = other.request_.prompt;
  // Whole pages that the other has read. Of a prompt one token at least is computed.
  const uint64_t most = std::min<uint64_t>(mine.size() - 1, other.usage_.read_tokens);
  const uint64_t end = most / kernels::kPageTokens * kernels::kPageTokens;
  if (before % kernels::kPageTokens != 0 || end <= before) return 0;
  const auto at = [](const std::vector<TokenId>& ids, uint64_t i) { return ids.begin() + static_cast<std::ptrdiff_t>(i); };
  // The next page alone tells most prompts apart.
  if (!std::equal(at(mine, before), at(mine, before + kernels::kPageTokens), at(theirs, before))) return 0;
  const auto alike = std::mismatch(mine.begin(), at(mine, end), theirs.begin()).first - mine.begin();
  const uint64_t shared = static_cast<uint64_t>(alike) / kernels::kPageTokens * kernels::kPageTokens;
  if (shared <= before) return 0;
  const Status status = session_->Restore(mine, [&](model::KvCache* cache) -> Result<uint64_t> {
    cache->Truncate(before);  // of what is reserved nothing is needed
    std::vector<std::byte*> pages;
    for (uint64_t block = before / kernels::kPageTokens; block < shared / kernels::kPageTokens; ++block) {
      if (!other.session_->cache().BlockPages(block, &pages)) break;
      // No memory to note one more owner: what has been taken is whole.
      if (!cache->AppendShared(pages).ok()) break;
    }
    return cache->length();
  });
  if (!status.ok()) LogWarning("shared pages: " + status.ToString());
  return Took(before);
}

// The session holds more of the prompt than `before`, which nobody computed for this job.
uint64_t Job::Took(uint64_t before) {
  const uint64_t taken = session_->length() - before;
  usage_.read_tokens = session_->length();
  usage_.cached_tokens += taken;
  return taken;
}

uint64_t Job::NextRows(const PrefixStore* store, size_t border) const {
  uint64_t length = session_->length();
  if (store != nullptr && length % kernels::kPageTokens == 0) length = std::max(length, store->Longest(request_.prompt));
  return std::min(request_.prompt.size() - length, border - length % border);
}

bool Job::WaitsFor(const Job& other) const {
  const size_t end = session_->length() + kernels::kPageTokens;
  const std::vector<TokenId>& mine = request_.prompt;
  const std::vector<TokenId>& read = other.request_.prompt;
  // Of a prompt one token at least is computed, so a page that holds its last one helps nobody.
  if (end >= mine.size() || end > read.size() || other.session_->length() >= end) return false;
  return std::equal(mine.begin(), mine.begin() + static_cast<std::ptrdiff_t>(end), read.begin());
}

void Job::Keep(PrefixStore* store) {
  if (usage_.read_tokens < kept_tokens_ + kernels::kPageTokens) return;
  store->Keep(request_.prompt, session_->cache(), usage_.read_tokens);
  kept_tokens_ = usage_.read_tokens;
}

void Job::ChunkRead(engine::Engine* engine, PrefixStore* store, const Status& status) {
  usage_.read_tokens = session_->length();
  usage_.prefill.Add(session_->TakeReport());
  usage_.prefill_seconds = stage_.Seconds();
  const bool whole = status.ok() && unread_tokens() == 0;
  if (store != nullptr && (whole || !status.ok() || usage_.read_tokens >= kept_tokens_ + kKeepEvery)) Keep(store);
  if (!status.ok()) {
    const bool cancelled = status.code() == StatusCode::kCancelled;
    Finish(cancelled ? Status() : status, engine::FinishReason::kCancelled);
    return;
  }
  TellProgress();
  if (!whole) return;
  if (request_.options.max_tokens == 0) {
    Finish({}, engine::FinishReason::kLength);
    return;
  }
  state_ = JobState::kDrawing;
  answer_.emplace(&engine->tokenizer(), request_.options);
  stage_.Restart();
  LogitsReady(engine);
}

// What comes behind the session's tokens, of which these are the logits.
TokenId Job::Draw(engine::Engine* engine, std::span<const float> logits) {
  const uint64_t begin = answer_->drawn_bytes();
  const TokenId token = answer_->Draw(logits, session_->tokens(), engine->context() - session_->tokens().size());
  ++usage_.completion_tokens;
  piece_.ids.push_back(token);
  if (request_.top_logprobs) held_.push_back({begin, LogprobsOf(logits, token, *request_.top_logprobs)});
  return token;
}

void Job::LogitsReady(engine::Engine* engine) {
  next_token_ = Draw(engine, session_->logits());
  Stepped();
}

std::span<const TokenId> Job::Guesses(const engine::Engine& engine) {
  if (!engine.MayGuess()) return {};
  return guesser_.Guess(session_->tokens(), next_token_, engine.context() - session_->length() - 1);
}

Status Job::DecodeGuesses(engine::Engine* engine, std::span<const TokenId> guesses) {
  const uint64_t before = session_->length();
  const auto next = [&](std::span<const float> logits) -> std::optional<TokenId> {
    const TokenId token = Draw(engine, logits);
    return answer_->ended() ? std::nullopt : std::optional(token);
  };
  DAMASK_ASSIGN_OR_RETURN(const std::optional<TokenId> drawn, session_->DecodeGuesses(next_token_, guesses, next, nullptr));
  const uint64_t right = session_->length() - before - 1;
  usage_.guessed += guesses.size();
  usage_.guessed_right += right;
  guesser_.Judge(right);
  if (!answer_->ended()) next_token_ = drawn ? *drawn : Draw(engine, session_->logits());
  Stepped();
  return {};
}

// One step of drawing is done.
void Job::Stepped() {
  usage_.decode.Add(session_->TakeReport());
  usage_.decode_seconds = stage_.Seconds();
  if (answer_->ended()) {
    Finish({}, answer_->finish());
  } else {
    SendPiece();
  }
}

void Job::SendPiece() {
  piece_.text += answer_->TakeText();
  if (piece_.text.empty()) return;
  TakeLogprobs();
  listener_->OnPiece(std::exchange(piece_, {}));
}

// What begins behind the certain text may yet be part of a stop string.
void Job::TakeLogprobs() {
  while (!held_.empty() && held_.front().begin < answer_->certain_bytes()) {
    piece_.logprobs.push_back(std::move(held_.front().token));
    held_.pop_front();
  }
}

void Job::TellProgress() {
  listener_->OnProgress({.cached_tokens = usage_.cached_tokens,
                         .read_tokens = usage_.read_tokens,
                         .prompt_tokens = usage_.prompt_tokens,
                         .seconds = stage_.Seconds()});
}

void Job::Finish(const Status& status, engine::FinishReason reason) {
  if (state_ == JobState::kDone) return;
  outcome_ = {.status = status, .finish = reason};
  if (answer_) {
    if (!answer_->ended()) answer_->End(reason);
    piece_.text += answer_->TakeText();
    // What ended the answer is no part of it: the end token, or all that begins where the stop string does.
    const bool stopped = !answer_->stop().empty();
    if (answer_->finish() == engine::FinishReason::kStop && !stopped && !held_.empty()) held_.pop_back();
    TakeLogprobs();
    for (Held& held : held_) {
      if (!stopped) piece_.logprobs.push_back(std::move(held.token));  // without a text of its own
    }
    held_.clear();
    outcome_.stop = answer_->stop();
    outcome_.seed = answer_->seed();
  }
  if (!piece_.ids.empty() || !piece_.text.empty() || !piece_.logprobs.empty()) listener_->OnPiece(std::exchange(piece_, {}));
  Close();
}

void Job::Abandon(Status status) noexcept {
  outcome_.status = std::move(status);
  outcome_.finish = engine::FinishReason::kCancelled;
  Close();
}

void Job::Close() noexcept {
  usage_.audit = usage_.prefill.audit;
  usage_.audit.Add(usage_.decode.audit);
  outcome_.usage = usage_;
  state_ = JobState::kDone;
  session_.reset();
}

void Job::Tell() { listener_->OnDone(outcome_); }

}  // namespace damask::batching
