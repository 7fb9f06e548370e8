// Where the characters of a text stand on a terminal of so many columns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace damask::cli {

// Of the first character of a text that is not empty: its bytes (1 where it is not valid UTF-8), and the columns it takes: 2
// for East Asian wide ones and pictures, 0 for marks that are put on the one before. A newline takes none by itself and counts
// as 1.
size_t CharacterBytes(std::string_view text);
size_t CharacterWidth(std::string_view text);

struct LineView {
  std::vector<std::string> rows;
  size_t cursor_row = 0;
  size_t cursor_column = 0;
};

// Lays out a text behind a prompt of one column a byte; lines after a newline are indented as far. No more than `max_rows`
// rows, those around the cursor.
LineView LayOut(std::string_view prompt, std::string_view text, size_t cursor, size_t columns, size_t max_rows);

}  // namespace damask::cli
