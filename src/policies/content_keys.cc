#include "policies/content_keys.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/plan.h"
#include "policies/best.h"

namespace damask::policies {
namespace {

constexpr size_t kQuarter = kernels::kQuarterTokens;
// Texts with fewer quarters to choose from need no coarse pass.
constexpr size_t kCoarseFrom = 64;

// The quarters around a query block.
struct Regions {
  size_t sinks;  // quarters [0, sinks)
  size_t local;  // quarters [local, end), up to the diagonal
  size_t end;
};

Regions RegionsOf(const ContentOptions& options, uint64_t first, size_t rows) {
  const uint64_t block_first = first / kernels::kQueryBlockRows * kernels::kQueryBlockRows;
  const uint64_t lowest = block_first + 1 > options.local ? block_first + 1 - options.local : 0;
  const size_t end = (first + rows - 1) / kQuarter + 1;
  const size_t local = std::min<size_t>(lowest / kQuarter, end - 1);
  return {std::min<size_t>((options.sinks + kQuarter - 1) / kQuarter, local), local, end};
}

// best[c] = the largest of scores[row][c], `count` columns.
void LargestShares(const float* scores, size_t rows, size_t count, std::vector<float>* best) {
  best->assign(count, 0.0f);
  float* out = best->data();
  for (size_t r = 0; r < rows; ++r) {
    const float* row = scores + r * count;
    for (size_t c = 0; c < count; ++c) out[c] = out[c] > row[c] ? out[c] : row[c];
  }
}

class Choice {
 public:
  Choice(Target target, const ContentOptions& options, const Projection& projection, const ContentKeys& keys,
         const QueryRows& queries, ContentScratch* scratch)
      : target_(target),
        options_(options),
        rank_(projection.rank()),
        keys_(keys),
        queries_(queries),
        rows_(queries.rows),
        scale_(1.0f / std::sqrt(static_cast<float>(projection.head_dim()))),
        regions_(RegionsOf(options, queries.first_position, queries.rows)),
        s_(scratch) {}

  // Quarters of the middle that are worth a look, ascending, into candidates.
  void CoarsePass() {
    const size_t middle = regions_.local - regions_.sinks;
    s_->candidates.resize(middle);
    std::iota(s_->candidates.begin(), s_->candidates.end(), static_cast<uint32_t>(regions_.sinks));
    const size_t kept = std::min<size_t>(options_.max_survivors,
                                         static_cast<size_t>(std::ceil(options_.coarse_keep * static_cast<double>(middle))));
    if (middle <= kCoarseFrom || kept >= middle) return;
    const size_t groups = (regions_.end + kQuarter - 1) / kQuarter;
    const size_t columns = groups * kQuarter;
    s_->scores.resize(rows_ * columns);
    for (size_t group = 0; group < groups; ++group) {
      kernels::QuarterProducts(target_, keys_.means(group), rank_, s_->queries.data(), rank_, rows_, scale_,
                               s_->scores.data() + group * kQuarter, columns);
    }
    // Quarters behind the diagonal are no candidates, and must not take shares.
    for (size_t r = 0; r < rows_; ++r) {
      float* row = s_->scores.data() + r * columns;
      std::fill(row + regions_.end, row + columns, -std::numeric_limits<float>::infinity());
      kernels::Softmax(target_, row, columns);
    }
    LargestShares(s_->scores.data(), rows_, columns, &s_->best);
    BestIndices(std::span(s_->best).subspan(regions_.sinks, middle), kept, &s_->candidates);
    for (uint32_t& candidate : s_->candidates) candidate += static_cast<uint32_t>(regions_.sinks);
    std::sort(s_->candidates.begin(), s_->candidates.end());
  }

  // Shares of the survivors, sinks and local quarters: scores [rows][survivors, sinks, local].
  void FinePass() {
    const size_t survivors = s_->candidates.size();
    const size_t always = regions_.sinks + regions_.end - regions_.local;
    const size_t columns = survivors + always;
    s_->scores.resize(rows_ * columns);
    const auto maxima = [&](size_t quarter, size_t column) {
      kernels::QuarterMaxima(target_, keys_.quarter(quarter), rank_, s_->queries.data(), rank_, rows_, scale_,
                             s_->scores.data() + column, columns);
    };
    for (size_t i = 0; i < survivors; ++i) maxima(s_->candidates[i], i);
    for (size_t quarter = 0; quarter < regions_.sinks; ++quarter) maxima(quarter, survivors + quarter);
    for (size_t quarter = regions_.local; quarter < regions_.end; ++quarter) {
      LocalMaxima(quarter, s_->scores.data() + survivors + regions_.sinks + quarter - regions_.local, columns);
    }
    for (size_t r = 0; r < rows_; ++r) kernels::Softmax(target_, s_->scores.data() + r * columns, columns);
    s_->covered.assign(rows_, 0.0);
    for (size_t r = 0; r < rows_; ++r) {
      const float* row = s_->scores.data() + r * columns;
      for (size_t c = survivors; c < columns; ++c) s_->covered[r] += static_cast<double>(row[c]);
    }
    LargestShares(s_->scores.data(), rows_, columns, &s_->best);
  }

  // Adds the best survivors until every row is covered, or the number is reached.
  void Take(std::vector<masks::QuarterRange>* chosen) {
    const size_t survivors = s_->candidates.size();
    const size_t columns = survivors + regions_.sinks + regions_.end - regions_.local;
    BestIndices(std::span(s_->best).first(survivors), options_.max_quarters, &s_->order);
    chosen->clear();
    if (regions_.sinks != 0) chosen->push_back({0, static_cast<uint32_t>(regions_.sinks)});
    for (const uint32_t column : s_->order) {
      if (*std::min_element(s_->covered.begin(), s_->covered.end()) >= options_.target) break;
      const uint32_t quarter = s_->candidates[column];
      chosen->push_back({quarter, quarter + 1});
      for (size_t r = 0; r < rows_; ++r) s_->covered[r] += static_cast<double>(s_->scores[r * columns + column]);
    }
    chosen->push_back({static_cast<uint32_t>(regions_.local), static_cast<uint32_t>(regions_.end)});
    masks::SortAndJoin(chosen);
  }

 private:
  // Keys behind a row's own position do not count.
  void LocalMaxima(size_t quarter, float* largest, size_t stride) {
    s_->block.resize(rows_ * kQuarter);
    kernels::QuarterProducts(target_, keys_.quarter(quarter), rank_, s_->queries.data(), rank_, rows_, scale_, s_->block.data(),
                             kQuarter);
    for (size_t r = 0; r < rows_; ++r) {
      float best = -std::numeric_limits<float>::infinity();
      for (size_t j = 0; j < kQuarter && quarter * kQuarter + j <= queries_.first_position + r; ++j) {
        best = std::max(best, s_->block[r * kQuarter + j]);
      }
      largest[r * stride] = best;
    }
  }

  Target target_;
  const ContentOptions& options_;
  size_t rank_;
  const ContentKeys& keys_;
  const QueryRows& queries_;
  size_t rows_;
  float scale_;
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
  const size_t quarter_floats = rank_ * kQuarter;
  const size_t quarters = (end + kQuarter - 1) / kQuarter;
  keys_.resize(quarters * quarter_floats);
  means_.resize((quarters + kQuarter - 1) / kQuarter * quarter_floats);
  for (size_t quarter = first / kQuarter; quarter < quarters; ++quarter) {
    const uint64_t begin = quarter * kQuarter;
    const size_t count = std::min<uint64_t>(kQuarter, end - begin);
    float* out = keys_.data() + quarter * quarter_floats;
    std::fill_n(out, quarter_floats, 0.0f);
    kernels::Scores(target, *keys.layout, keys.pages, begin, begin + count, projection.rows().data(), projection.head_dim(),
                    rank_, 1.0f, out, kQuarter, &scratch_);
    float* mean = means_.data() + quarter / kQuarter * quarter_floats + quarter % kQuarter;
    for (size_t r = 0; r < rank_; ++r) {
      float sum = 0;
      for (size_t j = 0; j < count; ++j) sum += out[r * kQuarter + j];
      mean[r * kQuarter] = sum / static_cast<float>(count);
    }
  }
}

void ChooseQuarters(Target target, const ContentOptions& options, const Projection& projection, const ContentKeys& keys,
                    const QueryRows& queries, size_t head, ContentScratch* scratch, std::vector<masks::QuarterRange>* chosen) {
  scratch->queries.resize(queries.rows * projection.rank());
  projection.Queries(target, queries.row(0, head, projection.head_dim()), queries.stride, queries.rows,
                     scratch->queries.data());
  Choice choice(target, options, projection, keys, queries, scratch);
  choice.CoarsePass();
  choice.FinePass();
  choice.Take(chosen);
}

}  // namespace damask::policies
