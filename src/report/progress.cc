#include "report/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::report {
namespace {

constexpr size_t kBarWidth = 24;
constexpr size_t kLeastBarWidth = 6;
constexpr double kFirstAfterSeconds = 0.3;  // short prompts pass without a flicker
constexpr double kEverySeconds = 0.1;

// Of the terminal; a longer line would take two rows, of which only one can be wiped.
size_t Columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col : 80;
}

}  // namespace

std::string ProgressText(uint64_t done, uint64_t total, double seconds, std::string_view unit, size_t columns) {
  const double share = total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  std::string figures = fmt::format("{}/{} {}", done, total, unit);
  if (done > 0 && seconds > 0) {
    const double rate = static_cast<double>(done) / seconds;
    if (rate >= 1) figures += fmt::format(", {:.0f} {}/s", rate, unit);
    if (done < total) figures += fmt::format(", {} left", FormatSeconds(static_cast<double>(total - done) / rate));
  }
  constexpr std::string_view kAround = "reading [] ";
  const size_t room = columns > kAround.size() + figures.size() ? columns - kAround.size() - figures.size() : 0;
  const size_t width = std::min(kBarWidth, room);
  std::string text = fmt::format("reading {}", figures);
  if (width >= kLeastBarWidth) {
    std::string bar(static_cast<size_t>(share * static_cast<double>(width)), '=');
    if (bar.size() < width) bar += '>';
    bar.resize(width, ' ');
    text = fmt::format("reading [{}] {}", bar, figures);
  }
  return std::string(CutUtf8(text, columns));
}

void ProgressLine::Update(uint64_t done, uint64_t total, double seconds) {
  if (!shown_) return;
  if (seconds < last_seconds_) Clear();  // another piece of work
  if (seconds < (written_ ? last_seconds_ + kEverySeconds : kFirstAfterSeconds)) return;
  last_seconds_ = seconds;
  written_ = true;
  const std::string line = "\r\x1b[K" + ProgressText(done, total, seconds, unit_, Columns() - 1);
  std::fwrite(line.data(), 1, line.size(), stderr);
  std::fflush(stderr);
}

void ProgressLine::Clear() {
  if (!written_) return;
  std::fputs("\r\x1b[K", stderr);
  std::fflush(stderr);
  written_ = false;
}

}  // namespace damask::report
