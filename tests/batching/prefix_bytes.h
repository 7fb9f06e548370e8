// Tiny prefix files as bytes, sound and broken: for the tests and for the seeds of the fuzzer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "batching/prefix_file.h"

namespace damask::batching::test {

// Two layers of two KV heads with pages of 64 bytes.
inline PrefixFileShape TinyShape() {
  PrefixFileShape shape = {.layers = 2, .kv_heads = 2, .page_bytes = 64, .vocab = 300};
  BindPrefixFiles("tiny model, policy of 1, v1", &shape);
  return shape;
}

// The pages of so many blocks: bytes that never repeat soon.
struct TinyPages {
  explicit TinyPages(size_t blocks) : bytes(blocks * TinyShape().block_bytes(), '\0') {
    for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * 7 + i / 64);
    for (size_t at = 0; at < bytes.size(); at += TinyShape().page_bytes) {
      pages.push_back(reinterpret_cast<std::byte*>(bytes.data() + at));
    }
  }
  TinyPages(const TinyPages&) = delete;
  TinyPages& operator=(const TinyPages&) = delete;

  std::string bytes;
  std::vector<std::byte*> pages;
};

inline std::vector<TokenId> TinyIds(uint64_t blocks) {
  std::vector<TokenId> ids(blocks * kernels::kPageTokens);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<TokenId>(i % TinyShape().vocab);
  return ids;
}

inline std::string TinyFile(uint64_t first_block, uint64_t end_block) {
  const PrefixFileShape shape = TinyShape();
  PrefixFileHead head;
  head.first_block = first_block;
  head.end_block = end_block;
  head.ids = TinyIds(end_block);
  const TinyPages pages(head.blocks());
  const size_t per_block = shape.pages_per_block();
  for (uint64_t i = 0; i < head.blocks(); ++i) {
    const auto block = std::span(pages.pages).subspan(i * per_block, per_block);
    head.checksums.push_back(BlockChecksum(block, shape.page_bytes, first_block + i));
  }
  return SerializePrefixHead(shape, head) + pages.bytes;
}

// The file after a change of its head, with a checksum that is right again.
inline std::string Resealed(std::string bytes, const std::function<void(PrefixFileStart*, std::string*)>& change) {
  PrefixFileStart start;
  std::memcpy(&start, bytes.data(), sizeof(start));
  const size_t head_bytes = start.head_bytes;
  change(&start, &bytes);
  std::memcpy(bytes.data(), &start, sizeof(start));
  start.checksum = HeadChecksum(std::as_bytes(std::span(bytes)).first(head_bytes));
  std::memcpy(bytes.data(), &start, sizeof(start));
  return bytes;
}

}  // namespace damask::batching::test
