#include "batching/prefix_tree.h"

#include <algorithm>
#include <new>
#include <utility>

namespace damask::batching {

using kernels::kPageTokens;

// What a node costs beside its pages: its place in the map (key, links) and in the list, its page table.
PrefixTree::PrefixTree(uint64_t limit, size_t pages_per_block, model::PagePool* pool)
    : limit_(limit),
      node_bytes_(pages_per_block * (pool->layout().bytes() + sizeof(std::byte*)) + sizeof(Node) + sizeof(Block) +
                  10 * sizeof(void*)),
      pool_(pool) {}

PrefixTree::~PrefixTree() {
  while (!by_use_.empty()) RemoveLast();  // leaf by leaf: a long prompt is a deep tree, too deep to be destroyed recursively
}

PrefixTree::Block PrefixTree::BlockOf(std::span<const TokenId> ids, size_t block) {
  Block out;
  std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(block * kPageTokens), kPageTokens, out.begin());
  return out;
}

std::vector<PrefixTree::Node*> PrefixTree::Path(std::span<const TokenId> ids, size_t blocks) const {
  std::vector<Node*> path;
  Node* node = &root_;
  while (path.size() < blocks) {
    const auto child = node->children.find(BlockOf(ids, path.size()));
    if (child == node->children.end()) break;
    node = child->second.get();
    path.push_back(node);
  }
  return path;
}

size_t PrefixTree::Reach(std::span<const TokenId> ids, size_t blocks) const { return Path(ids, blocks).size(); }

void PrefixTree::Touch(std::span<Node* const> path) {
  // The end first, so that the beginning stands before it.
  for (size_t i = path.size(); i-- > 0;) by_use_.splice(by_use_.begin(), by_use_, path[i]->use);
}

Status PrefixTree::Append(std::span<const TokenId> ids, size_t blocks, model::KvCache* cache) {
  const std::vector<Node*> path = Path(ids, blocks);
  Touch(path);
  for (size_t block = cache->length() / kPageTokens; block < path.size(); ++block) {
    DAMASK_RETURN_IF_ERROR(cache->AppendShared(path[block]->pages));
  }
  return {};
}

void PrefixTree::Insert(std::span<const TokenId> ids, size_t blocks, const model::KvCache& cache) {
  try {
    std::vector<Node*> path = Path(ids, blocks);
    Touch(path);
    std::vector<std::byte*> pages;
    while (path.size() < blocks && cache.BlockPages(path.size(), &pages) && MakeRoom(path)) {
      Node* parent = path.empty() ? &root_ : path.back();
      Node* node = Add(parent, BlockOf(ids, path.size()), std::exchange(pages, {}));
      if (node == nullptr) return;
      path.push_back(node);
    }
  } catch (const std::bad_alloc&) {
    // What is in the tree is whole; the rest is not kept.
  }
}

bool PrefixTree::MakeRoom(const std::vector<Node*>& path) {
  if (node_bytes_ > limit_) return false;
  while (bytes() > limit_ - node_bytes_) {
    // The path stands at the front: when its end is the last, there is nothing else.
    if (!path.empty() && by_use_.back() == path.back()) return false;
    evicted_bytes_ += node_bytes_;
    RemoveLast();
  }
  return true;
}

PrefixTree::Node* PrefixTree::Add(Node* parent, const Block& ids, std::vector<std::byte*> pages) {
  auto made = std::make_unique<Node>();
  std::list<Node*> use;
  use.push_back(made.get());
  const auto place = parent->children.try_emplace(ids).first;
  place->second = std::move(made);
  Node* node = place->second.get();
  node->parent = parent;
  node->place = place;
  for (std::byte* page : pages) {
    if (pool_->Ref(page)) continue;
    for (std::byte* owned : pages) {
      if (owned == page) break;
      pool_->Free(owned);
    }
    parent->children.erase(place);
    return nullptr;
  }
  node->pages = std::move(pages);
  node->use = use.begin();
  by_use_.splice(parent == &root_ ? by_use_.begin() : std::next(parent->use), use);
  ++nodes_;
  return node;
}

void PrefixTree::RemoveLast() {
  Node* node = by_use_.back();
  by_use_.pop_back();
  for (std::byte* page : node->pages) pool_->Free(page);
  node->parent->children.erase(node->place);
  --nodes_;
}

}  // namespace damask::batching
