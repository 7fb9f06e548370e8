// Choosing the next token from logits. The chain and its defaults are llama.cpp's: penalties, top-k, top-p, min-p, temperature,
// then a draw. The random numbers are our own, so the same seed gives the same text on every machine.
#pragma once

#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/likeliest.h"
#include "tokenizer/tokenizer.h"

namespace damask::engine {

struct SamplerOptions {
  float temperature = 0.8f;     // 0: greedy
  uint64_t top_k = 40;          // 0: all
  float top_p = 0.95f;          // 1: off
  float min_p = 0.05f;          // 0: off
  float repeat_penalty = 1.0f;  // 1: off; over the last repeat_last_n tokens
  uint64_t repeat_last_n = 64;
  // OpenAI's, over the tokens drawn so far: a token that was drawn c > 0 times loses presence + c * frequency. 0: off.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::optional<uint64_t> seed;  // absent: from the system's entropy

  // As users mean it: a share of 0 is the likeliest token alone, where top_p has to be above 0.
  void SetTopP(double share) {
    top_p = static_cast<float>(share);
    if (top_p != 0.0f) return;
    top_p = 1;
    top_k = 1;
  }
};

// Names the option that is out of range.
Status ValidateSamplerOptions(const SamplerOptions& options);

class Sampler {
 public:
  // options must be valid.
  explicit Sampler(const SamplerOptions& options);

  uint64_t seed() const { return seed_; }

  // Draws from `logits` [vocab]; `history` are the tokens so far (prompt and generated), for the repetition penalty, `drawn`
  // those of them that this sampler has drawn, for the presence and frequency penalties. Ties go to the lower id. NaN logits
  // must have been refused before.
  TokenId Sample(std::span<const float> logits, std::span<const TokenId> history, std::span<const TokenId> drawn);

 private:
  double NextUniform();  // [0, 1)
  void PenaliseRepeats(std::span<const TokenId> history);
  void PenaliseDrawn(std::span<const TokenId> drawn);
  // `logits` where nothing is penalised, else adjusted_.
  std::span<const float> Penalised(std::span<const float> logits, std::span<const TokenId> history,
                                   std::span<const TokenId> drawn);
  void FindCandidates(std::span<const float> logits);

  SamplerOptions options_;
  uint64_t seed_;
  std::mt19937_64 random_;
  std::vector<float> adjusted_;
  std::vector<uint32_t> counts_;  // [vocab]; all zero between calls
  Likeliest likeliest_;
  std::vector<RankedToken> candidates_;
};

}  // namespace damask::engine
