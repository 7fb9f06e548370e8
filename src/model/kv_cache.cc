#include "model/kv_cache.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/text.h"

namespace damask::model {
namespace {

constexpr size_t kSlabBytes = size_t{2} << 20;

}  // namespace

std::byte* PagePool::Allocate() {
  if (free_.empty()) {
    const size_t per_slab = std::max<size_t>(1, kSlabBytes / layout_.bytes());
    try {
      slabs_.emplace_back(per_slab * layout_.bytes());
      free_.reserve(slabs_.size() * per_slab);  // of all pages: Free must not fail
    } catch (const std::bad_alloc&) {
      return nullptr;
    }
    // Handed out from the front: pages of one block lie together.
    for (size_t i = per_slab; i-- > 0;) free_.push_back(slabs_.back().data() + i * layout_.bytes());
  }
  std::byte* page = free_.back();
  free_.pop_back();
  std::memset(page, 0, layout_.bytes());
  ++pages_in_use_;
  return page;
}

bool PagePool::Ref(std::byte* page) {
  try {
    ++extra_[page];
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

void PagePool::Free(std::byte* page) {
  if (!extra_.empty()) {
    const auto extra = extra_.find(page);
    if (extra != extra_.end()) {
      if (--extra->second == 0) extra_.erase(extra);
      return;
    }
  }
  free_.push_back(page);
  --pages_in_use_;
}

KvCache::KvCache(const ModelConfig& config, PagePool* pool)
    : layers_(config.layers), kv_heads_(config.kv_heads), pool_(pool), tables_(config.layers * config.kv_heads) {}

KvCache::~KvCache() { Truncate(0); }

Status KvCache::NoMemory(uint64_t length) const {
  return OutOfMemory(fmt::format("no memory for the KV cache of {} tokens ({} per token)", length,
                                 FormatBytes(layers_ * kv_heads_ * pool_->layout().bytes() / kernels::kPageTokens)));
}

Status KvCache::Reserve(uint64_t length) {
  DAMASK_RETURN_IF_ERROR(UnshareLastBlock());
  const size_t wanted = CeilDiv(length, kernels::kPageTokens);
  const size_t before = blocks_;
  while (blocks_ < wanted) {
    for (std::vector<std::byte*>& pages : tables_) {
      std::byte* page = pool_->Allocate();
      if (page == nullptr) {
        // Also takes back the part of this block that other tables already got.
        for (std::vector<std::byte*>& other : tables_) {
          for (; other.size() > before; other.pop_back()) pool_->Free(other.back());  // fresh ones: none is released
        }
        blocks_ = before;
        return NoMemory(length);
      }
      pages.push_back(page);
    }
    ++blocks_;
  }
  return {};
}

Status KvCache::UnshareLastBlock() {
  const size_t block = length_ / kernels::kPageTokens;
  if (length_ % kernels::kPageTokens == 0 || block >= blocks_) return {};
  std::vector<std::byte*> copies(tables_.size(), nullptr);
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (!pool_->shared(tables_[i][block])) continue;
    copies[i] = pool_->Allocate();
    if (copies[i] == nullptr) {
      for (std::byte* copy : copies) {
        if (copy != nullptr) pool_->Free(copy);
      }
      return NoMemory(length_);
    }
    std::memcpy(copies[i], tables_[i][block], pool_->layout().bytes());
  }
  for (size_t i = 0; i < tables_.size(); ++i) {
    if (copies[i] != nullptr) pool_->Free(std::exchange(tables_[i][block], copies[i]));
  }
  return {};
}

Status KvCache::AppendShared(std::span<std::byte* const> pages) {
  if (length_ != blocks_ * kernels::kPageTokens || pages.size() != tables_.size()) {
    return Internal(fmt::format("{} shared pages behind {} positions in {} blocks", pages.size(), length_, blocks_));
  }
  size_t done = 0;
  const auto undo = [&] {
    for (size_t i = 0; i < done; ++i) {
      tables_[i].pop_back();
      pool_->Free(pages[i]);
    }
    return NoMemory(length_ + kernels::kPageTokens);
  };
  for (; done < pages.size(); ++done) {
    if (!pool_->Ref(pages[done])) return undo();
    try {
      tables_[done].push_back(pages[done]);
    } catch (const std::bad_alloc&) {
      pool_->Free(pages[done]);
      return undo();
    }
  }
  ++blocks_;
  length_ += kernels::kPageTokens;
  return {};
}

bool KvCache::BlockPages(size_t block, std::vector<std::byte*>* pages) const {
  pages->clear();
  for (const std::vector<std::byte*>& table : tables_) {
    if (block >= table.size() || table[block] == nullptr) return false;
    pages->push_back(table[block]);
  }
  return true;
}

void KvCache::Truncate(uint64_t length) {
  const size_t keep = CeilDiv(length, kernels::kPageTokens);
  for (std::vector<std::byte*>& pages : tables_) {
    for (; pages.size() > keep; pages.pop_back()) {
      if (pages.back() != nullptr) {
        pool_->Free(pages.back());
      } else {
        --released_pages_;
      }
    }
  }
  blocks_ = std::min(blocks_, keep);
  length_ = std::min(length_, length);
  if (length_ == 0) released_end_ = 0;
  ForgetShown(length_);
}

void KvCache::ForgetShown(uint64_t length) {
  if (state_length_ <= length) return;
  state_length_ = length;
  if (state_ != nullptr) state_->Truncate(length);
}

void KvCache::Release(size_t layer, size_t kv_head, size_t block, uint64_t policy_id) {
  std::byte*& page = table(layer, kv_head)[block];
  if (page == nullptr) return;
  pool_->Free(std::exchange(page, nullptr));
  ++released_pages_;
  released_by_ = policy_id;
  released_end_ = std::max<uint64_t>(released_end_, (block + 1) * kernels::kPageTokens);
}

policies::PolicyState* KvCache::state(const policies::Policy& policy) {
  if (state_owner_ != policy.id()) {
    state_ = policy.NewState();
    state_owner_ = policy.id();
    state_length_ = 0;
  }
  return state_.get();
}

uint64_t KvCache::BytesPerToken(const ModelConfig& config, kernels::KvType type) {
  const kernels::PageLayout layout{config.head_dim, type};
  return config.layers * config.kv_heads * layout.bytes() / kernels::kPageTokens;
}

}  // namespace damask::model
