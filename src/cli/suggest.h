// Hints for those who come from llama.cpp.
#pragma once

#include <string_view>

namespace damask::cli {

// What to know of a flag of llama.cpp that damask has not: "the KV cache's type is --kv q8"; empty for all others.
std::string_view LlamaFlagHint(std::string_view flag);

}  // namespace damask::cli
