#include "engine/generate.h"

#include <optional>

#include "base/timer.h"
#include "engine/guesser.h"

namespace damask::engine {
namespace {

// Draws tokens until something ends the answer.
class Drawing {
 public:
  Drawing(Engine* engine, Session* session, const GenerateOptions& options, const GenerateCallbacks& callbacks, Answer* answer,
          GenerateResult* result)
      : context_(engine->context()),
        session_(session),
        callbacks_(callbacks),
        answer_(answer),
        result_(result),
        guesser_(engine->MayGuess() ? options.guesses : 0) {}

  Status Run() {
    while (true) {
      if (!drawn_ && !answer_->ended()) drawn_ = Draw(session_->logits());
      HandOutText();
      if (answer_->ended()) return {};
      const Status status = Append();
      if (status.code() == StatusCode::kCancelled) {
        answer_->End(FinishReason::kCancelled);
      } else {
        DAMASK_RETURN_IF_ERROR(status);
      }
    }
  }

 private:
  uint64_t room() const { return context_ - session_->tokens().size(); }
  TokenId Draw(std::span<const float> logits) { return answer_->Draw(logits, session_->tokens(), room()); }

  void HandOutText() {
    const std::string piece = answer_->TakeText();
    result_->text += piece;
    if (callbacks_.text && !piece.empty()) callbacks_.text(piece);
  }

  // Puts what was drawn into the session, and as many guesses as are right.
  Status Append() {
    const TokenId id = *drawn_;
    drawn_.reset();
    const std::span<const TokenId> guesses = guesser_.Guess(session_->tokens(), id, room() - 1);
    if (guesses.empty()) return session_->Decode(id, callbacks_.cancel);
    const uint64_t before = session_->length();
    const auto next = [this](std::span<const float> logits) -> std::optional<TokenId> {
      const TokenId token = Draw(logits);
      return answer_->ended() ? std::nullopt : std::optional(token);
    };
    DAMASK_ASSIGN_OR_RETURN(drawn_, session_->DecodeGuesses(id, guesses, next, callbacks_.cancel));
    const uint64_t right = session_->length() - before - 1;
    result_->guessed += guesses.size();
    result_->guessed_right += right;
    guesser_.Judge(right);
    return {};
  }

  uint64_t context_;
  Session* session_;
  const GenerateCallbacks& callbacks_;
  Answer* answer_;
  GenerateResult* result_;
  Guesser guesser_;
  std::optional<TokenId> drawn_;  // and not in the session yet
};

}  // namespace

Result<GenerateResult> Generate(Engine* engine, Session* session, std::span<const TokenId> prompt,
                                const GenerateOptions& options, const GenerateCallbacks& callbacks) {
  if (prompt.empty()) return InvalidArgument("the prompt is empty");
  DAMASK_RETURN_IF_ERROR(ValidateGenerateOptions(options));
  Answer answer(&engine->tokenizer(), options);
  GenerateResult result;
  result.prompt_tokens = prompt.size();
  result.seed = answer.seed();

  Timer timer;
  engine->ResetStats();
  engine->ResetAudit();
  const uint64_t length_before = session->length();
  const Status prefill = session->Append(prompt, callbacks.progress, callbacks.cancel);
  result.prefill_seconds = timer.Seconds();
  result.prefill_stats = engine->stats();
  result.prefill_audit = engine->audit().Total();
  if (prefill.code() == StatusCode::kCancelled) {
    result.finish = FinishReason::kCancelled;
    result.audit = engine->audit();
    result.prompt_tokens = session->length() - length_before;
    return result;
  }
  DAMASK_RETURN_IF_ERROR(prefill);

  timer.Restart();
  engine->ResetStats();
  if (options.max_tokens > 0) {
    DAMASK_RETURN_IF_ERROR(Drawing(engine, session, options, callbacks, &answer, &result).Run());
  }
  result.finish = answer.finish();
  result.ids = answer.ids();
  result.decode_seconds = timer.Seconds();
  result.decode_stats = engine->stats();
  result.audit = engine->audit();
  return result;
}

}  // namespace damask::engine
