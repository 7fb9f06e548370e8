#include "tokenizer/byte_alphabet.h"

#include <array>
#include <optional>

#include "base/text.h"

namespace damask::tokenizer {
namespace {

bool IsPrintable(uint32_t byte) {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

// Printable bytes of Latin-1 stand for themselves; the others follow from U+0100 on.
constexpr uint32_t kAlphabetEnd = 0x144;

struct Alphabet {
  std::array<std::string, 256> characters;
  std::array<std::optional<uint8_t>, kAlphabetEnd> bytes;

  Alphabet() {
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; ++byte) {
      const uint32_t code_point = IsPrintable(byte) ? byte : next++;
      AppendUtf8(code_point, &characters[byte]);
      bytes[code_point] = static_cast<uint8_t>(byte);
    }
  }
};

const Alphabet& TheAlphabet() {
  static const Alphabet alphabet;
  return alphabet;
}

// All characters of the alphabet have one or two bytes.
std::optional<uint8_t> ByteOf(std::string_view character) {
  uint32_t code_point = static_cast<unsigned char>(character[0]);
  if (character.size() == 2) code_point = ((code_point & 0x1f) << 6) | (static_cast<unsigned char>(character[1]) & 0x3f);
  if (character.size() > 2 || code_point >= kAlphabetEnd) return std::nullopt;
  return TheAlphabet().bytes[code_point];
}

}  // namespace

std::string_view ByteCharacter(uint8_t byte) { return TheAlphabet().characters[byte]; }

void AppendByteCharacters(std::string_view bytes, std::string* out) {
  for (const char byte : bytes) *out += TheAlphabet().characters[static_cast<unsigned char>(byte)];
}

std::string FromByteCharacters(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    const std::string_view character = text.substr(0, length == 0 ? 1 : length);
    text.remove_prefix(character.size());
    const std::optional<uint8_t> byte = length == 0 ? std::nullopt : ByteOf(character);
    if (byte) {
      out.push_back(static_cast<char>(*byte));
    } else {
      out += character;
    }
  }
  return out;
}

}  // namespace damask::tokenizer
