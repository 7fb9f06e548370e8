#include "cli/line_editor.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <utility>

#include "cli/interrupt.h"
#include "cli/line_view.h"
#include "cli/output.h"

namespace damask::cli {
namespace {

// What signal handlers need of the terminal lies here.
termios found;
termios changed;
int screen = STDERR_FILENO;
std::atomic<bool> is_changed{false};

// Safe in signal handlers. What a terminal does not take is lost: there is nobody to tell.
void Put(std::string_view text) {
  while (!text.empty()) {
    const ssize_t put = write(screen, text.data(), text.size());
    if (put < 0 && errno != EINTR) return;
    if (put > 0) text.remove_prefix(static_cast<size_t>(put));
  }
}

// Keys one by one and not shown; pastes with a mark around them (xterm's "bracketed paste").
void Change() {
  is_changed.store(true);
  tcsetattr(STDIN_FILENO, TCSADRAIN, &changed);
  Put("\x1b[?2004h");
}

void ChangeBack() {
  if (!is_changed.exchange(false)) return;
  if (tcgetpgrp(STDIN_FILENO) != getpgrp()) return;  // the shell has it, and would stop whoever changes it
  Put("\x1b[?2004l");
  tcsetattr(STDIN_FILENO, TCSANOW, &found);
}

void ChangeBackBelow() {
  if (is_changed.load()) Put("\r\n");
  ChangeBack();
}

// Readable once the program has gone on after a stop: read() would not notice a stop right before it. -1 while no editor
// exists.
int gone_on = -1;

void SayGoneOn() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t put = write(gone_on, &one, sizeof(one));
}

void ForgetGoneOn() {
  uint64_t count;
  [[maybe_unused]] const ssize_t got = read(gone_on, &count, sizeof(count));
}

extern "C" void OnStop(int signal);

void CatchStop() {
  struct sigaction action = {};
  action.sa_handler = OnStop;
  sigemptyset(&action.sa_mask);
  action.sa_flags = static_cast<int>(SA_NODEFER | SA_RESETHAND);
  sigaction(SIGTSTP, &action, nullptr);
}

// Ctrl-Z: stops here, by the default action, which SA_RESETHAND has put back.
extern "C" void OnStop(int signal) {
  const int saved = errno;
  ChangeBackBelow();
  raise(signal);
  CatchStop();
  Change();
  SayGoneOn();
  errno = saved;
}

// The terminal as the editor needs it, while one exists.
class ChangedTerminal {
 public:
  ChangedTerminal() {
    screen = StderrIsTerminal() ? STDERR_FILENO : STDOUT_FILENO;
    if (tcgetattr(STDIN_FILENO, &found) != 0) return;
    changed = found;
    changed.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | IEXTEN);
    changed.c_iflag &= ~static_cast<tcflag_t>(ICRNL | INLCR | IGNCR | ISTRIP);
    changed.c_cc[VMIN] = 1;
    changed.c_cc[VTIME] = 0;
    changed.c_cc[VQUIT] = _POSIX_VDISABLE;  // it would leave the terminal changed
    gone_on = eventfd(0, static_cast<int>(EFD_CLOEXEC) | static_cast<int>(EFD_NONBLOCK));
    sigaction(SIGTSTP, nullptr, &stop_);
    if (stop_.sa_handler != SIG_IGN) CatchStop();
    SetBeforeExit(ChangeBackBelow);
    Change();
  }
  ChangedTerminal(const ChangedTerminal&) = delete;
  ChangedTerminal& operator=(const ChangedTerminal&) = delete;
  ~ChangedTerminal() {
    ChangeBack();
    SetBeforeExit(nullptr);
    sigaction(SIGTSTP, &stop_, nullptr);
    if (gone_on >= 0) close(std::exchange(gone_on, -1));
  }

 private:
  struct sigaction stop_ = {};
};

// What is shown of the line.
class Screen {
 public:
  explicit Screen(std::string_view prompt) : prompt_(prompt) {}

  void Draw(const LineBuffer& buffer) {
    winsize size = {};
    if (ioctl(screen, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) size = {.ws_row = 24, .ws_col = 80};
    const LineView view = LayOut(prompt_, buffer.text(), buffer.cursor(), size.ws_col, size.ws_row);
    std::string text = Up(cursor_row_) + "\r\x1b[J";
    for (size_t row = 0; row < view.rows.size(); ++row) text += (row == 0 ? "" : "\r\n") + view.rows[row];
    text += Up(view.rows.size() - 1 - view.cursor_row) + "\r";
    if (view.cursor_column > 0) text += "\x1b[" + std::to_string(view.cursor_column) + "C";
    cursor_row_ = view.cursor_row;
    Put(text);
  }
  // The next line is drawn where the cursor is.
  void Forget() { cursor_row_ = 0; }
  void Clear() {
    Put("\x1b[H\x1b[2J");
    Forget();
  }

 private:
  static std::string Up(size_t rows) { return rows == 0 ? std::string() : "\x1b[" + std::to_string(rows) + "A"; }

  std::string_view prompt_;
  size_t cursor_row_ = 0;
};

// Whether there is something to read, at last; false: the line is to be drawn again.
bool AwaitKeys() {
  pollfd both[2] = {{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}, {.fd = gone_on, .events = POLLIN, .revents = 0}};
  if (poll(both, 2, -1) < 0) return errno != EINTR;
  if (both[1].revents == 0) return true;
  ForgetGoneOn();
  return false;
}

}  // namespace

bool LineEditor::Possible() {
  const char* const kind = std::getenv("TERM");
  return StdinIsTerminal() && (StderrIsTerminal() || StdoutIsTerminal()) &&
         (kind == nullptr || std::string_view(kind) != "dumb");
}

std::optional<std::string> LineEditor::Read(std::string_view prompt) {
  const ChangedTerminal terminal;
  Screen view(prompt);
  while (true) {
    for (size_t at = 0; at < typed_.size();) {
      const std::optional<Key> key = decoder_.Add(typed_[at++]);
      if (!key) continue;
      if (key->code == KeyCode::kClearScreen) view.Clear();
      const LineBuffer::Outcome outcome = buffer_.Apply(*key);
      if (outcome == LineBuffer::Outcome::kGoesOn) continue;
      view.Draw(buffer_);
      typed_.erase(0, at);
      if (outcome == LineBuffer::Outcome::kEndOfInput) return std::nullopt;
      Put("\r\n");
      return buffer_.Take();
    }
    typed_.clear();
    view.Draw(buffer_);
    if (!AwaitKeys()) {
      view.Forget();  // the program was stopped, and others have written meanwhile
      continue;
    }
    char bytes[4096];
    const ssize_t got = read(STDIN_FILENO, bytes, sizeof(bytes));
    if (got > 0) {
      typed_.assign(bytes, static_cast<size_t>(got));
    } else if (!(got < 0 && errno == EINTR)) {
      return std::nullopt;  // the terminal has gone
    }
  }
}

}  // namespace damask::cli
