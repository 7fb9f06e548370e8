#include "cli/line_view.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <utility>

#include "base/text.h"

namespace damask::cli {
namespace {

struct Range {
  uint32_t first;
  uint32_t last;
};

// The blocks of combining marks, joiners and variation selectors (Unicode 15), whole: single letters within them do not matter
// here. wcwidth() knows them only in a locale that a program has to ask for and a machine may lack.
constexpr Range kMarks[] = {{0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},     {0x64b, 0x65f},
                            {0x6d6, 0x6dc},   {0x93c, 0x93c},   {0x941, 0x948},   {0x94d, 0x94d},     {0xe31, 0xe31},
                            {0xe34, 0xe3a},   {0xe47, 0xe4e},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},   {0x200b, 0x200f},
                            {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}, {0x1f3fb, 0x1f3ff}, {0xe0100, 0xe01ef}};

// East Asian wide and full-width characters, and pictures.
constexpr Range kWide[] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},  {0xa960, 0xa97f}, {0xac00, 0xd7a3},
                           {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff00, 0xff60},  {0xffe0, 0xffe6}, {0x1f300, 0x1f64f},
                           {0x1f680, 0x1f6ff}, {0x1f900, 0x1faff}, {0x20000, 0x3fffd}};

template <size_t kCount>
bool IsIn(const Range (&ranges)[kCount], uint32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges), [=](const Range& r) { return code >= r.first && code <= r.last; });
}

uint32_t CodePoint(std::string_view character) {
  constexpr std::array<uint32_t, 5> kLeadBits = {0, 0x7f, 0x1f, 0x0f, 0x07};
  uint32_t code = static_cast<unsigned char>(character[0]) & kLeadBits[character.size()];
  for (const char byte : character.substr(1)) code = code << 6 | (static_cast<unsigned char>(byte) & 0x3f);
  return code;
}

// Rows that are filled one character after the other.
class Rows {
 public:
  Rows(std::string_view prompt, size_t columns) : columns_(columns), indent_(prompt.size()) { Begin(prompt, prompt.size()); }

  void NewLine() { Begin(std::string(indent_, ' '), indent_); }
  void MakeRoom(size_t width) {
    if (column_ + width > columns_) Begin("", 0);
  }
  void Put(std::string_view character, size_t width) {
    MakeRoom(width);
    view.rows.back() += character;
    column_ += width;
  }
  void PutCursor() {
    view.cursor_row = view.rows.size() - 1;
    view.cursor_column = std::min(column_, columns_ - 1);
  }

  LineView view;

 private:
  void Begin(std::string_view text, size_t column) {
    view.rows.emplace_back(text);
    column_ = column;
  }

  size_t columns_;
  size_t indent_;
  size_t column_ = 0;
};

void Crop(size_t max_rows, LineView* view) {
  if (view->rows.size() <= max_rows) return;
  const size_t first = view->cursor_row < max_rows ? 0 : view->cursor_row + 1 - max_rows;
  view->rows.resize(first + max_rows);
  view->rows.erase(view->rows.begin(), view->rows.begin() + static_cast<ptrdiff_t>(first));
  view->cursor_row -= first;
}

}  // namespace

size_t CharacterBytes(std::string_view text) { return std::max<size_t>(1, Utf8Length(text)); }

size_t CharacterWidth(std::string_view text) {
  const size_t bytes = Utf8Length(text);
  if (bytes == 0) return 1;
  const uint32_t code = CodePoint(text.substr(0, bytes));
  if (IsIn(kMarks, code)) return 0;
  return IsIn(kWide, code) ? 2 : 1;
}

LineView LayOut(std::string_view prompt, std::string_view text, size_t cursor, size_t columns, size_t max_rows) {
  Rows rows(prompt, std::max(columns, prompt.size() + 2));  // room for a wide character
  for (size_t at = 0; at < text.size();) {
    const std::string_view rest = text.substr(at);
    const std::string_view character = rest.substr(0, CharacterBytes(rest));
    const bool newline = character == "\n";
    if (!newline) rows.MakeRoom(CharacterWidth(rest));
    if (at == cursor) rows.PutCursor();
    if (newline) {
      rows.NewLine();
    } else {
      rows.Put(character == "\t" ? " " : character, CharacterWidth(rest));
    }
    at += character.size();
  }
  if (cursor >= text.size()) {
    rows.MakeRoom(1);
    rows.PutCursor();
  }
  Crop(std::max<size_t>(max_rows, 1), &rows.view);
  return std::move(rows.view);
}

}  // namespace damask::cli
