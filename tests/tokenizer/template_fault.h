// What holds for chat templates and for answers whatever texts come: for their fuzz target and the test over its corpus.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat_template.h"
#include "tokenizer/thoughts.h"

namespace damask::tokenizer {

// An input of the fuzz target: two bytes of choices, then a template, a question and an answer with NUL between.
struct TemplateInput {
  size_t piece = 1;  // bytes in which the answer arrives
  Thoughts thoughts = Thoughts::kAsTheModel;
  std::string_view jinja, question, answer;
};

inline std::optional<TemplateInput> ReadTemplateInput(std::string_view bytes) {
  if (bytes.size() < 2) return std::nullopt;
  TemplateInput input;
  input.piece = 1 + static_cast<unsigned char>(bytes[0]) % 64;
  input.thoughts = std::array{Thoughts::kAsTheModel, Thoughts::kNone, Thoughts::kLow,
                              Thoughts::kHigh}[static_cast<unsigned char>(bytes[1]) % 4];
  bytes.remove_prefix(2);
  for (std::string_view* field : {&input.jinja, &input.question}) {
    const size_t end = std::min(bytes.find('\0'), bytes.size());
    *field = bytes.substr(0, end);
    bytes.remove_prefix(std::min(end + 1, bytes.size()));
  }
  input.answer = bytes;
  return input;
}

inline SplitAnswer SplitInPieces(ThoughtSplitter splitter, std::string_view answer, size_t piece) {
  SplitAnswer whole;
  const auto add = [&whole](const SplitAnswer& part) {
    whole.thoughts += part.thoughts;
    whole.answer += part.answer;
  };
  for (size_t at = 0; at < answer.size(); at += piece) add(splitter.Add(answer.substr(at, piece)));
  add(splitter.Finish());
  return whole;
}

// What is wrong with how an input is rendered and split; "" where nothing is.
inline std::string FaultOfTemplate(const TemplateInput& in) {
  const std::optional<ChatFamily> detected = DetectChatFamily(in.jinja);
  // Answers split the same in whatever pieces they arrive, in both splitters.
  for (const ChatFamily family : {ChatFamily::kGptOss, ChatFamily::kSeedOss, detected.value_or(ChatFamily::kChatMl)}) {
    const ThoughtSplitter splitter(family, in.jinja, in.thoughts);
    const SplitAnswer whole = SplitInPieces(splitter, in.answer, in.answer.size() + 1);
    const SplitAnswer pieces = SplitInPieces(splitter, in.answer, in.piece);
    if (whole.thoughts != pieces.thoughts || whole.answer != pieces.answer) return "another answer in pieces";
  }
  if (!detected) return "";
  if (ChatFamilyName(*detected) == "unknown") return "a family without a name";
  const std::vector<ChatMessage> messages = {
      {"user", std::string(in.question)}, {"assistant", std::string(in.answer)}, {"user", std::string(in.question)}};
  const auto parts = RenderChat(*detected, in.jinja, {}, messages, in.thoughts);
  if (!parts.ok()) return "a conversation that is refused";
  for (const ChatPart& part : *parts) {
    if (part.text.empty()) return "an empty part";
    // Where marks of thoughts are taken out of an answer, what is left of it may be joined anew.
    const bool said =
        in.question.find(part.text) != std::string_view::npos || in.answer.find(part.text) != std::string_view::npos;
    if (part.special == Special::kPlain && !said && !MarksThoughtsItsOwnWay(*detected)) return "words that nobody said";
  }
  return "";
}

}  // namespace damask::tokenizer
