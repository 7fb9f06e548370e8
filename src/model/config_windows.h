// Sliding windows that most layers have and every so manieth has not (Gemma 3, gpt-oss, OLMo 3).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "model/config.h"

namespace damask::model {

struct WindowPattern {
  uint64_t window = 0;                      // tokens
  uint64_t pattern = 0;                     // every so manieth layer has none; unless the file says it of each layer:
  std::optional<std::vector<bool>> layers;  // whether it has one
  std::string window_name, pattern_name;    // of the file's fields, for messages
};

// Layers must have been checked by then.
Status SetWindowPattern(const WindowPattern& windows, ModelConfig* config);

}  // namespace damask::model
