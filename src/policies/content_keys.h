// Keys of one KV head in few dimensions (masks::KeyDirections), and the choice of key quarters by them: what content heads of a
// mask do at run time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/cpu.h"
#include "kernels/byte_scores.h"
#include "kernels/byte_vectors.h"
#include "kernels/plan.h"
#include "kernels/scores.h"
#include "masks/mask.h"
#include "masks/quarters.h"
#include "policies/policy.h"

namespace damask::policies {

struct ContentOptions {
  uint32_t sinks = 16;                                 // first keys, always
  uint32_t local = 32;                                 // latest keys before each query, always
  uint32_t max_quarters = masks::kUsualContentBlocks;  // of 16 keys each, beside those
  double target = 0.95;                                // quarters are added until every row's estimated share reaches this
  double coarse_keep = 1.0;  // share of the quarters that the coarse pass leaves, max_survivors at most
  uint32_t max_survivors = 2048;
  uint32_t max_survivors_of_row = 1024;      // of a query block of one row, as of a drawn token
  uint32_t rows = kernels::kQueryBlockRows;  // of a query block, evenly spread, that choose for all of it
};

// The largest rank: kernels/byte_scores.h takes no more numbers.
inline constexpr uint32_t kMaxDirections = 256;

// The rotation into the directions, ready for kernels::QuarterProducts: [rank / 16][head_dim][16].
class Projection {
 public:
  explicit Projection(const masks::KeyDirections& directions);

  size_t rank() const { return rank_; }
  size_t head_dim() const { return head_dim_; }
  // [rank, head_dim]
  const std::vector<float>& rows() const { return rows_; }
  // out [rows, rank] = queries [rows, head_dim].
  void Queries(Target target, const float* q, size_t stride, size_t rows, float* out) const;

 private:
  size_t rank_;
  size_t head_dim_;
  std::vector<float> rows_;
  std::vector<float> blocks_;
};

// The projected keys of one session.
class ContentKeys {
 public:
  // Positions [first, end); keys of earlier ones are there.
  void Append(Target target, const Projection& projection, const KeyPages& keys, uint64_t first, uint64_t end);
  // Nothing to do: a quarter is made again from its first key when the text goes on.
  void Truncate(uint64_t) {}

  kernels::ByteQuarter quarter(size_t quarter) const {
    return {bytes_.data() + quarter * rank_ * kernels::kQuarterTokens, offsets_.data() + quarter * kernels::kQuarterTokens,
            scales_[quarter]};
  }
  // Four means of each quarter, of 4 keys each.
  const kernels::ByteVectors& means() const { return means_; }
  uint64_t bytes() const {
    return bytes_.capacity() + (offsets_.capacity() + scales_.capacity()) * sizeof(float) + means_.bytes();
  }

 private:
  void StoreQuarter(Target target, size_t quarter, const float* projected, size_t count);

  size_t rank_ = 0;
  std::vector<int8_t> bytes_;     // [quarters][16 * rank]
  std::vector<int32_t> offsets_;  // [quarters][16]
  std::vector<float> scales_;     // [quarters]
  kernels::ByteVectors means_;
  std::vector<float> scores_;  // [rank][keys that are projected together]
  std::vector<float> keys_;    // [rank][16] of one quarter
  std::vector<float> mean_;    // [rank]
  kernels::ScoresScratch scratch_;
};

// Memory of one thread between choices.
struct ContentScratch {
  std::vector<uint32_t> sample;       // the rows that choose
  std::vector<float> sampled;         // [rows, head_dim]
  std::vector<float> queries;         // [rows, rank]
  kernels::ByteQueries byte_rows;     // one after the other, for the means
  std::vector<float> sampled_scores;  // [rows][means that bounds are estimated from]
  std::vector<float> bounds;          // [rows]
  kernels::ByteQueries byte_queries;
  std::vector<kernels::ByteQuarter> quarters;
  std::vector<float> shares;  // [quarters][lanes]
  std::vector<float> best;    // [quarters]: the largest share of any row
  std::vector<float> keys;    // [rank][16]
  std::vector<float> block;   // [rows][16]
  std::vector<uint32_t> candidates;
  std::vector<uint32_t> order;
  std::vector<double> covered;  // [rows]
};

// The quarters that a head's query rows (of one query block, `rows` from `first_position` on) need, ascending and disjoint:
// sinks, local ones up to the diagonal, and the best others for options.rows of them. A coarse pass over means of 4 keys, in 8
// bits, drops the least, then every key of the survivors is scored; a quarter stands for its largest share of any row. Ties go
// to the lower index. What the model's own window (0: none) hides from all rows is not chosen, and from one row counts nothing
// for that row.
void ChooseQuarters(Target target, const ContentOptions& options, const Projection& projection, const ContentKeys& keys,
                    const QueryRows& queries, size_t head, uint32_t own_window, ContentScratch* scratch,
                    std::vector<masks::QuarterRange>* chosen);

// As many quarters as ChooseQuarters takes at most for rows [first, first + rows), where there is nothing to choose by: sinks,
// local ones, and the latest others.
void MostQuarters(const ContentOptions& options, uint64_t first, size_t rows, uint32_t own_window,
                  std::vector<masks::QuarterRange>* chosen);

}  // namespace damask::policies
