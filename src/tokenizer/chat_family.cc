// Which family a template belongs to. The marks and their order are llama.cpp's (src/llama-chat.cpp), so that what it takes for
// another family is not taken for one of ours.
#include "tokenizer/chat_text.h"

namespace damask::tokenizer {
namespace {

bool Has(std::string_view jinja, std::string_view mark) { return jinja.find(mark) != std::string_view::npos; }

ChatFamily DetectChatMl(std::string_view jinja) {
  const std::optional<std::string> system = DefaultChatMlSystem(jinja);
  const bool is_qwen = system && (Has(*system, "Qwen") || system->rfind("You are a helpful assistant", 0) == 0);
  return is_qwen ? ChatFamily::kQwen : ChatFamily::kChatMl;
}

ChatFamily DetectInst(std::string_view jinja) {
  if (Has(jinja, "[SYSTEM_PROMPT]")) return Has(jinja, "[INST] ") ? ChatFamily::kMistralV7 : ChatFamily::kMistralV7Tekken;
  if (!Has(jinja, "' [INST] ' + system_message") && !Has(jinja, "[AVAILABLE_TOOLS]")) return ChatFamily::kLlama2;
  if (Has(jinja, " [INST]")) return ChatFamily::kMistralV1;
  return Has(jinja, "\"[INST]\"") ? ChatFamily::kMistralV3Tekken : ChatFamily::kMistralV3;
}

// Families that llama.cpp knows, damask does not, and that share marks with one of ours. These come before Gemma.
bool IsForeign(std::string_view jinja) {
  return (Has(jinja, "<|assistant|>") && Has(jinja, "<|user|>")) || (Has(jinja, "<|user|>") && Has(jinja, "<|endoftext|>")) ||
         Has(jinja, "bos_token + message['role']");
}

// More of them, which come behind it.
bool IsForeignBehindGemma(std::string_view jinja) {
  return Has(jinja, "'\\n\\nAssistant: ' + eos_token") || Has(jinja, "GPT4 Correct ") ||
         (Has(jinja, "USER: ") && Has(jinja, "ASSISTANT: "));
}

}  // namespace

std::optional<ChatFamily> DetectChatFamily(std::string_view jinja) {
  if (Has(jinja, "<|im_start|>")) {
    if (Has(jinja, "<|im_sep|>")) return ChatFamily::kPhi4;
    if (Has(jinja, "<end_of_utterance>")) return std::nullopt;
    return DetectChatMl(jinja);
  }
  if (Has(jinja, "[INST]")) return DetectInst(jinja);
  if (Has(jinja, "<|assistant|>") && Has(jinja, "<|end|>")) return ChatFamily::kPhi3;
  if (Has(jinja, "[gMASK]<sop>")) return ChatFamily::kGlm4;
  if (IsForeign(jinja)) return std::nullopt;
  if (Has(jinja, "<start_of_turn>")) return ChatFamily::kGemma;
  if (IsForeignBehindGemma(jinja)) return std::nullopt;
  if (Has(jinja, "### Instruction:") && Has(jinja, "<|EOT|>")) return ChatFamily::kDeepSeekCoder;
  if (Has(jinja, "<|START_OF_TURN_TOKEN|>") && Has(jinja, "<|USER_TOKEN|>")) return std::nullopt;
  if (Has(jinja, "<|start_header_id|>") && Has(jinja, "<|end_header_id|>")) return ChatFamily::kLlama3;
  if (Has(jinja, "[gMASK]sop") || Has(jinja, "<用户>")) return std::nullopt;
  if (Has(jinja, "'Assistant: ' + message['content'] + eos_token")) return ChatFamily::kDeepSeekV2;
  if (Has(jinja, "<｜Assistant｜>") && Has(jinja, "<｜User｜>") && Has(jinja, "<｜end▁of▁sentence｜>"))
    return ChatFamily::kDeepSeekV3;
  if (Has(jinja, "<|start_of_role|>")) return ChatFamily::kGranite;
  if (Has(jinja, "<|start|>") && Has(jinja, "<|channel|>")) return ChatFamily::kGptOss;
  if (Has(jinja, "<seed:bos>")) return ChatFamily::kSeedOss;
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
  }
  return "unknown";
}

}  // namespace damask::tokenizer
