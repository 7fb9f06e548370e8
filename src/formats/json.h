// JSON from outside: nlohmann-json behind a strict front (depth limit, duplicate keys refused, UTF-8 checked, size limit), and
// typed access whose errors name the JSON path.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "base/status.h"

namespace damask::formats {

using Json = nlohmann::json;

// Parses one JSON text. Errors: BadFormat with the byte offset; deeper than limits::kMaxJsonDepth; a key twice in one object.
Result<Json> ParseJson(std::string_view text);

// Reads and parses a file of at most limits::kMaxJsonFileBytes.
Result<Json> ReadJsonFile(const std::string& path);

// Typed members of an object: nullopt where the key is absent or null; BadFormat naming `key`, what was found and expected.
Result<std::optional<uint64_t>> JsonUint(const Json& object, const std::string& key);
Result<std::optional<double>> JsonNumber(const Json& object, const std::string& key);
Result<std::optional<bool>> JsonBool(const Json& object, const std::string& key);
Result<std::optional<std::string>> JsonString(const Json& object, const std::string& key);

}  // namespace damask::formats
