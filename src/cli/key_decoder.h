// What a terminal sends, byte by byte, as keys: control characters, escape sequences (xterm's, which all others follow), UTF-8
// characters and bracketed pastes.
#pragma once

#include <optional>
#include <string>

namespace damask::cli {

enum class KeyCode {
  kText,  // a character that was typed, or all of a paste, newlines and all
  kEnter,
  kNewline,  // Alt-Enter: a new line in the text
  kBackspace,
  kDelete,
  kLeft,
  kRight,
  kWordLeft,
  kWordRight,
  kUp,
  kDown,
  kHome,
  kEnd,
  kCutBefore,    // Ctrl-U
  kCutBehind,    // Ctrl-K
  kCutWord,      // Ctrl-W
  kEndOfInput,   // Ctrl-D
  kClearScreen,  // Ctrl-L
};

struct Key {
  KeyCode code = KeyCode::kText;
  std::string text;  // of kText: valid UTF-8 without control characters but newline and tab
};

class KeyDecoder {
 public:
  // The key that this byte completes, if it does.
  std::optional<Key> Add(char byte);

 private:
  enum class State { kGround, kEscape, kSequence, kPaste };

  std::optional<Key> AddToGround(char byte);
  std::optional<Key> AddToCharacter(char byte);
  std::optional<Key> AddToSequence(char byte);
  std::optional<Key> AddToPaste(char byte);

  State state_ = State::kGround;
  std::string held_;  // of a character, a sequence or a paste that is not whole yet
};

}  // namespace damask::cli
