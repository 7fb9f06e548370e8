// "Did you mean ...?"
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace damask {

// The known name that `name` was probably meant to be: few letters apart, or the only one it begins; dashes before it do not
// count. Empty where none is near.
std::string Nearest(std::string_view name, const std::vector<std::string>& known);

// ": did you mean '--temp'?" or "".
std::string DidYouMean(std::string_view name, const std::vector<std::string>& known);

}  // namespace damask
