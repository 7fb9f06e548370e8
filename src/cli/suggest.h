// Hints for those who come from llama.cpp, or from programs like it.
#pragma once

#include <string_view>

namespace damask::cli {

// What to know of a flag of llama.cpp that damask has not: "the KV cache's type is --kv q8"; empty for all others.
std::string_view LlamaFlagHint(std::string_view flag);

// What to know of a command that other programs have: "'damask eval perplexity' measures it"; empty for all others.
std::string_view ForeignCommandHint(std::string_view command);

}  // namespace damask::cli
