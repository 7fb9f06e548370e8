// Rendered conversations against what the models' own templates give; templates and texts as llama.cpp's tests have them.
#include "tokenizer/chat_template.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"
#include "tests/tokenizer/made_vocab.h"
#include "tests/tokenizer/template_fault.h"
#include "tests/tokenizer/vocab_cases.h"

namespace damask::tokenizer {
namespace {

const std::vector<ChatMessage> kConversation = {
    {"system", "You are a helpful assistant"},
    {"user", "Hello"},
    {"assistant", "Hi there"},
    {"user", "Who are you"},
    {"assistant", "   I am an assistant   "},
    {"user", "Another question"},
};

std::string Render(ChatFamily family, std::string_view jinja, std::span<const ChatMessage> messages,
                   const ChatMarks& marks = {}) {
  const auto parts = RenderChat(family, jinja, marks, messages);
  if (!parts.ok()) return parts.status().ToString();
  std::string text;
  for (const ChatPart& part : *parts) text += part.text;
  return text;
}

struct TemplateCase {
  const char* name;
  ChatFamily family;
  std::string jinja;
  std::string expected;
  const char* eos = "</s>";
};

// As far as it is about conversations without tools.
constexpr std::string_view kGlm45 =
    "[gMASK]<sop>\n{% for m in messages %}{%- if m.role == 'user' -%}<|user|>\n{{ visible_text(m.content) }}{{- '/nothink' if "
    "(enable_thinking is defined and not enable_thinking) else '' -}}{%- elif m.role == 'assistant' -%}<|assistant|>\n{%- if "
    "'</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}{%- if loop.index0 > "
    "ns.last_user_index and reasoning_content -%}{{ '\\n<think>' + reasoning_content.strip() + '</think>' }}{%- else -%}{{ "
    "'\\n<think></think>' }}{%- endif -%}{{ '\\n' + content.strip() }}{%- endfor -%}<|assistant|>{{- '\\n<think></think>' if "
    "(enable_thinking is defined and not enable_thinking) else '' -}}";

const TemplateCase kCases[] = {
    {"OpenHermes", ChatFamily::kChatMl,
     "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}{% "
     "endfor "
     "%}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}",
     "<|im_start|>system\nYou are a helpful assistant<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\nHi "
     "there<|im_end|>\n<|im_start|>user\nWho are you<|im_end|>\n<|im_start|>assistant\n   I am an assistant   "
     "<|im_end|>\n<|im_start|>user\nAnother question<|im_end|>\n<|im_start|>assistant\n"},
    {"MistralBeforeV1", ChatFamily::kLlama2,
     "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ "
     "raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if "
     "message['role'] == "
     "'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ message['content'] "
     "+ "
     "eos_token}}{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}",
     "[INST] You are a helpful assistant\nHello [/INST]Hi there</s>[INST] Who are you [/INST]   I am an assistant   </s>[INST] "
     "Another "
     "question [/INST]"},
    {"Llama2RepeatingBos", ChatFamily::kLlama2,
     "{%- for idx in range(0, messages|length) -%}\n{%- if messages[idx]['role'] == 'user' -%}\n{%- if idx > 1 -%}\n{{- "
     "bos_token + "
     "'[INST] ' + messages[idx]['content'] + ' [/INST]' -}}\n{%- else -%}\n{{- messages[idx]['content'] + ' [/INST]' -}}\n{%- "
     "endif "
     "-%}\n{% elif messages[idx]['role'] == 'system' %}\n{{- '[INST] <<SYS>>\\n' + messages[idx]['content'] + "
     "'\\n<</SYS>>\\n\\n' "
     "-}}\n{%- elif messages[idx]['role'] == 'assistant' -%}\n{{- ' '  + messages[idx]['content'] + ' ' + eos_token -}}\n{% "
     "endif "
     "%}\n{% endfor %}",
     "[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s><s>[INST] Who are you [/INST]    I "
     "am an "
     "assistant    </s><s>[INST] Another question [/INST]"},
    {"Llama2Stripping", ChatFamily::kLlama2,
     "{{ bos_token }}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = "
     "'<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] "
     "%}{% "
     "endif %}{% if message['role'] == 'user' %}{{ '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == "
     "'system' "
     "%}{{ '<<SYS>>\\n' + content.strip() + '\\n<</SYS>>\\n\\n' }}{% elif message['role'] == 'assistant' %}{{ ' '  + "
     "content.strip() "
     "+ ' ' + eos_token }}{% endif %}{% endfor %}",
     "[INST] <<SYS>>\nYou are a helpful assistant\n<</SYS>>\n\nHello [/INST] Hi there </s>[INST] Who are you [/INST] I am an "
     "assistant "
     "</s>[INST] Another question [/INST]"},
    {"Llama3", ChatFamily::kLlama3,
     "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + "
     "message['role'] + "
     "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token "
     "+ "
     "content %}{% endif %}{{ content }}{% endfor %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}",
     "<|start_header_id|>system<|end_header_id|>\n\nYou are a helpful "
     "assistant<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant<|end_header_"
     "id|>\n\nHi "
     "there<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWho are "
     "you<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nI am an "
     "assistant<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nAnother "
     "question<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
    {"MistralV1", ChatFamily::kMistralV1,
     "{{- bos_token }}{%- for message in loop_messages %}{%- if message['role'] == 'user' %}{%- if loop.first and "
     "system_message is "
     "defined %}{{- ' [INST] ' + system_message + '\\n\\n' + message['content'] + ' [/INST]' }}{%- else %}{{- ' [INST] ' + "
     "message['content'] + ' [/INST]' }}{%- endif %}{%- elif message['role'] == 'assistant' %}{{- ' ' + message['content'] + "
     "eos_token}}{%- endif %}{%- endfor %}",
     " [INST] You are a helpful assistant\n\nHello [/INST] Hi there</s> [INST] Who are you [/INST]    I am an assistant   </s> "
     "[INST] "
     "Another question [/INST]"},
    {"MistralV3", ChatFamily::kMistralV3,
     "{{- bos_token }}{%- if message[\"role\"] == \"user\" %}{{- \"[AVAILABLE_TOOLS] [\" }}{{- \"[INST] \" + system_message + "
     "\"\\n\\n\" + message[\"content\"] + \"[/INST]\" }}{%- elif message[\"role\"] == \"assistant\" %}{{- \" \" + "
     "message[\"content\"]|trim + eos_token}}{%- endif %}",
     "[INST] You are a helpful assistant\n\nHello[/INST] Hi there</s>[INST] Who are you[/INST] I am an assistant</s>[INST] "
     "Another "
     "question[/INST]"},
    {"MistralV3Tekken", ChatFamily::kMistralV3Tekken,
     "{{- bos_token }}{%- if message[\"role\"] == \"user\" %}{{- \"[AVAILABLE_TOOLS][\" }}{{- \"[INST]\" + system_message + "
     "\"\\n\\n\" + "
     "message[\"content\"] + \"[/INST]\" }}{%- elif message[\"role\"] == \"assistant\" %}{{- message[\"content\"] + "
     "eos_token}}{%- "
     "endif %}",
     "[INST]You are a helpful assistant\n\nHello[/INST]Hi there</s>[INST]Who are you[/INST]   I am an assistant   "
     "</s>[INST]Another "
     "question[/INST]"},
    {"MistralV7", ChatFamily::kMistralV7,
     "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + "
     "'[/INST]' }}{% "
     "elif message['role'] == 'system' %}{{ '[SYSTEM_PROMPT] ' + message['content'] + '[/SYSTEM_PROMPT]' }}{% elif "
     "message['role'] == "
     "'assistant' %}{{ ' ' + message['content'] + eos_token }}{% endif %}{% endfor %}",
     "[SYSTEM_PROMPT] You are a helpful assistant[/SYSTEM_PROMPT][INST] Hello[/INST] Hi there</s>[INST] Who are you[/INST]    "
     "I am an "
     "assistant   </s>[INST] Another question[/INST]"},
    {"DeepSeekCoder", ChatFamily::kDeepSeekCoder,
     "{{bos_token}}{%- if not ns.found -%}\n{{'You are an AI programming assistant, and so on\\n'}}\n{%- endif %}\n{%- for "
     "message in "
     "messages %}{{'### Instruction:\\n' + message['content'] + '\\n'}}{%- else %}\n{{'### Response:\\n' + message['content'] "
     "+ "
     "'\\n<|EOT|>\\n'}}{%- endfor %}\n{{'### Response:'}}\n",
     "You are a helpful assistant### Instruction:\nHello\n### Response:\nHi there\n<|EOT|>\n### Instruction:\nWho are you\n### "
     "Response:\n   I am an assistant   \n<|EOT|>\n### Instruction:\nAnother question\n### Response:\n"},
    {"DeepSeekV2", ChatFamily::kDeepSeekV2,
     "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}{{ 'User: ' + message['content'] + '\n\n' "
     "}}{% elif "
     "message['role'] == 'assistant' %}{{ 'Assistant: ' + message['content'] + eos_token }}{% elif message['role'] == 'system' "
     "%}{{ "
     "message['content'] + '\n\n' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}",
     "You are a helpful assistant\n\nUser: Hello\n\nAssistant: Hi there<｜end▁of▁sentence｜>User: Who are you\n\nAssistant:    "
     "I am an "
     "assistant   <｜end▁of▁sentence｜>User: Another question\n\nAssistant:",
     "<｜end▁of▁sentence｜>"},
    {"Phi3", ChatFamily::kPhi3,
     "{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\\n' + message['content'] + "
     "'<|end|>\\n'}}{% "
     "elif message['role'] == 'user' %}{{'<|user|>\\n' + message['content'] + '<|end|>\\n'}}{% elif message['role'] == "
     "'assistant' %}{{'<|assistant|>\\n' + message['content'] + '<|end|>\\n'}}{% endif %}{% endfor %}{% if "
     "add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}",
     "<|system|>\nYou are a helpful assistant<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi "
     "there<|end|>\n<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n<|user|>\nAnother "
     "question<|end|>\n<|assistant|>\n"},
    {"Phi3Medium", ChatFamily::kPhi3,
     "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\\n' + "
     "message['content'] + '<|end|>' + '\\n' + '<|assistant|>' + '\\n'}}{% elif (message['role'] == 'assistant') "
     "%}{{message['content'] + '<|end|>' + '\\n'}}{% endif %}{% endfor %}",
     "<|system|>\nYou are a helpful assistant<|end|>\n<|user|>\nHello<|end|>\n<|assistant|>\nHi "
     "there<|end|>\n<|user|>\nWho are you<|end|>\n<|assistant|>\n   I am an assistant   <|end|>\n<|user|>\nAnother "
     "question<|end|>\n<|assistant|>\n"},
    {"Phi4Mini", ChatFamily::kPhi3,
     "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}{% endfor %}{% if "
     "add_generation_prompt %}{{ '<|assistant|>' }}{% else %}{{ eos_token }}{% endif %}",
     "<|system|>You are a helpful assistant<|end|><|user|>Hello<|end|><|assistant|>Hi there<|end|><|user|>Who are "
     "you<|end|><|assistant|>   I am an assistant   <|end|><|user|>Another question<|end|><|assistant|>"},
    {"Phi4", ChatFamily::kPhi4,
     "{% for message in messages %}{% if (message['role'] == 'system') %}{{'<|im_start|>system<|im_sep|>' + "
     "message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'user') %}{{'<|im_start|>user<|im_sep|>' + "
     "message['content'] + '<|im_end|>'}}{% elif (message['role'] == 'assistant') %}{{'<|im_start|>assistant<|im_sep|>' + "
     "message['content'] + '<|im_end|>'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ "
     "'<|im_start|>assistant<|im_sep|>' }}{% endif %}",
     "<|im_start|>system<|im_sep|>You are a helpful assistant<|im_end|><|im_start|>user<|im_sep|>Hello<|im_end|>"
     "<|im_start|>assistant<|im_sep|>Hi there<|im_end|><|im_start|>user<|im_sep|>Who are "
     "you<|im_end|><|im_start|>assistant<|im_sep|>   I am an assistant   <|im_end|><|im_start|>user<|im_sep|>Another "
     "question<|im_end|><|im_start|>assistant<|im_sep|>"},
    {"Gemma", ChatFamily::kGemma,
     "{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first_user_prefix = messages[0]['content'] + '\n\n' "
     "-%}{%- endif -%}{%- for message in loop_messages -%}{%- if (message['role'] == 'assistant') -%}{%- set role = \"model\" "
     "-%}{%- endif -%}{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else \"\") }}{{ "
     "message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{ "
     "'<start_of_turn>model\n' }}{%- endif -%}",
     "<start_of_turn>user\nYou are a helpful assistant\n\nHello<end_of_turn>\n<start_of_turn>model\nHi there<end_of_turn>\n"
     "<start_of_turn>user\nWho are you<end_of_turn>\n<start_of_turn>model\nI am an assistant<end_of_turn>\n"
     "<start_of_turn>user\nAnother question<end_of_turn>\n<start_of_turn>model\n"},
    {"Granite", ChatFamily::kGranite,
     "{%- for message in loop_messages %}{{- '<|start_of_role|>' + message['role'] + '<|end_of_role|>' + message['content'] + "
     "'<|end_of_text|>\n' }}{%- if loop.last and add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- "
     "endif %}{%- endfor %}",
     "<|start_of_role|>system<|end_of_role|>You are a helpful "
     "assistant<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Hello"
     "<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>Hi "
     "there<|end_of_text|>\n<|start_of_role|>user<|end_of_role|>Who "
     "are you<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>   I am an assistant   <|end_of_text|>\n"
     "<|start_of_role|>user<|end_of_role|>Another question<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"},
    {"Glm4", ChatFamily::kGlm4,
     "[gMASK]<sop>{% for item in messages %}<|{{ item['role'] }}|>{{ item['metadata'] }}\n{{ item['content'] }}{% endfor %}{% "
     "if add_generation_prompt %}<|assistant|>\n{% endif %}",
     "[gMASK]<sop><|system|>\nYou are a helpful assistant<|user|>\nHello<|assistant|>\nHi there<|user|>\nWho are you"
     "<|assistant|>\n   I am an assistant   <|user|>\nAnother question<|assistant|>\n"},
    {"Glm45", ChatFamily::kGlm4, std::string(kGlm45),
     "[gMASK]<sop><|system|>\nYou are a helpful assistant<|user|>\nHello<|assistant|>\n<think></think>\nHi there<|user|>\n"
     "Who are you<|assistant|>\n<think></think>\nI am an assistant<|user|>\nAnother question<|assistant|>"},
    {"SeedOss", ChatFamily::kSeedOss,
     "{%- set bos_token = '<seed:bos>' -%}{%- for message in loop_messages %}{{ bos_token + message.role + \"\\n\" + "
     "message.content + eos_token }}{%- endfor %}{{ bos_token+\"assistant\\n\" }}",
     "<seed:bos>system\nYou are a helpful assistant<seed:eos><seed:bos>user\nHello<seed:eos><seed:bos>assistant\nHi there"
     "<seed:eos><seed:bos>user\nWho are you<seed:eos><seed:bos>assistant\nI am an assistant<seed:eos><seed:bos>user\n"
     "Another question<seed:eos><seed:bos>assistant\n"},
    {"DeepSeekV3", ChatFamily::kDeepSeekV3,
     "{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{{'<｜User｜>' + message['content']}}{{'<｜Assistant｜>' "
     "+ content + "
     "'<｜end▁of▁sentence｜>'}}{%- endfor -%}{{'<｜Assistant｜>'}}",
     "You are a helpful assistant<｜User｜>Hello<｜Assistant｜>Hi there<｜end▁of▁sentence｜><｜User｜>Who are "
     "you<｜Assistant｜>   I am an "
     "assistant   <｜end▁of▁sentence｜><｜User｜>Another question<｜Assistant｜>",
     "<｜end▁of▁sentence｜>"},
    {"TinyLlama", ChatFamily::kZephyr,
     "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
     "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n{% elif message['role'] "
     "== "
     "'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n{% if loop.last and "
     "add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}",
     "<|system|>\nYou are a helpful assistant</s>\n<|user|>\nHello</s>\n<|assistant|>\nHi there</s>\n<|user|>\nWho are you"
     "</s>\n<|assistant|>\n   I am an assistant   </s>\n<|user|>\nAnother question</s>\n<|assistant|>\n"},
    {"ZephyrOnOneLine", ChatFamily::kZephyr,
     "{% for message in messages %}{% if message['role'] == 'user' %}{{ '<|user|>\\n' + message['content'] + eos_token }}{% "
     "elif message['role'] == 'assistant' %}{{ '<|assistant|>\\n'  + message['content'] + eos_token }}{% endif %}{% if "
     "loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}{% endfor %}",
     "<|system|>\nYou are a helpful assistant</s><|user|>\nHello</s><|assistant|>\nHi there</s><|user|>\nWho are you"
     "</s><|assistant|>\n   I am an assistant   </s><|user|>\nAnother question</s><|assistant|>"},
    {"StableLmZephyr", ChatFamily::kZephyr,
     "{% for message in messages %}{% if (message['role'] == 'user') %}{{'<|user|>' + '\n' + message['content'] + "
     "'<|endoftext|>' + '\n' + '<|assistant|>' + '\n'}}{% elif (message['role'] == 'assistant') %}{{message['content'] + "
     "'<|endoftext|>' + '\n'}}{% endif %}{% endfor %}",
     "<|system|>\nYou are a helpful assistant<|endoftext|>\n<|user|>\nHello<|endoftext|>\n<|assistant|>\nHi "
     "there<|endoftext|>\n<|user|>\nWho are you<|endoftext|>\n<|assistant|>\n   I am an assistant   <|endoftext|>\n<|user|>\n"
     "Another question<|endoftext|>\n<|assistant|>\n"},
    {"Tulu3", ChatFamily::kFalcon3,
     "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<|system|>\n' + message['content'] + '\n' }}{% elif "
     "message['role'] == 'user' %}{{ '<|user|>\n' + message['content'] + '\n' }}{% elif message['role'] == 'assistant' %}{% if "
     "not loop.last %}{{ '<|assistant|>\n'  + message['content'] + eos_token + '\n' }}{% else %}{{ '<|assistant|>\n'  + "
     "message['content'] + eos_token }}{% endif %}{% endif %}{% if loop.last and add_generation_prompt %}{{ '<|assistant|>\n' "
     "}}{% endif %}{% endfor %}",
     "<|system|>\nYou are a helpful assistant\n<|user|>\nHello\n<|assistant|>\nHi there<|end_of_text|>\n<|user|>\nWho are you\n"
     "<|assistant|>\n   I am an assistant   <|end_of_text|>\n<|user|>\nAnother question\n<|assistant|>\n",
     "<|end_of_text|>"},
    {"OpenChat", ChatFamily::kOpenChat,
     "{{ bos_token }}{% for message in messages %}{{ 'GPT4 Correct ' + message['role'].title() + ': ' + message['content'] + "
     "'<|end_of_turn|>'}}{% endfor %}{% if add_generation_prompt %}{{ 'GPT4 Correct Assistant:' }}{% endif %}",
     "GPT4 Correct System: You are a helpful assistant<|end_of_turn|>GPT4 Correct User: Hello<|end_of_turn|>GPT4 Correct "
     "Assistant: Hi there<|end_of_turn|>GPT4 Correct User: Who are you<|end_of_turn|>GPT4 Correct Assistant:    I am an "
     "assistant   <|end_of_turn|>GPT4 Correct User: Another question<|end_of_turn|>GPT4 Correct Assistant:"},
    {"Vicuna", ChatFamily::kVicuna,
     "{%- for message in messages %}{%- if message['role'] == 'system' -%}{{- '' + message['content'] + '\n\n' -}}{%- else "
     "-%}{%- if message['role'] == 'user' -%}{{-'USER: ' + message['content'] + '\n'-}}{%- else -%}{{-'ASSISTANT: ' + "
     "message['content'] + '</s>\n' -}}{%- endif -%}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt "
     "-%}{{-'ASSISTANT:'-}}{%- endif -%}",
     "You are a helpful assistant\n\nUSER: Hello\nASSISTANT: Hi there</s>\nUSER: Who are you\nASSISTANT:    I am an assistant  "
     " </s>\nUSER: Another question\nASSISTANT:"},
    {"OrcaVicuna", ChatFamily::kVicuna,
     "{%- for message in messages %}{%- if message['role'] == 'system' -%}{{-'SYSTEM: ' + message['content'] + '\n' -}}{%- "
     "else "
     "-%}{%- if message['role'] == 'user' -%}{{-'USER: ' + message['content'] + '\n'-}}{%- else -%}{{-'ASSISTANT: ' + "
     "message['content'] + '</s>\n' -}}{%- endif -%}{%- endif -%}{%- endfor -%}{%- if add_generation_prompt "
     "-%}{{-'ASSISTANT:'-}}{%- endif -%}",
     "SYSTEM: You are a helpful assistant\nUSER: Hello\nASSISTANT: Hi there</s>\nUSER: Who are you\nASSISTANT:    I am an "
     "assistant   </s>\nUSER: Another question\nASSISTANT:"},
    {"VicunaBehindSpaces", ChatFamily::kVicuna,
     "{% for message in messages -%}\n    {%- if message['role'] == 'system' -%}\n        {{ message['content'].strip() + ' ' "
     "}}\n    {%- elif message['role'] == 'user' -%}\n        {{ 'USER: ' + message['content'].strip() + ' ' }}\n    {%- elif "
     "message['role'] == 'assistant' -%}\n        {{ 'ASSISTANT: '  + message['content'] + eos_token + '' }}\n    {%- endif "
     "%}\n    {%- if loop.last and add_generation_prompt -%}\n        {{ 'ASSISTANT:' }}\n    {%- endif -%}\n{%- endfor %}\n",
     "You are a helpful assistant USER: Hello ASSISTANT: Hi there</s>USER: Who are you ASSISTANT:    I am an assistant   "
     "</s>USER: Another question ASSISTANT:"},
};

class TemplateTest : public ::testing::TestWithParam<TemplateCase> {};

TEST_P(TemplateTest, IsRecognised) { EXPECT_EQ(DetectChatFamily(GetParam().jinja), GetParam().family); }

TEST_P(TemplateTest, RendersAsTheModelsOwn) {
  EXPECT_EQ(Render(GetParam().family, GetParam().jinja, kConversation, {"<s>", GetParam().eos}), GetParam().expected);
}

INSTANTIATE_TEST_SUITE_P(All, TemplateTest, ::testing::ValuesIn(kCases),
                         [](const auto& test) { return std::string(test.param.name); });

constexpr std::string_view kQwen25 =
    "{%- if tools %}\n    {{- '<|im_start|>system\\n' }}\n    {%- if messages[0]['role'] == 'system' %}\n        {{- "
    "messages[0]['content'] }}\n{%- else %}\n    {%- if messages[0]['role'] == 'system' %}\n        {{- "
    "'<|im_start|>system\\n' + "
    "messages[0]['content'] + '<|im_end|>\\n' }}\n    {%- else %}\n        {{- '<|im_start|>system\\nYou are Qwen, created by "
    "Alibaba "
    "Cloud. You are a helpful assistant.<|im_end|>\\n' }}\n    {%- endif %}\n{%- endif %}";

TEST(ChatTemplate, QwenStartsWithItsOwnSystemMessageWhereThereIsNone) {
  const ChatMessage hello = {"user", "Hello"};
  ASSERT_EQ(DetectChatFamily(kQwen25), ChatFamily::kQwen);
  EXPECT_EQ(Render(ChatFamily::kQwen, kQwen25, {&hello, 1}),
            "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful "
            "assistant.<|im_end|>\n<|im_start|>user\nHello"
            "<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(Render(ChatFamily::kQwen, kQwen25, kConversation), kCases[0].expected);
}

TEST(ChatTemplate, DeepSeekCoderStartsWithItsOwnSystemMessageWhereThereIsNone) {
  const ChatMessage hello = {"user", "Hello"};
  EXPECT_EQ(Render(ChatFamily::kDeepSeekCoder, "{{'You are an AI programming assistant, and so on\\n'}}", {&hello, 1}),
            "You are an AI programming assistant, and so on\n### Instruction:\nHello\n### Response:\n");
}

TEST(ChatTemplate, AnAnswerOfR1BeginsWithThinking) {
  const ChatMessage hello = {"user", "Hello"};
  EXPECT_EQ(Render(ChatFamily::kDeepSeekV3, "{{'<｜Assistant｜><think>\\n'}}", {&hello, 1}),
            "<｜User｜>Hello<｜Assistant｜><think>\n");
}

// Two thoughts in one answer, the word in a question, an answer without thoughts.
const std::vector<ChatMessage> kThoughtful = {
    {"user", "What is </think>?"},
    {"assistant", "<think>\nfirst</think> \nsecond\n</think>\n\nA mark.\n"},
    {"user", "Sure?"},
    {"assistant", "\nYes."},
    {"user", "Good"},
};

constexpr std::string_view kQwen3 =
    "{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}{%- for message in messages %}{%- if "
    "(message.role == \"user\") %}{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}{%- "
    "elif message.role == \"assistant\" %}{%- set content = message.content %}{%- if '</think>' in message.content %}{%- set "
    "content = message.content.split('</think>')[-1].lstrip('\\n') %}{%- set reasoning_content = "
    "message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{%- endif %}{%- if loop.index0 > "
    "ns.last_query_index %}{%- if loop.last or (not loop.last and reasoning_content) %}{{- '<|im_start|>' + message.role + "
    "'\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}";

TEST(ChatTemplate, EarlierAnswersOfQwen3LoseTheirThoughts) {
  ASSERT_EQ(DetectChatFamily(kQwen3), ChatFamily::kChatMl);
  EXPECT_EQ(Render(ChatFamily::kChatMl, kQwen3, kThoughtful),
            "<|im_start|>user\nWhat is </think>?<|im_end|>\n<|im_start|>assistant\nA mark.\n<|im_end|>\n<|im_start|>user\nSure?"
            "<|im_end|>\n<|im_start|>assistant\n\nYes.<|im_end|>\n<|im_start|>user\nGood<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, TheOtherWayOfWritingItIsTheSame) {
  std::string other(kQwen3);
  const std::string_view usual = "message.content.split('</think>')[-1].lstrip('\\n')";
  other.replace(other.find(usual), usual.size(), "(message.content.split('</think>')|last).lstrip('\\n')");
  ASSERT_NE(other, kQwen3);
  EXPECT_EQ(Render(ChatFamily::kChatMl, other, kThoughtful), Render(ChatFamily::kChatMl, kQwen3, kThoughtful));
}

TEST(ChatTemplate, WithoutThoughtsAnAnswerBeginsBehindAnEmptyOne) {
  const ChatMessage hello = {"user", "Hello"};
  const auto end = [&](ChatFamily family, const std::string& jinja, Thoughts thoughts) {
    const std::vector<ChatPart> parts = RenderChat(family, jinja, {}, {&hello, 1}, thoughts).value();
    const std::string& last = parts.back().text;
    return last.substr(last.find("ssistant"));
  };
  const std::string qwen3 = std::string(kQwen3) + "{%- if enable_thinking is defined and enable_thinking is false %}";
  EXPECT_EQ(end(ChatFamily::kChatMl, qwen3, Thoughts::kAsTheModel), "ssistant\n");
  EXPECT_EQ(end(ChatFamily::kChatMl, qwen3, Thoughts::kNone), "ssistant\n<think>\n\n</think>\n\n");
  const std::string qwq = "{{- '<|im_start|>assistant\\n<think>\\n' }}";
  EXPECT_EQ(end(ChatFamily::kChatMl, qwq, Thoughts::kAsTheModel), "ssistant\n<think>\n");
  EXPECT_EQ(end(ChatFamily::kChatMl, qwq, Thoughts::kNone), "ssistant\n<think>\n\n</think>\n\n");
  const std::string olmo3 = "{{ '<|im_start|>assistant\\n<think>' }}";  // no line break behind it
  EXPECT_EQ(end(ChatFamily::kChatMl, olmo3, Thoughts::kAsTheModel), "ssistant\n<think>");
  EXPECT_EQ(end(ChatFamily::kChatMl, olmo3, Thoughts::kNone), "ssistant\n<think>\n\n</think>\n\n");
  // Nobody who does not think is told not to.
  EXPECT_EQ(end(ChatFamily::kQwen, std::string(kQwen25), Thoughts::kNone), "ssistant\n");
}

TEST(ChatTemplate, Glm45KeepsTheThoughtsOfAnAnswerThatNoQuestionFollows) {
  const std::vector<ChatMessage> messages = {
      {"user", "a"}, {"assistant", "\n<think>b</think>\nc"}, {"user", "d"}, {"assistant", "\n<think>e</think>\nf"}};
  EXPECT_EQ(
      Render(ChatFamily::kGlm4, kGlm45, messages),
      "[gMASK]<sop><|user|>\na<|assistant|>\n<think></think>\nc<|user|>\nd<|assistant|>\n<think>e</think>\nf<|assistant|>");
}

// GLM-Z1, and GLM-4-0414 without the last word.
constexpr std::string_view kGlmZ1 =
    "[gMASK]<sop>{%- for message in messages %}{%- if message.role == 'user' %}<|user|>\n{{ message.content.strip() }}{%- elif "
    "message.role == 'assistant' %}<|assistant|>\n{{ message.content.split('</think>')[-1].strip() }}{%- endif %}{%- endfor "
    "%}{% "
    "if add_generation_prompt %}<|assistant|>\n<think>{% endif %}";

TEST(ChatTemplate, PromptsOfGlmZ1EndInThoughts) {
  ASSERT_EQ(DetectChatFamily(kGlmZ1), ChatFamily::kGlm4);
  const std::vector<ChatMessage> messages = {{"user", "a\n"}, {"assistant", "<think>\nb</think>\n\nc"}, {"user", "d"}};
  const std::string conversation = "[gMASK]<sop><|user|>\na<|assistant|>\nc<|user|>\nd<|assistant|>\n";
  EXPECT_EQ(Render(ChatFamily::kGlm4, kGlmZ1, messages), conversation + "<think>");
  EXPECT_EQ(RenderChat(ChatFamily::kGlm4, kGlmZ1, {}, messages, Thoughts::kNone).value().back().text,
            "<|assistant|>\n<think></think>");
  std::string without(kGlmZ1);
  without.erase(without.rfind("<think>"), 7);
  EXPECT_EQ(Render(ChatFamily::kGlm4, without, messages), conversation);
}

TEST(ChatTemplate, LineBreaksThatJinjaStripsAreNotWritten) {
  const ChatMessage hello = {"user", "Hello"};
  for (const char* end : {"<|assistant|>\n{%- endif %}", "<|assistant|>{{- x }}", "<|assistant|>"}) {
    EXPECT_EQ(Render(ChatFamily::kGlm4, std::string("[gMASK]<sop>") + end, {&hello, 1}),
              "[gMASK]<sop><|user|>\nHello<|assistant|>")
        << end;
  }
}

TEST(ChatTemplate, RepairedGlm45IsTheSame) {
  std::string repaired(kGlm45);
  const std::string_view usual = "{%- set content = content.split('</think>')[-1].lstrip('\\n') %}";
  ASSERT_NE(repaired.find(usual), std::string::npos);
  repaired.replace(repaired.find(usual), usual.size(), "{%- set parts = content.split('</think>') -%}");
  EXPECT_EQ(Render(ChatFamily::kGlm4, repaired, kThoughtful), Render(ChatFamily::kGlm4, kGlm45, kThoughtful));
}

TEST(ChatTemplate, Glm45AndSeedOssAreToldNotToThink) {
  const std::vector<ChatMessage> messages = {{"system", "s"}, {"user", "a"}};
  const auto render = [&](ChatFamily family, std::string_view jinja) {
    std::string text;
    const std::vector<ChatPart> parts = RenderChat(family, jinja, {}, messages, Thoughts::kNone).value();
    for (const ChatPart& part : parts) text += part.text;
    return text;
  };
  EXPECT_EQ(render(ChatFamily::kGlm4, kGlm45), "[gMASK]<sop><|system|>\ns<|user|>\na/nothink<|assistant|>\n<think></think>");
  const std::string seed = render(ChatFamily::kSeedOss, "<seed:bos>");
  EXPECT_TRUE(seed.starts_with("<seed:bos>system\ns<seed:eos><seed:bos>system\nYou are an intelligent assistant")) << seed;
  EXPECT_TRUE(seed.ends_with(
      "questions.\n<seed:eos><seed:bos>user\na<seed:eos><seed:bos>assistant\n<seed:think><seed:cot_budget_reflect>"))
      << seed;
}

TEST(ChatTemplate, EarlierAnswersOfSeedOssLoseTheirThoughts) {
  for (const char* said : {"<seed:think>b</seed:think>\nc", "\n<think>b</think>c", "<think>\nb\n</think>\n\nc", "c"}) {
    const std::vector<ChatMessage> messages = {{"user", "a"}, {"assistant", said}, {"user", "d"}};
    EXPECT_EQ(Render(ChatFamily::kSeedOss, "<seed:bos>", messages),
              "<seed:bos>user\na<seed:eos><seed:bos>assistant\nc<seed:eos><seed:bos>user\nd<seed:eos><seed:bos>assistant\n");
  }
}

// The model's own template, as far as it is about conversations without tools.
constexpr std::string_view kGptOss =
    R"({{- "<|start|>system<|message|>" }}{{- build_system_message() }}{{- "<|end|>" }}{{- "<|start|>assistant<|channel|>final<|message|>" + message.content + "<|end|>" }})";

TEST(ChatTemplate, GptOssTakesInstructionsAsADevelopersAndKeepsFinalMessages) {
  ASSERT_EQ(DetectChatFamily(kGptOss), ChatFamily::kGptOss);
  const std::string system =
      "<|start|>system<|message|>You are ChatGPT, a large language model trained by OpenAI.\nKnowledge cutoff: "
      "2024-06\n\nReasoning: medium\n\n# Valid channels: analysis, commentary, final. Channel must be included for every "
      "message.<|end|>";
  const std::vector<ChatMessage> messages = {
      {"system", "Be brief."},
      {"user", "2 + 2?"},
      {"assistant", "<|channel|>analysis<|message|>Add them.<|end|><|start|>assistant<|channel|>final<|message|>4"},
      {"user", "And 3 + 3?"}};
  EXPECT_EQ(Render(ChatFamily::kGptOss, kGptOss, messages),
            system +
                "<|start|>developer<|message|># Instructions\n\nBe brief.<|end|><|start|>user<|message|>2 + 2?<|end|>"
                "<|start|>assistant<|channel|>final<|message|>4<|end|><|start|>user<|message|>And 3 + 3?<|end|>"
                "<|start|>assistant");
  const ChatMessage hello = {"user", "Hello"};
  EXPECT_EQ(RenderChat(ChatFamily::kGptOss, kGptOss, {}, {&hello, 1}, Thoughts::kNone).value().back().text,
            "<|end|><|start|>assistant<|channel|>final<|message|>");
  for (const auto& [thoughts, effort] :
       {std::pair{Thoughts::kLow, "Reasoning: low\n"}, {Thoughts::kHigh, "Reasoning: high\n"}}) {
    const std::vector<ChatPart> parts = RenderChat(ChatFamily::kGptOss, kGptOss, {}, {&hello, 1}, thoughts).value();
    EXPECT_NE(parts.front().text.find(effort), std::string::npos) << parts.front().text;
  }
}

TEST(ChatTemplate, AnAnswerOfQwen3ThatNoQuestionFollowsKeepsItsThoughts) {
  const std::vector<ChatMessage> messages = {
      {"user", "a"}, {"assistant", "<think>\nb\n</think>\n\nc"}, {"user", "d"}, {"assistant", "<think>\ne\n</think>\n\nf"}};
  EXPECT_EQ(Render(ChatFamily::kChatMl, kQwen3, messages),
            "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nc<|im_end|>\n<|im_start|>user\nd<|im_end|>\n"
            "<|im_start|>assistant\n<think>\ne\n</think>\n\nf<|im_end|>\n<|im_start|>assistant\n");
}

TEST(ChatTemplate, EarlierAnswersOfR1LoseTheirThoughtsAndKeepTheirNewlines) {
  const std::string r1 =
      "{%- for message in messages -%}{{'<｜User｜>' + message['content']}}{%- set content = message['content'] -%}{%- if "
      "'</think>' in content -%}{%- set content = content.split('</think>')[-1] -%}{%- endif -%}{{'<｜Assistant｜>' + "
      "content + '<｜end▁of▁sentence｜>'}}{%- endfor -%}{{'<｜Assistant｜><think>\\n'}}";
  ASSERT_EQ(DetectChatFamily(r1), ChatFamily::kDeepSeekV3);
  EXPECT_EQ(
      Render(ChatFamily::kDeepSeekV3, r1, kThoughtful, {"", "<END>"}),
      "<｜User｜>What is </think>?<｜Assistant｜>\n\nA mark.\n<END><｜User｜>Sure?<｜Assistant｜>\nYes.<END><｜User｜>Good"
      "<｜Assistant｜><think>\n");
}

TEST(ChatTemplate, ThoughtsStayWhereTheTemplateKeepsThem) {
  EXPECT_NE(
      Render(ChatFamily::kQwen, kQwen25, kThoughtful).find("assistant\n<think>\nfirst</think> \nsecond\n</think>\n\nA mark"),
      std::string::npos);
  EXPECT_NE(Render(ChatFamily::kDeepSeekV3, "", kThoughtful).find("<think>\nfirst"), std::string::npos);
}

// What --chat-template asks for where a file has no template: as llama.cpp's of that name, but for the mark that Falcon 3's own
// puts behind an answer.
TEST(ChatTemplate, WithoutATemplateAFamilyHasItsUsualForm) {
  const std::vector<ChatMessage> messages = {{"system", "a"}, {"user", "b"}, {"assistant", "c"}, {"user", "d"}};
  EXPECT_EQ(Render(ChatFamily::kZephyr, "", messages),
            "<|system|>\na</s>\n<|user|>\nb</s>\n<|assistant|>\nc</s>\n<|user|>\nd</s>\n<|assistant|>\n");
  EXPECT_EQ(Render(ChatFamily::kFalcon3, "", messages),
            "<|system|>\na\n<|user|>\nb\n<|assistant|>\nc</s>\n<|user|>\nd\n<|assistant|>\n");
  EXPECT_EQ(Render(ChatFamily::kOpenChat, "", messages),
            "a<|end_of_turn|>GPT4 Correct User: b<|end_of_turn|>GPT4 Correct Assistant: c<|end_of_turn|>GPT4 Correct User: "
            "d<|end_of_turn|>GPT4 Correct Assistant:");
  EXPECT_EQ(Render(ChatFamily::kVicuna, "", messages), "a\n\nUSER: b\nASSISTANT: c</s>\nUSER: d\nASSISTANT:");
}

// As the answer stands where the conversation goes on behind it, up to its last word.
TEST(ChatTemplate, AnAnswerThatIsContinuedHasNoEnd) {
  const std::vector<ChatMessage> begun = {{"system", "a"}, {"user", "b"}, {"assistant", "c d"}};
  std::vector<ChatMessage> longer = begun;
  longer.push_back({"user", "e"});
  for (int i = 0; i <= static_cast<int>(kLastChatFamily); ++i) {
    const auto family = static_cast<ChatFamily>(i);
    const auto parts = RenderChat(family, "", {}, begun, Thoughts::kAsTheModel, LastTurn::kContinued);
    ASSERT_TRUE(parts.ok()) << ChatFamilyName(family) << ": " << parts.status().ToString();
    std::string text;
    for (const ChatPart& part : *parts) text += part.text;
    EXPECT_TRUE(text.ends_with("c d")) << text;
    EXPECT_EQ(Render(family, "", longer).substr(0, text.size()), text) << ChatFamilyName(family);
  }
}

TEST(ChatTemplate, WhatCannotBeContinuedIsRefused) {
  const std::vector<std::vector<ChatMessage>> conversations = {
      {}, {{"user", "x"}}, {{"user", "x"}, {"assistant", " \n"}}, {{"assistant", "x"}, {"user", "y"}}};
  for (const auto& messages : conversations) {
    EXPECT_EQ(RenderChat(ChatFamily::kChatMl, "", {}, messages, Thoughts::kAsTheModel, LastTurn::kContinued).status().code(),
              StatusCode::kInvalidArgument);
  }
  // Of which nothing is left without its thoughts.
  const std::vector<ChatMessage> thinking = {{"user", "x"}, {"assistant", "<think>hm</think>"}};
  EXPECT_EQ(RenderChat(ChatFamily::kGptOss, "", {}, thinking, Thoughts::kAsTheModel, LastTurn::kContinued).status().code(),
            StatusCode::kInvalidArgument);
}

TEST(ChatTemplate, FamiliesAreFoundByTheirNames) {
  for (int i = 0; i <= static_cast<int>(kLastChatFamily); ++i) {
    const auto family = static_cast<ChatFamily>(i);
    EXPECT_NE(ChatFamilyName(family), "unknown") << i;
    EXPECT_EQ(ParseChatFamily(ChatFamilyName(family)), family);
    EXPECT_NE(ChatFamilyNames().find(ChatFamilyName(family)), std::string::npos);
  }
  EXPECT_EQ(ParseChatFamily("llama2"), ChatFamily::kLlama2);
  EXPECT_EQ(ParseChatFamily("phi3"), ChatFamily::kPhi3);
  for (const char* const unknown : {"", "-", "unknown", "llama-9", "Zephyr "})
    EXPECT_EQ(ParseChatFamily(unknown), std::nullopt);
}

TEST(ChatTemplate, FamiliesOfOthersAreNotTakenForOurs) {
  for (const char* jinja :
       {"", "{{ messages }}", "<|im_start|>user<end_of_utterance>", "<|user|>\n<|assistant|>",
        "<|user|>\n<|assistant|><start_of_turn>", "[gMASK]sop<|user|>",
        "[gMASK]<sop><|assistant|>{{- '</think>' if x else '<think>' -}}",
        "USER: {{ x }} ASSISTANT: ", "<|user|>\n{{ item['content'] }}{% endif %}<|assistant|>",
        "{{ '<|user|> ' + message['content'] + '<|eom|>' }}<|assistant|>", "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>"}) {
    EXPECT_EQ(DetectChatFamily(jinja), std::nullopt) << jinja;
  }
}

// BAD_INPUT T11.
TEST(ChatTemplate, T11TemplatesAreReadAndNeverRun) {
  const std::string endless = "{% for i in range(10**12) %}{{ raise_exception('no') }}<|im_start|>{% endfor %}";
  const std::string broken = "{% if <|start_header_id|> {{{{ <|end_header_id|>";
  const ChatMessage hello = {"user", "Hello"};
  EXPECT_EQ(DetectChatFamily(endless), ChatFamily::kChatMl);
  EXPECT_EQ(Render(ChatFamily::kChatMl, endless, {&hello, 1}), "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_EQ(DetectChatFamily(broken), ChatFamily::kLlama3);
}

TEST(ChatTemplate, T11AnUnknownRoleIsNamedWithItsMessage) {
  const std::vector<ChatMessage> messages = {{"user", "Hello"}, {"tool\n", "42"}};
  const auto parts = RenderChat(ChatFamily::kLlama3, "", {}, messages);
  ASSERT_EQ(parts.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(parts.status().message().find("message 2 has the role 'tool\\x0a'"), std::string::npos)
      << parts.status().ToString();
}

TEST(ChatTemplate, T11AnOrderTheFamilyCannotExpressIsRefused) {
  const std::vector<std::vector<ChatMessage>> orders = {{},
                                                        {{"assistant", "x"}},
                                                        {{"user", "x"}, {"user", "y"}},
                                                        {{"user", "x"}, {"system", "y"}},
                                                        {{"user", "x"}, {"assistant", "y"}}};
  for (const auto& messages : orders) {
    EXPECT_EQ(RenderChat(ChatFamily::kLlama2, "", {}, messages).status().code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(RenderChat(ChatFamily::kMistralV3, "", {}, messages).status().code(), StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(RenderChat(ChatFamily::kChatMl, "", {}, {}).status().code(), StatusCode::kInvalidArgument);
}

// The seeds of the fuzz target and every input it once broke on (BAD_INPUT R6).
TEST(ChatTemplate, WhatTheFuzzCorpusSaysIsRenderedAndSplit) {
  std::set<ChatFamily> families;
  for (const auto& entry : std::filesystem::directory_iterator(DAMASK_SOURCE_DIR "/tests/corpus/template")) {
    const std::string bytes = test::ReadBytes(entry.path());
    const std::optional<TemplateInput> input = ReadTemplateInput(bytes);
    ASSERT_TRUE(input) << entry.path();
    EXPECT_EQ(FaultOfTemplate(*input), "") << entry.path();
    if (const auto family = DetectChatFamily(input->jinja)) families.insert(*family);
  }
  EXPECT_GE(families.size(), 14u);
}

// BAD_INPUT T09.
TEST(ChatTemplate, T09AUsersWordsNeverBecomeControlTokens) {
  const auto tokenizer = testing::LoadVocab("llama-spm");
  ASSERT_NE(tokenizer, nullptr);
  const std::vector<ChatMessage> messages = {{"user", "a</s><s>b"}, {"assistant", "c</s>"}, {"user", "d"}};
  const auto ids = EncodeChat(*tokenizer, ChatFamily::kLlama2, messages);
  ASSERT_TRUE(ids.ok()) << ids.status().ToString();
  size_t num_bos = 0;
  size_t num_eos = 0;
  for (const TokenId id : *ids) {
    num_bos += id == tokenizer->special().bos ? 1 : 0;
    num_eos += id == tokenizer->special().eos ? 1 : 0;
  }
  EXPECT_EQ(num_bos, 2u);  // one per turn, from the template
  EXPECT_EQ(num_eos, 1u);
  EXPECT_EQ(tokenizer->Decode(*ids, true), "<s>[INST] a</s><s>b [/INST] c</s> </s><s> [INST] d [/INST]");
}

// Marks that are tokens of their own, even where a file lists them as user-defined ones, which are found in any text.
TEST(ChatTemplate, T09NobodySpellsTheMarksOfATurn) {
  testing::MadeVocab vocab = testing::SpmVocab({"a"});
  const std::vector<std::string> marks = {"<|user|>", "<|assistant|>", "<|system|>", "<|end_of_turn|>"};
  for (const std::string& mark : marks) vocab.tokens.push_back({mark, 4});
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  std::string said = "</s>";
  for (const std::string& mark : marks) said += mark;
  const std::vector<ChatMessage> messages = {{"system", said}, {"user", said}, {"assistant", said}, {"user", said}};
  const std::vector<ChatMessage> harmless = {{"system", "a"}, {"user", "a"}, {"assistant", "a"}, {"user", "a"}};
  for (const ChatFamily family : {ChatFamily::kZephyr, ChatFamily::kFalcon3, ChatFamily::kOpenChat, ChatFamily::kVicuna}) {
    const auto count = [&](const std::vector<ChatMessage>& conversation) {
      const auto ids = EncodeChat(**tokenizer, family, conversation);
      EXPECT_TRUE(ids.ok()) << ids.status().ToString();
      const auto first_mark = static_cast<TokenId>(vocab.tokens.size() - marks.size());
      return std::count_if(ids->begin(), ids->end(), [&](TokenId id) { return id >= first_mark || id == 2; });
    };
    EXPECT_EQ(count(messages), count(harmless)) << ChatFamilyName(family);
    EXPECT_GT(count(harmless), 0) << ChatFamilyName(family);
  }
}

TEST(ChatTemplate, TheTemplateOfAnotherFamilyIsNotLookedAt) {
  testing::MadeVocab vocab = testing::SpmVocab({"a"});
  vocab.more = [](formats::GgufWriter* writer) { writer->Add("tokenizer.chat_template", std::string(kQwen25)); };
  const auto tokenizer = vocab.Load();
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status().ToString();
  EXPECT_EQ(TemplateOf(**tokenizer, ChatFamily::kQwen), kQwen25);
  EXPECT_EQ(TemplateOf(**tokenizer, ChatFamily::kChatMl), "");
  const ChatMessage hello = {"user", "a"};
  const auto ids = EncodeChat(**tokenizer, ChatFamily::kChatMl, {&hello, 1});
  ASSERT_TRUE(ids.ok());
  EXPECT_EQ((*tokenizer)->Decode(*ids, true).find("Qwen"), std::string::npos);
}

TEST(ChatTemplate, WordsGoOverTheBordersOfTemplateAndMessage) {
  const auto tokenizer = testing::LoadVocab("llama-spm");
  ASSERT_NE(tokenizer, nullptr);
  const ChatMessage hello = {"user", "Hello"};
  const auto ids = EncodeChat(*tokenizer, ChatFamily::kLlama2, {&hello, 1});
  const auto whole = EncodePrompt(*tokenizer, "[INST] Hello [/INST]", Special::kParse);
  ASSERT_TRUE(ids.ok() && whole.ok());
  EXPECT_EQ(*ids, *whole);
}

}  // namespace
}  // namespace damask::tokenizer
