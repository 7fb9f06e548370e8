// The parts of a tokenizer.json around its model: normalizer, pre-tokenizer, decoder and post-processor, as far as vocabularies
// of causal language models use them. Whatever is not known is Unsupported and named: leaving it out would give other ids.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"
#include "tokenizer/bpe_encoder.h"
#include "tokenizer/pre_tokenizer.h"

namespace damask::tokenizer {

struct HfPipeline {
  std::vector<SplitStep> steps;
  bool byte_level = false;
  bool space_marks = false;  // spaces become "▁"
  bool split_at_spaces = false;
  SpacePrefix space_prefix = SpacePrefix::kNone;
};

// Reads "normalizer" and "pre_tokenizer" of the root object, and checks "decoder".
Result<HfPipeline> ReadHfPipeline(const formats::Json& root);

// The token texts that "post_processor" puts around a text.
struct HfAffixes {
  std::optional<std::string> first;
  std::optional<std::string> last;
};
Result<HfAffixes> ReadHfAffixes(const formats::Json& root);

}  // namespace damask::tokenizer
