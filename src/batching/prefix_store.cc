#include "batching/prefix_store.h"

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "batching/prefix_files.h"
#include "batching/prefix_tree.h"

namespace damask::batching {
namespace {

using kernels::kPageTokens;

// Whole blocks of a prompt that may be restored: one token at least is left.
size_t UsableBlocks(std::span<const TokenId> prompt) { return prompt.empty() ? 0 : (prompt.size() - 1) / kPageTokens; }

}  // namespace

struct PrefixStore::Impl {
  Impl(const PrefixStoreOptions& options, const PrefixShape& shape, model::PagePool* pool)
      : memory_limit(options.memory_bytes),
        read_blocks(std::max<uint64_t>(1, options.read_bytes / (shape.layers * shape.kv_heads * pool->layout().bytes()))),
        tree(options.memory_bytes, shape.layers * shape.kv_heads, pool) {}

  Result<uint64_t> Restore(std::span<const TokenId> prompt, model::KvCache* cache);
  void Keep(std::span<const TokenId> prompt, const model::KvCache& cache, uint64_t length);

  uint64_t memory_limit;
  uint64_t read_blocks;  // from disk by one Restore
  PrefixTree tree;
  std::unique_ptr<PrefixFiles> files;  // null: nothing on disk
  uint64_t hits = 0;
  uint64_t misses = 0;
  uint64_t tokens_from_memory = 0;
  uint64_t tokens_from_disk = 0;
};

Result<uint64_t> PrefixStore::Impl::Restore(std::span<const TokenId> prompt, model::KvCache* cache) {
  const size_t blocks = UsableBlocks(prompt);
  const size_t start = cache->length() / kPageTokens;
  DAMASK_RETURN_IF_ERROR(tree.Append(prompt, blocks, cache));
  const size_t from_memory = cache->length() / kPageTokens;
  size_t end = from_memory;
  if (files != nullptr) {
    DAMASK_ASSIGN_OR_RETURN(end, files->Read(prompt, std::min<uint64_t>(blocks, from_memory + read_blocks), cache));
    if (end > start) files->Touch(prompt, end);
    // Only behind what is in memory already: what else the cache holds was not handed out by this store.
    if (end > from_memory && tree.Reach(prompt, from_memory) == from_memory) tree.Insert(prompt, end, *cache);
  }
  if (start == 0) ++(end > 0 ? hits : misses);
  tokens_from_memory += (from_memory - start) * kPageTokens;
  tokens_from_disk += (end - from_memory) * kPageTokens;
  return cache->length();
}

void PrefixStore::Impl::Keep(std::span<const TokenId> prompt, const model::KvCache& cache, uint64_t length) {
  const uint64_t whole = std::min<uint64_t>({length, cache.length(), prompt.size()}) / kPageTokens;
  if (whole == 0) return;
  tree.Insert(prompt, whole, cache);
  if (files != nullptr) files->Keep(prompt, whole, cache);
}

PrefixStore::PrefixStore() = default;
PrefixStore::~PrefixStore() = default;

Result<std::unique_ptr<PrefixStore>> PrefixStore::Open(const PrefixStoreOptions& options, const PrefixShape& shape,
                                                       model::PagePool* pool) {
  if (shape.layers == 0 || shape.layers > limits::kMaxLayers || shape.kv_heads == 0 || shape.kv_heads > limits::kMaxHeads ||
      shape.vocab == 0 || shape.vocab > limits::kMaxVocab) {
    return InvalidArgument(fmt::format("prefixes of {} layers, {} KV heads and {} tokens cannot be kept", shape.layers,
                                       shape.kv_heads, shape.vocab));
  }
  try {
    std::unique_ptr<PrefixStore> store(new PrefixStore);
    store->impl_ = std::make_unique<Impl>(options, shape, pool);
    if (!options.directory.empty()) {
      PrefixFileShape file_shape = {
          .layers = shape.layers, .kv_heads = shape.kv_heads, .page_bytes = pool->layout().bytes(), .vocab = shape.vocab};
      BindPrefixFiles(shape.binding, &file_shape);
      DAMASK_ASSIGN_OR_RETURN(store->impl_->files, PrefixFiles::Open(options.directory, options.disk_bytes, file_shape, pool));
    }
    return store;
  } catch (const std::bad_alloc&) {
    return OutOfMemory("no memory for the prefix store");
  }
}

uint64_t PrefixStore::Longest(std::span<const TokenId> prompt) const {
  try {
    const size_t blocks = UsableBlocks(prompt);
    const size_t in_memory = impl_->tree.Reach(prompt, blocks);
    return (impl_->files == nullptr ? in_memory : impl_->files->Reach(prompt, in_memory, blocks)) * kPageTokens;
  } catch (const std::bad_alloc&) {
    return 0;
  }
}

Result<uint64_t> PrefixStore::Restore(std::span<const TokenId> prompt, model::KvCache* cache) {
  const uint64_t length = cache->length();
  if (length % kPageTokens != 0 || length > prompt.size()) {
    return Internal(fmt::format("a cache of {} positions cannot be continued with a prompt of {}", length, prompt.size()));
  }
  cache->Truncate(length);  // of what is reserved nothing is needed
  Result<uint64_t> restored = [&]() -> Result<uint64_t> {
    try {
      return impl_->Restore(prompt, cache);
    } catch (const std::bad_alloc&) {
      return OutOfMemory("no memory for a prefix");
    }
  }();
  if (!restored.ok()) cache->Truncate(length);
  return restored;
}

void PrefixStore::Keep(std::span<const TokenId> prompt, const model::KvCache& cache, uint64_t length) {
  try {
    impl_->Keep(prompt, cache, length);
  } catch (const std::bad_alloc&) {
    // Nothing that is kept is half there; this prompt just is not.
  }
}

void PrefixStore::Collect() {
  try {
    if (impl_->files != nullptr) impl_->files->Collect();
  } catch (const std::bad_alloc&) {
    // All was taken back; a warning of what went wrong is missing.
  }
}

void PrefixStore::Flush() {
  if (impl_->files != nullptr) impl_->files->Flush();
}

PrefixStats PrefixStore::stats() const {
  PrefixStats stats = {.memory_bytes = impl_->tree.bytes(),
                       .memory_limit = impl_->memory_limit,
                       .hits = impl_->hits,
                       .misses = impl_->misses,
                       .tokens_from_memory = impl_->tokens_from_memory,
                       .tokens_from_disk = impl_->tokens_from_disk,
                       .evicted_bytes = impl_->tree.evicted_bytes()};
  if (impl_->files != nullptr) {
    stats.disk_bytes = impl_->files->bytes();
    stats.disk_limit = impl_->files->limit();
    stats.bad_files = impl_->files->bad_files();
    stats.evicted_bytes += impl_->files->evicted_bytes();
  }
  return stats;
}

}  // namespace damask::batching
