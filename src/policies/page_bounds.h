// Bounds of what the keys of a page can score, from the smallest and the largest number of each channel (Quest).
#pragma once

#include <cstdint>
#include <vector>

#include "base/cpu.h"
#include "kernels/scores.h"
#include "policies/key_summaries.h"

namespace damask::policies {

// Of one KV head: for every page of `page_keys` consecutive keys its lowest and highest key. 1 / page_keys of the cache's
// bytes.
class PageBounds {
 public:
  explicit PageBounds(size_t page_keys)
      : lowest_(KeySummary::Kind::kLowest, page_keys), highest_(KeySummary::Kind::kHighest, page_keys) {}

  void Append(const KeyPages& keys, uint64_t first, uint64_t end);
  void Truncate(uint64_t length);
  size_t pages() const { return lowest_.rows(); }
  uint64_t bytes() const { return lowest_.bytes() + highest_.bytes(); }

  struct Scratch {
    std::vector<float> positive;  // [rows][head_dim]
    std::vector<float> negative;
    std::vector<float> high;  // [rows][strip]
    std::vector<float> low;
    kernels::ScoresScratch keys;
  };
  // bounds[page] = max over the rows of sum_d max(q_d lowest_d, q_d highest_d), for pages [0, pages()): no key of the page
  // scores higher with any row. Query head `head` of the group. Cost: 4 head_dim flops a row and page.
  void Upper(Target target, const QueryRows& queries, size_t head, Scratch* scratch, std::vector<float>* bounds) const;

 private:
  KeySummary lowest_;
  KeySummary highest_;
};

}  // namespace damask::policies
