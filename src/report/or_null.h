// What was not measured is null in JSON.
#pragma once

#include <optional>

#include <nlohmann/json.hpp>

namespace damask::report {

template <typename T>
nlohmann::ordered_json OrNull(const std::optional<T>& value) {
  if (value) return *value;
  return nullptr;
}

}  // namespace damask::report
