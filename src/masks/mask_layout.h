// The fixed numbers of the mask format, shared by its reader and its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace damask::masks::layout {

inline constexpr std::string_view kMagic = "DAMASKMK";
inline constexpr uint32_t kByteOrder = 0x0a0b0c0d;
inline constexpr uint32_t kSwappedByteOrder = 0x0d0c0b0a;
inline constexpr size_t kChecksumOffset = 24;
inline constexpr size_t kHeaderBytes = 32;
inline constexpr size_t kSectionHeaderBytes = 16;
inline constexpr uint32_t kRequired = 1;  // flag of a section: a reader that does not know it must refuse the file

// What files of version 1.0, which do not say it, mean.
inline constexpr uint32_t kContentBlocksOfVersion10 = 10;

// The smallest section of a head: its fixed part without any pattern or row.
inline constexpr size_t kMinHeadBytes = 52;

}  // namespace damask::masks::layout
