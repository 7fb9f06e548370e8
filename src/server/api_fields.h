// Checked access to the members of a JSON object that a client sent. Errors carry OpenAI's code and the member's path.
//
//   FieldReader fields(object);
//   const auto n = fields.Integer("n", {1, 128});
//   if (fields.error()) return *fields.error();
//
// The first fault is kept, and from then on everything reads as absent, so that a reader is a list of fields without branches.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/json.h"
#include "server/api_error.h"
#include "tokenizer/tokenizer.h"

namespace damask::server {

struct IntegerRange {
  int64_t min;
  int64_t max;
};

struct NumberRange {
  double min;
  double max;
};

// "an object", "a string", "an integer": for messages.
std::string TypeName(const formats::Json& value);

// The value as it stands in a message: numbers and truth values as they are, texts quoted and cut, else the type's name.
std::string ValueName(const formats::Json& value);

ApiError WrongType(std::string param, const formats::Json& found, std::string_view expected);

// An integer within `range`. 1.0 and 1e3 are integers, as for OpenAI; 1.5 is none (invalid_type).
ApiResult<int64_t> ReadInteger(const std::string& param, const formats::Json& value, IntegerRange range);

// The JSON object that a request's body is. Error: 400.
ApiResult<formats::Json> ReadBody(const std::string& body);

class FieldReader {
 public:
  // `object` is one, and outlives the reader. `prefix` stands before names in errors ("stream_options.").
  explicit FieldReader(const formats::Json& object, std::string prefix = "") : object_(object), prefix_(std::move(prefix)) {}

  // Null where the member is absent or null, or after a fault.
  const formats::Json* Any(const std::string& name) const;
  // The same of a certain type: another type is a fault.
  const formats::Json* Object(const std::string& name);
  const formats::Json* Array(const std::string& name);
  const std::string* Text(const std::string& name);
  std::optional<bool> Bool(const std::string& name);
  std::optional<int64_t> Integer(const std::string& name, IntegerRange range);
  std::optional<double> Number(const std::string& name, NumberRange range);

  std::string Path(const std::string& name) const { return prefix_ + name; }
  void Fail(ApiError error);
  const std::optional<ApiError>& error() const { return error_; }

 private:
  const formats::Json* Typed(const std::string& name, formats::Json::value_t type, std::string_view expected);

  const formats::Json& object_;
  std::string prefix_;
  std::optional<ApiError> error_;
};

// The token ids, up to `largest`, of the array that `param` is. Faults go to `fields`.
std::vector<tokenizer::TokenId> ReadIds(FieldReader* fields, const std::string& param, const formats::Json& array,
                                        int64_t largest);

}  // namespace damask::server
