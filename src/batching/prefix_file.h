// One prefix file: all token ids of a text from its beginning to the file's end, and the pages of its last blocks. Written and
// read here, on descriptors that someone else opened; docs/prefix-cache.md documents it byte by byte.
//
// Nothing of a file is believed: sizes are checked against the file's own size before anything is allocated, the head and
// every block carry a checksum.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "kernels/page.h"
#include "tokenizer/tokenizer.h"

namespace damask::batching {

using tokenizer::TokenId;

inline constexpr uint32_t kPrefixFileVersion = 1;
inline constexpr uint64_t kMaxPrefixBlocks = limits::kMaxContext / kernels::kPageTokens;

// What a file must agree with to be of use.
struct PrefixFileShape {
  uint64_t binding_bytes = 0;            // length of PrefixShape::binding
  std::array<uint64_t, 2> binding = {};  // its 128-bit XXH3 hash, the low half first
  uint64_t layers = 0;
  uint64_t kv_heads = 0;
  uint64_t page_bytes = 0;
  uint64_t vocab = 0;

  uint64_t pages_per_block() const { return layers * kv_heads; }
  uint64_t block_bytes() const { return pages_per_block() * page_bytes; }
};

// The first bytes of a file, as they lie there (little-endian). The places of magic, version, byte order, sizes and checksum
// stay the same in every version.
struct PrefixFileStart {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t byte_order;
  uint64_t head_bytes;  // of everything before the pages
  uint64_t file_bytes;
  uint64_t checksum;  // XXH3 (64 bits) of the head without this field
  uint64_t binding_bytes;
  std::array<uint64_t, 2> binding;
  uint32_t layers;
  uint32_t kv_heads;
  uint64_t page_bytes;
  uint64_t vocab;
  uint32_t first_block;
  uint32_t end_block;
};
static_assert(sizeof(PrefixFileStart) == 96);

inline constexpr std::array<char, 8> kPrefixFileMagic = {'D', 'A', 'M', 'A', 'S', 'K', 'K', 'V'};
inline constexpr uint32_t kPrefixFileByteOrder = 0x01020304;

struct PrefixFileHead {
  uint64_t first_block = 0;
  uint64_t end_block = 0;
  std::vector<TokenId> ids;         // end_block * 64
  std::vector<uint64_t> checksums;  // of the blocks [first_block, end_block)

  uint64_t blocks() const { return end_block - first_block; }
};

// {length, hash} of a binding text, into `shape`.
void BindPrefixFiles(std::string_view binding, PrefixFileShape* shape);
std::array<uint64_t, 2> HashOfIds(const PrefixFileShape& shape, std::span<const TokenId> ids);

// Bytes before the pages, and of the whole file. end_block is at most kMaxPrefixBlocks; the shape is our own.
uint64_t PrefixHeadBytes(uint64_t first_block, uint64_t end_block);
uint64_t PrefixFileBytes(const PrefixFileShape& shape, uint64_t first_block, uint64_t end_block);

// Where a block may be trusted: XXH3 (64 bits) over its pages, the block's number as the seed.
uint64_t BlockChecksum(std::span<const std::byte* const> pages, uint64_t page_bytes, uint64_t block);
uint64_t HeadChecksum(std::span<const std::byte> head);

// The head's bytes as they go into a file.
std::string SerializePrefixHead(const PrefixFileShape& shape, const PrefixFileHead& head);
// The other way round; `head` is all of a file before its pages, `file_bytes` the file's size. Errors: BadFormat and Truncated
// for a file that is damaged, Unsupported for a sound one that is of another binding or of a newer version.
Result<PrefixFileHead> ParsePrefixHead(std::span<const std::byte> head, uint64_t file_bytes, const PrefixFileShape& shape);

// Reads and checks the head of an open file. Besides ParsePrefixHead's errors: Io.
Result<PrefixFileHead> ReadPrefixHead(int fd, const PrefixFileShape& shape);
// Reads one block's pages, layer by layer, into `pages` and checks them. After an error they hold anything.
Status ReadPrefixBlock(int fd, const PrefixFileShape& shape, const PrefixFileHead& head, uint64_t block,
                       std::span<std::byte* const> pages);

// Fills in head->checksums and writes the whole file from byte 0 on; `pages` are those of its blocks, one block after another.
Status WritePrefixFile(int fd, const PrefixFileShape& shape, PrefixFileHead* head, std::span<std::byte* const> pages);

}  // namespace damask::batching
