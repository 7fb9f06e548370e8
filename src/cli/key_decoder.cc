#include "cli/key_decoder.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "base/text.h"

namespace damask::cli {
namespace {

constexpr char kEscape = '\x1b';
constexpr std::string_view kPasteBegins = "200~";
constexpr std::string_view kPasteEnds = "\x1b[201~";
constexpr size_t kLongestSequence = 32;  // what is longer is no key, whatever it says

constexpr std::array kControls = std::to_array<std::pair<char, KeyCode>>({{'\x01', KeyCode::kHome},
                                                                          {'\x02', KeyCode::kLeft},
                                                                          {'\x04', KeyCode::kEndOfInput},
                                                                          {'\x05', KeyCode::kEnd},
                                                                          {'\x06', KeyCode::kRight},
                                                                          {'\x08', KeyCode::kBackspace},
                                                                          {'\n', KeyCode::kEnter},
                                                                          {'\x0b', KeyCode::kCutBehind},
                                                                          {'\x0c', KeyCode::kClearScreen},
                                                                          {'\r', KeyCode::kEnter},
                                                                          {'\x0e', KeyCode::kDown},
                                                                          {'\x10', KeyCode::kUp},
                                                                          {'\x15', KeyCode::kCutBefore},
                                                                          {'\x17', KeyCode::kCutWord},
                                                                          {'\x7f', KeyCode::kBackspace}});

// What follows ESC [ (or ESC O).
constexpr std::array kSequences = std::to_array<std::pair<std::string_view, KeyCode>>({{"A", KeyCode::kUp},
                                                                                       {"B", KeyCode::kDown},
                                                                                       {"C", KeyCode::kRight},
                                                                                       {"D", KeyCode::kLeft},
                                                                                       {"F", KeyCode::kEnd},
                                                                                       {"H", KeyCode::kHome},
                                                                                       {"1~", KeyCode::kHome},
                                                                                       {"3~", KeyCode::kDelete},
                                                                                       {"4~", KeyCode::kEnd},
                                                                                       {"7~", KeyCode::kHome},
                                                                                       {"8~", KeyCode::kEnd},
                                                                                       {"1;3C", KeyCode::kWordRight},
                                                                                       {"1;3D", KeyCode::kWordLeft},
                                                                                       {"1;5C", KeyCode::kWordRight},
                                                                                       {"1;5D", KeyCode::kWordLeft}});

// What follows ESC alone, as Alt with a letter sends it.
constexpr std::array kAltKeys = std::to_array<std::pair<char, KeyCode>>({{'\r', KeyCode::kNewline},
                                                                         {'\n', KeyCode::kNewline},
                                                                         {'\x7f', KeyCode::kCutWord},
                                                                         {'b', KeyCode::kWordLeft},
                                                                         {'f', KeyCode::kWordRight}});

template <typename Table, typename Name>
std::optional<Key> Find(const Table& table, const Name& name) {
  const auto found = std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.first == name; });
  return found == table.end() ? std::nullopt : std::optional(Key{found->second, {}});
}

// Terminals send the newlines of a paste as carriage returns.
std::string CleanPaste(std::string_view paste) {
  const std::string valid = SanitizeUtf8(paste);
  std::string out;
  for (std::string_view rest = valid; !rest.empty();) {
    const std::string_view character = rest.substr(0, std::max<size_t>(1, Utf8Length(rest)));
    rest.remove_prefix(character.size());
    if (character == "\r") {
      if (!rest.starts_with('\n')) out += '\n';
    } else if (!IsControlCharacter(character)) {
      out += character;
    }
  }
  return out;
}

}  // namespace

std::optional<Key> KeyDecoder::Add(char byte) {
  switch (state_) {
    case State::kGround: return AddToGround(byte);
    case State::kSequence: return AddToSequence(byte);
    case State::kPaste: return AddToPaste(byte);
    case State::kEscape: break;
  }
  if (byte == kEscape) return std::nullopt;
  state_ = byte == '[' || byte == 'O' ? State::kSequence : State::kGround;
  return state_ == State::kSequence ? std::nullopt : Find(kAltKeys, byte);
}

std::optional<Key> KeyDecoder::AddToGround(char byte) {
  if (static_cast<unsigned char>(byte) >= 0x80) return AddToCharacter(byte);
  held_.clear();
  if (byte == kEscape) {
    state_ = State::kEscape;
    return std::nullopt;
  }
  if (byte == '\t' || (byte >= ' ' && byte != '\x7f')) return Key{KeyCode::kText, std::string(1, byte)};
  return Find(kControls, byte);
}

std::optional<Key> KeyDecoder::AddToCharacter(char byte) {
  held_ += byte;
  if (Utf8Length(held_) == 0) {
    held_.erase(0, held_.size() - IncompleteUtf8Tail(held_));
    return std::nullopt;
  }
  std::string character = std::exchange(held_, {});
  if (IsControlCharacter(character)) return std::nullopt;
  return Key{KeyCode::kText, std::move(character)};
}

std::optional<Key> KeyDecoder::AddToSequence(char byte) {
  if (held_.size() < kLongestSequence) held_ += byte;
  if (byte < '@' || byte > '~') return std::nullopt;
  const std::string sequence = std::exchange(held_, {});
  state_ = sequence == kPasteBegins ? State::kPaste : State::kGround;
  return Find(kSequences, std::string_view(sequence));
}

std::optional<Key> KeyDecoder::AddToPaste(char byte) {
  held_ += byte;
  if (!held_.ends_with(kPasteEnds)) return std::nullopt;
  state_ = State::kGround;
  const std::string paste = std::exchange(held_, {});
  return Key{KeyCode::kText, CleanPaste(std::string_view(paste).substr(0, paste.size() - kPasteEnds.size()))};
}

}  // namespace damask::cli
