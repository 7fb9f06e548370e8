#include "evals/ask.h"

#include <algorithm>

#include "base/log.h"
#include "base/text.h"
#include "engine/conversation.h"
#include "evals/score.h"

namespace damask::evals {
namespace {

constexpr uint64_t kChatAnswerTokens = 48;
constexpr uint64_t kJoinTokens = 4;

std::string_view WithoutNewline(std::string_view text) {
  while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return text;
}

// What came after `before` of what makes up `all`.
model::HeadAudit Behind(const model::HeadAudit& before, const model::HeadAudit& all) {
  model::HeadAudit rest;
  rest.rows = all.rows - before.rows;
  if (rest.rows == 0) return rest;
  rest.recall_sum = std::max(0.0, all.recall_sum - before.recall_sum);
  rest.strong_rows = all.strong_rows - before.strong_rows;
  rest.strong_hits = all.strong_hits - before.strong_hits;
  rest.error_sum = std::max(0.0, all.error_sum - before.error_sum);
  return rest;
}

}  // namespace

Prompts::Prompts(const engine::Engine* engine, PromptForm form) : engine_(engine) {
  if (form == PromptForm::kRaw) return;
  family_ = engine::ModelChatFamily(*engine);
  const std::string& jinja = engine->tokenizer().chat_template();
  if (!family_ && !jinja.empty()) {
    LogWarning("the model's chat template " + Quote(jinja.substr(0, jinja.find('\n')), 60) +
               " is of no known family: plain text is used");
  }
}

Result<std::vector<engine::TokenId>> Prompts::Encode(const texts::Sample& sample) const {
  if (family_) {
    const std::vector<tokenizer::ChatMessage> messages = {{"user", std::string(WithoutNewline(sample.text + sample.question))}};
    return tokenizer::EncodeChat(engine_->tokenizer(), *family_, messages, tokenizer::Thoughts::kNone);
  }
  return tokenizer::EncodePrompt(engine_->tokenizer(), sample.text + sample.question + sample.prefix,
                                 tokenizer::Special::kPlain);
}

texts::CountTokens Prompts::Count() const {
  return [tokenizer = &engine_->tokenizer()](std::string_view text) -> Result<size_t> {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> ids, tokenizer->Encode(text, tokenizer::Special::kPlain));
    return ids.size();
  };
}

Result<uint64_t> Prompts::Overhead() const {
  texts::Sample sample;
  sample.text = "x";
  DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> around, Encode(sample));
  return around.size() + kJoinTokens;
}

uint64_t Prompts::AnswerBudget(uint64_t tokens) const { return family_ ? tokens + kChatAnswerTokens : tokens; }

Result<Answered> Ask(engine::Engine* engine, const Prompts& prompts, const texts::Sample& sample, uint64_t max_tokens,
                     const std::atomic<bool>* cancel) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> prompt, prompts.Encode(sample));
  engine::GenerateOptions options;
  options.max_tokens = max_tokens;
  options.sampler.temperature = 0;
  options.sampler.seed = 0;
  if (!prompts.chat()) options.stop = {"\n"};
  engine::GenerateCallbacks callbacks;
  callbacks.cancel = cancel;
  engine::Session session(engine);
  engine->RestartAudit();
  DAMASK_ASSIGN_OR_RETURN(const engine::GenerateResult result, engine::Generate(engine, &session, prompt, options, callbacks));
  if (result.finish == engine::FinishReason::kCancelled) return Cancelled();
  Answered answered;
  answered.text = result.text;
  answered.score = Score(result.text, sample);
  answered.prompt_tokens = result.prompt_tokens;
  answered.generated_tokens = result.ids.size();
  answered.prefill_seconds = result.prefill_seconds;
  answered.decode_seconds = result.decode_seconds;
  answered.prefill = result.prefill_stats;
  answered.decode = result.decode_stats;
  answered.kv_bytes = session.kv_bytes();
  answered.audit = result.prefill_audit;
  answered.audit_decode = Behind(result.prefill_audit, result.audit.Total());
  answered.released_rows = result.audit.skipped_rows;
  return answered;
}

}  // namespace damask::evals
