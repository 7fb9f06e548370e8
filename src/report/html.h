// What every page that damask writes needs: text made harmless, bytes as text.
#pragma once

#include <string>
#include <string_view>

namespace damask::report {

// Text for the content of an element or for an attribute in double quotes: & < > " ' as references; bytes that are not UTF-8
// and control characters but newline and tab as U+FFFD.
std::string EscapeHtml(std::string_view text);

std::string Base64(std::string_view bytes);

}  // namespace damask::report
