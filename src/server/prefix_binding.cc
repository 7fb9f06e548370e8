#include "server/prefix_binding.h"

#include <fmt/format.h>

#include "engine/fingerprint.h"
#include "kernels/page.h"

namespace damask::server {

std::string PrefixBinding(const engine::Engine& engine, std::string_view version) {
  const masks::Fingerprint model = engine::FingerprintOf(engine.model());
  // The arithmetic alone says which of the other types it is.
  const std::string_view pages = engine.kv_type() == kernels::KvType::kQ8 ? " q8" : "";
  return fmt::format("damask {}\nmodel {} {} {:016x} {:016x}\npolicy {} {:016x}\narithmetic {}{}\nsettings {}\n", version,
                     model.architecture, model.model, model.tokenizer_hash, model.weights_hash, engine.policy().Spec(),
                     engine.policy().ContentHash(), TargetName(engine.target()), pages,
                     model::SettingsText(engine.model().config()));
}

}  // namespace damask::server
