// Which family a template belongs to. The marks and their order are llama.cpp's (src/llama-chat.cpp), so that what it takes for
// another family is not taken for one of ours.
#include "tokenizer/chat_text.h"

namespace damask::tokenizer {
namespace {

ChatFamily DetectChatMl(std::string_view jinja) {
  const std::optional<std::string> system = DefaultChatMlSystem(jinja);
  const bool is_qwen = system && (HasMark(*system, "Qwen") || system->rfind("You are a helpful assistant", 0) == 0);
  return is_qwen ? ChatFamily::kQwen : ChatFamily::kChatMl;
}

ChatFamily DetectInst(std::string_view jinja) {
  if (HasMark(jinja, "[SYSTEM_PROMPT]"))
    return HasMark(jinja, "[INST] ") ? ChatFamily::kMistralV7 : ChatFamily::kMistralV7Tekken;
  if (!HasMark(jinja, "' [INST] ' + system_message") && !HasMark(jinja, "[AVAILABLE_TOOLS]")) return ChatFamily::kLlama2;
  if (HasMark(jinja, " [INST]")) return ChatFamily::kMistralV1;
  return HasMark(jinja, "\"[INST]\"") ? ChatFamily::kMistralV3Tekken : ChatFamily::kMistralV3;
}

// Templates with "<|user|>" and "<|assistant|>" are told apart by what a question ends with. llama.cpp goes by other marks, and
// takes TinyLlama's for one of GLM-Edge, where a question ends with nothing; those are not ours.
std::optional<ChatFamily> DetectUserMark(std::string_view jinja) {
  const std::optional<TurnForm> user = FindTurnForm(jinja, "<|user|>");
  if (!user || !user->breaks_before) return std::nullopt;
  for (const std::string_view end : {"eos_token", "</s>", "<|endoftext|>"}) {
    if (HasMark(user->behind, end)) return ChatFamily::kZephyr;
  }
  return user->breaks_behind ? std::optional(ChatFamily::kFalcon3) : std::nullopt;
}

// Families that llama.cpp knows, damask does not, and that share marks with one of ours. These come before Gemma.
bool IsForeign(std::string_view jinja) {
  return (HasMark(jinja, "<|user|>") && HasMark(jinja, "<|endoftext|>")) || HasMark(jinja, "bos_token + message['role']");
}

std::string WithoutHyphens(std::string_view name) {
  std::string letters(name);
  std::erase(letters, '-');
  return letters;
}

}  // namespace

std::optional<ChatFamily> DetectChatFamily(std::string_view jinja) {
  if (HasMark(jinja, "<|im_start|>")) {
    if (HasMark(jinja, "<|im_sep|>")) return ChatFamily::kPhi4;
    if (HasMark(jinja, "<end_of_utterance>")) return std::nullopt;
    return DetectChatMl(jinja);
  }
  if (HasMark(jinja, "[INST]")) return DetectInst(jinja);
  if (HasMark(jinja, "<|assistant|>") && HasMark(jinja, "<|end|>")) return ChatFamily::kPhi3;
  // GLM-4.7 and 5 put answers into another form.
  if (HasMark(jinja, "[gMASK]<sop>")) {
    return HasMark(jinja, "else '<think>'") ? std::nullopt : std::optional(ChatFamily::kGlm4);
  }
  if (HasMark(jinja, "<|assistant|>") && HasMark(jinja, "<|user|>")) return DetectUserMark(jinja);
  if (IsForeign(jinja)) return std::nullopt;
  if (HasMark(jinja, "<start_of_turn>")) return ChatFamily::kGemma;
  if (HasMark(jinja, "'\\n\\nAssistant: ' + eos_token")) return std::nullopt;  // Orion
  if (HasMark(jinja, "GPT4 Correct ")) return ChatFamily::kOpenChat;
  if (HasMark(jinja, "USER: ") && HasMark(jinja, "ASSISTANT: ")) {
    return FindTurnForm(jinja, "USER: ") ? std::optional(ChatFamily::kVicuna) : std::nullopt;
  }
  if (HasMark(jinja, "### Instruction:") && HasMark(jinja, "<|EOT|>")) return ChatFamily::kDeepSeekCoder;
  if (HasMark(jinja, "<|START_OF_TURN_TOKEN|>") && HasMark(jinja, "<|USER_TOKEN|>")) return std::nullopt;
  if (HasMark(jinja, "<|start_header_id|>") && HasMark(jinja, "<|end_header_id|>")) return ChatFamily::kLlama3;
  if (HasMark(jinja, "[gMASK]sop") || HasMark(jinja, "<用户>")) return std::nullopt;
  if (HasMark(jinja, "'Assistant: ' + message['content'] + eos_token")) return ChatFamily::kDeepSeekV2;
  if (HasMark(jinja, "<｜Assistant｜>") && HasMark(jinja, "<｜User｜>") && HasMark(jinja, "<｜end▁of▁sentence｜>"))
    return ChatFamily::kDeepSeekV3;
  if (HasMark(jinja, "<|start_of_role|>")) return ChatFamily::kGranite;
  if (HasMark(jinja, "<|start|>") && HasMark(jinja, "<|channel|>")) return ChatFamily::kGptOss;
  if (HasMark(jinja, "<seed:bos>")) return ChatFamily::kSeedOss;
  return std::nullopt;
}

std::string_view ChatFamilyName(ChatFamily family) {
  switch (family) {
    case ChatFamily::kLlama2: return "llama-2";
    case ChatFamily::kLlama3: return "llama-3";
    case ChatFamily::kChatMl: return "chatml";
    case ChatFamily::kQwen: return "qwen";
    case ChatFamily::kMistralV1: return "mistral-v1";
    case ChatFamily::kMistralV3: return "mistral-v3";
    case ChatFamily::kMistralV3Tekken: return "mistral-v3-tekken";
    case ChatFamily::kMistralV7: return "mistral-v7";
    case ChatFamily::kMistralV7Tekken: return "mistral-v7-tekken";
    case ChatFamily::kDeepSeekCoder: return "deepseek-coder";
    case ChatFamily::kDeepSeekV2: return "deepseek-v2";
    case ChatFamily::kDeepSeekV3: return "deepseek-v3";
    case ChatFamily::kPhi3: return "phi-3";
    case ChatFamily::kPhi4: return "phi-4";
    case ChatFamily::kGemma: return "gemma";
    case ChatFamily::kGranite: return "granite";
    case ChatFamily::kGptOss: return "gpt-oss";
    case ChatFamily::kGlm4: return "glm-4";
    case ChatFamily::kSeedOss: return "seed-oss";
    case ChatFamily::kZephyr: return "zephyr";
    case ChatFamily::kFalcon3: return "falcon-3";
    case ChatFamily::kOpenChat: return "openchat";
    case ChatFamily::kVicuna: return "vicuna";
  }
  return "unknown";
}

std::optional<ChatFamily> ParseChatFamily(std::string_view name) {
  const std::string wanted = WithoutHyphens(name);
  for (int i = 0; i <= static_cast<int>(kLastChatFamily); ++i) {
    const auto family = static_cast<ChatFamily>(i);
    if (WithoutHyphens(ChatFamilyName(family)) == wanted) return family;
  }
  return std::nullopt;
}

std::string ChatFamilyNames() {
  std::string names;
  for (int i = 0; i <= static_cast<int>(kLastChatFamily); ++i) {
    if (i > 0) names += ", ";
    names += ChatFamilyName(static_cast<ChatFamily>(i));
  }
  return names;
}

}  // namespace damask::tokenizer
