#include "report/table.h"

#include <algorithm>

#include "base/text.h"

namespace damask::report {
namespace {

// Characters, as a terminal shows most of them: good enough to line columns up.
size_t Width(std::string_view cell) {
  return static_cast<size_t>(
      std::count_if(cell.begin(), cell.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

bool LooksNumeric(std::string_view cell) { return cell.empty() || cell == "-" || (cell[0] >= '0' && cell[0] <= '9'); }

}  // namespace

std::string Table::ToString() const {
  const size_t columns = rows_[0].size();
  std::vector<size_t> widths(columns, 0);
  std::vector<bool> right(columns, rows_.size() > 1);
  for (size_t row = 0; row < rows_.size(); ++row) {
    for (size_t column = 0; column < columns; ++column) {
      widths[column] = std::max(widths[column], Width(rows_[row][column]));
      if (row > 0 && !LooksNumeric(rows_[row][column])) right[column] = false;
    }
  }
  std::string text;
  for (const std::vector<std::string>& row : rows_) {
    std::string line;
    for (size_t column = 0; column < columns; ++column) {
      const std::string padding(widths[column] - Width(row[column]), ' ');
      line += (column == 0 ? "" : "  ") + (right[column] ? padding + row[column] : row[column] + padding);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

}  // namespace damask::report
