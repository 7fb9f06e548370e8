// The line editor of damask chat: what keys do, where a text stands on the screen, and the program in a terminal.
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <stdexcept>

#include <gtest/gtest.h>

#include "cli/key_decoder.h"
#include "cli/line_buffer.h"
#include "cli/line_view.h"
#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

using cli::LineBuffer;
using Outcome = LineBuffer::Outcome;

const std::string kLeft = "\x1b[D";
const std::string kRight = "\x1b[C";
const std::string kUp = "\x1b[A";
const std::string kDown = "\x1b[B";

// A line and whoever types it.
struct Typist {
  cli::KeyDecoder decoder;
  LineBuffer line;

  // The outcome of the last key.
  Outcome Type(const std::string& bytes) {
    Outcome outcome = Outcome::kGoesOn;
    for (const char byte : bytes) {
      if (const auto key = decoder.Add(byte)) outcome = line.Apply(*key);
    }
    return outcome;
  }
};

// What is there after these bytes, the cursor as "|".
std::string After(const std::string& bytes) {
  Typist typist;
  typist.Type(bytes);
  std::string text = typist.line.text();
  return text.insert(typist.line.cursor(), "|");
}

TEST(LineEditor, KeysMoveAndDelete) {
  EXPECT_EQ(After("abc"), "abc|");
  EXPECT_EQ(After("abc" + kLeft + kLeft), "a|bc");
  EXPECT_EQ(After("abc" + kLeft + kLeft + kRight + "x"), "abx|c");
  EXPECT_EQ(After("abc\x7f"), "ab|");
  EXPECT_EQ(After("abc\x08"), "ab|");
  EXPECT_EQ(After("\x7f" + kLeft + "a"), "a|");
  EXPECT_EQ(After("abc\x01"), "|abc");
  EXPECT_EQ(After("abc\x1b[H\x1b[3~"), "|bc");
  EXPECT_EQ(After("abc\x1bOH\x05"), "abc|");
  EXPECT_EQ(After("abc\x1b[1~\x1b[4~x"), "abcx|");
  EXPECT_EQ(After("abc" + kLeft + "\x15"), "|c");
  EXPECT_EQ(After("abc" + kLeft + "\x0b"), "ab|");
  EXPECT_EQ(After("one two  \x17"), "one |");
  EXPECT_EQ(After("one two\x1b[1;5D\x1b[1;5D\x1b[1;5C"), "one| two");
  EXPECT_EQ(After("abc" + kLeft + "\x04"), "ab|");
}

TEST(LineEditor, CharactersAreWhole) {
  EXPECT_EQ(After("caf\xc3\xa9\x7f"), "caf|");
  EXPECT_EQ(After("\xe6\xbc\xa2\xf0\x9f\x98\x80" + kLeft), "\xe6\xbc\xa2|\xf0\x9f\x98\x80");
  EXPECT_EQ(After("ae\xcc\x81\x7f"), "a|");  // e and the accent on it
  EXPECT_EQ(After("ae\xcc\x81" + kLeft + kLeft + kRight + kRight), "ae\xcc\x81|");
  EXPECT_EQ(After("ae\xcc\x81\x01" + kRight + "\x1b[3~"), "a|");
}

TEST(LineEditor, WhatIsNoKeyLeavesNothing) {
  EXPECT_EQ(After("a\x1b[5~\x1b[15;2~\x1bOP\x1b[200b"), "a|");
  EXPECT_EQ(After("a\xff\xc3(\xc2\x85"), "a(|");  // bytes that are no UTF-8, and a C1 control character
  EXPECT_EQ(After(std::string("a\0\x02", 3)), "|a");
  EXPECT_EQ(After("\x1b[" + std::string(100, '1') + "xa"), "a|");
}

TEST(LineEditor, EnterEndsTheLineUnlessABackslashIsThere) {
  Typist typist;
  EXPECT_EQ(typist.Type("one\\\r"), Outcome::kGoesOn);
  EXPECT_EQ(typist.Type("two\x1b\rthree"), Outcome::kGoesOn);
  EXPECT_EQ(typist.Type(kLeft + "\r"), Outcome::kEntered);
  EXPECT_EQ(typist.line.Take(), "one\ntwo\nthree");
  EXPECT_EQ(typist.line.text(), "");
}

TEST(LineEditor, OnlyAnEmptyLineEndsTheInput) {
  Typist typist;
  EXPECT_EQ(typist.Type("a"
                        "\x04"),
            Outcome::kGoesOn);
  EXPECT_EQ(typist.Type("\x7f\x04"), Outcome::kEndOfInput);
}

TEST(LineEditor, APasteIsPartOfTheLine) {
  Typist typist;
  EXPECT_EQ(typist.Type("ask: \x1b[200~one\rtwo\r\nth\tree\n\x1b[A\x03\xff\x1b[201~"), Outcome::kGoesOn);
  EXPECT_EQ(typist.line.text(), "ask: one\ntwo\nth\tree\n[A\xef\xbf\xbd");
  EXPECT_EQ(typist.Type("\x15\x1b[200~pasted\n\n\x1b[201~\r"), Outcome::kEntered);
  EXPECT_EQ(typist.line.Take(), "pasted");
}

TEST(LineEditor, ArrowsRecallWhatWasAsked) {
  Typist typist;
  for (const char* question : {"first\r", "second\r", "second\r", "\r"}) {
    typist.Type(question);
    typist.line.Take();
  }
  typist.Type("draft" + kUp);
  EXPECT_EQ(typist.line.text(), "second");
  typist.Type(kUp + kUp);
  EXPECT_EQ(typist.line.text(), "first");
  typist.Type(kDown);
  EXPECT_EQ(typist.line.text(), "second");
  typist.Type(kDown + kDown);
  EXPECT_EQ(typist.line.text(), "draft");
  typist.Type(kUp + "!\r");
  EXPECT_EQ(typist.line.Take(), "second!");
  typist.Type(kUp);
  EXPECT_EQ(typist.line.text(), "second!");
}

std::vector<std::string> RowsOf(const std::string& text, size_t columns) {
  return cli::LayOut("> ", text, text.size(), columns, 100).rows;
}

TEST(LineEditor, TextsWrapByColumns) {
  using Rows = std::vector<std::string>;
  EXPECT_EQ(RowsOf("abc", 6), Rows({"> abc"}));
  EXPECT_EQ(RowsOf("abcd", 6), Rows({"> abcd", ""}));  // for the cursor
  EXPECT_EQ(RowsOf("abcdefghijk", 6), Rows({"> abcd", "efghij", "k"}));
  EXPECT_EQ(RowsOf("a\nb\tc", 8), Rows({"> a", "  b c"}));
  // A wide character does not stand on the edge; an accent takes no place of its own.
  EXPECT_EQ(RowsOf("abc\xe6\xbc\xa2", 6), Rows({"> abc", "\xe6\xbc\xa2"}));
  EXPECT_EQ(RowsOf("abe\xcc\x81", 6), Rows({"> abe\xcc\x81"}));
  EXPECT_EQ(RowsOf("ab", 1).size(), 2u);
}

TEST(LineEditor, TheCursorIsWhereTheNextCharacterGoes) {
  const auto cursor = [](const std::string& text, size_t at) {
    const cli::LineView view = cli::LayOut("> ", text, at, 6, 100);
    return std::pair(view.cursor_row, view.cursor_column);
  };
  EXPECT_EQ(cursor("", 0), std::pair(size_t{0}, size_t{2}));
  EXPECT_EQ(cursor("abcdef", 3), std::pair(size_t{0}, size_t{5}));
  EXPECT_EQ(cursor("abcdef", 4), std::pair(size_t{1}, size_t{0}));
  EXPECT_EQ(cursor("abcd", 4), std::pair(size_t{1}, size_t{0}));
  EXPECT_EQ(cursor("abcd\nx", 4), std::pair(size_t{0}, size_t{5}));
  EXPECT_EQ(cursor("abcd\nx", 5), std::pair(size_t{1}, size_t{2}));
  EXPECT_EQ(cursor("\xe6\xbc\xa2x", 3), std::pair(size_t{0}, size_t{4}));
}

TEST(LineEditor, ATextHigherThanTheScreenIsShownAroundTheCursor) {
  const std::string text = "a\nb\nc\nd";
  const cli::LineView end = cli::LayOut("> ", text, text.size(), 10, 2);
  EXPECT_EQ(end.rows, std::vector<std::string>({"  c", "  d"}));
  EXPECT_EQ(end.cursor_row, 1u);
  const cli::LineView begin = cli::LayOut("> ", text, 0, 10, 2);
  EXPECT_EQ(begin.rows, std::vector<std::string>({"> a", "  b"}));
  EXPECT_EQ(begin.cursor_row, 0u);
}

// A program with a terminal for itself, 40 columns wide.
class Terminal {
 public:
  explicit Terminal(std::vector<std::string> args) {
    std::vector<char*> pointers;
    pointers.reserve(args.size() + 1);
    for (std::string& arg : args) pointers.push_back(arg.data());
    pointers.push_back(nullptr);
    winsize size = {.ws_row = 24, .ws_col = 40};
    child_ = forkpty(&screen_, nullptr, nullptr, &size);
    if (child_ < 0) throw std::runtime_error("there is no terminal to be had");
    if (child_ == 0) {
      setenv("TERM", "xterm", 1);
      execvp(pointers[0], pointers.data());
      _exit(127);
    }
    keep_ = open(ptsname(screen_), O_RDWR | O_NOCTTY | O_CLOEXEC);  // so that its settings can be asked for to the end
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    if (child_ > 0) {
      kill(child_, SIGKILL);
      waitpid(child_, nullptr, 0);
    }
    close(keep_);
    close(screen_);
  }

  // Waits until `text` is shown behind what was waited for before; an exception in two minutes.
  void WaitFor(const std::string& text) {
    const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(2);
    size_t at = 0;
    while ((at = shown_.find(text, seen_)) == std::string::npos) {
      if (std::chrono::steady_clock::now() > limit) throw std::runtime_error("not shown: " + text + "\nin: " + shown_);
      Look(std::chrono::milliseconds(100));
    }
    seen_ = at + text.size();
  }

  void Type(const std::string& keys) {
    for (size_t done = 0; done < keys.size();) {
      const ssize_t put = write(screen_, keys.data() + done, std::min<size_t>(keys.size() - done, 512));
      if (put > 0) done += static_cast<size_t>(put);
      Look(std::chrono::milliseconds(0));
    }
  }

  void Kill(int signal) { kill(child_, signal); }

  // The exit code, or 128 and the signal.
  int Wait() {
    int status = 0;
    while (waitpid(child_, &status, WNOHANG) == 0) Look(std::chrono::milliseconds(10));
    child_ = -1;
    Look(std::chrono::milliseconds(0));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

  // Whether lines are edited and shown by the terminal, as programs expect it.
  bool AsFound() const {
    termios settings = {};
    return tcgetattr(keep_, &settings) == 0 && (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0 &&
           (settings.c_iflag & ICRNL) != 0;
  }

  const std::string& shown() const { return shown_; }

 private:
  // Takes what is shown, waiting for the first of it.
  void Look(std::chrono::milliseconds wait) {
    pollfd screen = {screen_, POLLIN, 0};
    char bytes[4096];
    for (int timeout = static_cast<int>(wait.count()); poll(&screen, 1, timeout) == 1; timeout = 0) {
      const ssize_t got = read(screen_, bytes, sizeof(bytes));
      if (got <= 0) return;
      shown_.append(bytes, static_cast<size_t>(got));
    }
  }

  int screen_ = -1;
  int keep_ = -1;
  pid_t child_ = -1;
  std::string shown_;
  size_t seen_ = 0;
};

const std::string kReady = "\x1b[?2004h";

std::vector<std::string> ChatArgs(const std::vector<std::string>& more) {
  std::vector<std::string> args = {DAMASK_PROGRAM, "chat", "-q", "-m", TinyModel(), "-n", "1", "--temp", "0"};
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(LineEditor, QuestionsInATerminalAreWholeWhateverTheirLengthAndKeys) {
  Terminal terminal(ChatArgs({"-c", "60000", "--json"}));
  terminal.WaitFor(kReady);
  EXPECT_FALSE(terminal.AsFound());
  const std::string longer(6000, 'x');  // a terminal's own lines end at 4,095 bytes
  terminal.Type(longer + kLeft + "y\r");
  terminal.WaitFor(kReady);
  terminal.Type("\x1b[200~three\rpasted\rlines\x1b[201~?\r");
  terminal.WaitFor(kReady);
  terminal.Type(kUp + "!\r");
  terminal.WaitFor(kReady);
  terminal.Type("\x04");
  EXPECT_EQ(terminal.Wait(), 0) << terminal.shown();
  EXPECT_TRUE(terminal.AsFound());
  EXPECT_NE(terminal.shown().rfind("\x1b[?2004l"), std::string::npos);
  const size_t object = terminal.shown().rfind("\n{\"");
  ASSERT_NE(object, std::string::npos) << terminal.shown();
  const Json messages = Json::parse(terminal.shown().substr(object))["messages"];
  ASSERT_EQ(messages.size(), 6u);
  EXPECT_EQ(messages[0]["content"], longer.substr(1) + "yx");
  EXPECT_EQ(messages[2]["content"], "three\npasted\nlines?");
  EXPECT_EQ(messages[4]["content"], "three\npasted\nlines?!");
}

TEST(LineEditor, ASignalLeavesTheTerminalAsItWasFound) {
  for (const char* key : {"\x03", ""}) {
    Terminal terminal(ChatArgs({}));
    terminal.WaitFor(kReady);
    terminal.Type("some words");
    terminal.WaitFor("some words");
    EXPECT_FALSE(terminal.AsFound());
    if (*key != '\0') {
      terminal.Type(key);
    } else {
      terminal.Kill(SIGTERM);
    }
    EXPECT_EQ(terminal.Wait(), 130);
    EXPECT_TRUE(terminal.AsFound());
    EXPECT_NE(terminal.shown().rfind("\x1b[?2004l"), std::string::npos);
  }
}

// In a shell with jobs, which says how it finds the terminal when the program is stopped, and lets it go on.
TEST(LineEditor, AStoppedProgramLeavesTheTerminalAndTakesItAgain) {
  std::string program;
  for (const std::string& arg : ChatArgs({})) program += "'" + arg + "' ";
  Terminal terminal({"sh", "-c", "set -m; " + program + "; stty -a; fg; echo ended $?"});
  terminal.WaitFor(kReady);
  terminal.Type("some words");
  terminal.WaitFor("some words");
  terminal.Type("\x1a");
  terminal.WaitFor("\x1b[?2004l");
  terminal.WaitFor(" icanon ");
  terminal.WaitFor(" echo ");
  terminal.WaitFor(kReady);
  terminal.WaitFor("some words");
  EXPECT_FALSE(terminal.AsFound());
  terminal.Type("\x15\x04");
  terminal.WaitFor("ended 0");
  EXPECT_TRUE(terminal.AsFound());
}

}  // namespace
}  // namespace damask::test
