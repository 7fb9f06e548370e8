// Mask files as bytes that a test damages.
#pragma once

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "masks/hash.h"
#include "masks/mask_file.h"
#include "masks/mask_layout.h"

namespace damask::masks {

inline std::string Bytes(const Mask& mask) {
  const Result<std::string> bytes = SerializeMask(mask);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  return bytes.ok() ? *bytes : std::string();
}

inline Result<Mask> Parse(const std::string& bytes) { return ParseMask(std::as_bytes(std::span(bytes))); }

// Size and checksum made right again, so that a reader sees the damage behind them.
inline std::string Sealed(std::string bytes) {
  const uint64_t size = bytes.size();
  std::memcpy(&bytes[16], &size, sizeof(size));
  Hasher hasher;
  const auto view = std::as_bytes(std::span(bytes));
  hasher.Add(view.first(24));
  hasher.Add(view.subspan(32));
  const uint64_t checksum = hasher.value();
  std::memcpy(&bytes[24], &checksum, sizeof(checksum));
  return bytes;
}

template <typename T>
std::string With(std::string bytes, size_t offset, T value) {
  std::memcpy(&bytes[offset], &value, sizeof(value));
  return Sealed(std::move(bytes));
}

struct SectionPlace {
  uint32_t kind = 0;
  size_t offset = 0;   // of the section's header
  size_t payload = 0;  // where its payload begins
  size_t end = 0;
};

inline std::vector<SectionPlace> Sections(const std::string& bytes) {
  std::vector<SectionPlace> places;
  for (size_t at = layout::kHeaderBytes; at < bytes.size();) {
    SectionPlace place;
    uint64_t size = 0;
    std::memcpy(&place.kind, &bytes[at], sizeof(place.kind));
    std::memcpy(&size, &bytes[at + 8], sizeof(size));
    place.offset = at;
    place.payload = at + layout::kSectionHeaderBytes;
    place.end = at = place.payload + size;
    places.push_back(place);
  }
  return places;
}

inline SectionPlace Find(const std::string& bytes, Section kind, size_t index = 0) {
  for (const SectionPlace& place : Sections(bytes)) {
    if (place.kind == static_cast<uint32_t>(kind) && index-- == 0) return place;
  }
  ADD_FAILURE() << "no such section";
  return {};
}

}  // namespace damask::masks
