// Answers of a comparison in a file, so that a long run can be stopped, or killed, and go on.
//
// Lines of JSON: first what was asked, then a cell each, last a checksum (FNV-1a) of all bytes before it. The file is written
// whole to a temporary, synced and renamed, so it is never half-written; one that is damaged, or of another run, is refused and
// stays as it is. Runs that share a file at the same time (other tasks, other policies) keep one another's answers: a file that
// somebody else wrote is read before it is written. Of two that write in the same moment one finds the other's answers missing
// and has its own, which it writes again with its next ones.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/timer.h"
#include "evals/compare.h"

namespace damask::evals {

// Something that all answers depend on and no cell says: the model, the seed, ...
struct AskedValue {
  std::string name;
  std::string value;
  // Answers of another value may stand beside these: the file then names both, "avx2 and amx".
  bool may_differ = false;
  // The same of answers that other runs add to the file while this one has it open.
  bool may_join = false;
  std::string unsaid = "not said";         // the value of a file that does not name it
  std::vector<std::string> formerly = {};  // what files of earlier versions say for the same
};
using Asked = std::vector<AskedValue>;

class CellFile : public CellStore {
 public:
  // Creates the file where there is none, or an empty one. Errors: BadFormat for a damaged or a foreign file; InvalidArgument
  // naming what was asked otherwise; Io, WriteFailed.
  static Result<std::unique_ptr<CellFile>> Open(const std::string& path, const Asked& asked);

  std::vector<Answered> Find(const Cell& wanted) const override;
  // Writes where the last time was kWriteEverySeconds ago. Errors: those of Open, as others may have written meanwhile.
  Status Put(const Cell& cell) override;
  Status Flush() override;

  // As it was opened with; what may differ has the values of all answers in the file, this run's only once it has put one.
  // Empty: the file does not say.
  const Asked& asked() const { return asked_; }
  // Of this run alone.
  const Asked& own() const { return own_; }

  static constexpr double kWriteEverySeconds = 2;

 private:
  struct Line {
    Cell cell;
    std::string text;  // with a newline
  };

  CellFile(std::string path, const Asked& asked) : path_(std::move(path)), own_(asked), asked_(asked) {}
  Status Read(const std::string& text);
  // Answers that are in the file and not here; where there is no file, or an empty one, none.
  Status TakeOthers();
  void NameOwnValues();
  size_t IndexOf(const Cell& wanted) const;  // lines_.size(): none

  std::string path_;
  Asked own_;
  Asked asked_;
  bool has_own_answers_ = false;
  std::vector<Line> lines_;
  std::string stamp_;  // of the file as this object last read or wrote it; empty: never
  bool dirty_ = false;
  Timer since_written_;
};

}  // namespace damask::evals
