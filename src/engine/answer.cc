#include "engine/answer.h"

#include <algorithm>

#include "base/text_tail.h"

namespace damask::engine {

std::string_view FinishReasonName(FinishReason reason) {
  switch (reason) {
    case FinishReason::kStop: return "stop";
    case FinishReason::kLength: return "length";
    case FinishReason::kCancelled: return "cancelled";
  }
  return "unknown";
}

Status ValidateGenerateOptions(const GenerateOptions& options) {
  DAMASK_RETURN_IF_ERROR(ValidateSamplerOptions(options.sampler));
  if (std::any_of(options.stop.begin(), options.stop.end(), [](const std::string& s) { return s.empty(); })) {
    return InvalidArgument("a stop string is empty");
  }
  return {};
}

std::string StopMatcher::Add(std::string_view text) {
  if (stopped_) return {};
  held_ += text;
  size_t match = std::string::npos;
  for (const std::string& stop : stops_) {
    const size_t found = held_.find(stop);
    if (found >= match) continue;
    match = found;
    matched_ = stop;
  }
  if (match != std::string::npos) {
    stopped_ = true;
    return std::exchange(held_, {}).substr(0, match);
  }
  // Keep back the longest tail that is the beginning of a stop string.
  size_t keep = 0;
  for (const std::string& stop : stops_) keep = std::max(keep, TailThatMayBegin(held_, stop));
  std::string certain = held_.substr(0, held_.size() - keep);
  held_.erase(0, held_.size() - keep);
  return certain;
}

std::string StopMatcher::Finish() { return stopped_ ? std::string() : std::exchange(held_, {}); }

Answer::Answer(const tokenizer::Tokenizer* tokenizer, const GenerateOptions& options)
    : tokenizer_(tokenizer),
      max_tokens_(options.max_tokens),
      ignore_eos_(options.ignore_eos),
      sampler_(options.sampler),
      decoder_(tokenizer, /*at_start=*/false, options.show_special),
      stops_(options.stop) {}

TokenId Answer::Draw(std::span<const float> logits, std::span<const TokenId> history, uint64_t room) {
  const TokenId id = sampler_.Sample(logits, history, ids_);
  ids_.push_back(id);
  if (!ignore_eos_ && tokenizer_->IsEndOfGeneration(id)) {
    End(FinishReason::kStop);
    return id;
  }
  AddText(id);
  if (stops_.stopped()) {
    End(FinishReason::kStop);
  } else if (ids_.size() == max_tokens_ || room == 0) {
    End(FinishReason::kLength);
  }
  return id;
}

void Answer::AddText(TokenId id) {
  const std::string text = decoder_.Add(id);
  drawn_bytes_ += text.size();
  AddCertain(stops_.Add(text));
}

void Answer::AddCertain(std::string_view text) {
  certain_ += text;
  certain_bytes_ += text.size();
}

void Answer::End(FinishReason reason) {
  AddCertain(stops_.Add(decoder_.Finish()));
  AddCertain(stops_.Finish());
  finish_ = reason;
  ended_ = true;
}

}  // namespace damask::engine
