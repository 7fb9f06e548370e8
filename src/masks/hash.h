// FNV-1a, 64 bit: the checksum of mask files and the hashes of fingerprints. Not a defence against forgery, only against damage
// and mix-ups. offset basis 14695981039346656037, prime 1099511628211, one step for each byte: h = (h ^ byte) * prime.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace damask::masks {

class Hasher {
 public:
  void Add(std::span<const std::byte> bytes) {
    for (const std::byte byte : bytes) hash_ = (hash_ ^ std::to_integer<uint64_t>(byte)) * 1099511628211u;
  }
  // A number as 8 little-endian bytes.
  void AddNumber(uint64_t number) {
    std::byte bytes[sizeof(number)];
    for (size_t i = 0; i < sizeof(number); ++i) bytes[i] = static_cast<std::byte>(number >> (8 * i));
    Add(bytes);
  }
  // A text after its length, so that "ab" + "c" and "a" + "bc" differ.
  void AddText(std::string_view text) {
    AddNumber(text.size());
    Add(std::as_bytes(std::span(text)));
  }
  uint64_t value() const { return hash_; }

 private:
  uint64_t hash_ = 14695981039346656037u;
};

}  // namespace damask::masks
