#include "masks/npy.h"

#include <charconv>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "formats/byte_reader.h"

namespace damask::masks {
namespace {

using formats::ByteReader;

// The Python dict literal of the header; only the three keys that the format has, in any order.
class HeaderText {
 public:
  explicit HeaderText(std::string_view text) : text_(text) {}

  Status Parse(NpyHeader* header) {
    if (!Eat('{')) return Fault();
    while (!Eat('}')) {
      std::string_view key;
      if (!Text(&key) || !Eat(':')) return Fault();
      DAMASK_RETURN_IF_ERROR(Value(key, header));
      Eat(',');
    }
    if (!has_type_ || !has_order_ || !has_shape_) return BadFormat("the header lacks descr, fortran_order or shape");
    return {};
  }

 private:
  Status Fault() const { return BadFormat(fmt::format("the header is broken at {}", Quote(text_, 40))); }

  void SkipSpace() {
    while (!text_.empty() && (text_.front() == ' ' || text_.front() == '\n')) text_.remove_prefix(1);
  }
  bool Eat(char c) {
    SkipSpace();
    if (text_.empty() || text_.front() != c) return false;
    text_.remove_prefix(1);
    return true;
  }
  bool Text(std::string_view* value) {
    SkipSpace();
    if (text_.empty() || (text_.front() != '\'' && text_.front() != '"')) return false;
    const size_t end = text_.find(text_.front(), 1);
    if (end == std::string_view::npos) return false;
    *value = text_.substr(1, end - 1);
    text_.remove_prefix(end + 1);
    return true;
  }
  bool Word(std::string_view word) {
    SkipSpace();
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool Number(uint64_t* value) {
    SkipSpace();
    const auto [end, error] = std::from_chars(text_.data(), text_.data() + text_.size(), *value);
    if (error != std::errc()) return false;
    text_.remove_prefix(static_cast<size_t>(end - text_.data()));
    return true;
  }

  Status Value(std::string_view key, NpyHeader* header) {
    if (key == "descr") {
      std::string_view type;
      if (!Text(&type)) return Unsupported("the array has records, expected float32");
      if (type != "<f4" && type != "<f8") {
        return Unsupported(
            fmt::format("the array has numbers of type {}, expected little-endian float32 ('<f4')", Quote(type, 20)));
      }
      header->doubles = type == "<f8";
      has_type_ = true;
    } else if (key == "fortran_order") {
      if (Word("True")) return Unsupported("the array is in Fortran order, expected C order");
      if (!Word("False")) return Fault();
      has_order_ = true;
    } else if (key == "shape") {
      if (!Eat('(') || !Number(&header->rows) || !Eat(',')) return Fault();
      if (!Number(&header->columns)) return Unsupported("the array has one dimension, expected two");
      Eat(',');
      if (!Eat(')')) return Unsupported("the array has more than two dimensions, expected two");
      has_shape_ = true;
    } else {
      return BadFormat(fmt::format("the header has an unknown key {}", Quote(key, 40)));
    }
    return {};
  }

  std::string_view text_;
  bool has_type_ = false;
  bool has_order_ = false;
  bool has_shape_ = false;
};

}  // namespace

Result<NpyHeader> ParseNpyHeader(std::span<const std::byte> bytes) {
  constexpr std::string_view kMagic = "\x93NUMPY";
  ByteReader reader(bytes);
  const auto magic = reader.Take("the magic", kMagic.size());
  if (!magic.ok() || std::string_view(reinterpret_cast<const char*>(magic->data()), magic->size()) != kMagic) {
    return BadFormat("not a NumPy array file");
  }
  DAMASK_ASSIGN_OR_RETURN(const uint8_t major, reader.Read<uint8_t>("the version"));
  DAMASK_ASSIGN_OR_RETURN(const uint8_t minor, reader.Read<uint8_t>("the version"));
  if (major < 1 || major > 3) return Unsupported(fmt::format("NumPy format version {}.{}, expected 1 to 3", major, minor));
  uint32_t size = 0;
  if (major == 1) {
    DAMASK_ASSIGN_OR_RETURN(size, reader.Read<uint16_t>("the header's size"));
  } else {
    DAMASK_ASSIGN_OR_RETURN(size, reader.Read<uint32_t>("the header's size"));
  }
  DAMASK_ASSIGN_OR_RETURN(const std::span<const std::byte> text, reader.Take("the header", size));
  NpyHeader header;
  DAMASK_RETURN_IF_ERROR(HeaderText({reinterpret_cast<const char*>(text.data()), text.size()}).Parse(&header));
  header.data_offset = reader.offset();
  return header;
}

}  // namespace damask::masks
