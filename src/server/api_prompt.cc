#include "server/api_prompt.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"

namespace damask::server {
namespace {

using formats::Json;

ApiError Missing(const std::string& param) {
  return MissingParameter(param, fmt::format("Missing required parameter: '{}'.", param));
}

void ReadRole(FieldReader* message, std::string* role) {
  const std::string* found = message->Text("role");
  const std::string param = message->Path("role");
  if (found == nullptr) return message->Fail(Missing(param));
  if (*found == "tool" || *found == "function") {
    return message->Fail(
        UnsupportedValue(param, fmt::format("Unsupported value: '{}' is '{}', but damask has no tools.", param, *found)));
  }
  if (*found != "system" && *found != "developer" && *found != "user" && *found != "assistant") {
    return message->Fail(InvalidValue(
        param, fmt::format("Invalid value for '{}': expected 'system', 'developer', 'user' or 'assistant', but got {}.", param,
                           ValueName(Json(*found)))));
  }
  *role = *found == "developer" ? "system" : *found;
}

void ReadPart(FieldReader* part, std::string* content) {
  const std::string* type = part->Text("type");
  if (type == nullptr) return part->Fail(Missing(part->Path("type")));
  if (*type != "text") {
    return part->Fail(UnsupportedValue(
        part->Path("type"),
        fmt::format("Unsupported value: '{}' is {}, but damask reads text only.", part->Path("type"), ValueName(Json(*type)))));
  }
  const std::string* text = part->Text("text");
  if (text == nullptr) return part->Fail(Missing(part->Path("text")));
  *content += *text;
}

void ReadParts(FieldReader* message, const Json& parts, std::string* content) {
  const std::string param = message->Path("content");
  if (parts.empty())
    return message->Fail(InvalidValue(param, fmt::format("Invalid value for '{}': the array is empty.", param)));
  for (size_t i = 0; i < parts.size(); ++i) {
    const std::string place = fmt::format("{}[{}]", param, i);
    if (!parts[i].is_object()) return message->Fail(WrongType(place, parts[i], "an object"));
    if (i > 0) *content += '\n';
    FieldReader part(parts[i], place + ".");
    ReadPart(&part, content);
    if (part.error()) return message->Fail(*part.error());
  }
}

void ReadContent(FieldReader* message, const Json& object, std::string* content) {
  const std::string param = message->Path("content");
  const auto found = object.find("content");
  if (found == object.end()) return message->Fail(Missing(param));
  if (found->is_array()) return ReadParts(message, *found, content);
  if (!found->is_string()) return message->Fail(WrongType(param, *found, "a string or an array of text parts"));
  *content = found->get_ref<const std::string&>();
}

void ReadMessage(FieldReader* message, const Json& object, tokenizer::ChatMessage* out) {
  ReadRole(message, &out->role);
  for (const char* name : {"tool_calls", "function_call"}) {
    const Json* calls = message->Any(name);
    if (calls == nullptr || calls->empty()) continue;
    message->Fail(UnsupportedParameter(message->Path(name),
                                       fmt::format("Unsupported parameter: '{}': damask has no tools.", message->Path(name))));
  }
  if (!message->error()) ReadContent(message, object, &out->content);
}

void ReadPromptArray(FieldReader* fields, const Json& prompt, ApiRequest* request) {
  constexpr int64_t kAnyId = std::numeric_limits<tokenizer::TokenId>::max();
  const auto empty = [](const std::string& param) {
    return InvalidValue(param, fmt::format("Invalid value for '{}': the array is empty.", param));
  };
  if (prompt.empty()) return fields->Fail(empty("prompt"));
  if (prompt[0].is_number() && std::all_of(prompt.begin(), prompt.end(), [](const Json& id) { return id.is_number(); })) {
    request->prompt_ids = ReadIds(fields, "prompt", prompt, kAnyId);
    return;
  }
  if (prompt.size() > 1) {
    return fields->Fail(
        UnsupportedValue("prompt",
                         "Unsupported value: 'prompt' is an array of several prompts or of texts and ids mixed, "
                         "but damask takes one prompt per request, a text or an array of ids."));
  }
  if (prompt[0].is_string()) {
    request->prompt = prompt[0].get_ref<const std::string&>();
  } else if (prompt[0].is_array()) {
    if (prompt[0].empty()) return fields->Fail(empty("prompt[0]"));
    request->prompt_ids = ReadIds(fields, "prompt[0]", prompt[0], kAnyId);
  } else {
    fields->Fail(WrongType("prompt[0]", prompt[0], "a string, an integer or an array of integers"));
  }
}

}  // namespace

void ReadMessages(FieldReader* fields, ApiRequest* request) {
  const Json* messages = fields->Array("messages");
  if (messages == nullptr) return fields->Fail(Missing("messages"));
  if (messages->empty() || messages->size() > limits::kMaxChatMessages) {
    return fields->Fail(
        InvalidValue("messages", fmt::format("Invalid value for 'messages': expected 1 to {} messages, but got {}.",
                                             limits::kMaxChatMessages, messages->size())));
  }
  request->messages.resize(messages->size());
  for (size_t i = 0; i < messages->size(); ++i) {
    const std::string place = fmt::format("messages[{}]", i);
    const Json& object = (*messages)[i];
    if (!object.is_object()) return fields->Fail(WrongType(place, object, "an object"));
    FieldReader message(object, place + ".");
    ReadMessage(&message, object, &request->messages[i]);
    if (message.error()) return fields->Fail(*message.error());
  }
}

void ReadPrompt(FieldReader* fields, ApiRequest* request) {
  const Json* prompt = fields->Any("prompt");
  if (prompt == nullptr) return fields->Fail(Missing("prompt"));
  if (prompt->is_string()) {
    request->prompt = prompt->get_ref<const std::string&>();
  } else if (prompt->is_array()) {
    ReadPromptArray(fields, *prompt, request);
  } else if (prompt->is_object()) {  // llama-server's way to pass pictures
    fields->Fail(UnsupportedValue("prompt", "Unsupported value: 'prompt' is an object, but damask reads text and ids only."));
  } else {
    fields->Fail(WrongType("prompt", *prompt, "a string or an array of integers"));
  }
}

}  // namespace damask::server
