#include "masks/map_files.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <map>
#include <new>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "masks/npy.h"

namespace damask::masks {
namespace {

bool IsSeparator(char c) { return c == ' ' || c == '\t' || c == ',' || c == '\r'; }

// One line of a text map.
Result<std::vector<float>> ParseLine(std::string_view line) {
  std::vector<float> values;
  const char* at = line.data();
  const char* const end = at + line.size();
  while (true) {
    while (at != end && IsSeparator(*at)) ++at;
    if (at == end) return values;
    if (values.size() == kMaxCaptureLength) return TooLarge(fmt::format("a row of more than {} values", kMaxCaptureLength));
    double value = 0.0;  // numpy.savetxt writes means of many samples as they are: 1e-50
    const auto [rest, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (rest != end && !IsSeparator(*rest))) {
      const auto* const stop = std::find_if(at, end, IsSeparator);
      return BadFormat(fmt::format("found {} where a number was expected", Quote({at, static_cast<size_t>(stop - at)}, 40)));
    }
    values.push_back(static_cast<float>(value));
    at = rest;
  }
}

// Checks a row and appends its causal part. values: row + 1 of them, or all of the row.
Status AppendRow(size_t row, std::span<const float> values, AttentionMap* map) {
  double sum = 0.0;
  for (size_t key = 0; key < values.size(); ++key) {
    const float value = values[key];
    if (!(value >= 0.0f) || value > 1.0f + static_cast<float>(kMaxRowError)) {
      return BadFormat(fmt::format("row {} key {} is {}, expected a probability", row, key, value));
    }
    if (key > row && value > 1e-6f) {
      return BadFormat(fmt::format("row {} key {} is {}, expected 0 above the diagonal", row, key, value));
    }
    if (key <= row) sum += double{value};
  }
  if (std::abs(sum - 1.0) > kMaxRowError) {
    return BadFormat(fmt::format("row {} sums to {:.4f}, expected 1 (mean probabilities, not amplified values)", row, sum));
  }
  map->cells.insert(map->cells.end(), values.begin(), values.begin() + static_cast<ptrdiff_t>(row + 1));
  return {};
}

using Place = std::pair<uint64_t, uint64_t>;  // layer, head

// "layer_10_head_1.txt" -> (10, 1).
std::optional<Place> PlaceOf(std::string_view name) {
  const auto number = [&](std::string_view prefix) -> std::optional<uint64_t> {
    if (!name.starts_with(prefix)) return std::nullopt;
    name.remove_prefix(prefix.size());
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
    if (error != std::errc()) return std::nullopt;
    name.remove_prefix(static_cast<size_t>(end - name.data()));
    return value;
  };
  const std::optional<uint64_t> layer = number("layer_");
  if (!layer) return std::nullopt;
  const std::optional<uint64_t> head = number("_head_");
  if (!head || (name != ".txt" && name != ".npy")) return std::nullopt;
  return Place{*layer, *head};
}

Result<std::map<Place, std::string>> FindMaps(const std::string& folder) {
  std::map<Place, std::string> files;
  std::error_code error;
  std::filesystem::directory_iterator entries(folder, error);
  if (error) return IoError(fmt::format("cannot read the folder: {}", error.message())).At(Quote(folder, 300));
  for (; entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    if (error) break;
    const std::string name = entries->path().filename().string();
    const std::optional<Place> place = PlaceOf(name);
    if (!place) continue;
    if (place->first > limits::kMaxLayers || place->second > limits::kMaxHeads) {
      return TooLarge(fmt::format("expected at most {} layers and {} heads", limits::kMaxLayers, limits::kMaxHeads))
          .At(Quote(name));
    }
    if (!files.emplace(*place, entries->path().string()).second) {
      return BadFormat(fmt::format("layer {} head {} comes twice", place->first, place->second)).At(Quote(folder, 300));
    }
  }
  if (error) return IoError(fmt::format("cannot read the folder: {}", error.message())).At(Quote(folder, 300));
  if (files.empty()) {
    return NotFound("no attention maps: expected files named layer_L_head_H.npy or layer_L_head_H.txt").At(Quote(folder, 300));
  }
  return files;
}

}  // namespace

Result<AttentionMap> ParseTextMap(std::string_view text) {
  AttentionMap map;
  size_t width = 0;  // of full rows; 0: lower triangle, or not known yet
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const size_t row = map.length;
    Result<std::vector<float>> values = ParseLine(line);
    if (!values.ok()) return values.status().At(fmt::format("line {}", row + 1));
    if (values->empty()) {
      if (std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || IsSeparator(c); })) break;
      return BadFormat("an empty line inside the map").At(fmt::format("line {}", row + 1));
    }
    if (row == kMaxCaptureLength) return TooLarge(fmt::format("a map of more than {} rows", kMaxCaptureLength));
    if (row == 0 && values->size() > 1) width = values->size();
    const size_t expected = width != 0 ? width : row + 1;
    if (values->size() != expected || row >= expected) {
      return BadFormat(fmt::format("{} values, expected {}", values->size(), row >= expected ? 0 : expected))
          .At(fmt::format("line {}", row + 1));
    }
    DAMASK_RETURN_IF_ERROR(AppendRow(row, *values, &map));
    ++map.length;
  }
  if (map.length == 0) return BadFormat("the map is empty");
  if (width != 0 && map.length != width) return Truncated(fmt::format("{} rows of {} values each", map.length, width));
  return map;
}

Result<AttentionMap> ParseNpyMap(std::span<const std::byte> bytes) {
  DAMASK_ASSIGN_OR_RETURN(const NpyHeader header, ParseNpyHeader(bytes));
  if (header.rows != header.columns) {
    return BadFormat(fmt::format("shape ({}, {}), expected a square map", header.rows, header.columns));
  }
  if (header.rows == 0) return BadFormat("the map is empty");
  if (header.rows > kMaxCaptureLength)
    return TooLarge(fmt::format("{} rows, expected at most {}", header.rows, kMaxCaptureLength));
  const size_t length = header.rows;
  const size_t item = header.doubles ? sizeof(double) : sizeof(float);
  const std::span<const std::byte> data = bytes.subspan(header.data_offset);
  if (data.size() != length * length * item) {
    return (data.size() < length * length * item ? Truncated : BadFormat)(
        fmt::format("{} bytes of data, expected {}", data.size(), length * length * item));
  }
  AttentionMap map;
  map.length = length;
  map.cells.reserve(TriangleCells(length));
  std::vector<float> row(length);
  for (size_t i = 0; i < length; ++i) {
    for (size_t key = 0; key < length; ++key) {
      const std::byte* const at = data.data() + (i * length + key) * item;
      double wide = 0.0;
      if (header.doubles) {
        std::memcpy(&wide, at, sizeof(wide));
        row[key] = static_cast<float>(wide);
      } else {
        std::memcpy(&row[key], at, sizeof(float));
      }
    }
    DAMASK_RETURN_IF_ERROR(AppendRow(i, row, &map));
  }
  return map;
}

Result<AttentionMap> ReadMapFile(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(path, kMaxMapFileBytes));
  try {
    Result<AttentionMap> map = path.ends_with(".npy") ? ParseNpyMap(std::as_bytes(std::span(bytes))) : ParseTextMap(bytes);
    if (!map.ok()) return map.status().At(Quote(path, 300));
    return map;
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory for the map").At(Quote(path, 300));
  }
}

Result<MapFolder> ListMapFolder(const std::string& folder) {
  DAMASK_ASSIGN_OR_RETURN(const auto files, FindMaps(folder));
  uint64_t base_layer = 1;
  uint64_t base_head = 1;
  MapFolder found;
  for (const auto& [place, path] : files) {
    base_layer = std::min(base_layer, place.first);
    base_head = std::min(base_head, place.second);
    found.layers = std::max<size_t>(found.layers, place.first + 1);
    found.heads = std::max<size_t>(found.heads, place.second + 1);
  }
  found.layers -= base_layer;
  found.heads -= base_head;
  for (uint64_t layer = base_layer; layer < base_layer + found.layers; ++layer) {
    for (uint64_t head = base_head; head < base_head + found.heads; ++head) {
      const auto file = files.find({layer, head});
      if (file == files.end()) {
        return BadFormat(fmt::format("layer {} head {} is missing among {} layers of {} heads", layer, head, found.layers,
                                     found.heads))
            .At(Quote(folder, 300));
      }
      found.files.push_back(file->second);
    }
  }
  return found;
}

}  // namespace damask::masks
