// What the tests of prefix reuse share: a small shape, texts, and caches whose pages hold bytes that follow from the text
// alone, so that a page in a wrong place or of another text shows.
#pragma once

#include <algorithm>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "batching/prefix_store.h"
#include "model/kv_cache.h"

namespace damask::batching::test {

inline constexpr size_t kLayers = 2;
inline constexpr size_t kKvHeads = 2;
inline constexpr size_t kPages = kLayers * kKvHeads;
inline constexpr size_t kVocab = 1000;
inline constexpr size_t kTokens = kernels::kPageTokens;
inline constexpr kernels::PageLayout kLayout = {16, kernels::KvType::kBf16};
inline const uint64_t kBlockBytes = kPages * kLayout.bytes();

inline model::ModelConfig SmallConfig() {
  model::ModelConfig config;
  config.layers = kLayers;
  config.heads = kKvHeads;
  config.kv_heads = kKvHeads;
  config.head_dim = kLayout.head_dim;
  return config;
}

inline PrefixShape SmallShape(const std::string& binding = "damask 1, model A, full") {
  return {.binding = binding, .layers = kLayers, .kv_heads = kKvHeads, .vocab = kVocab};
}

// `blocks` whole blocks and one token more; texts of different seeds differ in their first block.
inline std::vector<TokenId> Text(size_t blocks, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids(blocks * kTokens + 1);
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % kVocab);
  return ids;
}

inline uint64_t SeedOfBlock(std::span<const TokenId> ids, size_t block) {
  uint64_t seed = 1;
  for (const TokenId id : ids.first((block + 1) * kTokens)) seed = seed * 6364136223846793005u + static_cast<uint64_t>(id) + 1;
  return seed;
}

inline std::vector<std::byte> PageBytes(uint64_t block_seed, size_t page) {
  std::vector<std::byte> bytes(kLayout.bytes());
  uint64_t state = block_seed * 31 + page;
  for (size_t i = 0; i < bytes.size(); i += sizeof(state)) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(&bytes[i], &state, sizeof(state));
  }
  return bytes;
}

// Computes what prefill would: the blocks of `ids` behind the cache's length up to block `end`.
inline void Prefill(std::span<const TokenId> ids, size_t end, model::KvCache* cache) {
  std::vector<std::byte*> pages;
  for (size_t block = cache->length() / kTokens; block < end; ++block) {
    ASSERT_TRUE(cache->Reserve((block + 1) * kTokens).ok());
    ASSERT_TRUE(cache->BlockPages(block, &pages));
    const uint64_t seed = SeedOfBlock(ids, block);
    for (size_t i = 0; i < pages.size(); ++i) std::memcpy(pages[i], PageBytes(seed, i).data(), kLayout.bytes());
    cache->Commit((block + 1) * kTokens);
  }
}

// Whether every page of the cache holds what prefill would have put there.
inline bool HoldsText(const model::KvCache& cache, std::span<const TokenId> ids) {
  std::vector<std::byte*> pages;
  for (size_t block = 0; block < cache.length() / kTokens; ++block) {
    if (!cache.BlockPages(block, &pages)) return false;
    const uint64_t seed = SeedOfBlock(ids, block);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (std::memcmp(pages[i], PageBytes(seed, i).data(), kLayout.bytes()) != 0) return false;
    }
  }
  return cache.length() % kTokens == 0;
}

}  // namespace damask::batching::test
