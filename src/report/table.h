// Plain tables for people.
#pragma once

#include <string>
#include <vector>

namespace damask::report {

class Table {
 public:
  explicit Table(std::vector<std::string> header) { rows_.push_back(std::move(header)); }

  // As many cells as the header has.
  void Add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  // Columns two spaces apart; those whose cells all look like numbers stand to the right.
  std::string ToString() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace damask::report
