#include "engine/generate.h"

#include <algorithm>

#include "base/timer.h"

namespace damask::engine {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

std::string StopMatcher::Add(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t match = std::string::npos;
  for (const std::string& stop : stops_) match = std::min(match, held_.find(stop));
  if (match != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, match);
  }
  // Keep back the longest tail that is the beginning of a stop string.
  size_t keep = 0;
  for (const std::string& stop : stops_) {
    for (size_t n = std::min(stop.size() - 1, held_.size()); n > keep; --n) {
      if (std::string_view(held_).substr(held_.size() - n) == std::string_view(stop).substr(0, n)) keep = n;
    }
  }
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return certain;
}

std::string StopMatcher::Finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }

namespace {

Status Validate(std::span<const TokenId> prompt, const GenerateOptions& options) {
  if (prompt.empty()) return InvalidArgument("the prompt is empty");
  DAMASK_RETURN_IF_ERROR(ValidateSamplerOptions(options.sampler));
  if (std::any_of(options.stop.begin(), options.stop.end(), [](const std::string& s) { return s.empty(); })) {
    return InvalidArgument("a stop string is empty");
  }
  return {};
}

// Turns drawn ids into the text of the answer.
class AnswerText {
 public:
  AnswerText(const tokenizer::Tokenizer& tokenizer, const GenerateOptions& options, const GenerateCallbacks& callbacks,
             GenerateResult* result)
      : decoder_(&tokenizer, false),
        tokenizer_(tokenizer),
        show_special_(options.show_special),
        stops_(options.stop),
        callbacks_(callbacks),
        result_(result) {}

  void Add(TokenId id) {
    if (!show_special_ && tokenizer_.IsControl(id)) return;
    Emit(stops_.Add(decoder_.Add(id)));
  }
  void Finish() {
    Emit(stops_.Add(decoder_.Finish()));
    Emit(stops_.Finish());
  }
  bool stopped() const { return stops_.stopped(); }

 private:
  void Emit(const std::string& text) {
    if (text.empty()) return;
    result_->text += text;
    if (callbacks_.text) callbacks_.text(text);
  }

  tokenizer::StreamDecoder decoder_;
  const tokenizer::Tokenizer& tokenizer_;
  bool show_special_;
  StopMatcher stops_;
  const GenerateCallbacks& callbacks_;
  GenerateResult* result_;
};

// Draws tokens until something ends the answer.
Result<FinishReason> Draw(Session* session, const tokenizer::Tokenizer& tokenizer, uint64_t context,
                          const GenerateOptions& options, const std::atomic<bool>* cancel, Sampler* sampler, AnswerText* text,
                          std::vector<TokenId>* ids) {
  while (ids->size() < options.max_tokens) {
    const TokenId id = sampler->Sample(session->logits(), session->tokens(), *ids);
    ids->push_back(id);
    if (tokenizer.IsEndOfGeneration(id)) return FinishReason::kStop;
    text->Add(id);
    if (text->stopped()) return FinishReason::kStop;
    if (ids->size() == options.max_tokens || session->length() == context) break;
    const Status status = session->Append({&id, 1}, nullptr, cancel);
    if (status.code() == StatusCode::kCancelled) return FinishReason::kCancelled;
    DAMASK_RETURN_IF_ERROR(status);
  }
  return FinishReason::kLength;
}

}  // namespace

Result<GenerateResult> Generate(Engine* engine, Session* session, std::span<const TokenId> prompt,
                                const GenerateOptions& options, const GenerateCallbacks& callbacks) {
  DAMASK_RETURN_IF_ERROR(Validate(prompt, options));
  Sampler sampler(options.sampler);
  GenerateResult result;
  result.prompt_tokens = prompt.size();
  result.seed = sampler.seed();

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
  AnswerText text(engine->tokenizer(), options, callbacks, &result);
  DAMASK_ASSIGN_OR_RETURN(result.finish, Draw(session, engine->tokenizer(), engine->context(), options, callbacks.cancel,
                                              &sampler, &text, &result.ids));
  text.Finish();
  result.decode_seconds = timer.Seconds();
  result.decode_stats = engine->stats();
  result.audit = engine->audit();
  return result;
}

}  // namespace damask::engine
