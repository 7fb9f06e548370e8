// A sound GGUF file taken apart, so that a test can put it together otherwise.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "tests/formats/gguf_builder.h"

namespace damask::model {

struct GgufParts {
  struct Key {
    std::string name;
    uint32_t type = 0;
    std::string value;  // as it lies in the file
  };
  struct Tensor {
    std::string name;
    std::vector<uint64_t> dims;  // the fastest first
    uint32_t type = 0;
    uint64_t offset = 0;
  };
  std::vector<Key> keys;
  std::vector<Tensor> tensors;
  std::string data;
};

namespace gguf_parts {

// Reads what is known to be there.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  template <typename T>
  T Number() {
    T value;
    std::memcpy(&value, Take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  std::string_view Text() { return Take(Number<uint64_t>()); }
  std::string_view Take(size_t size) {
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }
  void SkipValue(uint32_t type) {
    constexpr size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == formats::test::kString) {
      Text();
    } else if (type == formats::test::kArray) {
      const auto element = Number<uint32_t>();
      for (auto left = Number<uint64_t>(); left > 0; --left) SkipValue(element);
    } else {
      Take(kSizes[type]);
    }
  }
  size_t at() const { return at_; }

 private:
  std::string_view bytes_;
  size_t at_ = 0;
};

inline GgufParts::Key ReadKey(std::string_view bytes, Cursor* cursor) {
  GgufParts::Key key;
  key.name = cursor->Text();
  key.type = cursor->Number<uint32_t>();
  const size_t begin = cursor->at();
  cursor->SkipValue(key.type);
  key.value = bytes.substr(begin, cursor->at() - begin);
  return key;
}

inline GgufParts::Tensor ReadTensor(Cursor* cursor) {
  GgufParts::Tensor tensor;
  tensor.name = cursor->Text();
  tensor.dims.resize(cursor->Number<uint32_t>());
  for (uint64_t& dim : tensor.dims) dim = cursor->Number<uint64_t>();
  tensor.type = cursor->Number<uint32_t>();
  tensor.offset = cursor->Number<uint64_t>();
  return tensor;
}

}  // namespace gguf_parts

// Of a file with the usual alignment.
inline GgufParts TakeApart(std::string_view bytes) {
  gguf_parts::Cursor cursor(bytes);
  cursor.Take(8);  // magic, version
  GgufParts parts;
  parts.tensors.resize(cursor.Number<uint64_t>());
  parts.keys.resize(cursor.Number<uint64_t>());
  for (GgufParts::Key& key : parts.keys) key = gguf_parts::ReadKey(bytes, &cursor);
  for (GgufParts::Tensor& tensor : parts.tensors) tensor = gguf_parts::ReadTensor(&cursor);
  parts.data = bytes.substr((cursor.at() + 31) / 32 * 32);
  return parts;
}

inline std::string PutTogether(const GgufParts& parts) {
  formats::test::GgufBuilder builder;
  for (const GgufParts::Key& key : parts.keys) builder.Pair(key.name, key.type, key.value);
  for (const GgufParts::Tensor& tensor : parts.tensors) {
    builder.Describe(tensor.name, tensor.type, tensor.dims, tensor.offset);
  }
  return builder.Data(parts.data).Build();
}

}  // namespace damask::model
