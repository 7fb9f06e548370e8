#include "formats/safetensors_header.h"

#include <string>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "formats/json_sax.h"

namespace damask::formats {
namespace {

constexpr uint64_t kMaxDim = uint64_t{1} << 53;  // the largest integer that every JSON reader understands alike
constexpr size_t kMaxDims = 64;

// The header has no nesting beyond its own three levels: each event is either what the state waits for or an error, so depth
// needs no limit of its own.
class HeaderParser : public JsonSax {
 public:
  std::vector<SafetensorsEntry> TakeEntries() { return std::move(entries_); }

  bool null() override { return Unexpected("null"); }
  bool boolean(bool value) override { return Unexpected(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Unexpected(fmt::format("{}", value)); }
  bool number_float(number_float_t, const string_t& text) override { return Unexpected(text); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;

 private:
  // What comes next.
  enum class Expect {
    kHeader,
    kTensorName,
    kTensor,
    kField,
    kDtype,
    kShape,
    kDim,
    kOffsets,
    kOffset,
    kMetadata,
    kMetadataKey,
    kMetadataText,
    kNothing,
  };

  static const char* Describe(Expect expect);
  bool Unexpected(std::string_view found);
  bool StartTensorOrMetadata(string_t& name);
  bool StartField(const std::string& name);
  bool FinishTensor();
  bool Go(Expect next) {
    expect_ = next;
    return true;
  }
  // The error, at the tensor or metadata it is in. The byte offset is added by RunJsonSax.
  bool FailHere(std::string message) {
    if (!name_.empty()) message = fmt::format("tensor {}: {}", Quote(name_), message);
    return Fail(BadFormat(std::move(message)));
  }

  Expect expect_ = Expect::kHeader;
  std::vector<SafetensorsEntry> entries_;
  std::unordered_set<std::string> names_;
  std::unordered_set<std::string> metadata_keys_;
  std::string name_;  // of the tensor being read
  SafetensorsEntry entry_;
  std::vector<uint64_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
};

const char* HeaderParser::Describe(Expect expect) {
  switch (expect) {
    case Expect::kHeader: return "an object of tensors";
    case Expect::kTensorName: return "the name of a tensor";
    case Expect::kTensor: return "an object that describes the tensor";
    case Expect::kField: return "one of dtype, shape and data_offsets";
    case Expect::kDtype: return "a text for dtype";
    case Expect::kShape: return "an array for shape";
    case Expect::kDim: return "a dimension as an integer that is not negative";
    case Expect::kOffsets: return "an array for data_offsets";
    case Expect::kOffset: return "an offset as an integer that is not negative";
    case Expect::kMetadata: return "an object for __metadata__";
    case Expect::kMetadataKey: return "a key of __metadata__";
    case Expect::kMetadataText: return "a text for each key of __metadata__";
    case Expect::kNothing: return "the end of the header";
  }
  return "something else";
}

bool HeaderParser::Unexpected(std::string_view found) {
  return FailHere(fmt::format("found {}, expected {}", Quote(found), Describe(expect_)));
}

bool HeaderParser::start_object(size_t) {
  switch (expect_) {
    case Expect::kHeader: return Go(Expect::kTensorName);
    case Expect::kTensor: return Go(Expect::kField);
    case Expect::kMetadata: return Go(Expect::kMetadataKey);
    default: return Unexpected("{");
  }
}

bool HeaderParser::key(string_t& name) {
  switch (expect_) {
    case Expect::kTensorName: return StartTensorOrMetadata(name);
    case Expect::kField: return StartField(name);
    case Expect::kMetadataKey:
      if (!metadata_keys_.insert(name).second)
        return FailHere(fmt::format("the key {} of __metadata__ occurs twice", Quote(name)));
      return Go(Expect::kMetadataText);
    default: return Unexpected(name);
  }
}

bool HeaderParser::StartTensorOrMetadata(string_t& name) {
  if (!names_.insert(name).second) return FailHere(fmt::format("the key {} occurs twice", Quote(name)));
  if (name == "__metadata__") return Go(Expect::kMetadata);
  if (name.empty()) return FailHere("a tensor without a name");
  entry_ = SafetensorsEntry();
  name_ = std::move(name);
  has_dtype_ = has_shape_ = has_offsets_ = false;
  return Go(Expect::kTensor);
}

bool HeaderParser::StartField(const std::string& name) {
  bool* seen = name == "dtype" ? &has_dtype_ : name == "shape" ? &has_shape_ : name == "data_offsets" ? &has_offsets_ : nullptr;
  if (seen == nullptr) return Unexpected(name);
  if (*seen) return FailHere(fmt::format("{} occurs twice", name));
  *seen = true;
  return Go(seen == &has_dtype_ ? Expect::kDtype : seen == &has_shape_ ? Expect::kShape : Expect::kOffsets);
}

bool HeaderParser::string(string_t& value) {
  if (expect_ == Expect::kMetadataText) return Go(Expect::kMetadataKey);
  if (expect_ != Expect::kDtype) return Unexpected(value);
  entry_.dtype = std::move(value);
  return Go(Expect::kField);
}

bool HeaderParser::start_array(size_t) {
  if (expect_ == Expect::kShape) return Go(Expect::kDim);
  if (expect_ != Expect::kOffsets) return Unexpected("[");
  offsets_.clear();
  return Go(Expect::kOffset);
}

bool HeaderParser::number_unsigned(number_unsigned_t value) {
  if (expect_ == Expect::kDim) {
    if (value > kMaxDim) return FailHere(fmt::format("a dimension of {}, expected at most 2^53", value));
    if (entry_.shape.size() == kMaxDims) return FailHere(fmt::format("more than {} dimensions", kMaxDims));
    entry_.shape.push_back(value);
    return true;
  }
  if (expect_ != Expect::kOffset) return Unexpected(fmt::format("{}", value));
  if (offsets_.size() == 2) return FailHere("data_offsets has more than two elements");
  offsets_.push_back(value);
  return true;
}

bool HeaderParser::end_array() {
  if (expect_ == Expect::kOffset) {
    if (offsets_.size() != 2) return FailHere(fmt::format("data_offsets has {} elements, expected 2", offsets_.size()));
    entry_.begin = offsets_[0];
    entry_.end = offsets_[1];
  }
  return Go(Expect::kField);
}

bool HeaderParser::end_object() {
  switch (expect_) {
    case Expect::kTensorName: return Go(Expect::kNothing);
    case Expect::kField: return FinishTensor();
    case Expect::kMetadataKey: return Go(Expect::kTensorName);
    default: return Unexpected("}");
  }
}

bool HeaderParser::FinishTensor() {
  if (!has_dtype_) return FailHere("dtype is missing");
  if (!has_shape_) return FailHere("shape is missing");
  if (!has_offsets_) return FailHere("data_offsets is missing");
  entry_.name = std::exchange(name_, {});
  entries_.push_back(std::move(entry_));
  return Go(Expect::kTensorName);
}

}  // namespace

Result<std::vector<SafetensorsEntry>> ParseSafetensorsHeader(std::string_view json) {
  HeaderParser parser;
  DAMASK_RETURN_IF_ERROR(RunJsonSax(json, &parser));
  return parser.TakeEntries();
}

}  // namespace damask::formats
