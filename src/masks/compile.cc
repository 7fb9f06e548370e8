#include "masks/compile.h"

#include <algorithm>
#include <array>

#include "masks/compile_exact.h"
#include "masks/quarters.h"

namespace damask::masks {
namespace {

using kernels::kQueryBlockRows;

constexpr uint64_t kQuarter = kernels::kQuarterTokens;

// Keys [begin, end) in quarters, rounded outwards.
QuarterRange Around(uint64_t begin, uint64_t end) {
  return {static_cast<uint32_t>(begin / kQuarter), static_cast<uint32_t>((end + kQuarter - 1) / kQuarter)};
}

// The keys that rows [first, last] reach over the kept offsets, ascending.
void AddBands(const std::vector<DiagonalInterval>& bands, uint64_t first, uint64_t last, std::vector<QuarterRange>* ranges) {
  for (size_t i = bands.size(); i-- > 0;) {
    if (bands[i].begin > last) continue;
    const uint64_t lowest = first >= bands[i].end - 1 ? first - (bands[i].end - 1) : 0;
    AppendRange(Around(lowest, last - bands[i].begin + 1), ranges);
  }
}

}  // namespace

GroupMask::GroupMask(std::span<const HeadMask> heads, const Parameters& parameters) : parameters_(parameters) {
  heads_.resize(heads.size());
  for (size_t i = 0; i < heads.size(); ++i) PrepareHead(heads[i], &heads_[i]);
  PrepareColumns();
}

void GroupMask::PrepareHead(const HeadMask& mask, Head* head) const {
  head->mask = &mask;
  head->full = mask.treatment != Treatment::kStatic;
  if (head->full) return;
  if (mask.form == StaticForm::kWindow) {
    head->sinks = mask.window_sinks;
    head->bands = {{0, mask.window, 0.0f}};
  } else {
    head->sinks = parameters_.sink_keys;
    head->corner = parameters_.capture_length;
    head->bands = mask.patterns.diagonals;
    for (const Vertical& vertical : mask.patterns.verticals) {
      if (vertical.column >= head->sinks) head->verticals.push_back(vertical.column);
    }
  }
  const auto whole_sinks = static_cast<uint32_t>(head->sinks / kQuarter);
  if (whole_sinks != 0) head->sink_quarters = {{0, whole_sinks}};
  head->fixed_quarters = head->sink_quarters;
  for (size_t i = 0; i < head->verticals.size();) {
    const auto quarter = static_cast<uint32_t>(head->verticals[i] / kQuarter);
    size_t end = i;
    while (end < head->verticals.size() && head->verticals[end] / kQuarter == quarter) ++end;
    if (end - i >= kQuarterFromColumns) AppendRange({quarter, quarter + 1}, &head->fixed_quarters);
    i = end;
  }
  PrepareCorner(head);
}

// The quarters that the rows of each query block below the capture length use by their true mask and their diagonal.
void GroupMask::PrepareCorner(Head* head) const {
  head->corner_blocks.resize((head->corner + kQueryBlockRows - 1) / kQueryBlockRows);
  for (size_t block = 0; block < head->corner_blocks.size(); ++block) {
    std::vector<QuarterRange>& ranges = head->corner_blocks[block];
    const uint64_t first = block * kQueryBlockRows;
    const uint64_t end = std::min<uint64_t>(first + kQueryBlockRows, head->corner);
    for (uint64_t row = first; row < end; ++row) {
      for (const KeyRange& run : head->mask->true_mask.row(row)) ranges.push_back(Around(run.begin, run.end));
    }
    ranges.push_back(Around(first, first + kQueryBlockRows));
    SortAndJoin(&ranges);
  }
}

void GroupMask::PrepareColumns() {
  std::vector<Column> all;
  std::vector<Column> exact;
  for (size_t h = 0; h < heads_.size(); ++h) {
    const Head& head = heads_[h];
    const uint32_t bit = 1u << h;
    for (auto key = static_cast<uint32_t>(head.sinks / kQuarter * kQuarter); key < head.sinks; ++key)
      all.push_back({key, bit, 0});
    for (const uint32_t column : head.verticals) {
      exact.push_back({column, 0, bit});
      if (!Contains(head.fixed_quarters, static_cast<uint32_t>(column / kQuarter))) all.push_back({column, 0, bit});
    }
  }
  const auto join = [](std::vector<Column>* columns, std::vector<Column>* joined) {
    std::sort(columns->begin(), columns->end(), [](const Column& a, const Column& b) { return a.position < b.position; });
    for (const Column& column : *columns) {
      if (joined->empty() || joined->back().position != column.position) joined->push_back({column.position, 0, 0});
      joined->back().always |= column.always;
      joined->back().beyond |= column.beyond;
    }
  };
  join(&all, &columns_);
  join(&exact, &exact_columns_);
}

uint64_t GroupMask::bytes() const {
  uint64_t bytes = sizeof(*this) + (columns_.size() + exact_columns_.size()) * sizeof(Column);
  for (const Head& head : heads_) {
    bytes += sizeof(head) + head.bands.size() * sizeof(DiagonalInterval) + head.verticals.size() * sizeof(uint32_t);
    bytes += (head.sink_quarters.size() + head.fixed_quarters.size()) * sizeof(QuarterRange);
    bytes += head.corner_blocks.size() * sizeof(std::vector<QuarterRange>);
    for (const auto& ranges : head.corner_blocks) bytes += ranges.size() * sizeof(QuarterRange);
  }
  return bytes;
}

// Decided for the whole query block of 64 positions, whichever of its rows are asked for.
void GroupMask::BlockRanges(size_t index, const QueryRows& rows, CompileScratch* scratch,
                            std::vector<QuarterRange>* ranges) const {
  const Head& head = heads_[index];
  const uint64_t first = rows.first_position / kQueryBlockRows * kQueryBlockRows;
  const uint64_t last = first + kQueryBlockRows - 1;
  if (head.full) {
    ranges->push_back(Around(0, last + 1));
    return;
  }
  scratch->bands.clear();
  const bool beyond = last >= head.corner;
  if (beyond) AddBands(head.bands, std::max<uint64_t>(first, head.corner), last, &scratch->bands);
  JoinSorted(beyond ? head.fixed_quarters : head.sink_quarters, scratch->bands, ranges);
  const size_t first_joined = ranges->size();
  if (first < head.corner) {
    const std::vector<QuarterRange>& corner = head.corner_blocks[first / kQueryBlockRows];
    ranges->insert(ranges->end(), corner.begin(), corner.end());
  }
  // Where the model's own window leaves a column in the middle of the query block, its quarter is computed with the window's
  // edge.
  for (const Column& column : columns_) {
    if (rows.window == 0 || column.position + uint64_t{rows.window} > last) break;
    const bool seen = column.position + uint64_t{rows.window} > first;
    const uint32_t wanted = column.always | (beyond ? column.beyond : 0u);
    if (seen && (wanted >> index & 1) != 0) ranges->push_back(Around(column.position, column.position + uint64_t{1}));
  }
  if (ranges->size() != first_joined) SortAndJoin(ranges);
}

// Every quarter that some pair of these rows may lie in, but for verticals that can stay gathered columns.
void GroupMask::ExactRanges(const Head& head, const QueryRows& rows, std::vector<QuarterRange>* ranges) const {
  const uint64_t first = rows.first_position;
  const uint64_t last = first + rows.rows - 1;
  if (head.full) {
    ranges->push_back(Around(0, last + 1));
    return;
  }
  if (last >= head.corner) AddBands(head.bands, std::max<uint64_t>(first, head.corner), last, ranges);
  if (head.sinks != 0) ranges->push_back(Around(0, head.sinks));
  if (first < head.corner) ranges->push_back(Around(0, last + 1));
  // A gathered column is seen by every later row: not so below the capture length or behind the model's own window.
  if (first < head.corner || rows.window != 0) {
    for (const uint32_t column : head.verticals) ranges->push_back(Around(column, column + uint64_t{1}));
  }
  SortAndJoin(ranges);
}

void GroupMask::MakePlan(const QueryRows& rows, PlanMode mode, CompileScratch* scratch, kernels::Plan* plan,
                         Chosen chosen) const {
  plan->Clear();
  if (rows.rows == 0) return;
  scratch->ranges.resize(heads_.size());
  for (size_t h = 0; h < heads_.size(); ++h) {
    scratch->ranges[h].clear();
    if (!chosen.empty() && chosen[h] != nullptr) {
      scratch->ranges[h] = *chosen[h];
    } else if (mode == PlanMode::kBlocks) {
      BlockRanges(h, rows, scratch, &scratch->ranges[h]);
    } else {
      ExactRanges(heads_[h], rows, &scratch->ranges[h]);
    }
  }
  if (mode == PlanMode::kBlocks) {
    AddBlocks(rows, scratch, plan);
  } else {
    ExactCompiler(heads_, rows, plan).AddBlocks(scratch);
  }
  AddColumns(rows, mode, plan);
}

bool GroupMask::NeverReaches(uint64_t block, uint64_t position) const {
  const uint64_t begin = block * kernels::kPageTokens;
  const uint64_t end = begin + kernels::kPageTokens;
  // A plan of a block's later rows is decided for the whole query block.
  const uint64_t first = position / kQueryBlockRows * kQueryBlockRows;
  return std::all_of(heads_.begin(), heads_.end(), [&](const Head& head) {
    if (head.full || first < head.corner || begin < head.sinks) return false;
    const bool vertical = std::any_of(head.verticals.begin(), head.verticals.end(),
                                      [&](uint32_t column) { return begin <= column && column < end; });
    const uint64_t reach = head.bands.empty() ? 1 : head.bands.back().end;
    // A quarter is computed whole: the lowest key is rounded down to one.
    const uint64_t lowest = first >= reach - 1 ? (first - (reach - 1)) / kQuarter * kQuarter : 0;
    return !vertical && end <= lowest;
  });
}

void GroupMask::AddBlocks(const QueryRows& rows, CompileScratch* scratch, kernels::Plan* plan) const {
  const uint64_t first = rows.first_position;
  const uint64_t last = first + rows.rows - 1;
  const uint64_t lowest = kernels::LowestKey(first, rows.window);
  ForEachBlock(scratch->ranges, lowest, last, &scratch->cursors, [&](uint64_t block, const uint8_t* quarters) {
    // Heads that want the same quarters share an entry.
    std::array<uint32_t, 16> heads = {};
    for (size_t h = 0; h < heads_.size(); ++h) heads[quarters[h]] |= 1u << h;
    for (size_t bits = 1; bits < heads.size(); ++bits) {
      if (heads[bits] == 0) continue;
      kernels::PlanEntry entry = kernels::BlockEntry(block, first, last, rows.window);
      entry.quarters = static_cast<uint8_t>(bits);
      entry.heads = heads[bits];
      plan->entries.push_back(entry);
    }
  });
}

void GroupMask::AddColumns(const QueryRows& rows, PlanMode mode, kernels::Plan* plan) const {
  const bool exact = mode == PlanMode::kExact;
  const uint64_t last = rows.first_position + rows.rows - 1;
  const uint64_t block_first = rows.first_position / kQueryBlockRows * kQueryBlockRows;
  const uint64_t decided = exact ? last : block_first + kQueryBlockRows - 1;  // the row that decides what is a column
  uint32_t beyond = 0;
  for (size_t h = 0; h < heads_.size(); ++h) beyond |= decided >= heads_[h].corner ? 1u << h : 0u;
  size_t entry = 0;
  for (const Column& column : exact ? exact_columns_ : columns_) {
    if (column.position > last) break;
    if (rows.window != 0 && column.position + uint64_t{rows.window} <= decided) continue;  // in a quarter, or out of sight
    uint32_t wanted = column.always | (column.beyond & beyond);
    while (entry < plan->entries.size() && plan->entries[entry].block < column.position / kernels::kPageTokens) ++entry;
    for (size_t e = entry; e < plan->entries.size() && plan->entries[e].block == column.position / kernels::kPageTokens; ++e) {
      const bool planned = (plan->entries[e].quarters >> (column.position % kernels::kPageTokens / kQuarter) & 1) != 0;
      if (planned) wanted &= ~plan->entries[e].heads;
    }
    if (wanted != 0) plan->columns.push_back({column.position, wanted});
  }
}

}  // namespace damask::masks
