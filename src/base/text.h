// Small helpers on text: quoting untrusted bytes for messages, UTF-8 checks, numbers and durations for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace damask {

// Bytes from outside, fit for one line of a message: in single quotes (inner ones and backslashes escaped), bytes that are not
// UTF-8 and characters that steer a terminal as \xNN, cut after at most `max_bytes` with "...".
std::string Quote(std::string_view bytes, size_t max_bytes = 80);

// The same without the quotes around it.
std::string Escape(std::string_view bytes, size_t max_bytes = 80);

// Length in bytes of the valid UTF-8 character at the start of `text`; 0 where there is none (overlong forms, surrogates and
// values over U+10FFFF are not valid). A character cut off by the end of the text also gives 0.
size_t Utf8Length(std::string_view text);

bool IsValidUtf8(std::string_view text);

// How many bytes at the end of `text` are the beginning of a character that may still be completed (0 to 3).
size_t IncompleteUtf8Tail(std::string_view text);

// As much of the beginning of `text` as `max_bytes` hold, without cutting a character in two.
std::string_view CutUtf8(std::string_view text, size_t max_bytes);

// Replaces every byte that is not part of valid UTF-8 by U+FFFD.
std::string SanitizeUtf8(std::string_view text);

// A surrogate or a value over U+10FFFF becomes U+FFFD.
void AppendUtf8(uint32_t code_point, std::string* out);

// "1 token", "2 tokens": for nouns whose plural is an s more.
std::string Counted(uint64_t count, std::string_view noun);

// "1.3 GB", "912 KB", "17 B": powers of 1000, as disk sizes are.
std::string FormatBytes(uint64_t bytes);

// "1h02m", "3m07s", "4.2s"; "?" for what is no number of seconds (infinite, NaN).
std::string FormatSeconds(double seconds);

// ASCII letters only.
std::string LowerCase(std::string_view text);

// Whether one character (as UTF-8) is a control character that a terminal or a page must not get: C0 but newline and tab, DEL,
// C1 (U+0080 to U+009F).
bool IsControlCharacter(std::string_view character);

std::vector<std::string_view> Split(std::string_view text, char separator);

}  // namespace damask
