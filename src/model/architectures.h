// The architectures that damask runs, and what their names alone imply: one row each. All else about a model stands in its file
// (model/config.h).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/ops.h"

namespace damask::model {

enum class Architecture {
  kLlama,
  kMistral,
  kMistral3,
  kQwen2,
  kQwen2Vl,
  kQwen3,
  kQwen3Vl,
  kQwen3Moe,
  kQwen3VlMoe,
  kPhi3,
  kSmolLm3,
  kGemma3,
  kGranite,
  kGptOss,
  kSeedOss,
  kErnie45,
  kErnie45Moe,
  kGlm4,
  kGlm4Moe,
  kOlmo2,
};

// Norms of queries and keys before they are rotated.
enum class QkNorm {
  kNone,
  kHeads,         // of each head by itself
  kHeadsIfThere,  // the same, in files that have their weights
  kWhole,         // of all heads together
};

// Where a layer has its other norms: before attention and feed-forward, behind what they add to the residual stream, or both.
enum class NormPlaces { kBefore, kBehind, kAround };

enum class ExpertUse { kNever, kPossible, kAlways };

// Numbers of "expert_gating_func": how shares of experts arise from the router's scores. GGUF's.
enum class Gating : uint64_t {
  kSoftmax = 1,  // over all experts
  kSigmoid = 2,
  kChosenSoftmax = 3,  // over the chosen ones; the same as kSoftmax where shares are made to sum to 1
};

struct ArchitectureTraits {
  Architecture architecture;
  std::string_view name;                                  // "general.architecture"
  kernels::RopeKind rope = kernels::RopeKind::kAdjacent;  // of GGUF files; Hugging Face folders hold halves
  QkNorm qk_norm = QkNorm::kNone;
  NormPlaces norms = NormPlaces::kBefore;
  ExpertUse experts = ExpertUse::kNever;
  Gating gating = Gating::kSoftmax;  // where a file does not say
  bool scales_shares = false;        // files say whether shares of experts sum to 1, and what they are multiplied by
  bool has_dense_parts = false;      // first layers without experts, and a network beside them that all tokens take
  bool guesses_ahead = false;        // files may have layers behind the others that guess tokens ahead
  bool joins_gate = false;           // gate and up are one matrix
  bool has_sinks = false;            // every head has one: kernels::QueryBlock::sinks
  bool has_all_biases = false;       // and without them answers would be wrong
  // The norm before feed-forward, in GGUF files; some give it the name of one behind attention.
  std::string_view ffn_norm = "ffn_norm.weight";
};

const ArchitectureTraits& TraitsOf(Architecture architecture);

std::string_view ArchitectureName(Architecture architecture);

std::optional<Architecture> ParseArchitecture(std::string_view name);

// A list of all of them for messages, or of those that may have experts.
std::string ArchitectureNames();
std::string ArchitecturesWithExperts();

}  // namespace damask::model
