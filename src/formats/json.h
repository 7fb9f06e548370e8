// JSON from outside: nlohmann-json behind a strict front (depth limit, duplicate keys refused, UTF-8 checked, size limit), and
// typed access whose errors name the JSON path.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace damask::formats {

using Json = nlohmann::json;

// Values in one text. A value takes at least two bytes of text and up to some fifty of memory: the limit keeps a file of
// kMaxJsonFileBytes from filling the machine. The largest tokenizer.json has a few million.
inline constexpr size_t kMaxJsonValues = size_t{1} << 25;

// Parses one JSON text. Errors: BadFormat with the byte offset: syntax, deeper than limits::kMaxJsonDepth, a key twice in one
// object; TooLarge over kMaxJsonFileBytes or `max_values` values.
Result<Json> ParseJson(std::string_view text, size_t max_values = kMaxJsonValues);

// Reads and parses a file of at most limits::kMaxJsonFileBytes.
Result<Json> ReadJsonFile(const std::string& path);

// Typed members of an object: nullopt where the key is absent or null; BadFormat naming `key`, what was found and expected.
Result<std::optional<uint64_t>> JsonUint(const Json& object, const std::string& key);
Result<std::optional<double>> JsonNumber(const Json& object, const std::string& key);
Result<std::optional<bool>> JsonBool(const Json& object, const std::string& key);
Result<std::optional<std::string>> JsonString(const Json& object, const std::string& key);

}  // namespace damask::formats
