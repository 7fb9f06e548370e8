// The KV cache of one session: pages of 64 positions for every (layer, KV head), grown on demand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/aligned.h"
#include "base/status.h"
#include "kernels/page.h"
#include "model/config.h"
#include "policies/policy.h"

namespace damask::model {

// What a new page holds.
enum class PageStart {
  kZeros,    // an unfilled slot must not bring a NaN into a tile
  kAnything  // all of it is written before anything reads it
};

// Hands out pages of one layout, carved from slabs of a few megabytes. A page may have several owners: each holds one
// reference, and a page with more than one is never written. Not thread-safe: one thread forms the chunks.
class PagePool {
 public:
  explicit PagePool(const kernels::PageLayout& layout) : layout_(layout) {}

  const kernels::PageLayout& layout() const { return layout_; }
  // Throws nothing: OutOfMemory comes back as null.
  std::byte* Allocate(PageStart start = PageStart::kZeros);
  // One owner more. False where there is no memory to note it.
  [[nodiscard]] bool Ref(std::byte* page);
  // One owner less; the last one gives the page back.
  void Free(std::byte* page);
  bool shared(const std::byte* page) const { return !extra_.empty() && extra_.count(page) != 0; }
  // Every page once, however many owners it has.
  uint64_t bytes_in_use() const { return pages_in_use_ * layout_.bytes(); }
  // What it took from the system.
  uint64_t bytes_held() const { return slabs_.empty() ? 0 : slabs_.size() * slabs_.front().bytes(); }

 private:
  // False where there is no memory.
  bool AddSlab();

  kernels::PageLayout layout_;
  std::vector<AlignedArray<std::byte>> slabs_;
  std::vector<std::byte*> free_;                          // dirty
  std::unordered_map<const std::byte*, uint64_t> extra_;  // owners beyond the first: pages with one owner cost nothing
  uint64_t pages_in_use_ = 0;
};

class KvCache {
 public:
  // `pool` is not owned and outlives the cache.
  KvCache(const ModelConfig& config, PagePool* pool);
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  ~KvCache();

  // Positions stored so far.
  uint64_t length() const { return length_; }
  // Makes room for positions up to `length`, all layers and heads, and for writing from length() on: a last block that is not
  // full and has other owners is copied first. On failure the cache is as it was, and what was reserved before stays.
  // kAnything: every layer writes all of [length(), length) before it reads any of it, so only a last page that is not full
  // begins as zeros, and what was reserved before without being committed goes back.
  Status Reserve(uint64_t length, PageStart start = PageStart::kZeros);
  // Becomes what `other` is: its positions, in pages that both own. This cache must be empty. The policy's state has not seen
  // the keys, as behind AppendShared. Unsupported where pages of the other were released; on failure the cache is empty.
  Status Share(const KvCache& other);
  // Takes the next 64 positions from somewhere else: one page per layer and KV head, layer by layer, of each of which the cache
  // becomes one more owner. length() must be a multiple of 64 and nothing reserved behind it. The policy's state has not seen
  // these keys: state_length() stays behind, and the next chunk shows them. On failure the cache is as it was.
  Status AppendShared(std::span<std::byte* const> pages);
  // The pages of one block in that order, into `pages`; false where one of them was released.
  bool BlockPages(size_t block, std::vector<std::byte*>* pages) const;
  // After the pages of [length(), length) have been written by every layer.
  void Commit(uint64_t length) { length_ = length; }
  // Forgets positions from `length` on; pages beyond go back to the pool. Also takes back pages reserved but never committed.
  void Truncate(uint64_t length);

  // Gives one KV head's page back for good, as the policy of this id allows: it reads as null from now on. Positions in it
  // cannot be seen or rewritten again.
  void Release(size_t layer, size_t kv_head, size_t block, uint64_t policy_id);
  // Truncate below this needs pages that are gone: such a session must begin anew.
  uint64_t released_end() const { return released_end_; }

  // The state of `policy` for these positions, made anew when another policy comes; null for policies without one.
  policies::PolicyState* state(const policies::Policy& policy);
  // Whether pages are gone that another policy than the one that released them may want.
  bool NeedsReleasedPages(const policies::Policy& policy) const { return released_end_ > 0 && released_by_ != policy.id(); }
  // Positions whose keys the policy's state has seen.
  uint64_t state_length() const { return state_length_; }
  void set_state_length(uint64_t length) { state_length_ = length; }
  // The policy's state forgets keys from position `length` on, which the cache keeps.
  void ForgetShown(uint64_t length);

  // Page table of a layer's KV head: block index -> page. Valid until the next Reserve or Truncate.
  const std::byte* const* pages(size_t layer, size_t kv_head) const { return table(layer, kv_head).data(); }
  std::byte* page(size_t layer, size_t kv_head, size_t block) { return table(layer, kv_head)[block]; }
  // What this cache holds; a page that others own, too, counts in full.
  uint64_t bytes() const { return (blocks_ * layers_ * kv_heads_ - released_pages_) * pool_->layout().bytes(); }

  // Bytes one position costs over all layers and heads.
  static uint64_t BytesPerToken(const ModelConfig& config, kernels::KvType type);

 private:
  std::vector<std::byte*>& table(size_t layer, size_t kv_head) { return tables_[layer * kv_heads_ + kv_head]; }
  const std::vector<std::byte*>& table(size_t layer, size_t kv_head) const { return tables_[layer * kv_heads_ + kv_head]; }
  // No memory for a cache of `length` positions.
  Status NoMemory(uint64_t length) const;
  Status UnshareLastBlock();
  bool AddBlock(PageStart start);

  size_t layers_;
  size_t kv_heads_;
  PagePool* pool_;
  std::vector<std::vector<std::byte*>> tables_;  // layer by layer, of each its KV heads
  size_t blocks_ = 0;
  uint64_t length_ = 0;
  uint64_t released_pages_ = 0;
  uint64_t released_end_ = 0;
  uint64_t released_by_ = 0;  // a policy's id
  std::unique_ptr<policies::PolicyState> state_;
  uint64_t state_owner_ = 0;
  uint64_t state_length_ = 0;
};

}  // namespace damask::model
