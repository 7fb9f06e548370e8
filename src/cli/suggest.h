// "Did you mean ...?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace damask::cli {

// The known name that `name` was probably meant to be: few letters apart, or the only one it begins. Empty where none is near.
std::string Nearest(std::string_view name, const std::vector<std::string>& known);

// ": did you mean '--temp'?" or "".
std::string DidYouMean(std::string_view name, const std::vector<std::string>& known);

// What to know of a flag of llama.cpp that damask has not: "the KV cache's type is --kv q8"; empty for all others.
std::string_view LlamaFlagHint(std::string_view flag);

}  // namespace damask::cli
