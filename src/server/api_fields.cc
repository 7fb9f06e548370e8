#include "server/api_fields.h"

#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"

namespace damask::server {
namespace {

using formats::Json;

// The nearest int64_t of an integer of any size: every range ends within int64_t, so what lies beyond stays out of range. A
// number at the very end may be exact, hence `exact`.
struct Clamped {
  int64_t value = 0;
  bool exact = true;
};

std::optional<Clamped> IntegerValue(const Json& value) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
  if (value.is_number_unsigned()) {
    const auto number = value.get<uint64_t>();
    if (number > static_cast<uint64_t>(kMax)) return Clamped{kMax, false};
    return Clamped{static_cast<int64_t>(number)};
  }
  if (value.is_number_integer()) return Clamped{value.get<int64_t>()};
  if (!value.is_number_float()) return std::nullopt;
  const auto number = value.get<double>();
  if (number != std::trunc(number)) return std::nullopt;
  if (number >= 0x1p63) return Clamped{kMax, false};
  if (number < -0x1p63) return Clamped{kMin, false};
  return Clamped{static_cast<int64_t>(number)};
}

ApiError OutOfRange(const std::string& kind, const std::string& param, bool above, const std::string& bound,
                    const Json& found) {
  const char* which = above ? "above_max_value" : "below_min_value";
  return ParameterError(
      fmt::format("{}_{}", kind, which), param,
      fmt::format("Invalid '{}': {} {}. Expected a value {} {}, but got {}.", param, kind,
                  above ? "above maximum value" : "below minimum value", above ? "<=" : ">=", bound, ValueName(found)));
}

}  // namespace

std::string TypeName(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return "a boolean";
    case Json::value_t::string: return "a string";
    case Json::value_t::array: return value.empty() ? "an empty array" : "an array";
    case Json::value_t::object: return "an object";
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return "an integer";
    case Json::value_t::number_float: return "a decimal";
    default: return "an unknown value";
  }
}

std::string ValueName(const Json& value) {
  if (value.is_string()) return Quote(value.get_ref<const std::string&>());
  if (value.is_number() || value.is_boolean()) return value.dump();
  return TypeName(value);
}

ApiError WrongType(std::string param, const Json& found, std::string_view expected) {
  std::string message = fmt::format("Invalid type for '{}': expected {}, but got {}.", param, expected, TypeName(found));
  return InvalidType(std::move(param), std::move(message));
}

ApiResult<int64_t> ReadInteger(const std::string& param, const Json& value, IntegerRange range) {
  const std::optional<Clamped> number = IntegerValue(value);
  if (!number) return WrongType(param, value, "an integer");
  const bool above = number->value > range.max || (!number->exact && number->value > 0);
  const bool below = number->value < range.min || (!number->exact && number->value < 0);
  if (above || below) return OutOfRange("integer", param, above, fmt::format("{}", above ? range.max : range.min), value);
  return number->value;
}

ApiResult<formats::Json> ReadBody(const std::string& body) {
  Result<formats::Json> document = formats::ParseJson(body, limits::kMaxRequestJson);
  if (!document.ok()) return BadRequest(400, fmt::format("The body cannot be read: {}.", document.status().ToString()));
  if (!document->is_object()) {
    return BadRequest(400, fmt::format("The body is {}, expected a JSON object.", TypeName(*document)));
  }
  return *std::move(document);
}

const Json* FieldReader::Any(const std::string& name) const {
  if (error_) return nullptr;
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

const Json* FieldReader::Typed(const std::string& name, Json::value_t type, std::string_view expected) {
  const Json* value = Any(name);
  if (value == nullptr || value->type() == type) return value;
  Fail(WrongType(Path(name), *value, expected));
  return nullptr;
}

const Json* FieldReader::Object(const std::string& name) { return Typed(name, Json::value_t::object, "an object"); }

const Json* FieldReader::Array(const std::string& name) { return Typed(name, Json::value_t::array, "an array"); }

const std::string* FieldReader::Text(const std::string& name) {
  const Json* value = Typed(name, Json::value_t::string, "a string");
  return value == nullptr ? nullptr : value->get_ptr<const std::string*>();
}

std::optional<bool> FieldReader::Bool(const std::string& name) {
  const Json* value = Typed(name, Json::value_t::boolean, "a boolean");
  return value == nullptr ? std::nullopt : std::optional(value->get<bool>());
}

std::optional<int64_t> FieldReader::Integer(const std::string& name, IntegerRange range) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  ApiResult<int64_t> number = ReadInteger(Path(name), *value, range);
  if (const int64_t* fine = std::get_if<int64_t>(&number)) return *fine;
  Fail(std::get<ApiError>(std::move(number)));
  return std::nullopt;
}

std::optional<double> FieldReader::Number(const std::string& name, NumberRange range) {
  const Json* value = Any(name);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number()) {
    Fail(WrongType(Path(name), *value, "a number"));
    return std::nullopt;
  }
  const auto number = value->get<double>();  // JSON has no NaN and no infinity
  if (number >= range.min && number <= range.max) return number;
  const bool above = number > range.max;
  Fail(OutOfRange("decimal", Path(name), above, fmt::format("{}", above ? range.max : range.min), *value));
  return std::nullopt;
}

void FieldReader::Fail(ApiError error) {
  if (!error_) error_ = std::move(error);
}

std::vector<tokenizer::TokenId> ReadIds(FieldReader* fields, const std::string& param, const Json& array, int64_t largest) {
  std::vector<tokenizer::TokenId> ids;
  ids.reserve(array.size());
  for (size_t i = 0; i < array.size(); ++i) {
    ApiResult<int64_t> id = ReadInteger(fmt::format("{}[{}]", param, i), array[i], {0, largest});
    if (ApiError* error = std::get_if<ApiError>(&id)) {
      fields->Fail(std::move(*error));
      break;
    }
    ids.push_back(static_cast<tokenizer::TokenId>(std::get<int64_t>(id)));
  }
  return ids;
}

}  // namespace damask::server
