// Spans as text: one span, and the file that lists them.
#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "policies/options.h"
#include "policies/spans.h"
#include "policies/table_text.h"

namespace damask::policies {
namespace {

// [begin, end) of "*" or of one number below `count`.
Result<std::pair<size_t, size_t>> ParseIndex(std::string_view word, const char* what, size_t count) {
  if (word == "*") return std::pair<size_t, size_t>{0, count};
  const std::optional<size_t> index = ParseNumber<size_t>(word);
  if (!index || *index >= count) {
    return InvalidArgument(fmt::format("{} is neither * nor a {} below {}", Quote(word), what, count));
  }
  return std::pair<size_t, size_t>{*index, *index + 1};
}

Status ReadLine(std::string_view line, const ModelShape& shape, std::vector<Span>* spans) {
  const std::vector<std::string_view> words = LineWords(line);
  if (words.empty()) return {};
  if (words.size() != 3) return InvalidArgument(fmt::format("found {} words where LAYER HEAD SPAN was expected", words.size()));
  DAMASK_ASSIGN_OR_RETURN(const auto layers, ParseIndex(words[0], "layer", shape.layers));
  DAMASK_ASSIGN_OR_RETURN(const auto heads, ParseIndex(words[1], "head", shape.heads));
  DAMASK_ASSIGN_OR_RETURN(const Span span, Span::Parse(words[2]));
  for (size_t layer = layers.first; layer < layers.second; ++layer) {
    for (size_t head = heads.first; head < heads.second; ++head) (*spans)[layer * shape.heads + head] = span;
  }
  return {};
}

}  // namespace

uint64_t Span::Of(uint64_t length) const { return std::clamp<uint64_t>(keys + ShareOf(share, length), 1, limits::kMaxContext); }

Result<Span> Span::Parse(std::string_view text) {
  const Status wrong = InvalidArgument(fmt::format("{} is not a span (256, 0.25 or 256+0.25)", Quote(text)));
  Span span;
  std::string_view share = text;
  if (const size_t plus = text.find('+'); plus != std::string_view::npos || text.find('.') == std::string_view::npos) {
    const std::optional<uint64_t> keys = ParseNumber<uint64_t>(text.substr(0, plus));
    if (!keys || *keys > limits::kMaxContext) return wrong;
    span.keys = *keys;
    if (plus == std::string_view::npos) return span;
    share = text.substr(plus + 1);
  }
  const std::optional<double> number = ParseNumber<double>(share);
  if (!number || !(*number >= 0 && *number <= 1)) return wrong;
  span.share = *number;
  return span;
}

std::string Span::ToString() const {
  if (share == 0) return fmt::format("{}", keys);
  return keys == 0 ? fmt::format("{:#}", share) : fmt::format("{}+{:#}", keys, share);
}

Result<std::vector<Span>> ParseSpanFile(std::string_view text, const ModelShape& shape, Span other) {
  std::vector<Span> spans(shape.layers * shape.heads, other);
  size_t number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    ++number;
    const Status status = ReadLine(line, shape, &spans);
    if (!status.ok()) return status.At(fmt::format("line {}", number));
  }
  return spans;
}

}  // namespace damask::policies
