// Sliding windows that some layers have and some have not: every so manieth (Gemma 3, gpt-oss, OLMo 3), or those that are
// listed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/json.h"
#include "model/config.h"

namespace damask::model {

struct WindowPattern {
  uint64_t window = 0;                      // tokens
  uint64_t pattern = 0;                     // every so manieth layer has none; unless the file says it of each layer:
  std::optional<std::vector<bool>> layers;  // whether it has one
  std::string window_name, pattern_name;    // of the file's fields, for messages
};

// The layer_types of a config.json: whether each layer has a window; nothing where they are not listed.
Result<std::optional<std::vector<bool>>> ReadLayerTypes(const formats::Json& json, size_t layers);

// Layers must have been checked by then.
Status SetWindowPattern(const WindowPattern& windows, ModelConfig* config);

}  // namespace damask::model
