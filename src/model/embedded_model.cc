#include "model/embedded_model.h"

// Set by embedded_model.S.
extern "C" {
[[gnu::visibility("hidden")]] extern const std::byte damask_embedded_model_begin[];
[[gnu::visibility("hidden")]] extern const std::byte damask_embedded_model_end[];
}

namespace damask {

std::span<const std::byte> EmbeddedModel() { return {damask_embedded_model_begin, damask_embedded_model_end}; }

std::string_view EmbeddedModelName() { return "the embedded reference model"; }

}  // namespace damask
