// Mask files: docs/mask-format.md documents them byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "formats/fault.h"
#include "masks/mask.h"

namespace damask::masks {

inline constexpr uint16_t kMaskVersionMajor = 1;
inline constexpr uint16_t kMaskVersionMinor = 1;

// The sections of a file. Numbers are never used for anything else again.
enum class Section : uint32_t {
  kFingerprint = 1,
  kParameters = 2,
  kHead = 3,
  kKeyDirections = 4,
  kThumbnail = 5,
};

// A mask of bytes that nobody vouches for: whole and checked (CheckMask), or an error. BadFormat, Truncated, Unsupported (a
// newer major version, or a required section that this reader does not know); `where` names the section and the byte.
Result<Mask> ParseMask(std::span<const std::byte> bytes);
// The same for a file; messages begin with its name. TooLarge over kMaxMaskFileBytes.
Result<Mask> ReadMaskFile(const std::string& path);
inline constexpr uint64_t kMaxMaskFileBytes = uint64_t{1} << 30;

// Whether bytes claim to be a mask file.
bool IsMask(std::span<const std::byte> bytes);
// Everything that is wrong with a mask file, as far as it can be read past: of a sound one nothing. `where` of a fault is empty
// where it is about the whole file. Error: OutOfMemory.
Result<std::vector<formats::Fault>> FindMaskFaults(std::span<const std::byte> bytes);

// The bytes of a checked mask; BadFormat if it does not hold what CheckMask asks for.
Result<std::string> SerializeMask(const Mask& mask);
// Writes a temporary and renames it: `path` holds the old file or the whole new one.
Status WriteMaskFile(const Mask& mask, const std::string& path);

}  // namespace damask::masks
