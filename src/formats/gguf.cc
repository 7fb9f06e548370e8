#include "formats/gguf.h"

#include <iterator>
#include <type_traits>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "formats/gguf_reader.h"

namespace damask::formats {
namespace {

// In the order of GGUF's type numbers, which is also that of GgufValue's alternatives.
constexpr std::string_view kValueNames[] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                            "bool", "string", "array", "u64", "i64", "f64"};
static_assert(std::size(kValueNames) == std::variant_size_v<GgufValue>);

// GgufArray has the same alternatives without the array itself, the tenth.
constexpr size_t kArrayIndex = 9;
static_assert(std::is_same_v<std::variant_alternative_t<kArrayIndex, GgufValue>, GgufArray>);

std::string At(std::string_view key) { return "key " + Quote(key); }

Status WrongType(std::string_view key, const GgufValue& found, std::string_view expected) {
  return BadFormat(fmt::format("found {}, expected {}", GgufTypeName(found), expected)).At(At(key));
}

// A whole number that is not negative; nothing for other values.
std::optional<uint64_t> AsUint(const auto& value) {
  using T = std::decay_t<decltype(value)>;
  if constexpr (std::is_integral_v<T> && !std::is_same_v<T, bool>) {
    if (value >= 0) return static_cast<uint64_t>(value);
  }
  return std::nullopt;
}

template <typename T>
constexpr bool kIsInteger = std::is_integral_v<T> && !std::is_same_v<T, bool>;

// The array of element type T under `key`; null where the key is absent.
template <typename T>
Result<const std::vector<T>*> FindArray(const GgufFile& file, std::string_view key, std::string_view expected) {
  const GgufValue* value = file.FindKey(key);
  if (value == nullptr) return static_cast<const std::vector<T>*>(nullptr);
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) return WrongType(key, *value, expected);
  const auto* values = std::get_if<std::vector<T>>(array);
  if (values == nullptr) return WrongType(key, *value, expected);
  return values;
}

}  // namespace

uint64_t TensorInfo::rows() const {
  uint64_t product = 1;  // cannot wrap: the readers have checked the product of all dimensions
  for (size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

uint64_t TensorInfo::columns() const { return shape.empty() ? 1 : shape.back(); }

std::string GgufTypeName(const GgufValue& value) {
  const auto* array = std::get_if<GgufArray>(&value);
  if (array == nullptr) return std::string(kValueNames[value.index()]);
  const size_t element = array->index() < kArrayIndex ? array->index() : array->index() + 1;
  return fmt::format("array of {}", kValueNames[element]);
}

Result<std::shared_ptr<const GgufFile>> GgufFile::Open(const std::string& path, const GgufOpenOptions& options) {
  return GgufReader::OpenAll(path, options, nullptr);
}

Result<std::shared_ptr<const GgufFile>> GgufFile::Parse(std::shared_ptr<const FileBytes> file, const GgufOpenOptions& options) {
  return GgufReader::ParseWhole(std::move(file), options, nullptr);
}

const TensorInfo* GgufFile::FindTensor(std::string_view name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

const GgufValue* GgufFile::FindKey(std::string_view key) const {
  const auto found = key_index_.find(key);
  return found == key_index_.end() ? nullptr : &metadata_[found->second].second;
}

Result<std::optional<uint64_t>> GgufFile::GetUint(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  if (value == nullptr) return std::optional<uint64_t>();
  return std::visit(
      [&](const auto& held) -> Result<std::optional<uint64_t>> {
        using T = std::decay_t<decltype(held)>;
        if (const std::optional<uint64_t> number = AsUint(held)) return number;
        if constexpr (kIsInteger<T>) {
          return BadFormat(fmt::format("found {} {}, expected an integer that is not negative", GgufTypeName(*value), held))
              .At(At(key));
        }
        return WrongType(key, *value, "an integer");
      },
      *value);
}

Result<std::optional<double>> GgufFile::GetFloat(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  if (value == nullptr) return std::optional<double>();
  if (const auto* single = std::get_if<float>(value)) return std::optional<double>(*single);
  if (const auto* number = std::get_if<double>(value)) return std::optional<double>(*number);
  return WrongType(key, *value, "f32 or f64");
}

Result<std::optional<bool>> GgufFile::GetBool(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  if (value == nullptr) return std::optional<bool>();
  if (const auto* flag = std::get_if<bool>(value)) return std::optional<bool>(*flag);
  return WrongType(key, *value, "bool");
}

Result<std::optional<std::string_view>> GgufFile::GetString(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  if (value == nullptr) return std::optional<std::string_view>();
  if (const auto* text = std::get_if<std::string_view>(value)) return std::optional<std::string_view>(*text);
  return WrongType(key, *value, "string");
}

Result<const std::vector<std::string_view>*> GgufFile::GetStringArray(std::string_view key) const {
  return FindArray<std::string_view>(*this, key, "array of string");
}

Result<const std::vector<float>*> GgufFile::GetFloatArray(std::string_view key) const {
  return FindArray<float>(*this, key, "array of f32");
}

Result<const std::vector<int32_t>*> GgufFile::GetInt32Array(std::string_view key) const {
  return FindArray<int32_t>(*this, key, "array of i32");
}

Result<const std::vector<bool>*> GgufFile::GetBoolArray(std::string_view key) const {
  return FindArray<bool>(*this, key, "array of bool");
}

bool GgufFile::IsArray(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  return value != nullptr && std::holds_alternative<GgufArray>(*value);
}

Result<std::vector<uint64_t>> GgufFile::GetUintOrArray(std::string_view key) const {
  const GgufValue* value = FindKey(key);
  if (value == nullptr) return std::vector<uint64_t>();
  const auto* array = std::get_if<GgufArray>(value);
  if (array == nullptr) {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> number, GetUint(key));
    return std::vector<uint64_t>{number.value()};
  }
  return std::visit(
      [&](const auto& held) -> Result<std::vector<uint64_t>> {
        using T = typename std::decay_t<decltype(held)>::value_type;
        if constexpr (!kIsInteger<T>) {
          return WrongType(key, *value, "an integer or an array of integers");
        } else {
          if (held.size() > limits::kMaxVocab) {
            return TooLarge(fmt::format("found {} elements, expected at most {}", held.size(), limits::kMaxVocab)).At(At(key));
          }
          std::vector<uint64_t> numbers;
          numbers.reserve(held.size());
          for (const T element : held) {
            const std::optional<uint64_t> number = AsUint(element);
            if (!number) {
              return BadFormat(
                         fmt::format("element {} is {}, expected an integer that is not negative", numbers.size(), element))
                  .At(At(key));
            }
            numbers.push_back(*number);
          }
          return numbers;
        }
      },
      *array);
}

}  // namespace damask::formats
