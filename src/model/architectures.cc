#include "model/architectures.h"

#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace damask::model {
namespace {

using kernels::RopeKind;

constexpr std::string_view kBehindAttention = "post_attention_norm.weight";

// Source of names and of what they imply: llama.cpp (src/llama-arch.cpp, src/models), read in November 2026. Of models that
// also read images (vl) the text model runs: all parts of their rotations have the same position there.
constexpr ArchitectureTraits kTraits[] = {
    {.architecture = Architecture::kLlama, .name = "llama", .experts = ExpertUse::kPossible},
    {.architecture = Architecture::kMistral, .name = "mistral"},
    {.architecture = Architecture::kMistral3, .name = "mistral3"},
    {.architecture = Architecture::kQwen2, .name = "qwen2", .rope = RopeKind::kHalves},
    {.architecture = Architecture::kQwen2Vl, .name = "qwen2vl", .rope = RopeKind::kHalves},
    {.architecture = Architecture::kQwen3, .name = "qwen3", .rope = RopeKind::kHalves, .qk_norm = QkNorm::kHeads},
    {.architecture = Architecture::kQwen3Vl, .name = "qwen3vl", .rope = RopeKind::kHalves, .qk_norm = QkNorm::kHeads},
    {.architecture = Architecture::kQwen3Moe,
     .name = "qwen3moe",
     .rope = RopeKind::kHalves,
     .qk_norm = QkNorm::kHeads,
     .experts = ExpertUse::kAlways},
    {.architecture = Architecture::kQwen3VlMoe,
     .name = "qwen3vlmoe",
     .rope = RopeKind::kHalves,
     .qk_norm = QkNorm::kHeads,
     .experts = ExpertUse::kAlways},
    {.architecture = Architecture::kPhi3, .name = "phi3", .rope = RopeKind::kHalves, .joins_gate = true},
    {.architecture = Architecture::kSmolLm3, .name = "smollm3"},
    {.architecture = Architecture::kGemma3,
     .name = "gemma3",
     .rope = RopeKind::kHalves,
     .qk_norm = QkNorm::kHeads,
     .norms = NormPlaces::kAround},
    {.architecture = Architecture::kGranite, .name = "granite"},
    {.architecture = Architecture::kGptOss,
     .name = "gpt-oss",
     .rope = RopeKind::kHalves,
     .experts = ExpertUse::kAlways,
     .gating = Gating::kChosenSoftmax,
     .has_sinks = true,
     .has_all_biases = true,
     .ffn_norm = kBehindAttention},
    {.architecture = Architecture::kSeedOss, .name = "seed_oss", .rope = RopeKind::kHalves, .ffn_norm = kBehindAttention},
    {.architecture = Architecture::kErnie45, .name = "ernie4_5"},
    {.architecture = Architecture::kErnie45Moe, .name = "ernie4_5-moe", .experts = ExpertUse::kAlways, .has_dense_parts = true},
    {.architecture = Architecture::kGlm4,
     .name = "glm4",
     .norms = NormPlaces::kAround,
     .guesses_ahead = true,
     .joins_gate = true},
    {.architecture = Architecture::kGlm4Moe,
     .name = "glm4moe",
     .rope = RopeKind::kHalves,
     .qk_norm = QkNorm::kHeadsIfThere,
     .experts = ExpertUse::kAlways,
     .gating = Gating::kSigmoid,
     .scales_shares = true,
     .has_dense_parts = true,
     .guesses_ahead = true,
     .ffn_norm = kBehindAttention},
    {.architecture = Architecture::kOlmo2,
     .name = "olmo2",
     .rope = RopeKind::kHalves,
     .qk_norm = QkNorm::kWhole,
     .norms = NormPlaces::kBehind},
};

constexpr bool RowsAreInOrder() {
  for (size_t i = 0; i < std::size(kTraits); ++i) {
    if (kTraits[i].architecture != static_cast<Architecture>(i)) return false;
    // What experts add is neither normalised nor, but for Granite, which has none, scaled.
    if (kTraits[i].experts != ExpertUse::kNever && kTraits[i].norms != NormPlaces::kBefore) return false;
  }
  return static_cast<size_t>(Architecture::kOlmo2) + 1 == std::size(kTraits);
}
static_assert(RowsAreInOrder());

// "a, b and c" of those for which `listed` holds.
template <typename Listed>
std::string List(Listed listed) {
  std::vector<std::string_view> names;
  for (const ArchitectureTraits& traits : kTraits) {
    if (listed(traits)) names.push_back(traits.name);
  }
  const std::string_view last = names.back();
  names.pop_back();
  return fmt::format("{} and {}", fmt::join(names, ", "), last);
}

}  // namespace

const ArchitectureTraits& TraitsOf(Architecture architecture) { return kTraits[static_cast<size_t>(architecture)]; }

std::string_view ArchitectureName(Architecture architecture) { return TraitsOf(architecture).name; }

std::optional<Architecture> ParseArchitecture(std::string_view name) {
  for (const ArchitectureTraits& traits : kTraits) {
    if (traits.name == name) return traits.architecture;
  }
  return std::nullopt;
}

std::string ArchitectureNames() {
  return List([](const ArchitectureTraits&) { return true; });
}

std::string ArchitecturesWithExperts() {
  return List([](const ArchitectureTraits& traits) { return traits.experts != ExpertUse::kNever; });
}

}  // namespace damask::model
