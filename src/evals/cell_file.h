// Finished cells of a comparison in a file, one JSON object a line, so that a long run can be stopped and go on.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evals/compare.h"

namespace damask::evals {

class CellFile : public CellStore {
 public:
  // `run_key` says what all cells depend on (model, samples, seed, ...): lines of other runs stay in the file and are not
  // found. Creates the file where there is none. Errors: BadFormat naming the line; Io.
  static Result<std::unique_ptr<CellFile>> Open(const std::string& path, const std::string& run_key);

  std::optional<Cell> Find(const Cell& wanted) const override;
  // Writes the whole file anew, so that it is never half-written.
  Status Add(const Cell& cell) override;

 private:
  CellFile(std::string path, std::string run_key) : path_(std::move(path)), run_key_(std::move(run_key)) {}

  std::string path_;
  std::string run_key_;
  std::string lines_;
  std::vector<Cell> cells_;  // of this run
};

}  // namespace damask::evals
