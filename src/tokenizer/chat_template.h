// Chat templates of the known families, recognised by what their Jinja text contains (as llama.cpp does), and rendered by us:
// no Jinja is executed, so a template cannot loop, raise or read anything.
//
// Spacing follows the model's own template where llama.cpp's built-in rendering simplifies it (spaces around answers in Llama
// 2, Qwen's default system message, no blank line behind DeepSeek V3's). Three things are simplified here as well: Mistral's
// system message goes into the first user turn; the line with today's date of Llama 3.1 and gpt-oss is left out, so that a
// prompt depends on nothing else; and so are default system messages that only running the template would give: of Granite 3,
// SmolLM 3 and Mistral Small, with a date in them, of Phi-4's reasoning models and OLMo 3 Instruct (docs/models.md).
//
// Where the template cuts answers at "</think>" (Qwen 3, QwQ, DeepSeek R1) or keeps only what went to the last channel
// (gpt-oss), so do we: of an earlier answer only what follows the model's thoughts stays in the conversation.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer {

enum class ChatFamily {
  kLlama2,
  kLlama3,
  kChatMl,
  kQwen,  // ChatML that starts with a system message of its own where there is none
  kMistralV1,
  kMistralV3,
  kMistralV3Tekken,
  kMistralV7,
  kMistralV7Tekken,
  kDeepSeekCoder,
  kDeepSeekV2,
  kDeepSeekV3,
  kPhi3,
  kPhi4,
  kGemma,
  kGranite,
  kGptOss,
  kGlm4,
  kSeedOss,
  kZephyr,
  kFalcon3,  // and what has its form: Tulu 3, OLMo 2
  kOpenChat,
  kVicuna,
};
inline constexpr ChatFamily kLastChatFamily = ChatFamily::kVicuna;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant"
  std::string content;
};

// Recognises a template; nullopt for an empty or an unknown one.
std::optional<ChatFamily> DetectChatFamily(std::string_view jinja);

std::string_view ChatFamilyName(ChatFamily family);
// The family of that name; hyphens may be missing, as in llama.cpp's names ("llama2").
std::optional<ChatFamily> ParseChatFamily(std::string_view name);
// All of the names, with ", " between: for help and errors.
std::string ChatFamilyNames();

// The file's template where it is of this family, else "": then the family's usual form holds.
std::string_view TemplateOf(const Tokenizer& tokenizer, ChatFamily family);

// Whether a model that thinks aloud may do so before its answer. kNone begins the answer behind an empty thought, as Qwen 3's
// own template does with enable_thinking=false; models without thoughts are asked as always. kLow and kHigh ask for shorter or
// longer ones than usual where a template can (gpt-oss).
enum class Thoughts { kAsTheModel, kNone, kLow, kHigh };

// By OpenAI's names: "none", "minimal" and "low", "medium" (as the model), "high" and "xhigh".
std::optional<Thoughts> ParseReasoningEffort(std::string_view name);
inline constexpr std::string_view kReasoningEfforts = "'none', 'minimal', 'low', 'medium', 'high' or 'xhigh'";

// What the model does with a conversation: it answers, or it goes on with an answer that has begun, the last message.
enum class LastTurn { kAnswered, kContinued };

// The prompt of a conversation, ready for what the model writes next, with BOS where the family has one. Only the template's
// own marks become control tokens: whatever a message contains is encoded as plain text. Errors: an unknown role or an order
// the family cannot express is InvalidArgument naming the message; so is an answer to continue that is no answer or says
// nothing.
Result<std::vector<TokenId>> EncodeChat(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages,
                                        Thoughts thoughts = Thoughts::kAsTheModel, LastTurn last = LastTurn::kAnswered);
// The same as a text, without the BOS at the very start.
Result<std::string> ChatText(const Tokenizer& tokenizer, ChatFamily family, std::span<const ChatMessage> messages,
                             Thoughts thoughts = Thoughts::kAsTheModel, LastTurn last = LastTurn::kAnswered);

// A stretch of a rendered conversation.
struct ChatPart {
  std::string text;
  Special special = Special::kParse;  // kPlain: a message's own text
};

struct ChatMarks {
  std::string bos = "<s>";  // used inside a conversation only
  std::string eos = "</s>";
};

// What EncodeChat() encodes, without the BOS at the very start. `jinja` may be empty: then the family's usual form.
Result<std::vector<ChatPart>> RenderChat(ChatFamily family, std::string_view jinja, const ChatMarks& marks,
                                         std::span<const ChatMessage> messages, Thoughts thoughts = Thoughts::kAsTheModel,
                                         LastTurn last = LastTurn::kAnswered);

}  // namespace damask::tokenizer
