// One line on standard error that is rewritten while a long prompt is read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace damask::report {

// "reading [=====>    ] 12288/36000 tokens, 1520 tokens/s, 16s left", with a shorter bar, or none, where it would be longer
// than `columns`.
std::string ProgressText(uint64_t done, uint64_t total, double seconds, std::string_view unit = "tokens",
                         size_t columns = 1000);

class ProgressLine {
 public:
  // `shown` false: does nothing (no terminal, --quiet).
  explicit ProgressLine(bool shown, std::string_view unit = "tokens") : shown_(shown), unit_(unit) {}
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() { Clear(); }

  void Update(uint64_t done, uint64_t total, double seconds);
  // Wipes the line, so that text can follow in its place.
  void Clear();

 private:
  bool shown_;
  std::string_view unit_;
  bool written_ = false;
  double last_seconds_ = 0;
};

}  // namespace damask::report
