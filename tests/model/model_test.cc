// Loading: tensors that are missing, too many, of another shape or type; split files and Hugging Face folders give the same
// model.
#include "model/model.h"

#include <cstring>
#include <filesystem>

#include <gtest/gtest.h>

#include "base/log.h"
#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "model/tensor_source.h"
#include "tests/model/tiny_model.h"

namespace damask::model {
namespace {

// Copies a GGUF file, letting a test drop, rename or reshape single tensors. Metadata that the model needs is rebuilt from a
// spec.
struct Change {
  std::string tensor;
  enum class Kind { kDrop, kTranspose, kHalfRows, kRename } kind;
};

// Collects warnings while it lives.
class Warnings {
 public:
  Warnings() {
    SetLogSink([this](LogLevel level, const std::string& line) { text_ += level == LogLevel::kWarning ? line + "\n" : ""; });
  }
  ~Warnings() { SetLogSink({}); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

Result<std::unique_ptr<Model>> LoadChanged(const Change& change, const make_model::ModelSpec& spec = {.layers = 1}) {
  const TinyModelFile original(spec);
  DAMASK_ASSIGN_OR_RETURN(auto file, formats::GgufFile::Open(original.path(), {}));
  formats::GgufWriter writer;
  for (const auto& [key, value] : file->metadata()) {
    std::visit(
        [&writer, k = key](const auto& v) {
          using T = std::decay_t<decltype(v)>;
          if constexpr (std::is_same_v<T, formats::GgufArray>) {
            std::visit(
                [&writer, k](const auto& array) {
                  using E = typename std::decay_t<decltype(array)>::value_type;
                  if constexpr (std::is_same_v<E, bool>) {
                    writer.AddArray(k, array);
                  } else if constexpr (std::is_same_v<E, std::string_view>) {
                    const std::vector<std::string> texts(array.begin(), array.end());
                    writer.AddArray(k, std::span<const std::string>(texts));
                  } else {
                    writer.AddArray(k, std::span<const E>(array));
                  }
                },
                v);
          } else {
            writer.Add(k, v);
          }
        },
        value);
  }
  std::vector<const formats::TensorInfo*> kept;
  for (const formats::TensorInfo& tensor : file->tensors()) {
    std::vector<uint64_t> shape = tensor.shape;
    if (tensor.name == change.tensor) {
      if (change.kind == Change::Kind::kDrop) continue;
      if (change.kind == Change::Kind::kTranspose) std::swap(shape.front(), shape.back());
      if (change.kind == Change::Kind::kHalfRows) shape.front() /= 2;
    }
    const bool renamed = tensor.name == change.tensor && change.kind == Change::Kind::kRename;
    writer.AddTensor(renamed ? "extra.weight" : tensor.name, tensor.type, shape);
    kept.push_back(&tensor);
  }
  const std::string path = original.folder() + "/changed.gguf";
  DAMASK_RETURN_IF_ERROR(writer.Write(path, [&](size_t index, const formats::GgufWriter::Sink& sink) {
    return sink({kept[index]->data, writer.tensor_bytes(index)});
  }));
  return Model::Load(path, {});
}

TEST(Model, G18NamesAMissingTensor) {
  const auto model = LoadChanged({"blk.0.ffn_up.weight", Change::Kind::kDrop});
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::kBadFormat);
  EXPECT_NE(model.status().ToString().find("blk.0.ffn_up.weight is missing"), std::string::npos) << model.status().ToString();
}

TEST(Model, G18SaysBothShapesOfATransposedTensor) {
  const auto model = LoadChanged({"blk.0.ffn_up.weight", Change::Kind::kTranspose});
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().ToString().find("has shape [256, 512], expected [512, 256]"), std::string::npos)
      << model.status().ToString();
}

TEST(Model, G18RefusesATensorWithTooFewRows) {
  EXPECT_EQ(LoadChanged({"blk.0.attn_v.weight", Change::Kind::kHalfRows}).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(LoadChanged({"token_embd.weight", Change::Kind::kHalfRows}).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(LoadChanged({"blk.0.attn_norm.weight", Change::Kind::kHalfRows}).status().code(), StatusCode::kBadFormat);
}

TEST(Model, G18NamesWhatExpertsLack) {
  const make_model::ModelSpec spec{.layers = 1, .experts = 4};
  const auto error = [&](const Change& change) { return LoadChanged(change, spec).status().ToString(); };
  EXPECT_NE(error({"blk.0.ffn_up_exps.weight", Change::Kind::kDrop}).find("the tensor blk.0.ffn_up_exps.weight is missing"),
            std::string::npos);
  EXPECT_NE(error({"blk.0.ffn_gate_inp.weight", Change::Kind::kDrop}).find("blk.0.ffn_gate_inp.weight is missing"),
            std::string::npos);
  EXPECT_NE(
      error({"blk.0.ffn_down_exps.weight", Change::Kind::kHalfRows}).find("has shape [2, 256, 512], expected [4, 256, 512]"),
      std::string::npos);
}

TEST(Model, G18AMissingOutputIsTiedToTheEmbedding) {
  const auto model = LoadChanged({"output.weight", Change::Kind::kDrop});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_TRUE((*model)->tied());
}

// A Hugging Face folder made from a spec, whose files a test then changes.
class Folder {
 public:
  explicit Folder(const make_model::ModelSpec& spec) {
    ThreadPool pool(2);
    const Status written = make_model::WriteHuggingFaceModel(spec, path(), &pool);
    EXPECT_TRUE(written.ok()) << written.ToString();
  }

  std::string path() const { return dir_.File("folder"); }

  void SetConfig(const std::string& key, const formats::Json& value) {
    formats::Json config = formats::ReadJsonFile(path() + "/config.json").value();
    config[key] = value;
    dir_.Write("folder/config.json", config.dump());
  }

  // Four values of 0 under each name.
  void AddTensors(const std::vector<std::string>& names) {
    const std::string bytes = test::ReadBytes(path() + "/model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    formats::Json header = formats::ParseJson(bytes.substr(sizeof(length), length)).value();
    std::string data = bytes.substr(sizeof(length) + length);
    for (const std::string& name : names) {
      header[name] = {{"dtype", "F32"}, {"shape", {4}}, {"data_offsets", {data.size(), data.size() + 16}}};
      data.resize(data.size() + 16);
    }
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    length = text.size();
    dir_.Write("folder/model.safetensors", std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text + data);
  }

 private:
  test::TempDir dir_;
};

using make_model::Arch;

TEST(Model, OrdinaryFilesGiveNoWarning) {
  const Warnings warnings;
  for (const Arch arch : make_model::kArchs) {
    for (const bool tied : {false, true}) {
      const make_model::ModelSpec spec{
          .arch = arch, .layers = 1, .tied = tied, .rope_scaling = make_model::RopeScaling::kLlama3};
      EXPECT_TRUE(Model::Load(TinyModelFile(spec).path(), {}).ok());
      Folder folder(spec);
      folder.AddTensors({"model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq"});
      EXPECT_TRUE(Model::Load(folder.path(), {}).ok());
    }
  }
  EXPECT_TRUE(Model::LoadEmbedded({}).ok());
  EXPECT_EQ(warnings.text(), "");
}

TEST(Model, TensorsThatNothingAskedForAreOneWarning) {
  const Warnings warnings;
  EXPECT_TRUE(LoadChanged({"output.weight", Change::Kind::kRename}).ok());
  EXPECT_NE(warnings.text().find("changed.gguf': 'extra.weight' is a tensor that damask does not use"), std::string::npos)
      << warnings.text();
  Folder folder(make_model::ModelSpec{.layers = 1});
  folder.AddTensors({"lm_head.bias", "model.layers.0.self_attn.q_norm.weight", "model.layers.7.self_attn.q_proj.bias"});
  const Warnings more;
  EXPECT_TRUE(Model::Load(folder.path(), {}).ok());
  EXPECT_NE(more.text().find("folder': 'lm_head.bias' and 2 more are tensors"), std::string::npos) << more.text();
  EXPECT_EQ(std::count(more.text().begin(), more.text().end(), '\n'), 1) << more.text();
}

TEST(Model, BiasesThatAreNotComputedAreRefused) {
  for (const char* bias : {"self_attn.o_proj.bias", "mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"}) {
    Folder folder(make_model::ModelSpec{.layers = 1});
    folder.AddTensors({std::string("model.layers.0.") + bias});
    const auto model = Model::Load(folder.path(), {});
    ASSERT_FALSE(model.ok()) << bias;
    EXPECT_EQ(model.status().code(), StatusCode::kUnsupported);
    EXPECT_NE(model.status().ToString().find(bias), std::string::npos) << model.status().ToString();
  }
}

TEST(Model, TheConfigurationSaysWhetherTheEmbeddingIsTheOutput) {
  const Warnings warnings;
  Folder untied(make_model::ModelSpec{.layers = 1});
  EXPECT_FALSE(Model::Load(untied.path(), {}).value()->tied());
  untied.SetConfig("tie_word_embeddings", true);
  EXPECT_TRUE(Model::Load(untied.path(), {}).value()->tied());
  untied.SetConfig("tie_word_embeddings", nullptr);
  EXPECT_FALSE(Model::Load(untied.path(), {}).value()->tied());

  Folder tied(make_model::ModelSpec{.layers = 1, .tied = true});
  EXPECT_TRUE(Model::Load(tied.path(), {}).value()->tied());
  tied.SetConfig("tie_word_embeddings", nullptr);
  EXPECT_TRUE(Model::Load(tied.path(), {}).value()->tied());
  tied.SetConfig("tie_word_embeddings", false);
  const auto model = Model::Load(tied.path(), {});
  EXPECT_EQ(model.status().code(), StatusCode::kBadFormat);
  EXPECT_NE(model.status().ToString().find("lm_head.weight is missing"), std::string::npos) << model.status().ToString();
  EXPECT_EQ(warnings.text(), "");
}

// An error of the vocabulary names its file once, and quoted.
TEST(Model, AGgufFileIsNamedOnce) {
  const test::TempDir folder;
  formats::GgufWriter writer;
  writer.Add("general.architecture", "llama");
  for (const auto& [key, value] : std::vector<std::pair<std::string, uint32_t>>{{"llama.block_count", 1},
                                                                                {"llama.embedding_length", 256},
                                                                                {"llama.feed_forward_length", 512},
                                                                                {"llama.attention.head_count", 4},
                                                                                {"llama.context_length", 2048},
                                                                                {"llama.vocab_size", 300}}) {
    writer.Add(key, value);
  }
  const std::string path = folder.File("no\x1bvocabulary.gguf");
  ASSERT_TRUE(writer.Write(path, nullptr).ok());
  const auto model = Model::Load(path, {});
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().ToString(),
            "'" + folder.path() + "/no\\x1bvocabulary.gguf': tokenizer.ggml.model is missing: the file has no vocabulary");
}

TEST(Model, SplitFilesLoadAsOneModel) {
  const TinyModelFile split(make_model::ModelSpec{.split = 7});
  const auto model = Model::Load(split.path(), {});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  const TinyModelFile whole(make_model::ModelSpec{});
  const auto other = Model::Load(whole.path(), {});
  ASSERT_TRUE(other.ok());
  EXPECT_EQ((*model)->parameters(), (*other)->parameters());
  EXPECT_EQ((*model)->tensors().size(), (*other)->tensors().size());
}

TEST(Model, AFolderWithoutConfigIsNamed) {
  const test::TempDir folder;
  const auto model = Model::Load(folder.path(), {});
  ASSERT_FALSE(model.ok());
  EXPECT_NE(model.status().ToString().find("config.json"), std::string::npos) << model.status().ToString();
}

TEST(Model, TheEmbeddedModelLoads) {
  const auto model = Model::LoadEmbedded({});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ((*model)->config().layers, (*model)->layers().size());
}

TEST(TensorSource, NamesFollowHuggingFace) {
  EXPECT_EQ(HuggingFaceName("blk.12.attn_k_norm.weight"), "model.layers.12.self_attn.k_norm.weight");
  EXPECT_EQ(HuggingFaceName("blk.0.attn_output.bias"), "model.layers.0.self_attn.o_proj.bias");
  EXPECT_EQ(HuggingFaceName("output.weight"), "lm_head.weight");
  EXPECT_EQ(HuggingFaceName("rope_freqs.weight"), "");
  EXPECT_EQ(HuggingFaceName("blk.12"), "");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_norm.weight"), "model.layers.1.post_attention_layernorm.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.post_ffw_norm.weight"), "");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_gate.12.weight"), "model.layers.1.mlp.experts.12.gate_proj.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_gate_inp.weight"), "model.layers.1.mlp.gate.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_down.3.weight", {.mixtral = true}),
            "model.layers.1.block_sparse_moe.experts.3.w2.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_gate_inp.weight", {.mixtral = true}), "model.layers.1.block_sparse_moe.gate.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_up.x.weight"), "");
  const HuggingFaceNaming gemma{.prefix = "language_model.", .post_norms = true};
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_norm.weight", gemma), "language_model.model.layers.1.pre_feedforward_layernorm.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.post_attention_norm.weight", gemma),
            "language_model.model.layers.1.post_attention_layernorm.weight");
  EXPECT_EQ(HuggingFaceName("output_norm.weight", gemma), "language_model.model.norm.weight");
  EXPECT_EQ(HuggingFaceName("rope_freqs.weight", gemma), "");
}

}  // namespace
}  // namespace damask::model
