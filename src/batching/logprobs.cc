#include "batching/logprobs.h"

#include <algorithm>
#include <cmath>

#include "engine/likeliest.h"

namespace damask::batching {

DrawnToken LogprobsOf(std::span<const float> logits, TokenId id, size_t top) {
  const double best = logits[static_cast<size_t>(engine::Argmax(logits))];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - best);
  const double log_sum = best + std::log(sum);
  const auto logprob = [&](TokenId token) {
    return static_cast<float>(static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum);
  };
  DrawnToken drawn = {.id = id, .logprob = logprob(id)};
  if (top == 0) return drawn;
  std::vector<engine::RankedToken> likeliest;
  engine::Likeliest().Find(logits, top, &likeliest);
  std::sort(likeliest.begin(), likeliest.end(), engine::Likelier);
  for (const engine::RankedToken& token : likeliest) drawn.top.push_back({token.id, logprob(token.id)});
  return drawn;
}

}  // namespace damask::batching
