// The one check of a configuration, whatever file it came from: nothing is divided, allocated or looped over before it.
#pragma once

#include "base/status.h"
#include "model/config.h"

namespace damask::model {

// Of SmolLM 3, where a file does not say.
inline constexpr size_t kSmolLm3UnrotatedEvery = 4;

// Field names of the source, so that a message speaks of what stands in the user's file.
struct FieldNames {
  std::string layers, width, heads, kv_heads, head_dim, ffn, vocab, context, rms_epsilon, rope_base, rope_dims, rope_factor,
      experts, experts_used;
};

// BadFormat where value is not in [low, high].
Status CheckInRange(const std::string& name, uint64_t value, uint64_t low, uint64_t high);

// BadFormat where it is not in the range of --rope-freq-base.
Status CheckRopeBase(const std::string& name, double base);

// BadFormat where it is not finite or below 0.
Status CheckScale(const std::string& name, double scale);

// The numbers that Granite multiplies by, as files have them; 0 where a file does not say.
struct GraniteScales {
  double attention = 0;  // scores are q . k times it
  double embedding = 0;
  double residual = 0;
  double logits = 0;  // logits are divided by it
};
void SetGraniteScales(const GraniteScales& scales, ModelConfig* config);

// Errors: BadFormat for nonsense, Unsupported for shapes the kernels do not run.
Status CheckConfig(const ModelConfig& config, const FieldNames& names);

}  // namespace damask::model
