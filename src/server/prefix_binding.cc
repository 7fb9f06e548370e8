#include "server/prefix_binding.h"

#include <fmt/format.h>

#include "engine/fingerprint.h"
#include "kernels/page.h"

namespace damask::server {

std::string PrefixBinding(const engine::Engine& engine, std::string_view version) {
  const masks::Fingerprint model = engine::FingerprintOf(engine.model());
  const model::RopeConfig& rope = engine.model().config().rope;
  // The arithmetic alone says which of the other types it is.
  const std::string_view pages = engine.kv_type() == kernels::KvType::kQ8 ? " q8" : "";
  return fmt::format(
      "damask {}\nmodel {} {} {:016x} {:016x}\npolicy {} {:016x}\narithmetic {}{}\nrope {} {} {} {} {} {} {} {} {} {} {}\n",
      version, model.architecture, model.model, model.tokenizer_hash, model.weights_hash, engine.policy().Spec(),
      engine.policy().ContentHash(), TargetName(engine.target()), pages, static_cast<int>(rope.kind), rope.dims, rope.base,
      static_cast<int>(rope.scaling), rope.factor, rope.original_context, rope.low_freq_factor, rope.high_freq_factor,
      rope.beta_fast, rope.beta_slow, rope.attention_factor);
}

}  // namespace damask::server
