#include <fmt/format.h>

#include "formats/gguf_writer.h"
#include "tools/make_model/make_model.h"
#include "tools/make_model/tensors.h"
#include "tools/make_model/vocabulary.h"
#include "tools/make_model/weights.h"

namespace damask::make_model {
namespace {

using formats::GgufWriter;

// Mistral models are files of the architecture llama: llama.cpp has no other name for them.
std::string ArchitectureKey(Arch arch) { return std::string(ArchName(arch == Arch::kMistral ? Arch::kLlama : arch)); }

void AddRopeScaling(const ModelSpec& spec, const std::string& p, GgufWriter* writer) {
  if (spec.rope_scaling == RopeScaling::kLongRope) {  // its factors are tensors
    writer->Add(p + "rope.scaling.original_context_length", static_cast<uint32_t>(spec.original_context()));
    writer->Add(p + "rope.scaling.attn_factor", static_cast<float>(LongRopeMagnitude(spec)));
  }
  if (spec.rope_scaling != RopeScaling::kLinear && spec.rope_scaling != RopeScaling::kYarn) return;  // llama3 is a tensor
  writer->Add(p + "rope.scaling.type", RopeScalingName(spec.rope_scaling));
  writer->Add(p + "rope.scaling.factor", static_cast<float>(spec.rope_factor));
  writer->Add(p + "rope.scaling.original_context_length", static_cast<uint32_t>(spec.original_context()));
  if (spec.arch == Arch::kMistral3) writer->Add(p + "rope.scaling.yarn_log_multiplier", 1.0f);
}

void AddExpertKeys(const ModelSpec& spec, const std::string& p, GgufWriter* writer) {
  const auto add = [&](const char* key, uint64_t value) { writer->Add(p + key, static_cast<uint32_t>(value)); };
  add("expert_count", spec.num_experts());
  add("expert_used_count", spec.experts_used);
  if (spec.arch != Arch::kLlama) add("expert_feed_forward_length", spec.ffn);
  if (!spec.has_shared_expert()) return;
  add("expert_shared_count", 1);
  add("leading_dense_block_count", 1);
  if (spec.arch == Arch::kErnie45Moe) {
    add("expert_shared_feed_forward_length", spec.ffn);
    add("interleave_moe_layer_step", 1);
  } else {
    add("expert_gating_func", 2);  // sigmoid
    writer->Add(p + "expert_weights_norm", true);
    writer->Add(p + "expert_weights_scale", 1.5f);
    if (spec.guessing_layers != 0) add("nextn_predict_layers", spec.guessing_layers);
  }
}

// How many of a head's pairs turn with time, height and width; of text all three are the position.
void AddRopeSections(const ModelSpec& spec, const std::string& p, GgufWriter* writer) {
  const auto pairs = static_cast<int32_t>(spec.head_dim / 2);
  const int32_t side = pairs * 5 / 16;
  const int32_t sections[] = {pairs - 2 * side, side, side, 0};
  writer->AddArray(p + "rope.dimension_sections", std::span<const int32_t>(sections));
}

void AddShape(const ModelSpec& spec, GgufWriter* writer) {
  const std::string p = ArchitectureKey(spec.arch) + ".";
  const auto add = [&](const char* key, uint64_t value) { writer->Add(p + key, static_cast<uint32_t>(value)); };
  add("vocab_size", spec.vocab);
  add("context_length", spec.context);
  add("embedding_length", spec.width);
  add("block_count", spec.layers);
  add("feed_forward_length", spec.has_shared_expert() ? spec.dense_ffn() : spec.ffn);
  if (spec.num_experts() != 0) AddExpertKeys(spec, p, writer);
  add("attention.head_count", spec.heads);
  add("attention.head_count_kv", spec.kv_heads);
  add("attention.key_length", spec.head_dim);
  add("attention.value_length", spec.head_dim);
  add("rope.dimension_count", spec.rotated_dims());
  if (spec.sliding_window() != 0) add("attention.sliding_window", spec.sliding_window());
  if (spec.arch == Arch::kOlmo2 && spec.sliding_window() != 0) {
    std::vector<bool> has_window;
    for (size_t layer = 0; layer < spec.layers; ++layer) has_window.push_back(layer % 4 != 3);
    writer->AddArray(p + "attention.sliding_window_pattern", has_window);
  }
  writer->Add(p + "attention.layer_norm_rms_epsilon", static_cast<float>(spec.rms_epsilon));
  writer->Add(p + "rope.freq_base", static_cast<float>(spec.rope_base));
  if (spec.arch == Arch::kGranite) {
    writer->Add(p + "attention.scale", static_cast<float>(spec.granite_attention()));
    writer->Add(p + "embedding_scale", static_cast<float>(ModelSpec::kGraniteEmbedding));
    writer->Add(p + "residual_scale", static_cast<float>(ModelSpec::kGraniteResidual));
    writer->Add(p + "logit_scale", static_cast<float>(ModelSpec::kGraniteLogits));
  }
  if (spec.arch == Arch::kMistral3) writer->Add(p + "attention.temperature_scale", 0.1f);
  if (spec.is_of_images()) AddRopeSections(spec, p, writer);
  AddRopeScaling(spec, p, writer);
}

void AddVocabulary(const ModelSpec& spec, GgufWriter* writer) {
  const Vocabulary vocabulary = MakeVocabulary(spec.vocab);
  writer->Add("tokenizer.ggml.model", "llama");
  writer->Add("tokenizer.ggml.pre", "default");
  writer->AddArray("tokenizer.ggml.tokens", std::span(vocabulary.pieces));
  writer->AddArray("tokenizer.ggml.scores", std::span<const float>(vocabulary.scores));
  writer->AddArray("tokenizer.ggml.token_type", std::span<const int32_t>(vocabulary.types));
  writer->Add("tokenizer.ggml.unknown_token_id", uint32_t{0});
  writer->Add("tokenizer.ggml.bos_token_id", uint32_t{1});
  writer->Add("tokenizer.ggml.eos_token_id", uint32_t{2});
  writer->Add("tokenizer.ggml.add_bos_token", true);
  writer->Add("tokenizer.ggml.add_eos_token", false);
  writer->Add("tokenizer.ggml.add_space_prefix", true);
}

}  // namespace

Result<std::vector<std::string>> WriteGgufModel(const ModelSpec& spec, const std::string& path, ThreadPool* pool) {
  DAMASK_RETURN_IF_ERROR(CheckSpec(spec));
  DAMASK_ASSIGN_OR_RETURN(const WeightType type, ParseWeightType(spec.type));
  const std::vector<Tensor> tensors = ListTensors(spec);
  GgufWriter writer;
  writer.Add("general.architecture", ArchitectureKey(spec.arch));
  writer.Add("general.name", fmt::format("random weights, seed {}", spec.seed));
  writer.Add("general.file_type", type.file_type);
  writer.Add("general.quantization_version", uint32_t{2});
  AddShape(spec, &writer);
  AddVocabulary(spec, &writer);
  for (const Tensor& tensor : tensors) writer.AddTensor(tensor.name, tensor.type, tensor.shape);
  const GgufWriter::Source source = [&](size_t index, const GgufWriter::Sink& sink) {
    return StreamTensor(spec, tensors[index], tensors[index].type, RowOrder::kGguf, pool, sink);
  };
  if (spec.split == 0) {
    DAMASK_RETURN_IF_ERROR(writer.Write(path, source));
    return std::vector<std::string>{path};
  }
  const std::string prefix = path.ends_with(".gguf") ? path.substr(0, path.size() - 5) : path;
  return writer.WriteSplit(prefix, spec.split, source);
}

}  // namespace damask::make_model
