// GGUF files made piece by piece for tests, right ones and wrong ones: every number of the header can be overruled.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/tensor_type.h"

namespace damask::formats::test {

// GGUF's value types by number.
enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kF32, kBool, kString, kArray, kU64, kI64, kF64 };

// A number as it lies in a file.
template <typename T>
std::string Le(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

inline std::string GgufString(std::string_view text) { return Le<uint64_t>(text.size()) + std::string(text); }

class GgufBuilder {
 public:
  GgufBuilder& Magic(std::string magic) { return magic_ = std::move(magic), *this; }
  GgufBuilder& Version(uint32_t version) { return version_ = version, *this; }
  // Other counts than those of what was added.
  GgufBuilder& NumTensors(uint64_t count) { return num_tensors_ = count, *this; }
  GgufBuilder& NumKeys(uint64_t count) { return num_keys_ = count, *this; }
  // The padding between tensors; the key is not written by this.
  GgufBuilder& Alignment(uint64_t alignment) { return alignment_ = alignment, *this; }

  // Any bytes as a pair, and any value of any type.
  GgufBuilder& RawPair(const std::string& bytes) { return keys_ += bytes, ++keys_added_, *this; }
  GgufBuilder& Pair(std::string_view key, uint32_t type, const std::string& value) {
    return RawPair(GgufString(key) + Le(type) + value);
  }
  GgufBuilder& U8(std::string_view key, uint8_t value) { return Pair(key, kU8, Le(value)); }
  GgufBuilder& U16(std::string_view key, uint16_t value) { return Pair(key, kU16, Le(value)); }
  GgufBuilder& U32(std::string_view key, uint32_t value) { return Pair(key, kU32, Le(value)); }
  GgufBuilder& I32(std::string_view key, int32_t value) { return Pair(key, kI32, Le(value)); }
  GgufBuilder& U64(std::string_view key, uint64_t value) { return Pair(key, kU64, Le(value)); }
  GgufBuilder& F32(std::string_view key, float value) { return Pair(key, kF32, Le(value)); }
  GgufBuilder& F64(std::string_view key, double value) { return Pair(key, kF64, Le(value)); }
  GgufBuilder& Bool(std::string_view key, uint8_t value) { return Pair(key, kBool, Le(value)); }
  GgufBuilder& Text(std::string_view key, std::string_view value) { return Pair(key, kString, GgufString(value)); }
  // An array of `count` elements, whatever `elements` holds.
  GgufBuilder& Array(std::string_view key, uint32_t type, uint64_t count, const std::string& elements) {
    return Pair(key, kArray, Le(type) + Le(count) + elements);
  }
  GgufBuilder& Texts(std::string_view key, const std::vector<std::string>& values) {
    std::string elements;
    for (const std::string& value : values) elements += GgufString(value);
    return Array(key, kString, values.size(), elements);
  }
  template <typename T>
  GgufBuilder& Numbers(std::string_view key, uint32_t type, const std::vector<T>& values) {
    std::string elements;
    for (const T value : values) elements += Le(value);
    return Array(key, type, values.size(), elements);
  }

  // Any bytes as a tensor description.
  GgufBuilder& RawTensor(const std::string& bytes) { return tensors_ += bytes, ++tensors_added_, *this; }
  // A description with any numbers; `dims` has the fastest dimension first, as the file has it. No data is added.
  GgufBuilder& Describe(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset) {
    std::string bytes = GgufString(name) + Le(static_cast<uint32_t>(dims.size()));
    for (const uint64_t dim : dims) bytes += Le(dim);
    return RawTensor(bytes + Le(type) + Le(offset));
  }
  // A sound tensor: the description at the right offset, and `data` padded as the format wants it.
  GgufBuilder& Tensor(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims, const std::string& data) {
    Describe(name, type, dims, data_.size());
    return Data(data);
  }
  GgufBuilder& Data(const std::string& data) {
    data_ += data;
    data_.resize((data_.size() + alignment_ - 1) / alignment_ * alignment_);
    return *this;
  }

  // Where the data section begins.
  uint64_t data_begin() const { return (Header().size() + alignment_ - 1) / alignment_ * alignment_; }

  std::string Build() const {
    std::string bytes = Header();
    if (data_.empty()) return bytes;
    bytes.resize(data_begin());
    return bytes + data_;
  }

 private:
  std::string Header() const {
    return magic_ + Le(version_) + Le(num_tensors_.value_or(tensors_added_)) + Le(num_keys_.value_or(keys_added_)) + keys_ +
           tensors_;
  }

  std::string magic_ = "GGUF";
  uint32_t version_ = 3;
  uint64_t alignment_ = 32;
  std::optional<uint64_t> num_tensors_, num_keys_;
  uint64_t tensors_added_ = 0, keys_added_ = 0;
  std::string keys_, tensors_, data_;
};

// A file with a value of every type and tensors of three types: about a kilobyte.
inline std::string SmallGguf() {
  GgufBuilder builder;
  builder.Text("general.architecture", "llama").U32("general.alignment", 32);
  builder.U8("a.u8", 255).Pair("a.i8", kI8, Le<int8_t>(-1)).U16("a.u16", 65535).Pair("a.i16", kI16, Le<int16_t>(-2));
  builder.U32("a.u32", 7).I32("a.i32", -3).F32("a.f32", 0.5f).Bool("a.bool", 1).U64("a.u64", 1ull << 40);
  builder.Pair("a.i64", kI64, Le<int64_t>(-4)).F64("a.f64", 0.25);
  builder.Texts("tokenizer.ggml.tokens", {"<s>", "", "a\xff"}).Numbers<float>("tokenizer.ggml.scores", kF32, {0.f, -1.f, -2.f});
  builder.Numbers<int32_t>("tokenizer.ggml.token_type", kI32, {3, 1, 1}).Numbers<uint8_t>("a.bools", kBool, {0, 1, 1});
  builder.Numbers<uint64_t>("a.u64s", kU64, {1, 2}).Texts("a.none", {});
  builder.Tensor("norm.weight", 0, {3}, Le(1.f) + Le(2.f) + Le(3.f));
  builder.Tensor("blk.0.q", 8, {32, 2}, std::string(68, '\1'));
  builder.Tensor("blk.0.h", 1, {2, 2, 1}, std::string(8, '\2'));
  return builder.Build();
}

}  // namespace damask::formats::test
