// What a model is: its architecture and shape, read from a GGUF file's keys or a Hugging Face config.json and checked before
// anything is sized by it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "base/status.h"
#include "formats/gguf.h"
#include "kernels/ops.h"
#include "model/architectures.h"

namespace damask::model {

enum class RopeScaling { kNone, kLinear, kLlama3, kYarn };

std::string_view RopeScalingName(RopeScaling scaling);
Result<RopeScaling> ParseRopeScaling(std::string_view name);

// Rotary position embedding. Formulas and their sources: model/rope.h.
struct RopeConfig {
  kernels::RopeKind kind = kernels::RopeKind::kAdjacent;
  size_t dims = 0;  // rotated dimensions of a head, even, at most head_dim
  double base = 10000.0;
  RopeScaling scaling = RopeScaling::kNone;
  double factor = 1.0;            // by how much the text may be longer than trained
  uint64_t original_context = 0;  // trained length before scaling; 0 where the file does not say
  // llama3
  double low_freq_factor = 1.0;
  double high_freq_factor = 4.0;
  // yarn
  double beta_fast = 32.0;
  double beta_slow = 1.0;
  double attention_factor = 1.0;  // multiplies the temperature term that yarn itself adds
  double log_multiplier = 0.0;  // that term is divided by the same with this before its logarithm (Mistral 3: 1, none is left)
  // longrope (Phi-3): divisors of the frequencies, one for each rotated pair, for contexts up to the trained length and for
  // longer ones. Empty elsewhere.
  std::vector<float> short_factors;
  std::vector<float> long_factors;
  bool takes_long = false;  // set by the context that is asked for
  // Such divisors as a GGUF file has them as rope_freqs.weight (llama3).
  std::vector<float> file_factors;

  const std::vector<float>& factors() const { return takes_long ? long_factors : short_factors; }

  // All of it as numbers, the same for the same rotations.
  std::string ToString() const;
};

// By what yarn multiplies queries and keys: YaRN's 0.1 ln(factor) + 1.
double YarnTemperature(double factor);

struct ModelConfig {
  Architecture architecture = Architecture::kLlama;
  std::string name;
  size_t layers = 0;
  size_t width = 0;  // embedding length
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  size_t ffn = 0;  // feed-forward width; of one expert where there are experts
  // Feed-forward networks of a layer, of which a router picks `experts_used` for each token; 0: one for all tokens.
  size_t experts = 0;
  size_t experts_used = 0;
  Gating gating = Gating::kSoftmax;
  bool shares_sum_to_one = true;  // those of the chosen experts; else as the gating gave them
  float expert_scale = 1.0f;      // shares are multiplied by it
  size_t shared_ffn = 0;          // width of a network that every token takes beside its experts; 0: none
  size_t dense_layers = 0;        // so many layers come first that have one network of width dense_ffn instead of experts
  size_t dense_ffn = 0;
  // Behind the layers the file has so many more that guess tokens ahead (GLM-4.5); they do not run.
  size_t guessing_layers = 0;
  size_t vocab = 0;
  uint64_t context = 0;  // trained (or scaled) context length
  float rms_epsilon = 1e-5f;
  RopeConfig rope;
  // Sliding window per layer: a query sees keys with key > query - window; 0 is full attention. Empty: none in any layer.
  std::vector<uint32_t> windows;
  // Every so manieth layer rotates nothing (SmolLM 3; 1: no layer rotates); 0: all layers rotate.
  size_t unrotated_every = 0;
  // Base of the rotations in layers with a sliding window, which no scaling touches (Gemma 3); 0: all layers rotate alike.
  double window_rope_base = 0.0;
  kernels::GateFunction gate = kernels::GateFunction::kSilu;
  float embedding_scale = 1.0f;  // token embeddings are multiplied by it (Gemma, Granite)
  float residual_scale = 1.0f;   // so is what attention and feed-forward add to the residual stream (Granite)
  float logit_scale = 1.0f;      // and so are logits; the output's norm takes it up (Granite)
  float query_scale = 1.0f;      // scores are q . k / sqrt(head_dim) times it (Gemma, Granite)
  // And times 1 + position_scale * ln(1 + floor(position / position_scale_length)) of the query's (Mistral 3, after Llama 4).
  float position_scale = 0.0f;
  uint64_t position_scale_length = 0;
  bool norms_less_one = false;  // a file that holds norms' weights less 1 (Gemma's Hugging Face folders)
  std::optional<bool> tied;     // whether the embedding is the output too; what a file does not say follows from its tensors

  size_t group() const { return heads / kv_heads; }
  uint32_t window(size_t layer) const { return windows.empty() ? 0 : windows[layer]; }
  bool rotates(size_t layer) const { return unrotated_every == 0 || (layer + 1) % unrotated_every != 0; }
  const ArchitectureTraits& traits() const { return TraitsOf(architecture); }
  bool has_sinks() const { return traits().has_sinks; }
  bool has_norms_before() const { return traits().norms != NormPlaces::kBehind; }
  bool has_norms_behind() const { return traits().norms != NormPlaces::kBefore; }
  bool has_experts(size_t layer) const { return experts != 0 && layer >= dense_layers; }
  // Width of the one network of a layer without experts.
  size_t dense_width() const { return experts == 0 ? ffn : dense_ffn; }
  // By what a query at `position` is multiplied.
  float query_scale_at(uint64_t position) const;
  bool has_window_rope(size_t layer) const { return window_rope_base != 0.0 && window(layer) != 0; }
  size_t q_width() const { return heads * head_dim; }
  size_t kv_width() const { return kv_heads * head_dim; }
};

// Everything beside the weights that a model's numbers follow from, as text: what results and stored keys are bound to.
std::string SettingsText(const ModelConfig& config);

// Flags that change how positions are read, to go past the trained length.
struct RopeOverrides {
  std::string scaling;  // "" keeps the file's; "none", "linear", "llama3", "yarn"
  double factor = 0.0;  // 0 keeps the file's; with a scaling named and no factor anywhere: context / trained context
  double base = 0.0;    // 0 keeps the file's
  uint64_t original_context = 0;
};

// Both check every number (ranges, divisibility, what the kernels can run) and name the offending key.
Result<ModelConfig> ConfigFromGguf(const formats::GgufFile& file);
Result<ModelConfig> ConfigFromHuggingFace(const nlohmann::json& config);

// Chooses between the factors of longrope; `wanted_context` as below.
void ChooseLongRope(uint64_t wanted_context, ModelConfig* config);

// Applies the flags; `wanted_context` is the -c flag (0: the model's own); over the trained context it is a missing factor.
Status ApplyRopeOverrides(const RopeOverrides& overrides, uint64_t wanted_context, ModelConfig* config);

}  // namespace damask::model
