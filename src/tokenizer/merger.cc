#include "tokenizer/merger.h"

#include <algorithm>
#include <functional>

#include "base/entropy.h"

namespace damask::tokenizer {
namespace {

// Up to here a scan for the lowest rank beats a heap: words of prose have a handful of symbols.
constexpr size_t kShortWord = 32;
constexpr uint32_t kNoPosition = UINT32_MAX;
constexpr uint32_t kNoRank = UINT32_MAX;

uint64_t Key(Symbol left, Symbol right) { return (uint64_t{left} << 32) | right; }

// MurmurHash3's finaliser: every bit of the key reaches every bit of the result.
uint64_t Mix(uint64_t key) {
  key = (key ^ (key >> 33)) * 0xff51afd7ed558ccdu;
  key = (key ^ (key >> 33)) * 0xc4ceb9fe1a85ec53u;
  return key ^ (key >> 33);
}

}  // namespace

uint64_t ProcessSeed() {
  static const uint64_t seed = RandomSeed();
  return seed;
}

size_t MergeTable::FindSlot(uint64_t key) const {
  const size_t mask = slots_.size() - 1;
  size_t slot = Mix(key ^ seed_) & mask;
  while (slots_[slot].key != key && slots_[slot].key != UINT64_MAX) slot = (slot + 1) & mask;
  return slot;
}

void MergeTable::Grow() {
  std::vector<Slot> old(std::max<size_t>(64, slots_.size() * 2));
  std::swap(old, slots_);
  for (const Slot& slot : old) {
    if (slot.key != UINT64_MAX) slots_[FindSlot(slot.key)] = slot;
  }
}

void MergeTable::Add(Symbol left, Symbol right, Entry entry) {
  if (2 * (size_ + 1) > slots_.size()) Grow();
  Slot& slot = slots_[FindSlot(Key(left, right))];
  if (slot.key != UINT64_MAX) return;
  slot = {Key(left, right), entry};
  ++size_;
}

const MergeTable::Entry* MergeTable::Find(Symbol left, Symbol right) const {
  if (slots_.empty() || left == kNoSymbol || right == kNoSymbol) return nullptr;
  const Slot& slot = slots_[FindSlot(Key(left, right))];
  return slot.key == UINT64_MAX ? nullptr : &slot.entry;
}

void PairQueue::Bucket::Push(uint32_t position) {
  if (taken == in_order.size()) {
    in_order.clear();
    taken = 0;
  }
  if (in_order.empty() || in_order.back() <= position) {
    in_order.push_back(position);
  } else {
    early.push_back(position);
    std::push_heap(early.begin(), early.end(), std::greater<>());
  }
}

uint32_t PairQueue::Bucket::Pop() {
  if (early.empty() || (taken < in_order.size() && in_order[taken] < early.front())) return in_order[taken++];
  std::pop_heap(early.begin(), early.end(), std::greater<>());
  const uint32_t position = early.back();
  early.pop_back();
  return position;
}

void PairQueue::Clear() {
  bucket_of_rank_.clear();
  active_.clear();
  num_buckets_ = 0;
}

void PairQueue::Push(uint32_t rank, uint32_t position) {
  const auto [entry, is_new] = bucket_of_rank_.emplace(rank, static_cast<uint32_t>(num_buckets_));
  if (is_new) {
    if (num_buckets_ == buckets_.size()) buckets_.emplace_back();
    Bucket& fresh = buckets_[num_buckets_++];
    fresh.rank = rank;
    fresh.is_active = false;
    fresh.taken = 0;
    fresh.in_order.clear();
    fresh.early.clear();
  }
  Bucket& bucket = buckets_[entry->second];
  bucket.Push(position);
  if (bucket.is_active) return;
  bucket.is_active = true;
  active_.push_back((uint64_t{rank} << 32) | entry->second);
  std::push_heap(active_.begin(), active_.end(), std::greater<>());
}

bool PairQueue::Pop(Pair* pair) {
  while (!active_.empty()) {
    Bucket& bucket = buckets_[static_cast<uint32_t>(active_.front())];
    if (!bucket.empty()) {
      *pair = {bucket.rank, bucket.Pop()};
      return true;
    }
    bucket.is_active = false;
    std::pop_heap(active_.begin(), active_.end(), std::greater<>());
    active_.pop_back();
  }
  return false;
}

void Merger::Run(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts) {
  if (symbols->size() < 2) return;
  if (symbols->size() <= kShortWord) {
    RunShort(symbols, starts);
  } else {
    RunLong(symbols, starts);
  }
}

void Merger::RunShort(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts) {
  std::vector<Symbol>& s = *symbols;
  const auto look_up = [&](size_t left) {
    const MergeTable::Entry* entry = table_->Find(s[left], s[left + 1]);
    return entry != nullptr ? *entry : MergeTable::Entry{kNoRank, kNoSymbol};
  };
  pairs_.resize(s.size() - 1);
  for (size_t i = 0; i < pairs_.size(); ++i) pairs_[i] = look_up(i);
  while (!pairs_.empty()) {
    size_t best = 0;
    for (size_t i = 1; i < pairs_.size(); ++i) {
      if (pairs_[i].rank < pairs_[best].rank) best = i;
    }
    if (pairs_[best].rank == kNoRank) return;
    s[best] = pairs_[best].result;
    s.erase(s.begin() + static_cast<ptrdiff_t>(best) + 1);
    if (starts != nullptr) starts->erase(starts->begin() + static_cast<ptrdiff_t>(best) + 1);
    pairs_.erase(pairs_.begin() + static_cast<ptrdiff_t>(best));
    if (best < pairs_.size()) pairs_[best] = look_up(best);
    if (best > 0) pairs_[best - 1] = look_up(best - 1);
  }
}

void Merger::Push(const std::vector<Symbol>& symbols, uint32_t left) {
  if (left == kNoPosition || next_[left] == kNoPosition) return;
  const MergeTable::Entry* entry = table_->Find(symbols[left], symbols[next_[left]]);
  if (entry != nullptr) queue_.Push(entry->rank, left);
}

void Merger::RunLong(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts) {
  std::vector<Symbol>& s = *symbols;
  const auto count = static_cast<uint32_t>(s.size());
  next_.resize(count);
  prev_.resize(count);
  queue_.Clear();
  for (uint32_t i = 0; i < count; ++i) {
    next_[i] = i + 1 < count ? i + 1 : kNoPosition;
    prev_[i] = i > 0 ? i - 1 : kNoPosition;
    Push(s, i);
  }
  for (PairQueue::Pair pair; queue_.Pop(&pair);) {
    // A pair is stale where its left symbol is gone (kNoSymbol) or what stands there has another rank by now. What changed and
    // has the same rank waits under this very rank and position as well, so that taking it now is taking it in its turn.
    const uint32_t left = pair.position;
    const uint32_t right = next_[left];
    if (s[left] == kNoSymbol || right == kNoPosition) continue;
    const MergeTable::Entry* entry = table_->Find(s[left], s[right]);
    if (entry == nullptr || entry->rank != pair.rank) continue;
    s[left] = entry->result;
    s[right] = kNoSymbol;
    next_[left] = next_[right];
    if (next_[left] != kNoPosition) prev_[next_[left]] = left;
    Push(s, prev_[left]);
    Push(s, left);
  }
  size_t kept = 0;
  for (uint32_t i = 0; i != kNoPosition; i = next_[i]) {
    s[kept] = s[i];
    if (starts != nullptr) (*starts)[kept] = (*starts)[i];
    ++kept;
  }
  s.resize(kept);
  if (starts != nullptr) starts->resize(kept);
}

}  // namespace damask::tokenizer
