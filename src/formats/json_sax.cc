#include "formats/json_sax.h"

#include <iterator>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::formats {
namespace {

// Counts what the lexer has taken, since events do not say where they are.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* position, const char** furthest) : position_(position), furthest_(furthest) {}
  reference operator*() const { return *position_; }
  CountingIterator& operator++() {
    *furthest_ = ++position_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return position_ == other.position_; }
  bool operator!=(const CountingIterator& other) const { return position_ != other.position_; }

 private:
  const char* position_;
  const char** furthest_;
};

// What the parser says, without its prefix and without the text it quotes: "invalid string: ill-formed UTF-8 byte". What is
// left are the parser's own words, fit for a message as they are.
std::string Reason(const nlohmann::json::exception& error) {
  constexpr int kNumberOutOfRange = 406;
  if (error.id == kNumberOutOfRange) return "a number out of range";
  std::string_view message = error.what();
  const size_t begin = message.find(" - ");
  if (begin == std::string_view::npos) return "syntax error";
  message.remove_prefix(begin + 3);
  return std::string(message.substr(0, message.find("; last read")));
}

}  // namespace

bool JsonSax::parse_error(size_t position, const std::string& last_token, const nlohmann::json::exception& error) {
  std::string message = fmt::format("not valid JSON: {}", Reason(error));
  if (!last_token.empty()) message += fmt::format(", found {}", Quote(last_token, 40));
  return Fail(BadFormat(std::move(message)).At(fmt::format("byte {}", position)));
}

Status RunJsonSax(std::string_view text, JsonSax* handler) {
  // The parser takes a NUL byte for the end of the text and would not see what follows.
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    return BadFormat("not valid JSON: a NUL byte").At(fmt::format("byte {}", nul));
  }
  const char* furthest = text.data();
  const bool done = nlohmann::json::sax_parse(CountingIterator(text.data(), &furthest),
                                              CountingIterator(text.data() + text.size(), &furthest), handler);
  if (done) return {};
  const Status& status = handler->status();
  if (status.ok()) return Internal("the JSON parser stopped without a reason");
  if (!status.where().empty()) return status;
  return status.At(fmt::format("byte {}", furthest - text.data()));
}

}  // namespace damask::formats
