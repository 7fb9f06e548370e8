#include "tools/make_model/spec.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"

namespace damask::make_model {
namespace {

using formats::TensorType;

template <typename Rows>
auto FindByName(const Rows& rows, std::string_view name, std::string_view what)
    -> Result<typename std::decay_t<decltype(rows[0])>> {
  std::string known;
  for (const auto& row : rows) {
    if (row.name == name) return row;
    known += (known.empty() ? "" : ", ") + std::string(row.name);
  }
  return InvalidArgument(fmt::format("unknown {} {}, expected one of {}", what, Quote(name), known));
}

struct ArchRow {
  std::string_view name;
  Arch arch;
};
constexpr ArchRow kArchRows[] = {{"llama", Arch::kLlama},
                                 {"mistral", Arch::kMistral},
                                 {"mistral3", Arch::kMistral3},
                                 {"qwen2", Arch::kQwen2},
                                 {"qwen2vl", Arch::kQwen2Vl},
                                 {"qwen3", Arch::kQwen3},
                                 {"qwen3vl", Arch::kQwen3Vl},
                                 {"qwen3moe", Arch::kQwen3Moe},
                                 {"qwen3vlmoe", Arch::kQwen3VlMoe},
                                 {"phi3", Arch::kPhi3},
                                 {"smollm3", Arch::kSmolLm3},
                                 {"gemma3", Arch::kGemma3},
                                 {"granite", Arch::kGranite},
                                 {"gpt-oss", Arch::kGptOss},
                                 {"seed_oss", Arch::kSeedOss},
                                 {"ernie4_5", Arch::kErnie45},
                                 {"ernie4_5-moe", Arch::kErnie45Moe},
                                 {"glm4", Arch::kGlm4},
                                 {"glm4moe", Arch::kGlm4Moe},
                                 {"olmo2", Arch::kOlmo2}};

struct ScalingRow {
  std::string_view name;
  RopeScaling scaling;
};
constexpr ScalingRow kScalings[] = {{"none", RopeScaling::kNone},
                                    {"linear", RopeScaling::kLinear},
                                    {"yarn", RopeScaling::kYarn},
                                    {"llama3", RopeScaling::kLlama3},
                                    {"longrope", RopeScaling::kLongRope}};

const WeightType kTypes[] = {
    {"F32", TensorType::kF32, TensorType::kF32, 0},
    {"F16", TensorType::kF16, TensorType::kF16, 1},
    {"BF16", TensorType::kBF16, TensorType::kBF16, 32},
    {"Q8_0", TensorType::kQ8_0, TensorType::kQ8_0, 7},
    {"Q4_0", TensorType::kQ4_0, TensorType::kQ4_0, 2},
    {"Q4_1", TensorType::kQ4_1, TensorType::kQ4_1, 3},
    {"Q5_0", TensorType::kQ5_0, TensorType::kQ5_0, 8},
    {"Q5_1", TensorType::kQ5_1, TensorType::kQ5_1, 9},
    {"Q4_K", TensorType::kQ4_K, TensorType::kQ4_K, 14},
    {"Q5_K", TensorType::kQ5_K, TensorType::kQ5_K, 16},
    {"Q6_K", TensorType::kQ6_K, TensorType::kQ6_K, 18},
    {"Q4_K_M", TensorType::kQ4_K, TensorType::kQ6_K, 15},
    {"Q5_K_M", TensorType::kQ5_K, TensorType::kQ6_K, 17},
    {"Q2_K", TensorType::kQ2_K, TensorType::kQ2_K, 21},
    {"Q3_K", TensorType::kQ3_K, TensorType::kQ3_K, 11},
    {"Q3_K_M", TensorType::kQ3_K, TensorType::kQ5_K, 12},
    {"IQ4_NL", TensorType::kIQ4_NL, TensorType::kIQ4_NL, 25},
    {"IQ4_XS", TensorType::kIQ4_XS, TensorType::kIQ4_XS, 30},
    {"MXFP4_MOE", TensorType::kQ8_0, TensorType::kQ8_0, 38, TensorType::kMXFP4},
};

Status CheckRange(const char* name, uint64_t value, uint64_t low, uint64_t high) {
  if (value >= low && value <= high) return {};
  return InvalidArgument(fmt::format("{} is {}, expected {} to {}", name, value, low, high));
}

bool TakesWindow(Arch arch) {
  return arch == Arch::kMistral || arch == Arch::kPhi3 || arch == Arch::kGemma3 || arch == Arch::kGptOss ||
         arch == Arch::kOlmo2;
}

}  // namespace

bool ModelSpec::has_hugging_face_form() const {
  switch (arch) {
    case Arch::kGptOss:  // which keeps its experts in a form of its own
    case Arch::kMistral3:
    case Arch::kQwen2Vl:
    case Arch::kQwen3Vl:
    case Arch::kQwen3VlMoe:
    case Arch::kErnie45:
    case Arch::kErnie45Moe:
    case Arch::kGlm4:
    case Arch::kGlm4Moe:
    case Arch::kOlmo2: return false;
    default: return true;
  }
}

uint64_t ModelSpec::original_context() const {
  if (rope_original_context != 0) return rope_original_context;
  return std::max<uint64_t>(1, static_cast<uint64_t>(static_cast<double>(context) / rope_factor));
}

Status ApplyShape(std::string_view name, ModelSpec* spec) {
  if (name == "tiny") return {};
  if (name != "1b") return InvalidArgument(fmt::format("unknown shape {}, expected one of tiny, 1b", Quote(name)));
  spec->layers = 16;
  spec->width = 2048;
  spec->heads = 32;
  spec->kv_heads = 8;
  spec->head_dim = 64;
  spec->ffn = 8192;
  spec->vocab = 128256;
  spec->context = 131072;
  spec->tied = true;
  spec->rope_base = 500000.0;
  spec->rope_scaling = RopeScaling::kLlama3;
  spec->rope_factor = 32.0;
  spec->rope_original_context = 8192;
  return {};
}

Result<Arch> ParseArch(std::string_view name) {
  DAMASK_ASSIGN_OR_RETURN(const ArchRow row, FindByName(kArchRows, name, "architecture"));
  return row.arch;
}

Result<RopeScaling> ParseRopeScaling(std::string_view name) {
  DAMASK_ASSIGN_OR_RETURN(const ScalingRow row, FindByName(kScalings, name, "rope scaling"));
  return row.scaling;
}

std::string ArchNames() {
  std::string names;
  for (const ArchRow& row : kArchRows) names += fmt::format("{}{}", names.empty() ? "" : ", ", row.name);
  return names;
}

std::string_view ArchName(Arch arch) {
  return std::find_if(std::begin(kArchRows), std::end(kArchRows), [arch](const ArchRow& r) { return r.arch == arch; })->name;
}

std::string_view RopeScalingName(RopeScaling scaling) {
  return std::find_if(std::begin(kScalings), std::end(kScalings),
                      [scaling](const ScalingRow& r) { return r.scaling == scaling; })
      ->name;
}

Result<WeightType> ParseWeightType(std::string_view name) { return FindByName(kTypes, name, "type"); }

Status CheckSpec(const ModelSpec& spec) {
  DAMASK_RETURN_IF_ERROR(ParseWeightType(spec.type).status());
  DAMASK_RETURN_IF_ERROR(CheckRange("layers", spec.layers, 1, limits::kMaxLayers));
  DAMASK_RETURN_IF_ERROR(CheckRange("width", spec.width, 32, limits::kMaxWidth));
  DAMASK_RETURN_IF_ERROR(CheckRange("heads", spec.heads, 1, limits::kMaxHeads));
  DAMASK_RETURN_IF_ERROR(CheckRange("kv-heads", spec.kv_heads, 1, spec.heads));
  DAMASK_RETURN_IF_ERROR(CheckRange("head-dim", spec.head_dim, 2, 1024));
  DAMASK_RETURN_IF_ERROR(CheckRange("ffn", spec.ffn, 32, limits::kMaxWidth));
  DAMASK_RETURN_IF_ERROR(CheckRange("vocab", spec.vocab, 300, limits::kMaxVocab));
  DAMASK_RETURN_IF_ERROR(CheckRange("context", spec.context, 1, limits::kMaxContext));
  if (spec.num_experts() != 0) {
    DAMASK_RETURN_IF_ERROR(CheckRange("experts", spec.num_experts(), 1, limits::kMaxExperts));
    DAMASK_RETURN_IF_ERROR(CheckRange("experts-used", spec.experts_used, 1, spec.num_experts()));
    if (spec.arch != Arch::kLlama && !spec.always_has_experts())
      return InvalidArgument(fmt::format("experts do not go with the architecture {}", ArchName(spec.arch)));
  }
  if (spec.guessing_layers != 0) {
    if (spec.arch != Arch::kGlm4Moe) return InvalidArgument("layers that guess ahead go with the architecture glm4moe only");
    DAMASK_RETURN_IF_ERROR(CheckRange("guessing-layers", spec.guessing_layers, 1, spec.layers - 1));
  }
  if (spec.biases && (spec.arch != Arch::kLlama || spec.experts != 0))
    return InvalidArgument("biases go with the architecture llama without experts only");
  if (spec.heads % spec.kv_heads != 0) {
    return InvalidArgument(fmt::format("{} heads are not a multiple of {} kv-heads", spec.heads, spec.kv_heads));
  }
  if (spec.head_dim % 2 != 0) return InvalidArgument(fmt::format("head-dim is {}, expected an even number", spec.head_dim));
  if (spec.window != 0 && !TakesWindow(spec.arch)) {
    return InvalidArgument(fmt::format("a window does not go with the architecture {}", ArchName(spec.arch)));
  }
  if (spec.rope_scaling == RopeScaling::kLongRope && spec.arch != Arch::kPhi3)
    return InvalidArgument("longrope goes with the architecture phi3 only");
  const bool rotates_some = spec.arch == Arch::kPhi3 || spec.arch == Arch::kGlm4 || spec.arch == Arch::kGlm4Moe;
  if (spec.rope_dims != 0 && !rotates_some)
    return InvalidArgument("rope-dims goes with the architectures phi3, glm4 and glm4moe only");
  if (spec.rope_dims % 2 != 0 || spec.rope_dims > spec.head_dim) {
    return InvalidArgument(
        fmt::format("rope-dims is {}, expected an even number up to head-dim {}", spec.rope_dims, spec.head_dim));
  }
  if (!(spec.rope_factor >= 1.0))
    return InvalidArgument(fmt::format("rope-factor is {}, expected at least 1", spec.rope_factor));
  return {};
}

}  // namespace damask::make_model
