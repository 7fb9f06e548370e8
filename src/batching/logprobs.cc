#include "batching/logprobs.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace damask::batching {

DrawnToken LogprobsOf(std::span<const float> logits, TokenId id, size_t top) {
  const double best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - best);
  const double log_sum = best + std::log(sum);
  const auto logprob = [&](TokenId token) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum);
  };
  DrawnToken drawn = {.id = id, .logprob = logprob(id)};
  if (top == 0) return drawn;
  std::vector<TokenId> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(std::min(top, order.size()));
  std::partial_sort(order.begin(), end, order.end(), [&](TokenId a, TokenId b) {
    const float la = logits[static_cast<size_t>(a)];
    const float lb = logits[static_cast<size_t>(b)];
    return la != lb ? la > lb : a < b;
  });
  for (auto token = order.begin(); token != end; ++token) drawn.top.push_back({*token, logprob(*token)});
  return drawn;
}

}  // namespace damask::batching
