// Answers of a comparison in a file, so that a long run can be stopped, or killed, and go on.
//
// Lines of JSON: first what was asked, then a cell each, last a checksum (FNV-1a) of all bytes before it. The file is written
// whole to a temporary, synced and renamed, so it is never half-written; one that is damaged, or of another run, is refused and
// stays as it is.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/timer.h"
#include "evals/compare.h"

namespace damask::evals {

// What all answers depend on and no cell says: the model, the seed, ... as names and values.
using Asked = std::vector<std::pair<std::string, std::string>>;

class CellFile : public CellStore {
 public:
  // Creates the file where there is none, or an empty one. Errors: BadFormat for a damaged or a foreign file; InvalidArgument
  // naming what was asked otherwise; Io.
  static Result<std::unique_ptr<CellFile>> Open(const std::string& path, const Asked& asked);

  std::vector<Answered> Find(const Cell& wanted) const override;
  // Writes where the last time was kWriteEverySeconds ago.
  Status Put(const Cell& cell) override;
  Status Flush() override;

  static constexpr double kWriteEverySeconds = 2;

 private:
  struct Line {
    Cell cell;
    std::string text;  // with a newline
  };

  CellFile(std::string path, Asked asked) : path_(std::move(path)), asked_(std::move(asked)) {}
  Status Read(const std::string& text);
  size_t IndexOf(const Cell& wanted) const;  // lines_.size(): none

  std::string path_;
  Asked asked_;
  std::vector<Line> lines_;
  bool dirty_ = false;
  Timer since_written_;
};

}  // namespace damask::evals
