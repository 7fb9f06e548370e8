// What random-weight model to make: the same spec gives the same bytes on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "formats/tensor_type.h"

namespace damask::make_model {

enum class Arch {
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
inline constexpr Arch kArchs[] = {Arch::kLlama,   Arch::kMistral,    Arch::kMistral3, Arch::kQwen2,      Arch::kQwen2Vl,
                                  Arch::kQwen3,   Arch::kQwen3Vl,    Arch::kQwen3Moe, Arch::kQwen3VlMoe, Arch::kPhi3,
                                  Arch::kSmolLm3, Arch::kGemma3,     Arch::kGranite,  Arch::kGptOss,     Arch::kSeedOss,
                                  Arch::kErnie45, Arch::kErnie45Moe, Arch::kGlm4,     Arch::kGlm4Moe,    Arch::kOlmo2};
enum class RopeScaling { kNone, kLinear, kYarn, kLlama3, kLongRope };

// A tensor type, or a mix of two as llama.cpp's quantiser makes it.
struct WeightType {
  std::string name;            // "Q4_K_M"
  formats::TensorType base;    // most matrices
  formats::TensorType better;  // the output matrix, some of attn_v and ffn_down; equal to `base` where there is no mix
  uint32_t file_type;          // llama.cpp's number for general.file_type
  std::optional<formats::TensorType> experts = std::nullopt;  // theirs, where it is another
};

struct ModelSpec {
  Arch arch = Arch::kLlama;
  size_t layers = 2;
  size_t width = 256;
  size_t heads = 4;
  size_t kv_heads = 2;
  size_t head_dim = 64;
  size_t ffn = 512;    // of an expert where there are experts
  size_t experts = 0;  // 0: none, or 8 where the architecture always has them; llama (then Mixtral) may
  size_t experts_used = 2;
  bool shares_sum_to_one = true;  // what config.json of qwen3moe says; GGUF files cannot say otherwise
  size_t vocab = 512;
  uint64_t context = 2048;
  double rms_epsilon = 1e-5;
  std::string type = "F32";
  bool tied = false;
  bool biases = false;         // of attention's output and of the feed-forward matrices (llama)
  bool qk_norm = true;         // glm4moe: norms of queries and keys
  size_t guessing_layers = 0;  // glm4moe: so many of the layers, the last ones, guess tokens ahead
  uint64_t seed = 1;

  double rope_base = 10000.0;
  RopeScaling rope_scaling = RopeScaling::kNone;
  double rope_factor = 4.0;
  uint64_t rope_original_context = 0;  // 0: context / factor
  double rope_low_freq_factor = 1.0;   // llama3
  double rope_high_freq_factor = 4.0;  // llama3
  size_t rope_dims = 0;                // phi3, glm4, glm4moe: rotated dimensions of a head; 0: all
  // mistral, phi3: sliding window; 0 leaves the key away. gemma3, gpt-oss: in most layers; 0 is 512, 128. olmo2: in most; 0:
  // none
  size_t window = 0;

  double logit_scale = 4.0;      // standard deviation of the logits
  double attention_scale = 1.5;  // its square is the standard deviation of the attention scores
  size_t outlier_every = 0;      // about one weight in so many is `outlier_scale` times larger; 0: none
  double outlier_scale = 8.0;

  size_t split = 0;  // tensors per shard; 0: one file

  uint64_t original_context() const;
  size_t rotated_dims() const { return rope_dims == 0 ? head_dim : rope_dims; }
  bool has_qkv_bias() const {
    return arch == Arch::kQwen2 || arch == Arch::kQwen2Vl || arch == Arch::kGptOss || arch == Arch::kSeedOss ||
           arch == Arch::kGlm4 || arch == Arch::kGlm4Moe;
  }
  // That damask reads.
  bool has_hugging_face_form() const;
  // Gemma's Hugging Face folders hold the weights of norms less 1.
  bool norms_less_one() const { return arch == Arch::kGemma3; }
  // q, k and v in one matrix, gate and up in another.
  bool joins_matrices() const { return arch == Arch::kPhi3; }
  bool joins_gate() const { return joins_matrices() || arch == Arch::kGlm4; }
  bool is_qwen3() const {
    return arch == Arch::kQwen3 || arch == Arch::kQwen3Vl || arch == Arch::kQwen3Moe || arch == Arch::kQwen3VlMoe;
  }
  bool has_qk_norm() const {
    return is_qwen3() || arch == Arch::kGemma3 || (arch == Arch::kGlm4Moe && qk_norm) || norms_whole();
  }
  // All heads of a query, or key, together.
  bool norms_whole() const { return arch == Arch::kOlmo2; }
  // The text model of one that also reads images.
  bool is_of_images() const { return arch == Arch::kQwen2Vl || arch == Arch::kQwen3Vl || arch == Arch::kQwen3VlMoe; }
  bool always_has_experts() const {
    return arch == Arch::kQwen3Moe || arch == Arch::kQwen3VlMoe || arch == Arch::kGptOss || has_shared_expert();
  }
  // And a first layer without experts, of twice the width, and a bias for the choice.
  bool has_shared_expert() const { return arch == Arch::kErnie45Moe || arch == Arch::kGlm4Moe; }
  size_t dense_ffn() const { return 2 * ffn; }
  size_t num_experts() const { return experts == 0 && always_has_experts() ? 8 : experts; }
  bool layer_has_experts(size_t layer) const { return num_experts() != 0 && (layer > 0 || !has_shared_expert()); }
  size_t sliding_window() const {
    if (window != 0) return window;
    return arch == Arch::kGemma3 ? 512 : arch == Arch::kGptOss ? 128 : 0;
  }
  // Granite's four numbers: as of Granite-3.3-2B, but for the logits, whose matrix has its deviation from logit_scale.
  double granite_attention() const { return 1.0 / static_cast<double>(head_dim); }
  static constexpr double kGraniteEmbedding = 12.0, kGraniteResidual = 0.22, kGraniteLogits = 8.0;
  bool has_norms_before() const { return arch != Arch::kOlmo2; }
  bool has_post_norms() const { return arch == Arch::kGemma3 || arch == Arch::kGlm4 || arch == Arch::kOlmo2; }
  // GGUF files give the norm before feed-forward the name of one behind attention.
  bool renames_ffn_norm() const { return arch == Arch::kGptOss || arch == Arch::kSeedOss || arch == Arch::kGlm4Moe; }
  // Files of some architectures hold q and k with the two halves of a rotated pair side by side; others as Hugging Face does.
  bool rotates_adjacent() const {
    switch (arch) {
      case Arch::kLlama:
      case Arch::kMistral:
      case Arch::kMistral3:
      case Arch::kSmolLm3:
      case Arch::kGranite:
      case Arch::kErnie45:
      case Arch::kErnie45Moe:
      case Arch::kGlm4: return true;
      default: return false;
    }
  }
};

// Shapes by name: "tiny" (the defaults above), "1b" (Llama-3.2-1B: tied, llama3 rope). Arch, type and seed stay as they are.
Status ApplyShape(std::string_view name, ModelSpec* spec);

Result<Arch> ParseArch(std::string_view name);
Result<RopeScaling> ParseRopeScaling(std::string_view name);
std::string_view ArchName(Arch arch);
std::string ArchNames();  // of all
std::string_view RopeScalingName(RopeScaling scaling);
// F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, Q3_K_M, Q4_K_M, Q5_K_M,
// MXFP4_MOE (experts in MXFP4, all else in Q8_0).
Result<WeightType> ParseWeightType(std::string_view name);

// Every number within base/limits.h, heads a multiple of kv_heads, head_dim even, room for the vocabulary's 259 fixed pieces.
Status CheckSpec(const ModelSpec& spec);

}  // namespace damask::make_model
