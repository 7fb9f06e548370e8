// Mean attention maps captured elsewhere, one file per layer and head:
//   layer_L_head_H.npy   NumPy, [L, L] little-endian float32 (or float64), C order, keys along the rows
//   layer_L_head_H.txt   text, line i is query i: its i + 1 probabilities of keys 0 .. i, or all L of them, separated by
//   spaces,
//                        tabs or commas
// Numbers of layers and heads count from 0, or from 1 where no file has a 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "masks/triangle.h"

namespace damask::masks {

// A mean map: rows are probabilities that sum to 1 within kMaxRowError; nothing above the diagonal.
struct AttentionMap {
  size_t length = 0;
  std::vector<float> cells;  // packed triangle
};
inline constexpr double kMaxRowError = 0.02;  // maps stored with few digits, or captured in half precision
inline constexpr uint64_t kMaxMapFileBytes = uint64_t{1} << 29;

// Both take bytes that nobody vouches for: BadFormat, Truncated, Unsupported (another type of numbers), TooLarge (more than
// kMaxCaptureLength rows).
Result<AttentionMap> ParseTextMap(std::string_view text);
Result<AttentionMap> ParseNpyMap(std::span<const std::byte> bytes);

// By the name's ending.
Result<AttentionMap> ReadMapFile(const std::string& path);

// The map files of all heads of a model. They are read one by one: all maps together may be larger than memory.
struct MapFolder {
  size_t layers = 0;
  size_t heads = 0;
  std::vector<std::string> files;  // [layers * heads]
};

// Every layer_L_head_H file of a folder; other files are passed over. NotFound where there is none, BadFormat where a head is
// missing or comes twice.
Result<MapFolder> ListMapFolder(const std::string& folder);

}  // namespace damask::masks
