// A cursor over untrusted little-endian bytes: every read is checked against what is left before anything is touched.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "base/status.h"

namespace damask::formats {

static_assert(std::endian::native == std::endian::little, "the readers copy little-endian numbers as they are");

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  uint64_t offset() const { return offset_; }
  uint64_t remaining() const { return bytes_.size() - offset_; }

  // A number; Truncated naming `what` and the offset where the bytes end too early.
  template <typename T>
  Result<T> Read(std::string_view what) {
    static_assert(std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, "a byte of a file is no bool");
    if (remaining() < sizeof(T)) return Short(what, sizeof(T));
    T value;
    std::memcpy(&value, bytes_.data() + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  // The next `size` bytes, as they lie in the file.
  Result<std::span<const std::byte>> Take(std::string_view what, uint64_t size) {
    if (remaining() < size) return Short(what, size);
    const std::span<const std::byte> taken = bytes_.subspan(offset_, size);
    offset_ += size;
    return taken;
  }

  // "byte 24", for Status::At.
  std::string Here() const { return At(offset_); }
  static std::string At(uint64_t offset) { return fmt::format("byte {}", offset); }

 private:
  Status Short(std::string_view what, uint64_t size) const {
    return Truncated(fmt::format("the file ends inside {}: {} bytes expected, {} left", what, size, remaining())).At(Here());
  }

  std::span<const std::byte> bytes_;
  uint64_t offset_ = 0;
};

}  // namespace damask::formats
