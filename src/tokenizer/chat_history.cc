#include "tokenizer/chat_history.h"

#include <algorithm>
#include <iterator>
#include <string>

#include "tokenizer/chat_text.h"
#include "tokenizer/thoughts.h"

namespace damask::tokenizer {
namespace {

// Templates of models that think aloud (Qwen 3, QwQ, DeepSeek R1, GLM-4.5) keep of an earlier answer what follows its thoughts.
// The third way is that of repaired GLM-4.5 files.
constexpr std::string_view kDropsThoughts[] = {"split('</think>')[-1]", "split('</think>')|last",
                                               "content.split('</think>') -%}"};

bool DropsThoughts(std::string_view jinja) {
  return std::any_of(std::begin(kDropsThoughts), std::end(kDropsThoughts),
                     [jinja](std::string_view mark) { return HasMark(jinja, mark); });
}

// Of every answer what is left without thoughts in the family's own marks, or as <think>...</think>.
std::vector<ChatMessage> WithoutThoughts(ChatFamily family, std::span<const ChatMessage> messages) {
  std::vector<ChatMessage> kept(messages.begin(), messages.end());
  for (ChatMessage& message : kept) {
    if (message.role == kAssistant) message.content = tokenizer::WithoutThoughts(family, message.content);
  }
  return kept;
}

std::vector<ChatMessage> WithoutThoughts(std::string_view jinja, std::span<const ChatMessage> messages) {
  const auto has = [jinja](std::string_view mark) { return HasMark(jinja, mark); };
  // R1's does not.
  const bool strips_newlines = has("</think>')[-1].lstrip('\\n')") || has("</think>')|last).lstrip('\\n')");
  std::vector<ChatMessage> kept(messages.begin(), messages.end());
  size_t end = kept.size();
  // Qwen's leave an answer whole that no further question follows.
  if (has("last_query_index") || has("not loop.last") || has("last_user_index")) {
    while (end > 0 && kept[end - 1].role != kUser) --end;
  }
  for (size_t i = 0; i < end; ++i) {
    std::string& content = kept[i].content;
    const size_t thoughts_end = content.rfind(kThinkMarks.end);
    if (kept[i].role != kAssistant || thoughts_end == std::string::npos) continue;
    content.erase(0, thoughts_end + kThinkMarks.end.size());
    if (strips_newlines) content.erase(0, content.find_first_not_of('\n'));
  }
  return kept;
}

}  // namespace

std::optional<std::vector<ChatMessage>> WithoutEarlierThoughts(ChatFamily family, std::string_view jinja,
                                                               std::span<const ChatMessage> messages) {
  if (MarksThoughtsItsOwnWay(family)) return WithoutThoughts(family, messages);
  if (!DropsThoughts(jinja)) return std::nullopt;
  return WithoutThoughts(jinja, messages);
}

}  // namespace damask::tokenizer
