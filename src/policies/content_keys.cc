#include "policies/content_keys.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/checked.h"
#include "kernels/plan.h"
#include "policies/best.h"
#include "policies/sample_rows.h"

namespace damask::policies {
namespace {

constexpr size_t kQuarter = kernels::kQuarterTokens;
// Texts with fewer quarters to choose from need no coarse pass.
constexpr size_t kCoarseFrom = 64;

// Means of a quarter, each of as many keys. One mean for all 16 hides the key that a link of a chain needs: a first pass by
// these loses it (docs/engineering-notes.md).
constexpr size_t kMeans = 4;

// Keys that are projected together: what that takes of the directions is done once for all of them.
constexpr size_t kKeysAtOnce = 256;

constexpr float kHidden = -std::numeric_limits<float>::infinity();

// The quarters around a query block.
struct Regions {
  size_t begin;  // the first that some row sees in the model's own window
  size_t sinks;  // quarters [begin, sinks)
  size_t local;  // quarters [local, end), up to the diagonal
  size_t end;
};

Regions RegionsOf(const ContentOptions& options, uint64_t first, size_t rows, uint32_t own_window) {
  const uint64_t block_first = first / kernels::kQueryBlockRows * kernels::kQueryBlockRows;
  const uint64_t lowest = block_first + 1 > options.local ? block_first + 1 - options.local : 0;
  const size_t begin = kernels::LowestKey(first, own_window) / kQuarter;
  const size_t end = (first + rows - 1) / kQuarter + 1;
  const size_t local = std::clamp<size_t>(lowest / kQuarter, begin, end - 1);
  return {begin, std::clamp<size_t>((options.sinks + kQuarter - 1) / kQuarter, begin, local), local, end};
}

// Of that many quarters to choose from: how many the coarse pass leaves for a query block of that many rows.
size_t Survivors(const ContentOptions& options, size_t middle, size_t rows) {
  if (middle <= kCoarseFrom) return middle;
  const auto share = static_cast<size_t>(std::ceil(options.coarse_keep * static_cast<double>(middle)));
  return std::min({middle, size_t{rows == 1 ? options.max_survivors_of_row : options.max_survivors}, share});
}

// Of scores of kQuarter keys: in fours, as a single maximum would wait for itself.
float LargestOfQuarter(const float* scores) {
  float best[4];
  for (size_t i = 0; i < 4; ++i)
    best[i] = std::max(std::max(scores[i], scores[4 + i]), std::max(scores[8 + i], scores[12 + i]));
  return std::max(std::max(best[0], best[1]), std::max(best[2], best[3]));
}

// Of those of keys [begin, end) of the quarter from key `first` on; of none -infinity.
float LargestOf(const float* scores, uint64_t begin, uint64_t end, uint64_t first) {
  float best = kHidden;
  for (uint64_t key = begin; key < end; ++key) best = std::max(best, scores[key - first]);
  return best;
}

// Side by side, as a single minimum would wait for itself.
double LeastOf(const std::vector<double>& numbers) {
  constexpr size_t kLanes = 8;
  double least[kLanes];
  std::fill_n(least, kLanes, std::numeric_limits<double>::infinity());
  size_t i = 0;
  for (; i + kLanes <= numbers.size(); i += kLanes) {
    for (size_t j = 0; j < kLanes; ++j) least[j] = std::min(least[j], numbers[i + j]);
  }
  for (; i < numbers.size(); ++i) least[0] = std::min(least[0], numbers[i]);
  return *std::min_element(least, least + kLanes);
}

class Choice {
 public:
  Choice(Target target, const ContentOptions& options, const Projection& projection, const ContentKeys& keys,
         const QueryRows& queries, uint32_t own_window, ContentScratch* scratch)
      : target_(target),
        options_(options),
        rank_(projection.rank()),
        form_(kernels::ByteFormOf(target, projection.rank())),
        keys_(keys),
        first_position_(queries.first_position),
        block_rows_(queries.rows),
        rows_(scratch->sample.size()),
        lanes_(kernels::ByteQueries::LanesOf(rows_)),
        scale_(1.0f / std::sqrt(static_cast<float>(projection.head_dim()))),
        own_window_(own_window),
        regions_(RegionsOf(options, queries.first_position, queries.rows, own_window)),
        s_(scratch) {}

  // Quarters of the middle that are worth a look, ascending, into candidates.
  void CoarsePass() {
    const size_t middle = regions_.local - regions_.sinks;
    s_->candidates.resize(middle);
    std::iota(s_->candidates.begin(), s_->candidates.end(), static_cast<uint32_t>(regions_.sinks));
    const size_t kept = Survivors(options_, middle, block_rows_);
    if (kept == middle) return;
    RankMeans();
    LargestOfQuarters(FirstGroup() * kernels::kByteGroup);
    BestIndicesAscending(s_->best, kept, &s_->candidates);
    for (uint32_t& candidate : s_->candidates) candidate += static_cast<uint32_t>(regions_.sinks);
  }

  // Shares of the survivors, sinks and local quarters, by the largest score of any key of theirs.
  void FinePass() {
    s_->byte_queries.Pack(form_, s_->queries.data(), rank_, rows_, rank_, scale_);
    const size_t survivors = s_->candidates.size();
    const size_t sinks = regions_.sinks - regions_.begin;
    const size_t columns = survivors + sinks + regions_.end - regions_.local;
    s_->shares.resize(columns * lanes_);
    Maxima(survivors + sinks);
    for (size_t quarter = regions_.local; quarter < regions_.end; ++quarter) {
      VisibleMaxima(quarter, Column(survivors + sinks + quarter - regions_.local));
    }
    ShareColumns(columns);
    s_->covered.assign(rows_, 0.0);
    for (size_t column = survivors; column < columns; ++column) Cover(column);
  }

  // Adds the best survivors until every row is covered, or the number is reached.
  void Take(std::vector<masks::QuarterRange>* chosen) {
    BestIndices(std::span(s_->best).first(s_->candidates.size()), options_.max_quarters, &s_->order);
    chosen->clear();
    chosen->push_back({static_cast<uint32_t>(regions_.begin), static_cast<uint32_t>(regions_.sinks)});
    for (const uint32_t column : s_->order) {
      if (LeastOf(s_->covered) >= options_.target) break;
      const uint32_t quarter = s_->candidates[column];
      chosen->push_back({quarter, quarter + 1});
      Cover(column);
    }
    chosen->push_back({static_cast<uint32_t>(regions_.local), static_cast<uint32_t>(regions_.end)});
    masks::SortAndJoin(chosen);
  }

 private:
  // Groups of means from the first visible quarter to the diagonal.
  size_t FirstGroup() const { return regions_.begin * kMeans / kernels::kByteGroup; }
  size_t EndGroup() const { return CeilDiv(regions_.end * kMeans, kernels::kByteGroup); }

  // best: from means, of which the first is number `first`, to the largest of each quarter of the middle.
  void LargestOfQuarters(size_t first) {
    static_assert(kMeans == 4);
    const size_t middle = regions_.local - regions_.sinks;
    const float* means = s_->best.data() + (regions_.sinks * kMeans - first);
    for (size_t i = 0; i < middle; ++i, means += kMeans) {
      s_->best[i] = std::max(std::max(means[0], means[1]), std::max(means[2], means[3]));
    }
    s_->best.resize(middle);
  }

  // best: of every mean of these groups the logarithm of its largest share of any row, or for a single row its score.
  void RankMeans() {
    const kernels::ByteGroups groups = keys_.means().Groups(FirstGroup(), EndGroup() - FirstGroup());
    s_->byte_rows.Pack(kernels::VectorFormOf(target_, rank_, rows_), s_->queries.data(), rank_, rows_, rank_, scale_,
                       kernels::ByteLayout::kRows);
    s_->best.resize(groups.count * kernels::kByteGroup);
    if (rows_ == 1) return kernels::ByteScores(target_, groups, s_->byte_rows, s_->best.data(), s_->best.size());
    EstimateBounds();
    kernels::ByteBest(target_, groups, s_->byte_rows, s_->bounds.data(), s_->best.data());
  }

  // bounds: the log-sum-exp of each row's scores of the means. Sinks and late keys, which have most of it, are counted one by
  // one, the others by a sample of their groups: a sum that is off by a tenth shifts all of a row's shares alike, by 0.1.
  void EstimateBounds() {
    constexpr size_t kLate = 2;  // groups
    constexpr size_t kSampled = 32;
    const size_t first = FirstGroup();
    const size_t late = EndGroup() - kLate;
    const size_t others = late - first - 1;
    const size_t step = CeilDiv(others, kSampled);
    const size_t sampled = CeilDiv(others, step);
    const size_t columns = (sampled + 1 + kLate) * kernels::kByteGroup;
    s_->sampled_scores.resize(rows_ * columns);
    s_->bounds.resize(rows_);
    float* const scores = s_->sampled_scores.data();
    const auto score = [&](size_t group, size_t count, size_t apart, size_t column) {
      kernels::ByteScores(target_, keys_.means().Groups(group, count, apart), s_->byte_rows,
                          scores + column * kernels::kByteGroup, columns);
    };
    score(first + 1, sampled, step, 0);
    score(first, 1, 1, sampled);
    score(late, kLate, 1, sampled + 1);
    const size_t hidden = regions_.begin * kMeans - first * kernels::kByteGroup;
    const size_t behind = EndGroup() * kernels::kByteGroup - regions_.end * kMeans;
    const float weight = std::log(static_cast<float>(others) / static_cast<float>(sampled));
    for (size_t r = 0; r < rows_; ++r) {
      float* const row = scores + r * columns;
      for (size_t i = 0; i < sampled * kernels::kByteGroup; ++i) row[i] += weight;
      std::fill_n(row + sampled * kernels::kByteGroup, hidden, kHidden);
      std::fill_n(row + columns - behind, behind, kHidden);
      s_->bounds[r] = static_cast<float>(kernels::Softmax(target_, row, columns));
    }
  }

  // Turns scores into shares of each row; best: the largest of any row.
  void ShareColumns(size_t columns) {
    s_->best.resize(columns);
    if (lanes_ == 1) {
      kernels::Softmax(target_, s_->shares.data(), columns);
      std::copy_n(s_->shares.begin(), columns, s_->best.begin());
    } else {
      kernels::ColumnShares(target_, s_->shares.data(), columns, lanes_, rows_, s_->best.data());
    }
  }

  uint64_t PositionOf(size_t r) const { return first_position_ + s_->sample[r]; }
  float* Column(size_t column) { return s_->shares.data() + column * lanes_; }

  void Cover(size_t column) {
    const float* const shares = Column(column);
    for (size_t r = 0; r < rows_; ++r) s_->covered[r] += static_cast<double>(shares[r]);
  }

  // Which quarter a column of the fine pass is, before the diagonal: survivors, then sinks.
  size_t QuarterOf(size_t column) const {
    const size_t survivors = s_->candidates.size();
    return column < survivors ? s_->candidates[column] : regions_.begin + (column - survivors);
  }

  // Of the first `columns`. What the model's own window hides from later rows comes from single keys.
  void Maxima(size_t columns) {
    const uint64_t lowest = kernels::LowestKey(PositionOf(rows_ - 1), own_window_);
    s_->quarters.clear();
    for (size_t i = 0; i < columns; ++i) s_->quarters.push_back(keys_.quarter(QuarterOf(i)));
    kernels::ByteMaxima(target_, s_->quarters, s_->byte_queries, Column(0));
    for (size_t i = 0; lowest > 0 && i < columns; ++i) {
      if (QuarterOf(i) * kQuarter < lowest) VisibleMaxima(QuarterOf(i), Column(i));
    }
  }

  // Keys behind a row's own position do not count, nor those that the model's own window hides from it.
  void VisibleMaxima(size_t quarter, float* largest) {
    s_->block.resize(rows_ * kQuarter);
    s_->keys.resize(rank_ * kQuarter);
    kernels::LoadByteQuarter(form_, keys_.quarter(quarter), rank_, s_->keys.data());
    kernels::QuarterProducts(target_, s_->keys.data(), rank_, s_->queries.data(), rank_, rows_, scale_, s_->block.data(),
                             kQuarter);
    const uint64_t first = quarter * kQuarter;
    for (size_t r = 0; r < rows_; ++r) {
      const uint64_t position = PositionOf(r);
      const uint64_t begin = std::max(first, kernels::LowestKey(position, own_window_));
      const uint64_t end = std::min(first + kQuarter, position + 1);
      const float* const scores = s_->block.data() + r * kQuarter;
      largest[r] = begin == first && end == first + kQuarter ? LargestOfQuarter(scores) : LargestOf(scores, begin, end, first);
    }
    std::fill(largest + rows_, largest + lanes_, 0.0f);
  }

  Target target_;
  const ContentOptions& options_;
  size_t rank_;
  kernels::ByteForm form_;
  const ContentKeys& keys_;
  uint64_t first_position_;
  size_t block_rows_;
  size_t rows_;  // that choose
  size_t lanes_;
  float scale_;
  uint32_t own_window_;
  Regions regions_;
  ContentScratch* s_;
};

}  // namespace

Projection::Projection(const masks::KeyDirections& directions)
    : rank_((directions.rank + kQuarter - 1) / kQuarter * kQuarter), head_dim_(directions.head_dim) {
  rows_.resize(rank_ * head_dim_);
  std::copy(directions.values.begin(), directions.values.end(), rows_.begin());  // rows up to a multiple of 16 are zeros
  blocks_.resize(rank_ * head_dim_);
  for (size_t r = 0; r < rank_; ++r) {
    for (size_t d = 0; d < head_dim_; ++d) {
      blocks_[(r / kQuarter * head_dim_ + d) * kQuarter + r % kQuarter] = rows_[r * head_dim_ + d];
    }
  }
}

void Projection::Queries(Target target, const float* q, size_t stride, size_t rows, float* out) const {
  for (size_t r = 0; r < rank_; r += kQuarter) {
    kernels::QuarterProducts(target, blocks_.data() + r * head_dim_, head_dim_, q, stride, rows, 1.0f, out + r, rank_);
  }
}

void ContentKeys::Append(Target target, const Projection& projection, const KeyPages& keys, uint64_t first, uint64_t end) {
  rank_ = projection.rank();
  const size_t quarters = CeilDiv(end, kQuarter);
  bytes_.resize(quarters * rank_ * kQuarter);
  offsets_.resize(quarters * kQuarter);
  scales_.resize(quarters);
  means_.Resize(CeilDiv(quarters * kMeans, kernels::kByteGroup), rank_);
  mean_.resize(rank_);
  scores_.resize(rank_ * kKeysAtOnce);
  for (uint64_t begin = first / kQuarter * kQuarter; begin < end; begin += kKeysAtOnce) {
    const uint64_t behind = std::min<uint64_t>(end, begin + kKeysAtOnce);
    kernels::Scores(target, *keys.layout, keys.pages, begin, behind, projection.rows().data(), projection.head_dim(), rank_,
                    1.0f, scores_.data(), kKeysAtOnce, &scratch_);
    for (uint64_t key = begin; key < behind; key += kQuarter) {
      StoreQuarter(target, key / kQuarter, scores_.data() + (key - begin), std::min<uint64_t>(kQuarter, behind - key));
    }
  }
}

// `count` projected keys, [rank] of them kKeysAtOnce apart.
void ContentKeys::StoreQuarter(Target target, size_t quarter, const float* projected, size_t count) {
  const size_t numbers = rank_ * kQuarter;
  keys_.assign(numbers, 0.0f);
  for (size_t r = 0; r < rank_; ++r) {
    const float* const row = projected + r * kKeysAtOnce;
    std::copy_n(row, count, keys_.begin() + static_cast<ptrdiff_t>(r * kQuarter));
  }
  // Where there are no keys yet the mean before comes once more.
  for (size_t i = 0; i < kMeans; ++i) {
    const size_t first = i * kQuarter / kMeans;
    const size_t end = std::min(first + kQuarter / kMeans, count);
    for (size_t r = 0; r < rank_ && first < end; ++r) {
      const float* const row = projected + r * kKeysAtOnce;
      mean_[r] = std::accumulate(row + first, row + end, 0.0f) / static_cast<float>(end - first);
    }
    means_.Store(quarter * kMeans + i, mean_.data());
  }
  kernels::StoreByteQuarter(kernels::ByteFormOf(target, rank_), keys_.data(), rank_, bytes_.data() + quarter * numbers,
                            offsets_.data() + quarter * kQuarter, &scales_[quarter]);
}

namespace {

// Fills scratch->sample, and scratch->queries with these rows in the projection's directions.
void ProjectSample(Target target, uint32_t rows, const Projection& projection, const QueryRows& queries, size_t head,
                   ContentScratch* scratch) {
  const size_t dim = projection.head_dim();
  SampleRows(queries.first_position, queries.rows, kernels::kQueryBlockRows / rows, &scratch->sample);
  const size_t count = scratch->sample.size();
  scratch->queries.resize(count * projection.rank());
  if (count == queries.rows) {
    return projection.Queries(target, queries.row(0, head, dim), queries.stride, count, scratch->queries.data());
  }
  scratch->sampled.resize(count * dim);
  CopyRows(queries, scratch->sample, head, dim, scratch->sampled.data());
  projection.Queries(target, scratch->sampled.data(), dim, count, scratch->queries.data());
}

}  // namespace

void ChooseQuarters(Target target, const ContentOptions& options, const Projection& projection, const ContentKeys& keys,
                    const QueryRows& queries, size_t head, uint32_t own_window, ContentScratch* scratch,
                    std::vector<masks::QuarterRange>* chosen) {
  ProjectSample(target, options.rows, projection, queries, head, scratch);
  Choice choice(target, options, projection, keys, queries, own_window, scratch);
  choice.CoarsePass();
  choice.FinePass();
  choice.Take(chosen);
}

void MostQuarters(const ContentOptions& options, uint64_t first, size_t rows, uint32_t own_window,
                  std::vector<masks::QuarterRange>* chosen) {
  const Regions regions = RegionsOf(options, first, rows, own_window);
  const size_t others = std::min<size_t>(options.max_quarters, Survivors(options, regions.local - regions.sinks, rows));
  chosen->clear();
  chosen->push_back({static_cast<uint32_t>(regions.begin), static_cast<uint32_t>(regions.sinks)});
  chosen->push_back({static_cast<uint32_t>(regions.local - others), static_cast<uint32_t>(regions.end)});
  masks::SortAndJoin(chosen);
}

}  // namespace damask::policies
