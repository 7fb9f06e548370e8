// GPT-2's alphabet: one printable character for each byte, in which byte-level vocabularies are written ("Ġ" is a space).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace damask::tokenizer {

// The character of a byte, UTF-8.
std::string_view ByteCharacter(uint8_t byte);

// Bytes as such characters.
void AppendByteCharacters(std::string_view bytes, std::string* out);

// The bytes of such characters; a character that is none of the alphabet stays as it is.
std::string FromByteCharacters(std::string_view text);

}  // namespace damask::tokenizer
