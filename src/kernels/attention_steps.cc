#include "kernels/attention_steps.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>
#include <span>

#include "base/checked.h"
#include "kernels/page_fetch-inl.h"

namespace damask::kernels {
namespace {

// The rows of the block that may use the key `offset` positions after the block's first row.
KeyMask MaskOfKey(int64_t offset, bool causal, uint32_t window, uint32_t heads, int64_t rows) {
  const int64_t begin = causal ? std::clamp<int64_t>(offset, 0, rows) : 0;
  const int64_t end = window != 0 ? std::clamp<int64_t>(offset + window, 0, rows) : rows;
  return {heads, static_cast<uint16_t>(begin), static_cast<uint16_t>(std::max(begin, end))};
}

constexpr KeyMask kNobody = {0, 0, 0};

// Bits [begin, end) of a word.
uint64_t Bits(size_t begin, size_t end) {
  if (begin >= end) return 0;
  return (end >= 64 ? ~uint64_t{0} : (uint64_t{1} << end) - 1) & ~((uint64_t{1} << begin) - 1);
}

size_t CountRanges(uint64_t bits) { return static_cast<size_t>(std::popcount(bits & ~(bits << 1))); }

// The `index`-th range of consecutive ones, as rows of a mask.
KeyMask RangeOfRows(uint64_t bits, size_t index, uint32_t heads) {
  for (; index != 0 && bits != 0; --index) bits &= bits + (bits & -bits);  // the lowest range carries over into nothing
  if (bits == 0) return kNobody;
  const int begin = std::countr_zero(bits);
  return {heads, static_cast<uint16_t>(begin), static_cast<uint16_t>(begin + std::countr_one(bits >> begin))};
}

}  // namespace

void StepBuilder::Begin(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
                        const std::byte* const* pages) {
  body_ = &body;
  block_ = &block;
  plan_ = &plan;
  pages_ = pages;
  layout_ = {shape.head_dim, shape.kv};
  run_layout_ = {shape.head_dim, KvType::kBf16};
  group_bits_ = GroupBits(shape.group);
  max_runs_ = body.step_keys / body.granule;
  shift_ = 0;
  next_pooled_ = 0;
  next_entry_ = 0;
  next_slot_ = 0;
  next_range_ = 0;
  next_column_ = 0;
  masks_.resize(body.step_keys);
  if (shape.kv == KvType::kQ8 && body.expand != nullptr) ReserveExpanded();
}

const std::vector<StepBuilder::Run>& StepBuilder::Next() {
  runs_.clear();
  expanded_keys_.clear();
  while (runs_.empty() && next_pooled_ < plan_->pooled.size()) AddPooled();
  if (!runs_.empty()) return runs_;
  shift_ = 0;
  while (runs_.size() < max_runs_ && next_entry_ < plan_->entries.size()) {
    AddEntry(plan_->entries[next_entry_]);
    if (next_slot_ < kPageTokens) break;  // full in the middle of a page
    next_slot_ = 0;
    next_range_ = 0;
    ++next_entry_;
  }
  // Columns get steps of their own, packed together. A step whose columns nobody uses is empty: go on to the next.
  while (runs_.empty() && next_column_ < plan_->columns.size()) {
    AddColumns(std::min(body_->step_keys, plan_->columns.size() - next_column_));
  }
  return runs_;
}

size_t StepBuilder::Upcoming(const void** pages, size_t max) const {
  size_t count = 0;
  const size_t pooled = std::min(plan_->pooled.size(), next_pooled_ + max) - next_pooled_;
  for (const PooledEntry& entry : std::span(plan_->pooled).subspan(next_pooled_, pooled)) {
    // Of a page in parts too much would be fetched.
    if (entry.quarters == 0xf) pages[count++] = plan_->pooled_pages[entry.shift][entry.page];
  }
  const size_t end = std::min(plan_->entries.size(), next_entry_ + max - pooled);
  for (size_t i = next_entry_; i < end; ++i) {
    if (plan_->entries[i].quarters == 0xf) pages[count++] = pages_[plan_->entries[i].block];
  }
  return count;
}

// As many as fit into a step, all of one level: their weights are not yet comparable with those of another.
void StepBuilder::AddPooled() {
  shift_ = plan_->pooled[next_pooled_].shift;
  while (runs_.size() < max_runs_ && next_pooled_ < plan_->pooled.size() && plan_->pooled[next_pooled_].shift == shift_) {
    AddPooledEntry(plan_->pooled[next_pooled_]);
    if (next_slot_ < kPageTokens) break;  // full in the middle of a page
    next_slot_ = 0;
    ++next_pooled_;
  }
}

// The slots of a page from next_slot_ on, as far as the step has room: all of them for every row where the entry is `whole`,
// else those of the planned quarters, each for the rows that mask_of(slot) says.
template <class MaskOf>
void StepBuilder::AddSlots(const std::byte* page, uint32_t heads, uint8_t quarters, bool whole, const MaskOf& mask_of) {
  assert(page != nullptr || heads == 0);
  for (; next_slot_ < kPageTokens && runs_.size() < max_runs_; next_slot_ += body_->granule) {
    KeyMask* const masks = masks_.data() + runs_.size() * body_->granule;
    if (whole) {
      AddWholeRun(page, next_slot_, heads, masks);
      continue;
    }
    for (size_t i = 0; i < body_->granule; ++i) {
      const size_t slot = next_slot_ + i;
      const bool planned = (quarters >> (slot / kQuarterTokens) & 1) != 0;
      masks[i] = planned ? mask_of(slot) : kNobody;
    }
    AddRun(page, next_slot_, masks);
  }
}

void StepBuilder::AddPooledEntry(const PooledEntry& entry) {
  const uint32_t heads = entry.heads & group_bits_;
  const auto rows = static_cast<int64_t>(block_->rows);
  const auto first = static_cast<int64_t>(block_->first_position);
  const bool whole = entry.quarters == 0xf && LastPosition(entry, kPageTokens - 1) <= block_->first_position;
  AddSlots(plan_->pooled_pages[entry.shift][entry.page], heads, entry.quarters, whole, [&](size_t slot) {
    return MaskOfKey(static_cast<int64_t>(LastPosition(entry, slot)) - first, true, 0, heads, rows);
  });
}

void StepBuilder::AddEntry(const PlanEntry& entry) {
  if (entry.exact != kNoExactMask) return AddExactEntry(entry);
  const uint32_t heads = entry.heads & group_bits_;
  const auto rows = static_cast<int64_t>(block_->rows);
  const auto base = static_cast<int64_t>(uint64_t{entry.block} * kPageTokens) - static_cast<int64_t>(block_->first_position);
  const bool whole = entry.quarters == 0xf && !entry.causal && entry.window == 0;
  AddSlots(pages_[entry.block], heads, entry.quarters, whole,
           [&](size_t slot) { return MaskOfKey(base + static_cast<int64_t>(slot), entry.causal, entry.window, heads, rows); });
}

// The mask of a key is one range of rows. A key whose rows fall into several ranges comes once for each of them: every pair is
// used once, and the order of keys is nothing to an online softmax.
void StepBuilder::AddExactEntry(const PlanEntry& entry) {
  const uint32_t heads = entry.heads & group_bits_;
  const auto rows = static_cast<int64_t>(block_->rows);
  const auto base = static_cast<int64_t>(uint64_t{entry.block} * kPageTokens) - static_cast<int64_t>(block_->first_position);
  const ExactMask& exact = plan_->exact_masks[entry.exact];
  uint64_t used[kPageTokens];
  size_t ranges = 1;
  for (size_t slot = 0; slot < kPageTokens; ++slot) {
    const KeyMask plain = MaskOfKey(base + static_cast<int64_t>(slot), entry.causal, entry.window, heads, rows);
    const bool planned = (entry.quarters >> (slot / kQuarterTokens) & 1) != 0;
    used[slot] = planned ? exact.rows[slot] & Bits(plain.row_begin, plain.row_end) : 0;
    ranges = std::max(ranges, CountRanges(used[slot]));
  }
  for (; next_range_ < ranges; ++next_range_, next_slot_ = 0) {
    for (; next_slot_ < kPageTokens && runs_.size() < max_runs_; next_slot_ += body_->granule) {
      KeyMask* const masks = masks_.data() + runs_.size() * body_->granule;
      for (size_t i = 0; i < body_->granule; ++i) masks[i] = RangeOfRows(used[next_slot_ + i], next_range_, heads);
      AddRun(pages_[entry.block], next_slot_, masks);
    }
    if (next_slot_ < kPageTokens) return;  // the step is full
  }
  next_slot_ = kPageTokens;
}

void StepBuilder::GatherColumn(uint32_t position, size_t index) {
  std::byte* const target = gathered_.data() + index / kPageTokens * layout_.bytes();
  const std::byte* const page = pages_[position / kPageTokens];
  assert(page != nullptr);
  CopySlot(layout_, page, position % kPageTokens, target, index % kPageTokens);
}

void StepBuilder::AddColumns(size_t count) {
  const size_t num_pages = (count + kPageTokens - 1) / kPageTokens;
  gathered_.Reserve(num_pages * layout_.bytes());
  // Slots that stay empty must not bring a NaN.
  std::memset(gathered_.data() + (num_pages - 1) * layout_.bytes(), 0, layout_.bytes());
  const size_t granule = body_->granule;
  const size_t rounded = (count + granule - 1) / granule * granule;
  for (size_t i = 0; i < rounded; ++i) {
    masks_[i] = kNobody;
    if (i >= count) continue;
    const PlanColumn& column = plan_->columns[next_column_ + i];
    GatherColumn(column.position, i);
    const auto offset = static_cast<int64_t>(column.position) - static_cast<int64_t>(block_->first_position);
    masks_[i] = MaskOfKey(offset, true, 0, column.heads & group_bits_, static_cast<int64_t>(block_->rows));
  }
  next_column_ += count;
  for (size_t i = 0; i < rounded; i += granule) {
    AddRun(gathered_.data() + i / kPageTokens * layout_.bytes(), i % kPageTokens, masks_.data() + i);
  }
}

void StepBuilder::AddWholeRun(const std::byte* page, size_t slot, uint32_t heads, KeyMask* masks) {
  if (heads == 0) return;
  if (heads != group_bits_) std::fill_n(masks, body_->granule, KeyMask{heads, 0, static_cast<uint16_t>(block_->rows)});
  runs_.push_back({PointTo(page, slot, masks), heads, heads, true});
}

void StepBuilder::ReserveExpanded() {
  const size_t bytes = CeilDiv(body_->step_keys, kPageTokens) * run_layout_.bytes();
  if (expanded_.size() >= bytes) return;
  expanded_.Reserve(bytes);
  // Some bodies read past a row of keys, where nothing may have been written yet: it must not bring a NaN.
  std::memset(expanded_.data(), 0, expanded_.bytes());
}

Q8Run StepBuilder::Q8RunAt(const std::byte* page, size_t slot) const {
  return {reinterpret_cast<const int8_t*>(page) + slot * layout_.head_dim,
          reinterpret_cast<const int8_t*>(page + layout_.value_offset()) + ValueIndex(layout_.head_dim, slot, 0),
          reinterpret_cast<const uint16_t*>(page + layout_.key_scale_offset()) + slot * layout_.scale_groups(),
          reinterpret_cast<const uint16_t*>(page + layout_.value_scale_offset()) + slot};
}

// Which run of expanded_ holds the q8 keys and values of a granule from `slot` on. A page that several entries name (other
// heads, an exact mask in pieces) is expanded once for all of them.
size_t StepBuilder::Expanded(const std::byte* page, size_t slot) {
  const size_t head_dim = layout_.head_dim;
  const std::byte* const keys = page + slot * head_dim;
  const auto known = std::find(expanded_keys_.begin(), expanded_keys_.end(), keys);
  const auto index = static_cast<size_t>(known - expanded_keys_.begin());
  if (known != expanded_keys_.end()) return index;
  const size_t to = index * body_->granule;
  std::byte* const to_page = expanded_.data() + to / kPageTokens * run_layout_.bytes();
  const size_t to_slot = to % kPageTokens;
  ExpandRun run;
  run.from = Q8RunAt(page, slot);
  run.slots = body_->granule;
  run.to_keys = reinterpret_cast<uint16_t*>(to_page) + to_slot * head_dim;
  run.to_values = reinterpret_cast<uint16_t*>(to_page + run_layout_.value_offset()) + ValueIndex(head_dim, to_slot, 0);
  body_->expand(run, head_dim);
  expanded_keys_.push_back(keys);
  return index;
}

KeyRun StepBuilder::PointTo(const std::byte* page, size_t slot, const KeyMask* masks) {
  if (layout_.type == KvType::kQ8 && body_->expand == nullptr) {
    const Q8Run run = Q8RunAt(page, slot);
    return {run.keys, run.values, masks, run.key_scales, run.value_scales};
  }
  if (layout_.type == KvType::kQ8) {
    const size_t run = Expanded(page, slot) * body_->granule;
    page = expanded_.data() + run / kPageTokens * run_layout_.bytes();
    slot = run % kPageTokens;
  }
  const bf16* const keys = reinterpret_cast<const bf16*>(page);
  const bf16* const values = reinterpret_cast<const bf16*>(page + run_layout_.value_offset());
  return {keys + slot * run_layout_.head_dim, values + ValueIndex(run_layout_.head_dim, slot, 0), masks, nullptr, nullptr};
}

void StepBuilder::AddRun(const std::byte* page, size_t slot, const KeyMask* masks) {
  Run run;
  run.heads_all = kAllHeads;
  run.rows_all = true;
  const auto rows = static_cast<uint16_t>(block_->rows);
  for (size_t i = 0; i < body_->granule; ++i) {
    const bool used = masks[i].row_begin < masks[i].row_end;
    if (used) run.heads_any |= masks[i].heads;
    run.heads_all &= masks[i].heads;
    run.rows_all = run.rows_all && masks[i].row_begin == 0 && masks[i].row_end == rows;
  }
  if (run.heads_any == 0) return;
  run.key_run = PointTo(page, slot, masks);
  runs_.push_back(run);
}

namespace {

// The pages that the plan names next, to be fetched on that many occasions.
void BeginFetch(const StepBuilder& steps, const AttentionBody& body, size_t page_bytes, size_t occasions, PageFetch* fetch) {
  fetch->num_pages = steps.Upcoming(fetch->pages, body.step_keys / kPageTokens);
  fetch->page_bytes = page_bytes;
  fetch->page = 0;
  fetch->offset = 0;
  const size_t wanted = fetch->num_pages * page_bytes / std::max<size_t>(1, occasions);
  fetch->portion = std::clamp(std::bit_ceil(wanted), kCacheLine, page_bytes & -page_bytes);
}

// Lays out the lane blocks of a query block in the scratch.
void LayOutBlocks(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& query,
                  AttentionScratch::Buffers* buffers) {
  const size_t lanes = query.rows * shape.group;
  const size_t count = (lanes + body.lanes - 1) / body.lanes;
  const size_t head_dim = shape.head_dim;
  const size_t query_bytes = (head_dim + 31) / 32 * 32 * body.query_bytes;
  const size_t state_floats = (head_dim + 2) * kLanes;
  buffers->blocks.resize(count);
  buffers->queries.assign(count * kLanes, nullptr);
  buffers->outs.assign(count * kLanes, nullptr);
  buffers->lines.clear();
  buffers->packed.Reserve(count * query_bytes);
  buffers->state.Reserve(count * state_floats);
  buffers->lane_ids.Reserve(count * 2 * kLanes);
  size_t head = 0;
  size_t row = 0;
  for (size_t i = 0; i < count; ++i) {
    LaneBlock& block = buffers->blocks[i];
    float* const state = buffers->state.data() + i * state_floats;
    block.lanes = std::min(body.lanes, lanes - i * body.lanes);
    block.heads = 0;
    block.q = buffers->packed.data() + i * query_bytes;
    block.max = state;
    block.sum = state + kLanes;
    block.out = state + 2 * kLanes;
    block.row = buffers->lane_ids.data() + i * 2 * kLanes;
    block.head_bit = block.row + kLanes;
    std::fill_n(block.row, 2 * kLanes, 0);
    for (size_t lane = 0; lane < block.lanes; ++lane) {
      block.row[lane] = static_cast<int32_t>(row);
      block.head_bit[lane] = static_cast<int32_t>(1u << head);
      block.heads |= 1u << head;
      if (query.tiles.numbers != nullptr && lane % kTileColumns == 0) {
        buffers->lines.push_back(query.tiles.Line(query.tiles_row + row, query.tiles_column + head * head_dim));
      }
      buffers->queries[i * kLanes + lane] = query.q + row * query.q_stride + head * head_dim;
      buffers->outs[i * kLanes + lane] = query.out + row * query.out_stride + head * head_dim;
      if (++row < query.rows) continue;
      row = 0;
      ++head;
    }
  }
}

// The runs that concern this lane block, masked only where it matters to its lanes.
void SelectRuns(const std::vector<StepBuilder::Run>& step, const KeyRun* unpacked, const LaneBlock& block,
                std::vector<KeyRun>* runs) {
  runs->clear();
  for (size_t i = 0; i < step.size(); ++i) {
    if ((step[i].heads_any & block.heads) == 0) continue;
    KeyRun run = unpacked[i];
    if (step[i].rows_all && (block.heads & ~step[i].heads_all) == 0) run.masks = nullptr;
    runs->push_back(run);
  }
}

// A key that stands for r positions weighs r times as much as one of level 1, which is ln r in its logit. So what was
// accumulated at a level is multiplied where the next one begins: exact, as factors are powers of two, and the bodies know
// nothing of levels.
void WeighStates(unsigned shift, const AttentionBody& body, size_t head_dim, std::vector<LaneBlock>* blocks) {
  const auto factor = static_cast<float>(1u << shift);
  const size_t sums = std::max(body.lanes, kLanes / 2);
  const size_t outs = std::min(head_dim * kLanes, (head_dim + 16) * body.lanes);
  for (LaneBlock& block : *blocks) {
    for (size_t i = 0; i < sums; ++i) block.sum[i] *= factor;
    for (size_t i = 0; i < outs; ++i) block.out[i] *= factor;
  }
}

// The log-sum-exp of a lane's scaled scores. Nothing planned: -infinity - infinity.
float LogSumExp(const LaneBlock& block, size_t lane, float scale) {
  return block.max[lane] * scale + std::log(block.sum[lane]);
}

// A sink takes its share of a row's weights and brings no value: the others keep their proportions. So what was divided by the
// sum without it is made smaller, and the bodies know nothing of sinks.
float AddSink(float sink, float lse, size_t head_dim, float* out) {
  const float share_of_keys = 1.0f / (1.0f + std::exp(sink - lse));
  for (size_t d = 0; d < head_dim; ++d) out[d] *= share_of_keys;
  return std::max(sink, lse) + std::log1p(std::exp(-std::fabs(sink - lse)));
}

// Divides a lane block by its sums and adds what stands beside the results.
void FinishBlock(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& query, float scale, size_t index,
                 AttentionScratch::Buffers* buffers) {
  LaneBlock& lanes = buffers->blocks[index];
  float* const* const outs = buffers->outs.data() + index * kLanes;
  if (query.tiles.numbers == nullptr) {
    body.finish(&lanes, shape.head_dim, outs);
  } else {
    body.finish_tiles(&lanes, shape.head_dim, buffers->lines.data() + index * body.lanes / kTileColumns);
  }
  if (query.lse == nullptr && query.sinks == nullptr) return;
  for (size_t lane = 0; lane < lanes.lanes; ++lane) {
    const size_t position = index * body.lanes + lane;
    const size_t head = position / query.rows;
    float lse = LogSumExp(lanes, lane, scale);
    if (query.sinks != nullptr) lse = AddSink(query.sinks[head], lse, shape.head_dim, outs[lane]);
    if (query.lse != nullptr) query.lse[position % query.rows * shape.group + head] = lse;
  }
}

// The lane blocks of a query block on their way through the steps. A block's queries are packed right before its first step and
// its results written right behind its last one: the memory that both take comes in while tiles multiply.
class BlockRunner {
 public:
  BlockRunner(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& query, PageFetch* fetch,
              AttentionScratch::Buffers* buffers)
      : body_(body), shape_(shape), query_(query), fetch_(fetch), buffers_(buffers) {
    const float sign = shape.scale < 0.0f ? -1.0f : 1.0f;
    sign_ = shape.scale == 0.0f ? 0.0f : sign;
    scale_ = shape.scale == 0.0f ? 1.0f : sign * shape.scale;
    LayOutBlocks(body, shape, query, buffers);
    assert(query.tiles.numbers == nullptr || body.finish_tiles != nullptr);
    buffers->scores.Reserve(kMaxStepKeys * kLanes);
    buffers->weights.Reserve(kMaxStepKeys * kLanes);
    buffers->rescale.Reserve(kLanes);
    if (body.unpack != nullptr) buffers->unpacked.Reserve(body.step_keys * 2 * shape.head_dim);
  }

  // One step for all blocks; `last`: no other one follows.
  void Step(const std::vector<StepBuilder::Run>& step, bool last) {
    constexpr float kLog2E = 1.44269504088896340736f;
    const StepScratch scratch{buffers_->scores.data(), buffers_->weights.data(), buffers_->rescale.data(),
                              buffers_->unpacked.data(), fetch_};
    std::vector<KeyRun>& runs = buffers_->step_runs;
    runs.clear();
    for (const StepBuilder::Run& run : step) runs.push_back(run.key_run);
    if (body_.unpack != nullptr) body_.unpack(runs.data(), runs.size(), shape_.head_dim, scratch);
    for (size_t i = 0; i < buffers_->blocks.size(); ++i) {
      LaneBlock& block = buffers_->blocks[i];
      Pack(i);
      if (last) AnnounceResults(i);
      SelectRuns(step, runs.data(), block, &buffers_->block_runs);
      if (!buffers_->block_runs.empty()) {
        body_.step(buffers_->block_runs.data(), buffers_->block_runs.size(), shape_.head_dim, scale_ * kLog2E, scratch, &block);
      }
      if (last) Finish(i);
    }
  }

  void Weigh(unsigned shift) { WeighStates(shift, body_, shape_.head_dim, &buffers_->blocks); }

  // What no last step has done.
  void FinishAll() {
    for (size_t i = finished_; i < buffers_->blocks.size(); ++i) {
      Pack(i);
      Finish(i);
    }
  }

 private:
  // The first time that a block comes by. Blocks come in order.
  void Pack(size_t index) {
    if (index < packed_) return;
    LaneBlock& block = buffers_->blocks[index];
    body_.pack(buffers_->queries.data() + index * kLanes, shape_.head_dim, sign_, &block);
    packed_ = index + 1;
    if (packed_ == buffers_->blocks.size()) return;
    Announce(buffers_->queries.data() + packed_ * kLanes, buffers_->blocks[packed_].lanes, shape_.head_dim * sizeof(float),
             &fetch_->reads);
  }
  void AnnounceResults(size_t index) {
    const size_t lanes = buffers_->blocks[index].lanes;
    if (query_.tiles.numbers == nullptr) {
      return Announce(buffers_->outs.data() + index * kLanes, lanes, shape_.head_dim * sizeof(float), &fetch_->writes);
    }
    Announce(buffers_->lines.data() + index * body_.lanes / kTileColumns, lanes / kTileColumns,
             shape_.head_dim * kTileColumns * sizeof(bf16), &fetch_->writes);
  }
  void Finish(size_t index) {
    FinishBlock(body_, shape_, query_, scale_, index, buffers_);
    finished_ = index + 1;
  }
  template <typename T>
  static void Announce(T* const* rows, size_t count, size_t row_bytes, RowFetch* fetch) {
    std::copy_n(rows, count, fetch->rows);
    fetch->num_rows = count;
    fetch->row_bytes = row_bytes;
    fetch->row = 0;
    fetch->offset = 0;
  }

  const AttentionBody& body_;
  const AttentionShape& shape_;
  const QueryBlock& query_;
  PageFetch* fetch_;
  AttentionScratch::Buffers* buffers_;
  float sign_;   // went into the queries, so that a larger score always means a larger weight
  float scale_;  // what is left
  size_t packed_ = 0;
  size_t finished_ = 0;
};

// Between a body's enter and leave, also where memory ends in between.
class Entered {
 public:
  explicit Entered(const AttentionBody& body) : body_(body) {
    if (body.enter != nullptr) body.enter();
  }
  ~Entered() {
    if (body_.leave != nullptr) body_.leave();
  }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  const AttentionBody& body_;
};

}  // namespace

void RunPlan(const AttentionBody& body, const AttentionShape& shape, const QueryBlock& block, const Plan& plan,
             const std::byte* const* pages, AttentionScratch* scratch) {
  AttentionScratch::Buffers& buffers = scratch->buffers();
  const size_t page_bytes = PageLayout{shape.head_dim, shape.kv}.bytes();
  const size_t num_blocks = CeilDiv(block.rows * shape.group, body.lanes);
  PageFetch fetch{};
  buffers.steps.Begin(body, shape, block, plan, pages);
  BlockRunner blocks(body, shape, block, &fetch, &buffers);
  unsigned shift = plan.pooled.empty() ? 0 : plan.pooled.front().shift;
  {
    const Entered entered(body);
    while (true) {
      const std::vector<StepBuilder::Run>& step = buffers.steps.Next();
      if (buffers.steps.shift() < shift) {
        blocks.Weigh(shift - buffers.steps.shift());
        shift = buffers.steps.shift();
      }
      if (step.empty()) break;
      BeginFetch(buffers.steps, body, page_bytes,
                 num_blocks * CeilDiv(step.size() * body.granule, kPageTokens) * kFetchesPerUnit, &fetch);
      blocks.Step(step, buffers.steps.Done() && shift == 0);
    }
  }
  blocks.FinishAll();
}

}  // namespace damask::kernels
