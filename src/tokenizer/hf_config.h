// What stands beside tokenizer.json: tokenizer_config.json, generation_config.json, config.json, chat_template.jinja or .json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace damask::tokenizer {

struct HfConfig {
  std::optional<std::string> bos, eos, unk, pad;  // token texts
  std::optional<bool> add_bos, add_eos;
  std::vector<uint64_t> end_ids;  // eos_token_id of the generation (or model) configuration
  std::string chat_template;
  std::optional<uint64_t> rows;  // of the model's embedding, for whoever knows; added tokens beyond are left out
};

// A file that is not there is no error; one that is broken is.
Result<HfConfig> ReadHfConfig(const std::string& folder);

}  // namespace damask::tokenizer
