#include "report/progress.h"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::report {
namespace {

constexpr size_t kBarWidth = 24;
constexpr double kFirstAfterSeconds = 0.3;  // short prompts pass without a flicker
constexpr double kEverySeconds = 0.1;

}  // namespace

std::string ProgressText(uint64_t done, uint64_t total, double seconds, std::string_view unit) {
  const double share = total == 0 ? 1.0 : std::min(1.0, static_cast<double>(done) / static_cast<double>(total));
  const auto filled = static_cast<size_t>(share * kBarWidth);
  std::string bar(filled, '=');
  if (filled < kBarWidth) bar += '>';
  bar.resize(kBarWidth, ' ');
  std::string text = fmt::format("reading [{}] {}/{} {}", bar, done, total, unit);
  if (done > 0 && seconds > 0) {
    const double rate = static_cast<double>(done) / seconds;
    text += fmt::format(", {:.0f} {}/s", rate, unit);
    if (done < total) text += fmt::format(", {} left", FormatSeconds(static_cast<double>(total - done) / rate));
  }
  return text;
}

void ProgressLine::Update(uint64_t done, uint64_t total, double seconds) {
  if (!shown_) return;
  if (seconds < last_seconds_) Clear();  // another piece of work
  if (seconds < (written_ ? last_seconds_ + kEverySeconds : kFirstAfterSeconds)) return;
  last_seconds_ = seconds;
  written_ = true;
  const std::string line = "\r\x1b[K" + ProgressText(done, total, seconds, unit_);
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
