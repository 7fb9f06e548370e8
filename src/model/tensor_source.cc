#include "model/tensor_source.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

namespace damask::model {
namespace {

struct NamePair {
  std::string_view gguf;
  std::string_view hugging_face;
};

constexpr std::array kModelNames = {
    NamePair{"token_embd.weight", "embed_tokens.weight"},
    NamePair{"output_norm.weight", "norm.weight"},
};

// Behind "blk.N." and "layers.N.".
constexpr std::array kLayerNames = {
    NamePair{"attn_norm.weight", "input_layernorm.weight"},
    NamePair{"attn_q.weight", "self_attn.q_proj.weight"},
    NamePair{"attn_k.weight", "self_attn.k_proj.weight"},
    NamePair{"attn_v.weight", "self_attn.v_proj.weight"},
    NamePair{"attn_qkv.weight", "self_attn.qkv_proj.weight"},
    NamePair{"attn_qkv.bias", "self_attn.qkv_proj.bias"},
    NamePair{"attn_q.bias", "self_attn.q_proj.bias"},
    NamePair{"attn_k.bias", "self_attn.k_proj.bias"},
    NamePair{"attn_v.bias", "self_attn.v_proj.bias"},
    NamePair{"attn_q_norm.weight", "self_attn.q_norm.weight"},
    NamePair{"attn_k_norm.weight", "self_attn.k_norm.weight"},
    NamePair{"attn_output.weight", "self_attn.o_proj.weight"},
    NamePair{"attn_output.bias", "self_attn.o_proj.bias"},
    NamePair{"ffn_norm.weight", "post_attention_layernorm.weight"},
    NamePair{"ffn_gate.weight", "mlp.gate_proj.weight"},
    NamePair{"ffn_up.weight", "mlp.up_proj.weight"},
    NamePair{"ffn_gate_up.weight", "mlp.gate_up_proj.weight"},
    NamePair{"ffn_down.weight", "mlp.down_proj.weight"},
    NamePair{"ffn_gate.bias", "mlp.gate_proj.bias"},
    NamePair{"ffn_up.bias", "mlp.up_proj.bias"},
    NamePair{"ffn_gate_up.bias", "mlp.gate_up_proj.bias"},
    NamePair{"ffn_down.bias", "mlp.down_proj.bias"},
    // Of architectures whose norm before feed-forward GGUF files name so.
    NamePair{"post_attention_norm.weight", "post_attention_layernorm.weight"},
};

// Looked at first where a layer has four norms.
constexpr std::array kPostNormNames = {
    NamePair{"post_attention_norm.weight", "post_attention_layernorm.weight"},
    NamePair{"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
    NamePair{"post_ffw_norm.weight", "post_feedforward_layernorm.weight"},
};

// Of experts: "ffn_gate.7.weight".
struct ExpertNames {
  std::string_view gguf, qwen, mixtral;
};
constexpr std::array kExpertNames = {ExpertNames{"ffn_gate.", "gate_proj", "w1"}, ExpertNames{"ffn_down.", "down_proj", "w2"},
                                     ExpertNames{"ffn_up.", "up_proj", "w3"}};

// Empty for names that are none of experts.
std::string ExpertName(std::string_view part, bool mixtral) {
  constexpr std::string_view kEnd = ".weight";
  if (part == "ffn_gate_inp.weight") return mixtral ? "block_sparse_moe.gate.weight" : "mlp.gate.weight";
  for (const ExpertNames& names : kExpertNames) {
    if (!part.starts_with(names.gguf) || !part.ends_with(kEnd) || part.size() <= names.gguf.size() + kEnd.size()) continue;
    const std::string_view expert = part.substr(names.gguf.size(), part.size() - names.gguf.size() - kEnd.size());
    if (!std::all_of(expert.begin(), expert.end(), [](char c) { return c >= '0' && c <= '9'; })) continue;
    return fmt::format("{}.experts.{}.{}.weight", mixtral ? "block_sparse_moe" : "mlp", expert,
                       mixtral ? names.mixtral : names.qwen);
  }
  return {};
}

template <size_t N>
std::string_view Translate(const std::array<NamePair, N>& names, std::string_view gguf_name) {
  const auto it = std::find_if(names.begin(), names.end(), [&](const NamePair& pair) { return pair.gguf == gguf_name; });
  return it == names.end() ? std::string_view{} : it->hugging_face;
}

class GgufSource : public TensorSource {
 public:
  explicit GgufSource(std::shared_ptr<const formats::GgufFile> file) : file_(std::move(file)) {}
  Result<const formats::TensorInfo*> Find(const std::string& gguf_name) const override { return file_->FindTensor(gguf_name); }
  std::string FileName(const std::string& gguf_name) const override { return gguf_name; }
  const std::vector<formats::TensorInfo>& tensors() const override { return file_->tensors(); }

 private:
  std::shared_ptr<const formats::GgufFile> file_;
};

class HuggingFaceSource : public TensorSource {
 public:
  explicit HuggingFaceSource(std::shared_ptr<const formats::SafetensorsFiles> files)
      : files_(std::move(files)), naming_(NamingOf(*files_)) {}
  Result<const formats::TensorInfo*> Find(const std::string& gguf_name) const override {
    const std::string name = HuggingFaceName(gguf_name, naming_);
    if (name.empty()) return static_cast<const formats::TensorInfo*>(nullptr);
    Result<const formats::TensorInfo*> found = files_->Find(name);
    if (!found.ok() && found.status().code() == StatusCode::kNotFound) return static_cast<const formats::TensorInfo*>(nullptr);
    return found;
  }
  std::string FileName(const std::string& gguf_name) const override { return HuggingFaceName(gguf_name, naming_); }
  const std::vector<formats::TensorInfo>& tensors() const override { return files_->tensors(); }

 private:
  static HuggingFaceNaming NamingOf(const formats::SafetensorsFiles& files) {
    const auto has = [&](const std::string& name) { return files.Find(name).ok(); };
    HuggingFaceNaming naming;
    for (const HuggingFaceNaming& layout : {HuggingFaceNaming{}, HuggingFaceNaming{"language_model.model.", "language_model."},
                                            HuggingFaceNaming{"model.language_model.", ""}}) {
      if (!has(layout.body + "layers.0.input_layernorm.weight")) continue;
      naming = layout;
      break;
    }
    naming.mixtral = has(naming.body + "layers.0.block_sparse_moe.gate.weight");
    naming.post_norms = has(naming.body + "layers.0.pre_feedforward_layernorm.weight");
    return naming;
  }

  std::shared_ptr<const formats::SafetensorsFiles> files_;
  HuggingFaceNaming naming_;
};

}  // namespace

std::string HuggingFaceName(std::string_view gguf_name, const HuggingFaceNaming& naming) {
  if (gguf_name == "output.weight") return naming.head + "lm_head.weight";
  const auto of_body = [&](const std::string& name) { return name.empty() ? name : naming.body + name; };
  constexpr std::string_view kPrefix = "blk.";
  if (gguf_name.substr(0, kPrefix.size()) != kPrefix) return of_body(std::string(Translate(kModelNames, gguf_name)));
  const std::string_view rest = gguf_name.substr(kPrefix.size());
  const size_t dot = rest.find('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view part = rest.substr(dot + 1);
  std::string name(naming.post_norms ? Translate(kPostNormNames, part) : std::string_view());
  if (name.empty()) name = Translate(kLayerNames, part);
  if (name.empty()) name = ExpertName(part, naming.mixtral);
  return name.empty() ? name : of_body(fmt::format("layers.{}.{}", rest.substr(0, dot), name));
}

std::unique_ptr<TensorSource> SourceOf(std::shared_ptr<const formats::GgufFile> file) {
  return std::make_unique<GgufSource>(std::move(file));
}

std::unique_ptr<TensorSource> SourceOf(std::shared_ptr<const formats::SafetensorsFiles> files) {
  return std::make_unique<HuggingFaceSource>(std::move(files));
}

}  // namespace damask::model
