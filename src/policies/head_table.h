// A number for every KV head of a model, from a file or from a SPEC: gates of DuoAttention, budgets of a TCA-style calibration.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "policies/options.h"
#include "policies/policy.h"

namespace damask::policies {

struct HeadTable {
  std::vector<float> values;  // [layers * kv_heads], finite
  uint64_t weights_hash = 0;  // of the weights it was made for (masks::Fingerprint); 0: not said
  std::string policy = {};    // that it was made for, "duo" or "tca"; "": not said

  float at(size_t layer, size_t kv_head, const ModelShape& shape) const { return values[layer * shape.kv_heads + kv_head]; }
};

// A line for each layer with a number for each of its KV heads, white space between them (as the authors of DuoAttention ship
// their patterns); # begins a comment; a line "weights HEX" says whose they are, a line "for
// POLICY" what they are. InvalidArgument naming the line.
Result<HeadTable> ParseHeadTable(std::string_view text, const ModelShape& shape);
// The text that ParseHeadTable reads.
std::string HeadTableText(const HeadTable& table, const ModelShape& shape);

// "1/0/0.5/1": of the KV heads of one layer, the same for all layers, or of all layers one after another. InvalidArgument.
Result<HeadTable> ParseHeadList(std::string_view text, const ModelShape& shape);

// What the options `heads` and `file` say ("none": nothing); an empty table where both are none. A table made for other weights
// is used with a warning, one made for another policy is refused: its numbers mean something else.
Result<HeadTable> ReadHeadTable(const Options& options, std::string_view policy, const ModelShape& shape);

}  // namespace damask::policies
