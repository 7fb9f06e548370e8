#include "tokenizer/chat_renderer.h"

#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "tokenizer/chat_text.h"
#include "tokenizer/thoughts.h"

namespace damask::tokenizer {
namespace {

constexpr std::string_view kEndOfText = "<|endoftext|>";

std::string_view Trim(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\n\v\f\r";
  const size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) + 1 - begin);
}

class Renderer {
 public:
  Renderer(ChatFamily family, std::string_view jinja, const ChatMarks& marks, std::span<const ChatMessage> messages)
      : family_(family), jinja_(jinja), marks_(marks), messages_(messages) {}

  std::vector<ChatPart> Run(Thoughts thoughts, LastTurn last) {
    thoughts_ = thoughts;
    Conversation();
    if (last == LastTurn::kContinued) {
      CutBehindLastWords();
    } else if (thoughts == Thoughts::kNone) {
      LeaveOutThoughts();
    }
    return std::move(parts_);
  }

 private:
  struct MistralMarks {
    std::string_view before_user, behind_user, before_answer;
    bool trim_answer;
  };

  void Conversation() {
    switch (family_) {
      case ChatFamily::kLlama2: Llama2(); break;
      case ChatFamily::kLlama3: Llama3(); break;
      case ChatFamily::kChatMl:
      case ChatFamily::kQwen: ChatMl(); break;
      case ChatFamily::kMistralV1: Mistral({" [INST] ", " [/INST]", " ", false}); break;
      case ChatFamily::kMistralV3: Mistral({"[INST] ", "[/INST]", " ", true}); break;
      case ChatFamily::kMistralV3Tekken: Mistral({"[INST]", "[/INST]", "", false}); break;
      case ChatFamily::kMistralV7: MistralV7(" "); break;
      case ChatFamily::kMistralV7Tekken: MistralV7(""); break;
      case ChatFamily::kDeepSeekCoder: DeepSeekCoder(); break;
      case ChatFamily::kDeepSeekV2: DeepSeekV2(); break;
      case ChatFamily::kDeepSeekV3: DeepSeekV3(); break;
      case ChatFamily::kPhi3: Phi3(); break;
      case ChatFamily::kPhi4: Turns("<|im_start|>", "<|im_sep|>", "<|im_end|>"); break;
      case ChatFamily::kGemma: Gemma(); break;
      case ChatFamily::kGranite: Turns("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>\n"); break;
      case ChatFamily::kGptOss: GptOss(); break;
      case ChatFamily::kGlm4: Glm4(); break;
      case ChatFamily::kSeedOss: SeedOss(); break;
      case ChatFamily::kZephyr: Zephyr(); break;
      case ChatFamily::kFalcon3: Falcon3(); break;
      case ChatFamily::kOpenChat: OpenChat(); break;
      case ChatFamily::kVicuna: Vicuna(); break;
    }
  }

  // The last message is an answer that says something: what stands behind its words ends it and begins another.
  void CutBehindLastWords() {
    while (!parts_.empty() && parts_.back().special == Special::kParse) parts_.pop_back();
  }

  void LeaveOutThoughts() {
    if (family_ == ChatFamily::kGptOss) {
      Mark(kFinalChannel);
    } else if (family_ == ChatFamily::kSeedOss) {
      Mark("<seed:think><seed:cot_budget_reflect>");
    } else if (family_ == ChatFamily::kGlm4) {
      if (Has("enable_thinking")) Mark("\n<think></think>");
      if (GlmPromptEnd(jinja_).ends_with(kThinkMarks.begin)) Mark(kThinkMarks.end);
    } else if (const std::string_view opening = ThoughtsOpening(family_, jinja_);
               !opening.empty() && !parts_.empty() && parts_.back().text.ends_with(opening)) {
      Mark(opening.ends_with('\n') ? "\n</think>\n\n" : "\n\n</think>\n\n");
    } else if (Has("enable_thinking")) {
      Mark("<think>\n\n</think>\n\n");
    }
  }

  bool Has(std::string_view mark) const { return HasMark(jinja_, mark); }
  void Mark(std::string_view text) { Add(text, Special::kParse); }
  void Say(std::string_view text) { Add(text, Special::kPlain); }
  void Add(std::string_view text, Special special) {
    if (text.empty()) return;
    if (!parts_.empty() && parts_.back().special == special) {
      parts_.back().text += text;
    } else {
      parts_.push_back({std::string(text), special});
    }
  }

  void Llama2() {
    const bool usual = jinja_.empty();
    const bool knows_system = usual || Has("<<SYS>>");
    const bool repeats_bos = usual || Has("bos_token + '[INST]");
    const bool strips = usual || Has("content.strip()");
    const bool space_before_answer = usual || Has("{{ ' ' ") || Has("{{- ' ' ");
    const bool space_behind_answer = usual || Has("' ' + eos_token");
    const auto content_of = [&](const ChatMessage& message) {
      return strips ? Trim(message.content) : std::string_view(message.content);
    };
    bool in_turn = false;
    for (const ChatMessage& message : messages_) {
      if (message.role == kAssistant) {
        if (space_before_answer) Mark(" ");
        Say(content_of(message));
        if (space_behind_answer) Mark(" ");
        Mark(marks_.eos);
        in_turn = false;
        continue;
      }
      if (!in_turn && !parts_.empty() && repeats_bos) Mark(marks_.bos);
      if (!in_turn) Mark("[INST] ");
      in_turn = true;
      if (message.role == kUser) {
        Say(content_of(message));
        Mark(" [/INST]");
      } else {
        if (knows_system) Mark("<<SYS>>\n");
        Say(content_of(message));
        Mark(knows_system ? "\n<</SYS>>\n\n" : "\n");
      }
    }
  }

  void Mistral(const MistralMarks& marks) {
    bool in_turn = false;
    for (const ChatMessage& message : messages_) {
      if (message.role == kAssistant) {
        Mark(marks.before_answer);
        Say(marks.trim_answer ? Trim(message.content) : std::string_view(message.content));
        Mark(marks_.eos);
        in_turn = false;
        continue;
      }
      if (!in_turn) Mark(marks.before_user);
      in_turn = true;
      Say(message.content);
      Mark(message.role == kUser ? marks.behind_user : "\n\n");
    }
  }

  void MistralV7(std::string_view space) {
    for (const ChatMessage& message : messages_) {
      const bool is_user = message.role == kUser;
      const bool is_system = message.role == kSystem;
      if (is_user || is_system) Mark(is_user ? "[INST]" : "[SYSTEM_PROMPT]");
      Mark(space);
      Say(message.content);
      Mark(is_user     ? std::string_view("[/INST]")
           : is_system ? std::string_view("[/SYSTEM_PROMPT]")
                       : std::string_view(marks_.eos));
    }
  }

  void Llama3() {
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("<|start_header_id|>{}<|end_header_id|>\n\n", message.role));
      Say(Trim(message.content));
      Mark("<|eot_id|>");
    }
    Mark("<|start_header_id|>assistant<|end_header_id|>\n\n");
  }

  void ChatMl() {
    if (messages_[0].role != kSystem) {
      std::optional<std::string> system = DefaultChatMlSystem(jinja_);
      if (!system && family_ == ChatFamily::kQwen) system = "You are a helpful assistant.";
      if (system) Mark(fmt::format("<|im_start|>system\n{}<|im_end|>\n", *system));
    }
    Turns("<|im_start|>", "\n", "<|im_end|>\n");
    Mark(ThoughtsOpening(family_, jinja_));
  }

  void DeepSeekCoder() {
    if (messages_[0].role != kSystem) Mark(DefaultCoderSystem(jinja_).value_or(""));
    for (const ChatMessage& message : messages_) {
      if (message.role != kSystem) Mark(message.role == kUser ? "### Instruction:\n" : "### Response:\n");
      Say(message.content);
      if (message.role != kSystem) Mark(message.role == kUser ? "\n" : "\n<|EOT|>\n");
    }
    Mark("### Response:\n");
  }

  void DeepSeekV2() {
    for (const ChatMessage& message : messages_) {
      if (message.role != kSystem) Mark(message.role == kUser ? "User: " : "Assistant: ");
      Say(message.content);
      Mark(message.role == kAssistant ? std::string_view(marks_.eos) : std::string_view("\n\n"));
    }
    Mark("Assistant:");
  }

  void DeepSeekV3() {
    for (const ChatMessage& message : messages_) {
      if (message.role != kSystem) Mark(message.role == kUser ? "<｜User｜>" : "<｜Assistant｜>");
      Say(message.content);
      if (message.role == kAssistant) Mark(marks_.eos);
    }
    Mark("<｜Assistant｜>");
    Mark(ThoughtsOpening(family_, jinja_));
  }

  // Every turn the same, whoever speaks.
  void Turns(std::string_view before, std::string_view behind_role, std::string_view behind_message) {
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("{}{}{}", before, message.role, behind_role));
      Say(message.content);
      Mark(behind_message);
    }
    Mark(fmt::format("{}{}{}", before, kAssistant, behind_role));
  }

  // Phi-4-mini writes no line breaks.
  void Phi3() {
    const bool breaks = jinja_.empty() || Has("|>\\n") || Has("'\\n'") || Has("|>\n");
    if (breaks) return Turns("<|", "|>\n", "<|end|>\n");
    Turns("<|", "|>", "<|end|>");
  }

  // What the system says stands at the head of the first question.
  void Gemma() {
    std::string_view system;
    for (const ChatMessage& message : messages_) {
      if (message.role == kSystem) {
        system = message.content;
        continue;
      }
      Mark(message.role == kUser ? "<start_of_turn>user\n" : "<start_of_turn>model\n");
      Say(system);
      if (!system.empty()) Mark("\n\n");
      system = {};
      Say(Trim(message.content));
      Mark("<end_of_turn>\n");
    }
    Mark("<start_of_turn>model\n");
  }

  // Some versions of the template do, some do not.
  bool BreaksBehindInstructions() const {
    constexpr std::string_view kInstructions = "{{- developer_message }}";
    const size_t at = jinja_.find(kInstructions);
    if (at == std::string_view::npos) return false;
    return Trim(jinja_.substr(at + kInstructions.size())).starts_with(R"({{- "\n\n" }})");
  }

  // The model's own system message is always the same; what a user's says are a developer's instructions.
  void GptOss() {
    const char* const effort = thoughts_ == Thoughts::kLow ? "low" : thoughts_ == Thoughts::kHigh ? "high" : "medium";
    Mark(fmt::format(
        "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: 2024-06\n\n"
        "Reasoning: {}\n\n# Valid channels: analysis, commentary, final. Channel must be included for every "
        "message.<|end|>",
        effort));
    for (const ChatMessage& message : messages_) {
      if (message.role == kSystem) {
        if (message.content.empty()) continue;
        Mark("<|start|>developer<|message|># Instructions\n\n");
      } else {
        Mark(message.role == kUser ? std::string("<|start|>user<|message|>")
                                   : fmt::format("<|start|>assistant{}", kFinalChannel));
      }
      Say(message.content);
      if (message.role == kSystem && BreaksBehindInstructions()) Mark("\n\n");
      Mark("<|end|>");
    }
    Mark("<|start|>assistant");
  }

  void Glm4() {
    if (Has("<think></think>")) return Glm45();
    const bool strips = Has("</think>')[-1].strip()");
    Mark("[gMASK]<sop>");
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("<|{}|>\n", message.role));
      Say(strips && message.role != kSystem ? Trim(message.content) : std::string_view(message.content));
    }
    Mark(fmt::format("<|assistant|>{}", GlmPromptEnd(jinja_)));
  }

  // Answers begin with thoughts, be they empty.
  void Glm45() {
    constexpr std::string_view kNoThoughts = "/nothink";
    Mark("[gMASK]<sop>");
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("<|{}|>\n", message.role));
      if (message.role == kAssistant) {
        const std::string_view said = Trim(message.content);
        if (!said.starts_with(kThinkMarks.begin)) Mark(said.empty() ? "<think></think>" : "<think></think>\n");
        Say(said);
        continue;
      }
      Say(message.content);
      const bool asks = message.role == kUser && thoughts_ == Thoughts::kNone && Has(kNoThoughts);
      if (asks && !message.content.ends_with(kNoThoughts)) Mark(kNoThoughts);
    }
    Mark(fmt::format("<|assistant|>{}", GlmPromptEnd(jinja_)));
  }

  void SeedOss() {
    constexpr std::string_view kNoBudget =
        "<seed:bos>system\nYou are an intelligent assistant that can answer questions in one step without the need for "
        "reasoning and thinking, that is, your thinking budget is 0. Next, please skip the thinking process and directly "
        "start answering the user's questions.\n<seed:eos>";
    bool asks = thoughts_ == Thoughts::kNone;
    for (const ChatMessage& message : messages_) {
      if (message.role != kSystem && std::exchange(asks, false)) Mark(kNoBudget);
      Mark(fmt::format("<seed:bos>{}\n", message.role));
      Say(message.role == kAssistant ? Trim(message.content) : std::string_view(message.content));
      Mark("<seed:eos>");
    }
    Mark("<seed:bos>assistant\n");
  }

  // Templates that are one line long write no line breaks between turns.
  void Zephyr() {
    const std::optional<TurnForm> user = FindTurnForm(jinja_, "<|user|>");
    const bool spells_end = user && HasMark(user->behind, kEndOfText);
    std::string end(spells_end ? kEndOfText : std::string_view(marks_.eos));
    if (!user || user->breaks_behind) end += '\n';
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("<|{}|>\n", message.role));
      Say(message.content);
      Mark(end);
    }
    Mark(jinja_.empty() || BreaksBehindLast(jinja_, "<|assistant|>") ? "<|assistant|>\n" : "<|assistant|>");
  }

  // Only answers end with a mark.
  void Falcon3() {
    const bool ends = jinja_.empty() || Has("eos_token");
    for (const ChatMessage& message : messages_) {
      Mark(fmt::format("<|{}|>\n", message.role));
      Say(message.content);
      if (message.role == kAssistant && ends) Mark(marks_.eos);
      Mark("\n");
    }
    Mark(jinja_.empty() || BreaksBehindLast(jinja_, "<|assistant|>") ? "<|assistant|>\n" : "<|assistant|>");
  }

  // Where the template does not speak of a system, what it says stands without a name, as the model's authors have it.
  void OpenChat() {
    const std::string_view system = Has("].title()") ? "GPT4 Correct System: " : "";
    for (const ChatMessage& message : messages_) {
      Mark(message.role == kSystem ? system
           : message.role == kUser ? std::string_view("GPT4 Correct User: ")
                                   : std::string_view("GPT4 Correct Assistant: "));
      Say(message.content);
      Mark("<|end_of_turn|>");
    }
    Mark("GPT4 Correct Assistant:");
  }

  // Turns stand on lines of their own, or (Vicuna 1.1 itself) behind spaces.
  void Vicuna() {
    const TurnForm usual = {.behind = "", .breaks_behind = true};
    const TurnForm user = FindTurnForm(jinja_, "USER: ").value_or(usual);
    const TurnForm answer = FindTurnForm(jinja_, "ASSISTANT: ").value_or(usual);
    const std::string_view space = HasMark(user.behind, "' '") ? " " : "";
    const bool names_system = Has("SYSTEM: ");
    for (const ChatMessage& message : messages_) {
      const TurnForm& form = message.role == kAssistant ? answer : user;
      const bool strips = HasMark(form.behind, "strip()");
      if (message.role == kUser) Mark("USER: ");
      if (message.role == kAssistant) Mark("ASSISTANT: ");
      if (message.role == kSystem && names_system) Mark("SYSTEM: ");
      Say(strips ? Trim(message.content) : std::string_view(message.content));
      if (message.role == kAssistant) Mark(marks_.eos);
      if (message.role == kSystem && !names_system && form.breaks_behind) Mark("\n");
      Mark(form.breaks_behind ? "\n" : message.role == kAssistant ? "" : space);
    }
    Mark("ASSISTANT:");
  }

  ChatFamily family_;
  std::string_view jinja_;
  const ChatMarks& marks_;
  std::span<const ChatMessage> messages_;
  Thoughts thoughts_ = Thoughts::kAsTheModel;
  std::vector<ChatPart> parts_;
};

}  // namespace

std::vector<ChatPart> RenderConversation(ChatFamily family, std::string_view jinja, const ChatMarks& marks,
                                         std::span<const ChatMessage> messages, Thoughts thoughts, LastTurn last) {
  return Renderer(family, jinja, marks, messages).Run(thoughts, last);
}

}  // namespace damask::tokenizer
