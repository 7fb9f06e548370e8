// Spans: sinks and a sliding window of each head's own length, which may grow with the text.
// Source: Fu et al., MoA: Mixture of Sparse Attention (arXiv 2406.14909): the span of head h in a text of N tokens is
// a_h + b_h N. Here N is counted up to the end of the query block, so that chunking changes nothing (the paper takes the length
// of the whole input), and spans are given, not searched for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "policies/registry.h"

namespace damask::policies {

// keys + share * N keys, at least one.
struct Span {
  uint64_t keys = 0;
  double share = 0;

  uint64_t Of(uint64_t length) const;
  // "256", "256+0.25", "0.25": whole keys, a share with a point, or both.
  static Result<Span> Parse(std::string_view text);
  std::string ToString() const;
};

// Lines "LAYER HEAD SPAN", LAYER and HEAD as numbers from 0 or * for all, later lines over earlier ones; # begins a comment.
// Heads that no line names get `other`. Gives [layers * heads]. InvalidArgument naming the line.
Result<std::vector<Span>> ParseSpanFile(std::string_view text, const ModelShape& shape, Span other);

PolicyInfo SpansInfo();
Result<std::unique_ptr<Policy>> MakeSpans(const Options& options, const ModelShape& shape);

}  // namespace damask::policies
