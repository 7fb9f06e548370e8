#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/checked.h"
#include "base/text.h"
#include "base/write_file.h"
#include "tools/make_model/make_model.h"
#include "tools/make_model/tensors.h"
#include "tools/make_model/vocabulary.h"
#include "tools/make_model/weights.h"

namespace damask::make_model {
namespace {

using formats::TensorType;
using nlohmann::ordered_json;

struct HfArch {
  const char* model_type;
  const char* class_name;
};

HfArch HfArchOf(const ModelSpec& spec) {
  if (spec.arch == Arch::kLlama && spec.experts != 0) return {"mixtral", "MixtralForCausalLM"};
  switch (spec.arch) {
    case Arch::kMistral: return {"mistral", "MistralForCausalLM"};
    case Arch::kQwen2: return {"qwen2", "Qwen2ForCausalLM"};
    case Arch::kQwen3: return {"qwen3", "Qwen3ForCausalLM"};
    case Arch::kPhi3: return {"phi3", "Phi3ForCausalLM"};
    case Arch::kSmolLm3: return {"smollm3", "SmolLM3ForCausalLM"};
    case Arch::kGemma3: return {"gemma3_text", "Gemma3ForCausalLM"};
    case Arch::kGranite: return {"granite", "GraniteForCausalLM"};
    case Arch::kSeedOss: return {"seed_oss", "SeedOssForCausalLM"};
    case Arch::kQwen3Moe: return {"qwen3_moe", "Qwen3MoeForCausalLM"};
    default: return {"llama", "LlamaForCausalLM"};
  }
}

ordered_json RopeScalingJson(const ModelSpec& spec) {
  if (spec.rope_scaling == RopeScaling::kNone) return nullptr;
  if (spec.rope_scaling == RopeScaling::kLongRope) {
    ordered_json scaling = {{"type", "longrope"}};
    for (const bool longer : {true, false}) {
      ordered_json& factors = scaling[longer ? "long_factor" : "short_factor"];
      for (size_t i = 0; i < spec.rotated_dims() / 2; ++i) factors.push_back(LongRopeFactor(spec, i, longer));
    }
    return scaling;
  }
  ordered_json scaling = {{"rope_type", RopeScalingName(spec.rope_scaling)}, {"factor", spec.rope_factor}};
  if (spec.rope_scaling != RopeScaling::kLinear) scaling["original_max_position_embeddings"] = spec.original_context();
  if (spec.rope_scaling == RopeScaling::kLlama3) {
    scaling["low_freq_factor"] = spec.rope_low_freq_factor;
    scaling["high_freq_factor"] = spec.rope_high_freq_factor;
  }
  return scaling;
}

ordered_json ConfigJson(const ModelSpec& spec, TensorType type) {
  const HfArch arch = HfArchOf(spec);
  ordered_json config = {
      {"architectures", {arch.class_name}},
      {"model_type", arch.model_type},
      {"hidden_size", spec.width},
      {"intermediate_size", spec.ffn},
      {"num_hidden_layers", spec.layers},
      {"num_attention_heads", spec.heads},
      {"num_key_value_heads", spec.kv_heads},
      {"head_dim", spec.head_dim},
      {"vocab_size", spec.vocab},
      {"max_position_embeddings", spec.context},
      {"rms_norm_eps", spec.rms_epsilon},
      {"rope_theta", spec.rope_base},
      {"rope_scaling", RopeScalingJson(spec)},
      {"hidden_act", "silu"},
      {"attention_bias", spec.has_qkv_bias()},
      {"tie_word_embeddings", spec.tied},
      {"bos_token_id", 1},
      {"eos_token_id", 2},
      {"torch_dtype", type == TensorType::kF32   ? "float32"
                      : type == TensorType::kF16 ? "float16"
                                                 : "bfloat16"},
  };
  if (spec.rope_dims != 0) {
    config["partial_rotary_factor"] = static_cast<double>(spec.rope_dims) / static_cast<double>(spec.head_dim);
  }
  if (spec.rope_scaling == RopeScaling::kLongRope) config["original_max_position_embeddings"] = spec.original_context();
  if (spec.arch == Arch::kMistral || spec.arch == Arch::kPhi3)
    config["sliding_window"] = spec.window == 0 ? ordered_json(nullptr) : ordered_json(spec.window);
  if (spec.num_experts() != 0) {
    config[spec.arch == Arch::kQwen3Moe ? "num_experts" : "num_local_experts"] = spec.num_experts();
    config["num_experts_per_tok"] = spec.experts_used;
  }
  if (spec.arch == Arch::kQwen3Moe) {
    config["moe_intermediate_size"] = spec.ffn;
    config["norm_topk_prob"] = spec.shares_sum_to_one;
    config["decoder_sparse_step"] = 1;
    config["mlp_only_layers"] = ordered_json::array();
  }
  if (spec.arch == Arch::kGranite) {
    config["attention_multiplier"] = spec.granite_attention();
    config["embedding_multiplier"] = ModelSpec::kGraniteEmbedding;
    config["residual_multiplier"] = ModelSpec::kGraniteResidual;
    config["logits_scaling"] = ModelSpec::kGraniteLogits;
  }
  if (spec.arch == Arch::kGemma3) {
    config["sliding_window"] = spec.sliding_window();
    config["sliding_window_pattern"] = 6;
    config["rope_local_base_freq"] = 10000.0;
    config["query_pre_attn_scalar"] = spec.head_dim;
    config["hidden_activation"] = "gelu_pytorch_tanh";
    config.erase("hidden_act");
  }
  return config;
}

// Laid out as the converted SentencePiece models of Llama 2 are: a BPE with byte fallback between two space rewriters.
ordered_json TokenizerJson(const ModelSpec& spec) {
  const Vocabulary vocabulary = MakeVocabulary(spec.vocab);
  ordered_json ids = ordered_json::object();
  // Behind the back of operator[], which looks for the key in all before it.
  auto& members = ids.get_ref<ordered_json::object_t&>();
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) members.push_back({vocabulary.pieces[id], id});
  ordered_json merges = ordered_json::array();
  for (const auto& [left, right] : ListMerges(vocabulary)) merges.push_back(left + " " + right);
  ordered_json added = ordered_json::array();
  for (size_t id = 0; id < 3; ++id) {
    added.push_back({{"id", id},
                     {"content", vocabulary.pieces[id]},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  const ordered_json prepend = {{"type", "Prepend"}, {"prepend", "\u2581"}};
  const ordered_json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "\u2581"}};
  const ordered_json restore = {{"type", "Replace"}, {"pattern", {{"String", "\u2581"}}}, {"content", " "}};
  const ordered_json strip = {{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}};
  const ordered_json bos = {{"SpecialToken", {{"id", "<s>"}, {"type_id", 0}}}};
  const ordered_json text = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};
  return {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens", added},
      {"normalizer", {{"type", "Sequence"}, {"normalizers", ordered_json::array({prepend, replace})}}},
      {"pre_tokenizer", nullptr},
      {"post_processor",
       {{"type", "TemplateProcessing"},
        {"single", ordered_json::array({bos, text})},
        {"pair", ordered_json::array({bos, text})},
        {"special_tokens", {{"<s>", {{"id", "<s>"}, {"ids", {1}}, {"tokens", {"<s>"}}}}}}}},
      {"decoder",
       {{"type", "Sequence"},
        {"decoders", ordered_json::array({restore, {{"type", "ByteFallback"}}, {{"type", "Fuse"}}, strip})}}},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", "<unk>"},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", true},
        {"byte_fallback", true},
        {"vocab", ids},
        {"merges", merges}}},
  };
}

ordered_json TokenizerConfigJson(const ModelSpec& spec) {
  return {{"add_bos_token", true},
          {"add_eos_token", false},
          {"bos_token", "<s>"},
          {"eos_token", "</s>"},
          {"unk_token", "<unk>"},
          {"legacy", true},
          {"model_max_length", spec.context},
          {"tokenizer_class", "LlamaTokenizer"}};
}

Status WriteJson(const std::string& path, const ordered_json& json) { return WriteFileAtomically(path, json.dump(1) + "\n"); }

// Writes one safetensors file: eight bytes of length, a JSON header padded with spaces, the tensors without gaps.
class SafetensorsShard {
 public:
  SafetensorsShard(const ModelSpec& spec, TensorType type, std::span<const Tensor* const> tensors)
      : spec_(spec), type_(type), tensors_(tensors) {}

  uint64_t data_bytes() const { return data_bytes_; }

  Status Write(const std::string& path, ThreadPool* pool) {
    const std::string temporary = path + ".tmp";
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    std::string header = Header();
    header.append((8 - header.size() % 8) % 8, ' ');
    const uint64_t size = header.size();
    file.write(reinterpret_cast<const char*>(&size), sizeof(size));
    file.write(header.data(), static_cast<std::streamsize>(size));
    for (const Tensor* tensor : tensors_) {
      const auto sink = [&](std::span<const std::byte> bytes) -> Status {
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return {};
      };
      DAMASK_RETURN_IF_ERROR(StreamTensor(spec_, *tensor, type_, RowOrder::kHuggingFace, pool, sink));
    }
    file.close();
    if (file && std::rename(temporary.c_str(), path.c_str()) == 0) return {};
    Status status = IoError(fmt::format("cannot write: {}", std::strerror(errno))).At(Quote(path, 300));
    std::remove(temporary.c_str());
    return status;
  }

 private:
  std::string Header() {
    const char* dtype = type_ == TensorType::kF32 ? "F32" : type_ == TensorType::kF16 ? "F16" : "BF16";
    ordered_json header = {{"__metadata__", {{"format", "pt"}}}};
    data_bytes_ = 0;
    for (const Tensor* tensor : tensors_) {
      const uint64_t begin = data_bytes_;
      data_bytes_ += tensor->rows() * formats::RowBytes(type_, tensor->columns());
      header[tensor->hf_name] = {{"dtype", dtype}, {"shape", tensor->shape}, {"data_offsets", {begin, data_bytes_}}};
    }
    return header.dump();
  }

  const ModelSpec& spec_;
  TensorType type_;
  std::span<const Tensor* const> tensors_;
  uint64_t data_bytes_ = 0;
};

Status WriteWeights(const ModelSpec& spec, TensorType type, const std::string& folder, ThreadPool* pool) {
  const std::vector<Tensor> all = ListHuggingFaceTensors(spec);
  std::vector<const Tensor*> tensors;
  for (const Tensor& tensor : all) {
    if (!tensor.hf_name.empty()) tensors.push_back(&tensor);
  }
  if (spec.split == 0) return SafetensorsShard(spec, type, tensors).Write(folder + "/model.safetensors", pool);
  const size_t count = CeilDiv(tensors.size(), spec.split);
  ordered_json map = ordered_json::object();
  uint64_t total = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t begin = i * spec.split;
    const auto part = std::span(tensors).subspan(begin, std::min(spec.split, tensors.size() - begin));
    const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, count);
    SafetensorsShard shard(spec, type, part);
    DAMASK_RETURN_IF_ERROR(shard.Write(folder + "/" + name, pool));
    total += shard.data_bytes();
    for (const Tensor* tensor : part) map[tensor->hf_name] = name;
  }
  return WriteJson(folder + "/model.safetensors.index.json", {{"metadata", {{"total_size", total}}}, {"weight_map", map}});
}

}  // namespace

Status WriteHuggingFaceModel(const ModelSpec& spec, const std::string& folder, ThreadPool* pool) {
  DAMASK_RETURN_IF_ERROR(CheckSpec(spec));
  if (!spec.has_hugging_face_form())
    return InvalidArgument("models of the architecture gpt-oss are written as GGUF files only");
  DAMASK_ASSIGN_OR_RETURN(const WeightType type, ParseWeightType(spec.type));
  if (formats::GetTensorType(type.base).block_values != 1) {
    return InvalidArgument(fmt::format("Hugging Face folders hold F32, F16 or BF16, not {}", type.name));
  }
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return IoError("cannot create: " + error.message()).At(Quote(folder, 300));
  DAMASK_RETURN_IF_ERROR(WriteJson(folder + "/config.json", ConfigJson(spec, type.base)));
  DAMASK_RETURN_IF_ERROR(WriteJson(folder + "/tokenizer.json", TokenizerJson(spec)));
  DAMASK_RETURN_IF_ERROR(WriteJson(folder + "/tokenizer_config.json", TokenizerConfigJson(spec)));
  return WriteWeights(spec, type.base, folder, pool);
}

}  // namespace damask::make_model
