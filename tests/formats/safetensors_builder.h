// safetensors files for tests: any header text over any data.
#pragma once

#include <cstdint>
#include <string>

#include "tests/formats/gguf_builder.h"

namespace damask::formats::test {

// The header's length, the header, the data. `length` overrules the true length.
inline std::string SafetensorsFile(const std::string& header, const std::string& data, std::optional<uint64_t> length = {}) {
  return Le(length.value_or(header.size())) + header + data;
}

// One entry: SafetensorsEntry("w", "F32", "[2]", "[0, 8]").
inline std::string EntryText(const std::string& name, const std::string& dtype, const std::string& shape,
                             const std::string& offsets) {
  return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
}

// Three tensors of three types, named out of the order they lie in, with metadata.
inline std::string SmallSafetensors() {
  const std::string header = "{\"__metadata__\":{\"format\":\"pt\"}," + EntryText("b", "BF16", "[2, 2]", "[8, 16]") + "," +
                             EntryText("a", "F32", "[2]", "[0, 8]") + "," + EntryText("c", "F16", "[]", "[16, 18]") + "}";
  return SafetensorsFile(header + std::string((8 - header.size() % 8) % 8, ' '), Le(1.f) + Le(2.f) + std::string(10, '\1'));
}

}  // namespace damask::formats::test
