// Prompts that have been read stay ready: their key and value pages are kept, in memory and on disk, and a later prompt that
// begins with the same tokens starts behind them. What is kept are whole pages (64 positions of every layer and KV head) of
// prompts only: those were computed as prefill computes them, so a restored prefix has the same bits as one that is read again.
//
// A prefix is found by its token ids, all of them compared. Used on one thread (the scheduler's); writing to disk goes on
// beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/status.h"
#include "model/kv_cache.h"
#include "tokenizer/tokenizer.h"

namespace damask::batching {

using tokenizer::TokenId;

struct PrefixStoreOptions {
  uint64_t memory_bytes = uint64_t{1} << 30;  // of pages held for no running request; 0: nothing is kept in memory
  std::string directory;                      // "": nothing on disk
  uint64_t disk_bytes = uint64_t{8} << 30;    // all prefix files of the directory together
  uint64_t read_bytes = uint64_t{256} << 20;  // of pages that one Restore reads from disk, but for one block at least
};

// What every prefix depends on, as one text: program version, model fingerprint, policy with its mask's contents, arithmetic,
// page type, rope. A file of another binding is never used.
struct PrefixShape {
  std::string binding;
  size_t layers = 0;
  size_t kv_heads = 0;
  size_t vocab = 0;
};

struct PrefixStats {
  uint64_t memory_bytes = 0;
  uint64_t memory_limit = 0;
  uint64_t disk_bytes = 0;
  uint64_t disk_limit = 0;
  uint64_t hits = 0;  // prompts of which something was restored
  uint64_t misses = 0;
  uint64_t tokens_from_memory = 0;
  uint64_t tokens_from_disk = 0;
  uint64_t bad_files = 0;  // damaged ones, met and passed over
  uint64_t evicted_bytes = 0;
};

class PrefixStore {
 public:
  // `pool` is not owned and outlives the store. Reads the heads of the directory's files; damaged files and files of another
  // binding are passed over. Errors: Io for a directory that cannot be used, InvalidArgument.
  static Result<std::unique_ptr<PrefixStore>> Open(const PrefixStoreOptions& options, const PrefixShape& shape,
                                                   model::PagePool* pool);
  ~PrefixStore();  // waits for writes that have begun

  // How many tokens of `prompt` are at hand: a multiple of kernels::kPageTokens and less than prompt.size(), so that something
  // is left to compute.
  uint64_t Longest(std::span<const TokenId> prompt) const;

  // `cache` holds the first cache->length() tokens of `prompt`, a multiple of kernels::kPageTokens (0 at the start): appends
  // what is at hand behind them, pages of memory shared, those of disk read and checked. Returns the new length: less than
  // Longest where read_bytes end before, and the next call goes on there. A damaged file only makes it shorter; after an error
  // the cache is as it was.
  Result<uint64_t> Restore(std::span<const TokenId> prompt, model::KvCache* cache);

  // Keeps the whole pages among the first `length` positions of `cache`, which are the first tokens of `prompt`: all computed
  // as a prompt. Over the limits the least recently used go first; what cannot fit is not kept.
  void Keep(std::span<const TokenId> prompt, const model::KvCache& cache, uint64_t length);

  // Takes back the pages of what has been written to disk since the last call, which then counts as being there. Now and then,
  // also where nothing else is asked of the store.
  void Collect();
  // Waits until everything that Keep gave to the disk is there.
  void Flush();

  PrefixStats stats() const;

 private:
  PrefixStore();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask::batching
