// A tokenizer from the text of a tokenizer.json: the part of Tokenizer::FromHuggingFace that fuzzing drives.
#pragma once

#include <memory>

#include "base/status.h"
#include "formats/json.h"
#include "tokenizer/hf_config.h"
#include "tokenizer/tokenizer.h"

namespace damask::tokenizer {

// BPE models only, byte-level or with byte fallback. `root` is needed only during the call.
Result<std::unique_ptr<Tokenizer>> TokenizerFromJson(const formats::Json& root, const HfConfig& config);

}  // namespace damask::tokenizer
