// The one check of a configuration, whatever file it came from: nothing is divided, allocated or looped over before it.
#pragma once

#include <optional>
#include <string>

#include "base/function_ref.h"
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

// BadFormat where it is not within 1e-6 and 1e6: no file goes beyond, and what is computed with it stays finite.
Status CheckFactor(const std::string& name, double factor);

// The same, and 0 stands for none.
Status CheckScale(const std::string& name, double scale);

// Names of the numbers that Granite multiplies by; all of them may be missing, or 0.
struct GraniteNames {
  std::string attention;  // scores are q . k times it
  std::string embedding;
  std::string residual;
  std::string logits;  // logits are divided by it
};
// `read`: the file's number of that name. The configuration has its head size by then.
Status ReadGraniteScales(const GraniteNames& names, FunctionRef<Result<std::optional<double>>(const std::string&)> read,
                         ModelConfig* config);

// Errors: BadFormat for nonsense, Unsupported for shapes the kernels do not run.
Status CheckConfig(const ModelConfig& config, const FieldNames& names);

}  // namespace damask::model
