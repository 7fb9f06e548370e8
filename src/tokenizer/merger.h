// Merging of neighbouring symbols by rank: the heart of BPE, and of SentencePiece's variant of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace damask::tokenizer {

// A symbol is a token id or a number of the caller's above all ids.
using Symbol = uint32_t;
inline constexpr Symbol kNoSymbol = UINT32_MAX;  // merges with nothing

// A random number, the same throughout the process.
uint64_t ProcessSeed();

// Which pairs merge, in which order and into what. Immutable after building; thread-safe.
class MergeTable {
 public:
  struct Entry {
    uint32_t rank = 0;  // lower merges first
    Symbol result = kNoSymbol;
  };

  // The first entry for a pair stays.
  void Add(Symbol left, Symbol right, Entry entry);
  const Entry* Find(Symbol left, Symbol right) const;
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint64_t key = UINT64_MAX;  // (kNoSymbol, kNoSymbol) is never a pair
    Entry entry;
  };
  size_t FindSlot(uint64_t key) const;
  void Grow();

  uint64_t seed_ = ProcessSeed();  // unknown outside: a file cannot be written whose pairs all want one slot
  std::vector<Slot> slots_;        // a power of two, linear probing
  size_t size_ = 0;
};

// Pairs that wait to be merged: the lowest rank first, the leftmost of a rank first. A queue per rank, for positions arrive in
// order nearly always: one heap over all of 10 million symbols takes three times as long, in cache misses.
class PairQueue {
 public:
  void Clear();
  void Push(uint32_t rank, uint32_t position);
  struct Pair {
    uint32_t rank, position;
  };
  // False where nothing is left.
  bool Pop(Pair* pair);

 private:
  struct Bucket {
    uint32_t rank = 0;
    bool is_active = false;
    size_t taken = 0;                // of `in_order`
    std::vector<uint32_t> in_order;  // ascending
    std::vector<uint32_t> early;     // a heap of those that came behind a later position

    bool empty() const { return taken == in_order.size() && early.empty(); }
    void Push(uint32_t position);
    uint32_t Pop();
  };
  std::unordered_map<uint32_t, uint32_t> bucket_of_rank_;
  std::vector<Bucket> buckets_;
  size_t num_buckets_ = 0;        // in use; the others are kept for their memory
  std::vector<uint64_t> active_;  // heap: rank in the upper half, bucket in the lower
};

// Merges the pair of lowest rank, the leftmost of equals, until none is left. n log n for n symbols.
// Keeps its memory between calls; not thread-safe.
class Merger {
 public:
  explicit Merger(const MergeTable* table) : table_(table) {}

  // In place. `starts` (may be null) holds a number per symbol, of which a merged one keeps its first part's.
  void Run(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts);

 private:
  void RunShort(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts);
  void RunLong(std::vector<Symbol>* symbols, std::vector<uint32_t>* starts);
  void Push(const std::vector<Symbol>& symbols, uint32_t left);

  const MergeTable* table_;
  std::vector<MergeTable::Entry> pairs_;  // RunShort: what symbol i and the next give
  PairQueue queue_;                       // RunLong
  std::vector<uint32_t> next_, prev_;
};

}  // namespace damask::tokenizer
