#include "model/model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <unordered_set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/log.h"
#include "base/text.h"
#include "formats/hf_folder.h"
#include "kernels/quant.h"
#include "model/embedded_model.h"
#include "model/model_loader.h"
#include "model/tensor_source.h"

namespace damask::model {

using formats::TensorInfo;
using kernels::WeightView;

namespace {

Result<ModelConfig> PreparedConfig(Result<ModelConfig> config, const LoadOptions& options) {
  if (!config.ok()) return config;
  DAMASK_RETURN_IF_ERROR(ApplyRopeOverrides(options.rope, options.context, &*config));
  ChooseLongRope(options.context, &*config);
  return config;
}

// A vocabulary smaller than the embedding is legal: files pad the embedding. Nothing masks the logits of padded rows (training
// leaves them next to no probability, and perplexities are sums over all rows); such an id, should it be drawn, has no text.
// Ids beyond the embedding are not legal, but for added tokens of folders, which are left out.
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
    return ModelLoader::Load(*SourceOf(file), file->path(), model.get());
  };
  if (Status status = load(); !status.ok()) return status.At(Quote(file->path(), 300));
  model->path_ = file->path();
  model->format_ = fmt::format("GGUF v{}", file->version());
  model->file_bytes_ = file->file_bytes();
  model->owner_ = file;
  return model;
}

Result<std::unique_ptr<Model>> Model::Load(const std::string& path, const LoadOptions& options) {
  if (!IsDirectory(path)) {
    DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const formats::GgufFile> file,
                            formats::GgufFile::Open(path, {.load = options.load}));
    return FromGguf(std::move(file), options);
  }
  DAMASK_ASSIGN_OR_RETURN(const formats::Json json, formats::ReadModelConfig(path));
  std::unique_ptr<Model> model(new Model);
  Result<ModelConfig> config = PreparedConfig(ConfigFromHuggingFace(json), options);
  if (!config.ok()) return config.status().At(Quote(formats::ModelConfigPath(path), 300));
  model->config_ = *std::move(config);
  DAMASK_ASSIGN_OR_RETURN(model->tokenizer_, tokenizer::Tokenizer::FromHuggingFace(path, model->config_.vocab));
  DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const formats::SafetensorsFiles> files,
                          formats::SafetensorsFiles::OpenFolder(path, options.load));
  const auto load = [&]() -> Status {
    DAMASK_RETURN_IF_ERROR(CheckVocabulary(*model->tokenizer_, model->config_));
    return ModelLoader::Load(*SourceOf(files), path, model.get());
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
  for (const LayerWeights& w : layers_) {
    matrices.insert(matrices.end(), {w.q, w.k, w.v, w.o});
    for (const FeedForwardWeights& f : w.feed_forward) matrices.insert(matrices.end(), {f.gate, f.up, f.down});
    if (w.shared.down.data != nullptr) matrices.insert(matrices.end(), {w.shared.gate, w.shared.up, w.shared.down});
  }
  return matrices;
}

std::vector<formats::TensorType> Model::weight_types() const {
  std::set<formats::TensorType> types = {output_.type};
  for (const WeightView& matrix : layer_matrices()) types.insert(matrix.type);
  return {types.begin(), types.end()};
}

std::vector<formats::TensorType> Model::router_types() const {
  std::set<formats::TensorType> types;
  for (const LayerWeights& w : layers_) {
    if (w.router.data != nullptr) types.insert(w.router.type);
  }
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
