#include "model/model.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "base/text.h"
#include "kernels/quant.h"
#include "model/embedded_model.h"
#include "model/tensor_source.h"

namespace damask::model {

using formats::TensorInfo;
using kernels::WeightView;

// Fills a Model from a source of tensors, checking each against the configuration.
class ModelLoader {
 public:
  // `path` is for messages.
  ModelLoader(const TensorSource& source, std::string path, Model* model)
      : source_(source), path_(std::move(path)), model_(model) {}

  Status Load() {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(model_->embedding_, Matrix("token_embd.weight", c.vocab, c.width));
    DAMASK_ASSIGN_OR_RETURN(model_->output_norm_, Norm("output_norm.weight", c.width));
    DAMASK_RETURN_IF_ERROR(LoadOutput());
    model_->layers_.resize(c.layers);
    for (size_t layer = 0; layer < c.layers; ++layer) DAMASK_RETURN_IF_ERROR(LoadLayer(layer));
    DAMASK_RETURN_IF_ERROR(LoadRope());
    Summarise();
    WarnOfUnused();
    return {};
  }

 private:
  // A model that says it is tied has the embedding as its output, whatever else the file holds.
  Status LoadOutput() {
    const ModelConfig& c = model_->config_;
    model_->output_ = model_->embedding_;
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* output, Find("output.weight"));
    if (c.tied.value_or(output == nullptr)) return {};
    DAMASK_ASSIGN_OR_RETURN(model_->output_, Matrix("output.weight", c.vocab, c.width));
    return {};
  }

  static std::string LayerName(size_t index, const char* part) { return fmt::format("blk.{}.{}", index, part); }

  Status LoadSeparate(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(w->q, Matrix(LayerName(index, "attn_q.weight"), c.q_width(), c.width));
    DAMASK_ASSIGN_OR_RETURN(w->k, Matrix(LayerName(index, "attn_k.weight"), c.kv_width(), c.width));
    DAMASK_ASSIGN_OR_RETURN(w->v, Matrix(LayerName(index, "attn_v.weight"), c.kv_width(), c.width));
    DAMASK_ASSIGN_OR_RETURN(w->gate, Matrix(LayerName(index, "ffn_gate.weight"), c.ffn, c.width));
    DAMASK_ASSIGN_OR_RETURN(w->up, Matrix(LayerName(index, "ffn_up.weight"), c.ffn, c.width));
    return {};
  }

  // Phi-3 keeps q, k and v in one matrix, one behind the other, and gate and up in another.
  Status LoadJoined(size_t index, LayerWeights* w) {
    const ModelConfig& c = model_->config_;
    DAMASK_ASSIGN_OR_RETURN(const WeightView qkv,
                            Matrix(LayerName(index, "attn_qkv.weight"), c.q_width() + 2 * c.kv_width(), c.width));
    w->q = Rows(qkv, 0, c.q_width());
    w->k = Rows(qkv, c.q_width(), c.kv_width());
    w->v = Rows(qkv, c.q_width() + c.kv_width(), c.kv_width());
    // GGUF has no name of its own for that.
    const std::string joined = LayerName(index, "ffn_gate_up.weight");
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* own_name, Find(joined));
    DAMASK_ASSIGN_OR_RETURN(const WeightView both,
                            Matrix(own_name != nullptr ? joined : LayerName(index, "ffn_up.weight"), 2 * c.ffn, c.width));
    w->gate = Rows(both, 0, c.ffn);
    w->up = Rows(both, c.ffn, c.ffn);
    return {};
  }

  static WeightView Rows(const WeightView& matrix, size_t first, size_t count) {
    return {matrix.type, matrix.data + first * formats::RowBytes(matrix.type, matrix.k), count, matrix.k};
  }

  Status LoadLayer(size_t index) {
    const ModelConfig& c = model_->config_;
    LayerWeights& w = model_->layers_[index];
    const auto name = [index](const char* part) { return LayerName(index, part); };
    DAMASK_ASSIGN_OR_RETURN(w.attention_norm, Norm(name("attn_norm.weight"), c.width));
    DAMASK_ASSIGN_OR_RETURN(w.ffn_norm, Norm(name("ffn_norm.weight"), c.width));
    if (c.post_norms) {
      DAMASK_ASSIGN_OR_RETURN(w.attention_post_norm, Norm(name("post_attention_norm.weight"), c.width));
      DAMASK_ASSIGN_OR_RETURN(w.ffn_post_norm, Norm(name("post_ffw_norm.weight"), c.width));
    }
    DAMASK_RETURN_IF_ERROR(c.architecture == Architecture::kPhi3 ? LoadJoined(index, &w) : LoadSeparate(index, &w));
    DAMASK_ASSIGN_OR_RETURN(w.o, Matrix(name("attn_output.weight"), c.width, c.q_width()));
    // Biases are read wherever a file has them (llama files may, too); qwen2 always does.
    DAMASK_ASSIGN_OR_RETURN(w.q_bias, Bias(name("attn_q.bias"), c.q_width()));
    DAMASK_ASSIGN_OR_RETURN(w.k_bias, Bias(name("attn_k.bias"), c.kv_width()));
    DAMASK_ASSIGN_OR_RETURN(w.v_bias, Bias(name("attn_v.bias"), c.kv_width()));
    if (c.architecture == Architecture::kQwen3 || c.architecture == Architecture::kGemma3) {
      DAMASK_ASSIGN_OR_RETURN(w.q_norm, Norm(name("attn_q_norm.weight"), c.head_dim));
      DAMASK_ASSIGN_OR_RETURN(w.k_norm, Norm(name("attn_k_norm.weight"), c.head_dim));
      for (size_t i = 0; i < c.head_dim; ++i) w.q_norm[i] *= c.query_scale;
    }
    DAMASK_ASSIGN_OR_RETURN(w.down, Matrix(name("ffn_down.weight"), c.width, c.ffn));
    for (const char* part : {"attn_qkv.bias", "attn_output.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"}) {
      DAMASK_ASSIGN_OR_RETURN(const TensorInfo* bias, Find(name(part)));
      if (bias != nullptr) return Unsupported(fmt::format("the tensor {} is not supported", source_.FileName(name(part))));
    }
    return {};
  }

  // Divisors of the frequencies that come as a tensor; empty where there is none.
  Result<std::vector<float>> RopeFactors(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr) return std::vector<float>();
    DAMASK_ASSIGN_OR_RETURN(const FloatVector factors, Vector(name, model_->config_.rope.dims / 2));
    for (size_t i = 0; i < factors.size(); ++i) {
      if (!(factors[i] > 0)) return BadFormat(fmt::format("factor {} is {}, expected above 0", i, factors[i])).At(name);
    }
    return std::vector<float>(factors.data(), factors.data() + factors.size());
  }

  // Of a GGUF file both the llama3 factors and those of longrope are tensors.
  Status LoadRope() {
    RopeConfig& rope = model_->config_.rope;
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> factors, RopeFactors("rope_freqs.weight"));
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> longer, RopeFactors("rope_factors_long.weight"));
    DAMASK_ASSIGN_OR_RETURN(std::vector<float> shorter, RopeFactors("rope_factors_short.weight"));
    if (longer.empty() != shorter.empty()) {
      return BadFormat("only one of the tensors rope_factors_long.weight and rope_factors_short.weight is there");
    }
    if (!longer.empty()) {
      rope.long_factors = std::move(longer);
      rope.short_factors = std::move(shorter);
    }
    if (factors.empty()) factors = rope.factors();
    model_->rope_ = RopeTable(rope, factors);
    if (model_->config_.window_rope_base != 0.0) {
      const RopeConfig unscaled = {.kind = rope.kind, .dims = rope.dims, .base = model_->config_.window_rope_base};
      model_->window_rope_ = RopeTable(unscaled, {});
    }
    return {};
  }

  // As TensorSource has it; remembers what was asked for.
  Result<const TensorInfo*> Find(const std::string& name) {
    Result<const TensorInfo*> tensor = source_.Find(name);
    if (tensor.ok()) asked_.insert(*tensor);
    return tensor;
  }

  Result<const TensorInfo*> Required(const std::string& name) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr) return BadFormat(fmt::format("the tensor {} is missing", source_.FileName(name)));
    if (!formats::GetTensorType(tensor->type).runnable) {
      return Unsupported(fmt::format("the tensor {} has type {}, which damask cannot run", source_.FileName(name),
                                     formats::GetTensorType(tensor->type).name));
    }
    return tensor;
  }

  Status WrongShape(const std::string& name, const TensorInfo& tensor, const std::vector<uint64_t>& expected) const {
    return BadFormat(fmt::format("the tensor {} has shape [{}], expected [{}]", source_.FileName(name),
                                 fmt::join(tensor.shape, ", "), fmt::join(expected, ", ")));
  }

  Result<WeightView> Matrix(const std::string& name, size_t rows, size_t columns) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
    const std::vector<uint64_t> expected = {rows, columns};
    if (tensor->shape != expected) return WrongShape(name, *tensor, expected);
    return WeightView{tensor->type, tensor->data, rows, columns};
  }

  Result<FloatVector> Vector(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
    const std::vector<uint64_t> expected = {size};
    if (tensor->shape != expected) return WrongShape(name, *tensor, expected);
    FloatVector values(size);
    kernels::DequantizeRow(tensor->type, tensor->data, size, values.data());
    return values;
  }

  Result<FloatVector> Norm(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(FloatVector weight, Vector(name, size));
    if (model_->config_.norms_less_one) {
      for (size_t i = 0; i < size; ++i) weight[i] += 1.0f;
    }
    return weight;
  }

  Result<FloatVector> Bias(const std::string& name, size_t size) {
    DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
    if (tensor == nullptr) return FloatVector();
    return Vector(name, size);
  }

  void Summarise() {
    for (const TensorInfo& tensor : source_.tensors()) {
      model_->parameters_ += tensor.rows() * tensor.columns();
      model_->tensors_.push_back(model::Summarise(tensor));
    }
  }

  // A model that also reads images is run as the text model in it.
  static bool IsOfImages(std::string_view name) {
    return name.find("vision_tower.") != std::string_view::npos ||
           name.find("multi_modal_projector.") != std::string_view::npos;
  }

  // Weights that nothing has asked for: the model may be another than damask takes it for. Old folders hold the frequencies of
  // the rotation, which follow from the configuration.
  void WarnOfUnused() const {
    size_t count = 0;
    std::string first;
    for (const TensorInfo& tensor : source_.tensors()) {
      if (asked_.contains(&tensor) || tensor.name.ends_with("rotary_emb.inv_freq") || IsOfImages(tensor.name)) continue;
      if (++count == 1) first = tensor.name;
    }
    if (count == 0) return;
    const std::string more = count == 1 ? "is a tensor" : fmt::format("and {} more are tensors", count - 1);
    LogWarning(fmt::format("{}: {} {} that damask does not use: answers may be worse than the model's", Quote(path_, 300),
                           Quote(first), more));
  }

  const TensorSource& source_;
  std::string path_;
  Model* model_;
  std::unordered_set<const TensorInfo*> asked_;
};

namespace {

Result<ModelConfig> PreparedConfig(Result<ModelConfig> config, const LoadOptions& options) {
  if (!config.ok()) return config;
  DAMASK_RETURN_IF_ERROR(ApplyRopeOverrides(options.rope, options.context, &*config));
  ChooseLongRope(options.context, &*config);
  return config;
}

// A vocabulary smaller than the embedding is legal: files pad the embedding. Nothing masks the logits of padded rows (training
// leaves them next to no probability, and perplexities are sums over all rows); such an id, should it be drawn, has no text.
// Ids beyond the embedding are not legal.
Status CheckVocabulary(const tokenizer::Tokenizer& tokenizer, const ModelConfig& config) {
  if (tokenizer.vocab_size() <= config.vocab) return {};
  return BadFormat(fmt::format("the tokenizer has {} tokens, but the model only {}", tokenizer.vocab_size(), config.vocab));
}

}  // namespace

Result<std::unique_ptr<Model>> Model::FromGguf(std::shared_ptr<const formats::GgufFile> file, const LoadOptions& options) {
  std::unique_ptr<Model> model(new Model);
  const auto load = [&]() -> Status {
    DAMASK_ASSIGN_OR_RETURN(model->config_, PreparedConfig(ConfigFromGguf(*file), options));
    DAMASK_ASSIGN_OR_RETURN(model->tokenizer_, tokenizer::Tokenizer::FromGguf(*file));
    DAMASK_RETURN_IF_ERROR(CheckVocabulary(*model->tokenizer_, model->config_));
    return ModelLoader(*SourceOf(file), file->path(), model.get()).Load();
  };
  if (Status status = load(); !status.ok()) return status.At(Quote(file->path(), 300));
  model->path_ = file->path();
  model->format_ = fmt::format("GGUF v{}", file->version());
  model->file_bytes_ = file->file_bytes();
  model->owner_ = file;
  return model;
}

namespace {

Result<formats::Json> ReadConfigJson(const std::string& folder) {
  const std::string path = (std::filesystem::path(folder) / "config.json").string();
  if (!FileExists(path)) {
    return NotFound("is a folder without config.json, expected a GGUF file or a Hugging Face folder").At(Quote(folder, 300));
  }
  return formats::ReadJsonFile(path);
}

}  // namespace

Result<std::unique_ptr<Model>> Model::Load(const std::string& path, const LoadOptions& options) {
  if (!IsDirectory(path)) {
    DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const formats::GgufFile> file,
                            formats::GgufFile::Open(path, {.load = options.load}));
    return FromGguf(std::move(file), options);
  }
  DAMASK_ASSIGN_OR_RETURN(const formats::Json json, ReadConfigJson(path));
  std::unique_ptr<Model> model(new Model);
  Result<ModelConfig> config = PreparedConfig(ConfigFromHuggingFace(json), options);
  if (!config.ok()) return config.status().At(Quote((std::filesystem::path(path) / "config.json").string(), 300));
  model->config_ = *std::move(config);
  DAMASK_ASSIGN_OR_RETURN(model->tokenizer_, tokenizer::Tokenizer::FromHuggingFace(path));
  DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const formats::SafetensorsFiles> files,
                          formats::SafetensorsFiles::OpenFolder(path, options.load));
  const auto load = [&]() -> Status {
    DAMASK_RETURN_IF_ERROR(CheckVocabulary(*model->tokenizer_, model->config_));
    return ModelLoader(*SourceOf(files), path, model.get()).Load();
  };
  if (Status status = load(); !status.ok()) return status.At(Quote(path, 300));
  model->path_ = path;
  model->format_ = "Hugging Face folder";
  model->file_bytes_ = files->file_bytes();
  model->owner_ = files;
  return model;
}

Result<std::unique_ptr<Model>> Model::LoadEmbedded(const LoadOptions& options) {
  std::shared_ptr<const FileBytes> bytes = FileBytes::Borrow(EmbeddedModel(), std::string(EmbeddedModelName()));
  DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const formats::GgufFile> file, formats::GgufFile::Parse(std::move(bytes), {}));
  return FromGguf(std::move(file), options);
}

std::vector<WeightView> Model::layer_matrices() const {
  std::vector<WeightView> matrices;
  for (const LayerWeights& w : layers_) matrices.insert(matrices.end(), {w.q, w.k, w.v, w.o, w.gate, w.up, w.down});
  return matrices;
}

std::vector<formats::TensorType> Model::weight_types() const {
  std::set<formats::TensorType> types = {output_.type};
  for (const WeightView& matrix : layer_matrices()) types.insert(matrix.type);
  return {types.begin(), types.end()};
}

TensorSummary Summarise(const TensorInfo& tensor) {
  return {tensor.name, std::string(formats::GetTensorType(tensor.type).name), tensor.shape, tensor.bytes};
}

std::string DominantType(const std::vector<TensorSummary>& tensors) {
  std::map<std::string, uint64_t> bytes;
  for (const TensorSummary& tensor : tensors) bytes[tensor.type] += tensor.bytes;
  const auto most =
      std::max_element(bytes.begin(), bytes.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
  return most == bytes.end() ? "none" : most->first;
}

}  // namespace damask::model
