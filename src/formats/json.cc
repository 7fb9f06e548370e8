#include "formats/json.h"

#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "formats/json_sax.h"

namespace damask::formats {
namespace {

// Builds the document from the parser's events and stops at the first thing that strict JSON does not allow.
class DocumentBuilder : public JsonSax {
 public:
  DocumentBuilder(Json* root, size_t max_values) : root_(root), max_values_(max_values) {}

  bool null() override { return Add(Json(nullptr)); }
  bool boolean(bool value) override { return Add(Json(value)); }
  bool number_integer(number_integer_t value) override { return Add(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(Json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Add(Json(value)); }
  bool string(string_t& value) override { return Add(Json(std::move(value))); }
  bool start_object(size_t) override { return Open(Json::object()); }
  bool start_array(size_t) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& name) override {
    auto& object = open_.back()->get_ref<Json::object_t&>();
    const auto [place, is_new] = object.emplace(std::move(name), nullptr);
    if (!is_new) return Fail(BadFormat(fmt::format("the key {} occurs twice in one object", Quote(place->first))));
    member_ = &place->second;
    return true;
  }

 private:
  bool Add(Json value) { return Place(std::move(value)) != nullptr; }

  bool Open(Json container) {
    if (open_.size() >= limits::kMaxJsonDepth) {
      return Fail(BadFormat(fmt::format("nested deeper than {} levels", limits::kMaxJsonDepth)));
    }
    Json* placed = Place(std::move(container));
    if (placed != nullptr) open_.push_back(placed);
    return placed != nullptr;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  // Where the value now is. An open array grows only when no element of it is open, so pointers to open containers stay good.
  Json* Place(Json value) {
    if (++num_values_ > max_values_) {
      Fail(TooLarge(fmt::format("more than {} values", max_values_)));
      return nullptr;
    }
    if (open_.empty()) {
      *root_ = std::move(value);
      return root_;
    }
    if (open_.back()->is_array()) {
      auto& array = open_.back()->get_ref<Json::array_t&>();
      array.push_back(std::move(value));
      return &array.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  Json* root_;
  size_t max_values_;
  std::vector<Json*> open_;
  Json* member_ = nullptr;  // of the innermost object, waiting for its value
  size_t num_values_ = 0;
};

std::string Describe(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null: return "null";
    case Json::value_t::boolean: return value.get<bool>() ? "true" : "false";
    case Json::value_t::string: return "text " + Quote(value.get_ref<const std::string&>());
    case Json::value_t::array: return "an array";
    case Json::value_t::object: return "an object";
    case Json::value_t::number_integer: return fmt::format("{}", value.get<int64_t>());
    case Json::value_t::number_unsigned: return fmt::format("{}", value.get<uint64_t>());
    case Json::value_t::number_float: return fmt::format("{}", value.get<double>());
    default: return "an unknown value";
  }
}

// The member, or null where it is absent or null.
Result<const Json*> Member(const Json& object, const std::string& key) {
  if (!object.is_object())
    return BadFormat(fmt::format("found {}, expected an object with the key {}", Describe(object), Quote(key)));
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return static_cast<const Json*>(nullptr);
  return &*found;
}

Status WrongType(const std::string& key, const Json& found, std::string_view expected) {
  return BadFormat(fmt::format("found {}, expected {}", Describe(found), expected)).At("key " + Quote(key));
}

}  // namespace

Result<Json> ParseJson(std::string_view text, size_t max_values) {
  if (text.size() > limits::kMaxJsonFileBytes) {
    return TooLarge(
        fmt::format("has {}, at most {} are read", FormatBytes(text.size()), FormatBytes(limits::kMaxJsonFileBytes)));
  }
  Json document;
  DocumentBuilder builder(&document, max_values);
  DAMASK_RETURN_IF_ERROR(RunJsonSax(text, &builder));
  return document;
}

Result<Json> ReadJsonFile(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, limits::kMaxJsonFileBytes));
  Result<Json> document = ParseJson(text);
  if (!document.ok()) return document.status().At(Quote(path, 300));
  return document;
}

Result<std::optional<uint64_t>> JsonUint(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return std::optional<uint64_t>();
  // Numbers without a sign are number_unsigned; code that builds documents may have stored a signed one.
  if (value->is_number_unsigned()) return std::optional<uint64_t>(value->get<uint64_t>());
  if (value->is_number_integer() && value->get<int64_t>() >= 0) return std::optional<uint64_t>(value->get<uint64_t>());
  return WrongType(key, *value, "an integer that is not negative");
}

Result<std::optional<double>> JsonNumber(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return std::optional<double>();
  if (value->is_number()) return std::optional<double>(value->get<double>());
  return WrongType(key, *value, "a number");
}

Result<std::optional<bool>> JsonBool(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return std::optional<bool>();
  if (value->is_boolean()) return std::optional<bool>(value->get<bool>());
  return WrongType(key, *value, "true or false");
}

Result<std::optional<std::string>> JsonString(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const Json* value, Member(object, key));
  if (value == nullptr) return std::optional<std::string>();
  if (value->is_string()) return std::optional<std::string>(value->get_ref<const std::string&>());
  return WrongType(key, *value, "text");
}

}  // namespace damask::formats
