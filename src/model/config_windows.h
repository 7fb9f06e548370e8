// Sliding windows that most layers have and every so manieth has not (Gemma 3, gpt-oss).
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "model/config.h"

namespace damask::model {

struct WindowPattern {
  uint64_t window = 0;                    // tokens
  uint64_t pattern = 0;                   // every so manieth layer has none
  std::string window_name, pattern_name;  // of the file's fields, for messages
};

// Layers must have been checked by then.
Status SetWindowPattern(const WindowPattern& windows, ModelConfig* config);

}  // namespace damask::model
