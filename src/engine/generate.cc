#include "engine/generate.h"

#include "base/timer.h"

namespace damask::engine {
namespace {

// Draws tokens until something ends the answer.
Status DrawAll(Session* session, uint64_t context, const GenerateCallbacks& callbacks, Answer* answer, std::string* text) {
  while (true) {
    const TokenId id = answer->Draw(session->logits(), session->tokens(), context - session->length());
    if (!answer->ended()) {
      const Status status = session->Decode(id, callbacks.cancel);
      if (status.code() == StatusCode::kCancelled) {
        answer->End(FinishReason::kCancelled);
      } else {
        DAMASK_RETURN_IF_ERROR(status);
      }
    }
    const std::string piece = answer->TakeText();
    *text += piece;
    if (callbacks.text && !piece.empty()) callbacks.text(piece);
    if (answer->ended()) return {};
  }
}

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
    DAMASK_RETURN_IF_ERROR(DrawAll(session, engine->context(), callbacks, &answer, &result.text));
  }
  result.finish = answer.finish();
  result.ids = answer.ids();
  result.decode_seconds = timer.Seconds();
  result.decode_stats = engine->stats();
  result.audit = engine->audit();
  return result;
}

}  // namespace damask::engine
