// Prefixes in memory: a tree whose edges are blocks of 64 token ids, each node holding its block's pages as one more owner of
// them. Two prompts share the nodes of their common blocks. Ids are compared one by one, nothing is looked up by a hash.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "kernels/page.h"
#include "model/kv_cache.h"
#include "tokenizer/tokenizer.h"

namespace damask::batching {

using tokenizer::TokenId;

class PrefixTree {
 public:
  // `pool` is not owned and outlives the tree. `limit` bytes are never exceeded, pages and bookkeeping together.
  PrefixTree(uint64_t limit, size_t pages_per_block, model::PagePool* pool);
  PrefixTree(const PrefixTree&) = delete;
  PrefixTree& operator=(const PrefixTree&) = delete;
  ~PrefixTree();

  // How many of the first `blocks` blocks of `ids` are here.
  size_t Reach(std::span<const TokenId> ids, size_t blocks) const;
  // Appends those of them that lie behind cache->length(), a multiple of kPageTokens with nothing reserved behind it; they
  // become the most recently used. OutOfMemory: part of them may have been appended.
  Status Append(std::span<const TokenId> ids, size_t blocks, model::KvCache* cache);
  // Keeps the first `blocks` blocks of `cache`, which hold `ids`, as far as they fit and no page of them was released. What was
  // used least recently makes room, ends of prompts before their beginnings, and nothing of this prompt.
  void Insert(std::span<const TokenId> ids, size_t blocks, const model::KvCache& cache);

  uint64_t bytes() const { return nodes_ * node_bytes_; }
  uint64_t evicted_bytes() const { return evicted_bytes_; }

 private:
  using Block = std::array<TokenId, kernels::kPageTokens>;
  struct Node;
  using Children = std::map<Block, std::unique_ptr<Node>>;
  struct Node {
    Node* parent = nullptr;
    Children children;
    Children::iterator place;        // of this node among its parent's children
    std::list<Node*>::iterator use;  // in by_use_
    std::vector<std::byte*> pages;   // layer by layer
  };

  static Block BlockOf(std::span<const TokenId> ids, size_t block);
  std::vector<Node*> Path(std::span<const TokenId> ids, size_t blocks) const;
  void Touch(std::span<Node* const> path);
  bool MakeRoom(const std::vector<Node*>& path);
  Node* Add(Node* parent, const Block& ids, std::vector<std::byte*> pages);
  void RemoveLast();

  uint64_t limit_;
  uint64_t node_bytes_;
  model::PagePool* pool_;
  mutable Node root_;  // holds no block; mutable because a path is looked up the same way to read and to write
  // Most recently used first. A node always stands before its descendants, so the last one is a leaf.
  std::list<Node*> by_use_;
  uint64_t nodes_ = 0;
  uint64_t evicted_bytes_ = 0;
};

}  // namespace damask::batching
