// The JSON at the start of a safetensors file, read event by event: no document is built, so a hostile header costs no more
// memory than the entries it really has.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace damask::formats {

// One tensor as the header describes it. Nothing is checked yet against the file or against the other entries.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;  // slowest dimension first; empty for a scalar
  uint64_t begin = 0;           // bytes, from the end of the header
  uint64_t end = 0;
};

// Entries in the order of the text. Errors: BadFormat with the byte offset within the header for anything but an object of
// {"dtype": text, "shape": [integers], "data_offsets": [begin, end]}, a name or field twice, and a "__metadata__" that is not
// an object of texts.
Result<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(std::string_view json);

}  // namespace damask::formats
