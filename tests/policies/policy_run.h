// Runs a policy as the forward pass does, over keys and queries that a test makes up, and looks at its plans.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/attention.h"
#include "policies/registry.h"

namespace damask::policies {

// Keys and queries of every layer alike, in float32.
struct Text {
  static constexpr size_t kDim = 16;

  Text(size_t length, size_t num_heads, size_t num_kv_heads, uint32_t seed = 1)
      : heads(num_heads), kv_heads(num_kv_heads), keys(length * kv_heads * kDim), queries(length * heads * kDim) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (float& k : keys) k = normal(random);
    for (float& q : queries) q = normal(random);
  }
  float* key(uint64_t position, size_t kv_head = 0) { return keys.data() + (position * kv_heads + kv_head) * kDim; }
  float* query(uint64_t position, size_t head = 0) { return queries.data() + (position * heads + head) * kDim; }
  size_t length() const { return keys.size() / (kv_heads * kDim); }

  size_t heads;
  size_t kv_heads;
  std::vector<float> keys;     // [position][kv_head][kDim]
  std::vector<float> queries;  // [position][head][kDim]
};

struct PlannedBlock {
  size_t layer = 0;
  size_t kv_head = 0;
  uint64_t first = 0;
  size_t rows = 0;
  kernels::Plan plan;
  // The plan's pooled pages as they were when it was made: their table lives until the next keys only.
  std::array<std::vector<const std::byte*>, kernels::kMaxPoolShift + 1> pooled = {};

  void KeepPooledPages() {
    for (const kernels::PooledEntry& entry : plan.pooled) {
      const std::byte* const* table = plan.pooled_pages[entry.shift];
      pooled[entry.shift].assign(table, table + entry.page + 1);  // pages ascend
    }
  }

  // How often the kernels compute (query, key), read off plan.h.
  int TimesComputed(uint64_t query, uint64_t key, size_t g) const {
    int times = 0;
    for (const kernels::PlanEntry& entry : plan.entries) {
      if ((entry.heads >> g & 1) == 0) continue;
      if (entry.block != key / 64 || (entry.quarters >> (key % 64 / 16) & 1) == 0) continue;
      if ((entry.causal && key > query) || (entry.window != 0 && key + entry.window <= query)) continue;
      ++times;
    }
    for (const kernels::PlanColumn& column : plan.columns) {
      times += (column.heads >> g & 1) != 0 && column.position == key && key <= query ? 1 : 0;
    }
    for (const kernels::PooledEntry& entry : plan.pooled) {
      const uint64_t slot = key >> entry.shift;
      if ((entry.heads >> g & 1) == 0 || entry.page != slot / 64 || (entry.quarters >> (slot % 64 / 16) & 1) == 0) continue;
      times += kernels::LastPosition(entry, slot % 64) <= query ? 1 : 0;
    }
    return times;
  }
  std::set<uint64_t> Keys(uint64_t query, size_t g) const {
    std::vector<kernels::PositionRange> runs;
    kernels::PlannedKeys(plan, first, query, g, &runs);
    std::set<uint64_t> keys;
    for (const kernels::PositionRange& run : runs) {
      for (uint64_t key = run.begin; key < run.end; ++key) keys.insert(key);
    }
    return keys;
  }
};

class PolicyRun {
 public:
  PolicyRun(const std::string& spec, Text* text, size_t layers = 1, std::vector<uint32_t> windows = {})
      : text_(text), shape_{layers, text->heads, text->kv_heads, Text::kDim, std::move(windows)} {
    Result<std::unique_ptr<Policy>> policy = Create(spec, shape_);
    EXPECT_TRUE(policy.ok()) << policy.status().ToString();
    if (policy.ok()) policy_ = std::move(policy).value();
    state_ = policy_->NewState();
    tables_.resize(text->kv_heads);
  }

  const Policy& policy() const { return *policy_; }
  PolicyState* state() { return state_.get(); }
  const ModelShape& shape() const { return shape_; }
  uint64_t length() const { return length_; }
  const std::vector<PlannedBlock>& blocks() const { return blocks_; }
  void Forget() { blocks_.clear(); }

  // The next positions of the text, in chunks that end at multiples of 512, or where the policy wants them to.
  // Without `prompt_end` the prompt goes on with the next call.
  void Append(size_t count, bool prompt_end = true) {
    const size_t border = policy_->ChunkRows() != 0 ? policy_->ChunkRows() : 512;
    while (count > 0) {
      const size_t rows = std::min<size_t>(count, border - length_ % border);
      count -= rows;
      StoreKeys(length_, rows);
      for (size_t layer = 0; layer < shape_.layers; ++layer) RunLayer(layer, rows, prompt_end && count == 0);
      length_ += rows;
    }
  }
  // The next `rows` positions are an instruction that is read and forgotten.
  void LookAhead(size_t rows) {
    StoreKeys(length_, rows);
    closing_ = aside_ = true;
    for (size_t layer = 0; layer < shape_.layers; ++layer) RunLayer(layer, rows, false);
    closing_ = aside_ = false;
    state_->Truncate(length_);
  }
  // Reads on under another policy's eyes.
  void SkipTo(uint64_t length) {
    StoreKeys(length_, length - length_);
    length_ = length;
  }
  void Truncate(uint64_t length) {
    length_ = length;
    if (state_ != nullptr) state_->Truncate(length);
  }

  // The block that planned `query` last.
  const PlannedBlock& BlockOf(uint64_t query, size_t layer = 0, size_t kv_head = 0) const {
    for (size_t i = blocks_.size(); i-- > 0;) {
      const PlannedBlock& block = blocks_[i];
      if (block.layer == layer && block.kv_head == kv_head && block.first <= query && query < block.first + block.rows)
        return block;
    }
    ADD_FAILURE() << "no plan for " << query;
    return blocks_.front();
  }
  std::set<uint64_t> Keys(uint64_t query, size_t head = 0, size_t layer = 0) const {
    const size_t group = shape_.group();
    return BlockOf(query, layer, head / group).Keys(query, head % group);
  }

  void Release(size_t block) { released_.insert(block); }

  // Writes NaN over a key and its value, in every layer.
  void Poison(uint64_t position, size_t kv_head = 0) {
    const std::vector<float> nan(Text::kDim, NAN);
    kernels::StoreSlot(layout_, tables_[kv_head][position / 64].data(), position % 64, nan.data(), nan.data());
  }
  // Keys that the next row sees with the first head, whether it is one of the text or a drawn one.
  std::set<uint64_t> Held() const {
    std::set<uint64_t> held;
    for (const bool decode : {false, true}) {
      PlannedBlock block = {0, 0, length_, 1, {}, {}};
      policy_->MakePlan({.first_position = length_, .rows = 1, .context = length_ + 1, .decode = decode, .state = state_.get()},
                        &block.plan);
      held.merge(block.Keys(length_, 0));
    }
    held.erase(length_);
    return held;
  }
  // Attention of a planned block over the pages as they are now: [rows][group][kDim].
  std::vector<float> Attend(const PlannedBlock& block) {
    const size_t group = shape_.group();
    std::vector<float> out(block.rows * group * Text::kDim);
    const std::vector<const std::byte*> pages = Pages(block.kv_head);
    const kernels::AttentionShape shape = {.head_dim = Text::kDim, .group = group, .scale = 0.25f, .kv = kernels::KvType::kF32};
    kernels::AttentionScratch scratch;
    kernels::Plan plan = block.plan;
    for (size_t shift = 1; shift <= kernels::kMaxPoolShift; ++shift) plan.pooled_pages[shift] = block.pooled[shift].data();
    kernels::AttentionReference(shape,
                                {.q = text_->query(block.first, block.kv_head * group),
                                 .q_stride = text_->heads * Text::kDim,
                                 .out = out.data(),
                                 .out_stride = group * Text::kDim,
                                 .rows = block.rows,
                                 .first_position = block.first},
                                plan, pages.data(), &scratch);
    return out;
  }

  // Causal, sorted, without duplicates, within the model's own window, the diagonal kept: all plans so far.
  void ExpectSoundPlans() const {
    for (const PlannedBlock& block : blocks_) ExpectSound(block);
  }
  uint64_t planned_pairs() const {
    uint64_t pairs = 0;
    for (const PlannedBlock& block : blocks_) {
      pairs += kernels::PlannedPairs(block.plan, block.first, block.rows, shape_.group());
    }
    return pairs;
  }
  uint64_t causal_pairs() const {
    uint64_t pairs = 0;
    for (const PlannedBlock& block : blocks_) pairs += kernels::CausalPairs(block.first, block.rows, shape_.group());
    return pairs;
  }
  double density() const { return static_cast<double>(planned_pairs()) / static_cast<double>(causal_pairs()); }

 private:
  void StoreKeys(uint64_t first, size_t rows) {
    for (size_t kv_head = 0; kv_head < tables_.size(); ++kv_head) {
      std::vector<std::vector<std::byte>>& table = tables_[kv_head];
      while (table.size() * 64 < first + rows) table.emplace_back(layout_.bytes());
      for (uint64_t position = first; position < first + rows; ++position) {
        const float* key = text_->key(position, kv_head);
        kernels::StoreSlot(layout_, table[position / 64].data(), position % 64, key, key);
      }
    }
  }
  std::vector<const std::byte*> Pages(size_t kv_head) const {
    std::vector<const std::byte*> pages;
    for (const std::vector<std::byte>& page : tables_[kv_head]) pages.push_back(page.data());
    for (const size_t block : released_) pages[block] = nullptr;
    return pages;
  }
  QueryRows Queries(uint64_t first, size_t rows, size_t kv_head) const {
    return {text_->query(first, kv_head * shape_.group()), text_->heads * Text::kDim, rows, first};
  }

  void RunLayer(size_t layer, size_t rows, bool prompt_end) {
    for (size_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
      const std::vector<const std::byte*> pages = Pages(kv_head);
      const KeyPages keys = {pages.data(), &layout_};
      if (policy_->WantsKeys()) policy_->KeysAppended({layer, kv_head, length_, length_ + rows, keys, state_.get()});
      for (size_t done = 0; done < rows;) {
        const uint64_t first = length_ + done;
        const size_t count = std::min<size_t>(rows - done, 64 - first % 64);
        blocks_.push_back({layer, kv_head, first, count, {}, {}});
        policy_->MakePlan({.layer = layer,
                           .kv_head = kv_head,
                           .first_position = first,
                           .rows = count,
                           .context = first + count,
                           .decode = rows == 1,
                           .closing = closing_,
                           .keys = keys,
                           .queries = Queries(first, count, kv_head),
                           .state = state_.get()},
                          &blocks_.back().plan);
        blocks_.back().KeepPooledPages();
        done += count;
      }
      if (policy_->WantsChunks()) {
        policy_->ChunkDone({layer, kv_head, Queries(length_, rows, kv_head), prompt_end, closing_, aside_, keys, state_.get()});
      }
    }
  }

  void ExpectSound(const PlannedBlock& block) const {
    const auto& entries = block.plan.entries;
    const auto& columns = block.plan.columns;
    for (size_t i = 1; i < entries.size(); ++i) ASSERT_LE(entries[i - 1].block, entries[i].block);
    for (size_t i = 1; i < columns.size(); ++i) ASSERT_LT(columns[i - 1].position, columns[i].position);
    const auto& pooled = block.plan.pooled;
    for (size_t i = 1; i < pooled.size(); ++i) {
      ASSERT_GE(pooled[i - 1].shift, pooled[i].shift);
      ASSERT_TRUE(pooled[i - 1].shift != pooled[i].shift || pooled[i - 1].page <= pooled[i].page);
    }
    const uint32_t window = shape_.window(block.layer);
    for (const uint64_t query : {block.first, block.first + block.rows / 2, block.first + block.rows - 1}) {
      for (size_t g = 0; g < shape_.group(); ++g) {
        ASSERT_EQ(block.TimesComputed(query, query, g), 1) << policy_->Spec() << " query " << query << " head " << g;
        for (uint64_t key = 0; key < block.first + 128; ++key) {
          const bool visible = key <= query && (window == 0 || query - key < window);
          ASSERT_LE(block.TimesComputed(query, key, g), visible ? 1 : 0)
              << policy_->Spec() << ": query " << query << " key " << key << " head " << g;
        }
      }
    }
  }

  Text* text_;
  ModelShape shape_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<PolicyState> state_;
  kernels::PageLayout layout_{Text::kDim, kernels::KvType::kF32};
  std::vector<std::vector<std::vector<std::byte>>> tables_;  // [kv_head][page]
  std::set<size_t> released_;
  uint64_t length_ = 0;
  bool closing_ = false;
  bool aside_ = false;
  std::vector<PlannedBlock> blocks_;
};

// The plans of a text read with one policy equal those with another in what they compute, pair by pair.
inline void ExpectSamePlans(const PolicyRun& a, const PolicyRun& b) {
  ASSERT_EQ(a.blocks().size(), b.blocks().size());
  for (size_t i = 0; i < a.blocks().size(); ++i) {
    const PlannedBlock& x = a.blocks()[i];
    const PlannedBlock& y = b.blocks()[i];
    ASSERT_EQ(x.first, y.first);
    ASSERT_EQ(x.rows, y.rows);
    ASSERT_EQ(x.plan.pooled, y.plan.pooled);
    for (size_t g = 0; g < a.shape().group(); ++g) {
      for (const uint64_t query : {x.first, x.first + x.rows - 1}) {
        ASSERT_EQ(x.Keys(query, g), y.Keys(query, g)) << a.policy().Spec() << " query " << query << " head " << g;
      }
    }
  }
}

}  // namespace damask::policies
