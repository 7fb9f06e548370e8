// Loading: tensors that are missing, too many, of another shape or type; split files and Hugging Face folders give the same
// model.
#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>

#include <gtest/gtest.h>

#include "base/log.h"
#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "kernels/quant.h"
#include "model/tensor_source.h"
#include "tests/model/tiny_model.h"

namespace damask::model {
namespace {

// Copies a GGUF file, letting a test drop, rename, reshape, quantise or split (by its experts) single tensors, or join several.
// Metadata that the model needs is rebuilt from a spec.
struct Change {
  std::string tensor;
  enum class Kind { kDrop, kTranspose, kHalfRows, kRename, kToQ8, kSplit, kJoin } kind;
  std::vector<std::string> with;  // kJoin: the others,
  std::string name;               // and what all of them become
};

// The rows of one tensor behind those of the other, in each expert where they are of experts.
std::vector<std::byte> JoinRows(const formats::GgufFile& file, const Change& change, std::vector<uint64_t>* shape) {
  std::vector<const formats::TensorInfo*> parts = {file.FindTensor(change.tensor)};
  for (const std::string& name : change.with) parts.push_back(file.FindTensor(name));
  const bool of_experts = shape->size() == 3;
  const uint64_t experts = of_experts ? shape->front() : 1;
  uint64_t& rows = (*shape)[of_experts ? 1 : 0];
  rows = 0;
  std::vector<std::byte> joined;
  for (uint64_t e = 0; e < experts; ++e) {
    for (const formats::TensorInfo* part : parts) {
      if (e == 0) rows += part->shape[of_experts ? 1 : 0];
      const uint64_t size = part->bytes / experts;
      joined.insert(joined.end(), part->data + e * size, part->data + (e + 1) * size);
    }
  }
  return joined;
}

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
  std::vector<std::span<const std::byte>> kept;
  std::vector<std::byte> made;
  for (const formats::TensorInfo& tensor : file->tensors()) {
    std::vector<uint64_t> shape = tensor.shape;
    const bool changed = tensor.name == change.tensor;
    if (changed && change.kind == Change::Kind::kDrop) continue;
    if (std::find(change.with.begin(), change.with.end(), tensor.name) != change.with.end()) continue;
    if (changed && change.kind == Change::Kind::kJoin) {
      made = JoinRows(*file, change, &shape);
      writer.AddTensor(change.name, tensor.type, shape);
      kept.push_back(made);
      continue;
    }
    if (changed && change.kind == Change::Kind::kTranspose) std::swap(shape.front(), shape.back());
    if (changed && change.kind == Change::Kind::kHalfRows) shape.front() /= 2;
    if (changed && change.kind == Change::Kind::kSplit) {
      const std::string name = tensor.name.substr(0, tensor.name.find("_exps"));
      for (uint64_t e = 0; e < shape[0]; ++e) {
        writer.AddTensor(name + "." + std::to_string(e) + ".weight", tensor.type, {shape[1], shape[2]});
        kept.push_back({tensor.data + e * (tensor.bytes / shape[0]), tensor.bytes / shape[0]});
      }
      continue;
    }
    if (changed && change.kind == Change::Kind::kToQ8) {
      const auto* floats = reinterpret_cast<const float*>(tensor.data);  // of an F32 file
      const uint64_t row_bytes = formats::RowBytes(formats::TensorType::kQ8_0, tensor.columns());
      made.resize(tensor.rows() * row_bytes);
      for (uint64_t row = 0; row < tensor.rows(); ++row) {
        kernels::QuantizeRow(formats::TensorType::kQ8_0, floats + row * tensor.columns(), tensor.columns(),
                             made.data() + row * row_bytes);
      }
      writer.AddTensor(tensor.name, formats::TensorType::kQ8_0, shape);
      kept.push_back(made);
      continue;
    }
    writer.AddTensor(changed && change.kind == Change::Kind::kRename ? "extra.weight" : tensor.name, tensor.type, shape);
    kept.push_back({tensor.data, tensor.bytes});
  }
  const std::string path = original.folder() + "/changed.gguf";
  DAMASK_RETURN_IF_ERROR(writer.Write(path, [&](size_t index, const formats::GgufWriter::Sink& sink) {
    return sink(kept[index].first(writer.tensor_bytes(index)));
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

// Every layer's router says which forms of activations are to be made.
TEST(Model, RoutersMayBeOfSeveralTypes) {
  const make_model::ModelSpec spec{.layers = 3, .experts = 4, .type = "F32"};
  const auto model = LoadChanged({"blk.1.ffn_gate_inp.weight", Change::Kind::kToQ8}, spec);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ((*model)->router_types(), std::vector({formats::TensorType::kF32, formats::TensorType::kQ8_0}));
  EXPECT_EQ((*model)->weight_types(), std::vector({formats::TensorType::kF32}));
}

// As files of Mixtral had them at first.
TEST(Model, ExpertsMayBeTensorsOfTheirOwn) {
  const make_model::ModelSpec spec{.layers = 1, .experts = 4, .type = "Q8_0"};
  const TinyModelFile together(spec);
  const auto expected = Model::Load(together.path(), {}).value();
  const auto model = LoadChanged({"blk.0.ffn_up_exps.weight", Change::Kind::kSplit}, spec);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  for (size_t e = 0; e < 4; ++e) {
    const kernels::WeightView& a = expected->layers()[0].feed_forward[e].up;
    const kernels::WeightView& b = (*model)->layers()[0].feed_forward[e].up;
    ASSERT_EQ(a.n, b.n);
    EXPECT_EQ(std::memcmp(a.data, b.data, a.n * formats::RowBytes(a.type, a.k)), 0) << "expert " << e;
  }
}

bool AreSame(const kernels::WeightView& a, const kernels::WeightView& b) {
  return a.type == b.type && a.n == b.n && a.k == b.k && std::memcmp(a.data, b.data, a.n * formats::RowBytes(a.type, a.k)) == 0;
}

bool AreSame(const FloatVector& a, const FloatVector& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.bytes()) == 0;
}

// As some converters write them.
TEST(Model, QueriesKeysAndValuesMayBeOneMatrixOrBias) {
  const Warnings warnings;
  const make_model::ModelSpec spec{.arch = make_model::Arch::kQwen2, .layers = 1};
  const TinyModelFile apart(spec);
  const auto expected = Model::Load(apart.path(), {}).value();
  for (const std::string kind : {".weight", ".bias"}) {
    const auto name = [&kind](const char* part) { return std::string("blk.0.") + part + kind; };
    const auto model =
        LoadChanged({name("attn_q"), Change::Kind::kJoin, {name("attn_k"), name("attn_v")}, name("attn_qkv")}, spec);
    ASSERT_TRUE(model.ok()) << model.status().ToString();
    const LayerWeights& a = expected->layers()[0];
    const LayerWeights& b = (*model)->layers()[0];
    EXPECT_TRUE(AreSame(a.q, b.q) && AreSame(a.k, b.k) && AreSame(a.v, b.v)) << kind;
    EXPECT_EQ(b.v_bias.size(), 128u);
    EXPECT_TRUE(AreSame(a.q_bias, b.q_bias) && AreSame(a.k_bias, b.k_bias) && AreSame(a.v_bias, b.v_bias)) << kind;
  }
  EXPECT_EQ(warnings.text(), "");
  const auto lacking =
      LoadChanged({"blk.0.attn_q.weight", Change::Kind::kJoin, {"blk.0.attn_k.weight"}, "blk.0.attn_qkv.weight"}, spec);
  EXPECT_NE(lacking.status().ToString().find("blk.0.attn_qkv.weight has shape [384, 256], expected [512, 256]"),
            std::string::npos)
      << lacking.status().ToString();
}

TEST(Model, GateAndUpOfExpertsMayBeOneMatrix) {
  const Warnings warnings;
  const make_model::ModelSpec spec{.layers = 1, .experts = 4, .type = "Q8_0"};
  const TinyModelFile apart(spec);
  const auto expected = Model::Load(apart.path(), {}).value();
  const std::string joined = "blk.0.ffn_gate_up_exps.weight";
  const auto model =
      LoadChanged({"blk.0.ffn_gate_exps.weight", Change::Kind::kJoin, {"blk.0.ffn_up_exps.weight"}, joined}, spec);
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  for (size_t e = 0; e < 4; ++e) {
    const FeedForwardWeights& a = expected->layers()[0].feed_forward[e];
    const FeedForwardWeights& b = (*model)->layers()[0].feed_forward[e];
    EXPECT_TRUE(AreSame(a.gate, b.gate) && AreSame(a.up, b.up) && AreSame(a.down, b.down)) << "expert " << e;
  }
  EXPECT_EQ(warnings.text(), "");
  const auto lacking = LoadChanged({"blk.0.ffn_gate_exps.weight", Change::Kind::kJoin, {}, joined}, spec);
  EXPECT_NE(lacking.status().ToString().find("has shape [4, 512, 256], expected [4, 1024, 256]"), std::string::npos)
      << lacking.status().ToString();
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

  void ChangeTokenizer(const std::function<void(formats::Json*)>& change) {
    formats::Json tokenizer = formats::ReadJsonFile(path() + "/tokenizer.json").value();
    change(&tokenizer);
    dir_.Write("folder/tokenizer.json", tokenizer.dump());
  }

  void RenameTensors(const std::function<std::string(const std::string&)>& new_name) {
    const std::string bytes = test::ReadBytes(path() + "/model.safetensors");
    uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    const formats::Json header = formats::ParseJson(bytes.substr(sizeof(length), length)).value();
    formats::Json renamed = formats::Json::object();
    for (const auto& [name, value] : header.items()) renamed[name == "__metadata__" ? name : new_name(name)] = value;
    Write(renamed, bytes.substr(sizeof(length) + length));
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
    Write(header, data);
  }

 private:
  void Write(const formats::Json& header, const std::string& data) {
    std::string text = header.dump();
    text.resize((text.size() + 7) / 8 * 8, ' ');
    const uint64_t length = text.size();
    dir_.Write("folder/model.safetensors", std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + text + data);
  }

  test::TempDir dir_;
};

using make_model::Arch;

TEST(Model, G18ALayerBeyondTheConfigurationsCountIsNamed) {
  Folder folder(make_model::ModelSpec{.layers = 2});
  folder.SetConfig("num_hidden_layers", 1);
  const std::string error = Model::Load(folder.path(), {}).status().ToString();
  EXPECT_NE(error.find("there is a tensor model.layers.1.self_attn.o_proj.weight, but the configuration says 1 layers"),
            std::string::npos)
      << error;
}

TEST(Model, G18ExpertsThatTheConfigurationDoesNotNameAreAnError) {
  Folder folder(make_model::ModelSpec{.layers = 1, .experts = 4});
  folder.SetConfig("model_type", "llama");
  folder.SetConfig("num_local_experts", nullptr);
  const std::string error = Model::Load(folder.path(), {}).status().ToString();
  EXPECT_NE(error.find("experts.0.w2.weight is of experts, but the configuration says that there are none"), std::string::npos)
      << error;
}

// Kept keys of another rotation must not be taken for this one's.
TEST(Model, FactorsOfTheRotationInAFileAreInItsSettings) {
  const TinyModelFile file(make_model::ModelSpec{.layers = 2, .rope_scaling = make_model::RopeScaling::kLlama3});
  const std::string before = SettingsText((*Model::Load(file.path(), {}))->config());
  OverwriteNumbers(file.path(), "rope_freqs.weight", 3, std::vector<float>{2.0f});
  EXPECT_NE(SettingsText((*Model::Load(file.path(), {}))->config()), before);
}

TEST(Model, OrdinaryFilesGiveNoWarning) {
  const Warnings warnings;
  for (const Arch arch : make_model::kArchs) {
    for (const bool tied : {false, true}) {
      const make_model::ModelSpec spec{
          .arch = arch, .layers = 2, .tied = tied, .rope_scaling = make_model::RopeScaling::kLlama3};
      EXPECT_TRUE(Model::Load(TinyModelFile(spec).path(), {}).ok());
      if (!spec.has_hugging_face_form()) continue;
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
  for (const char* bias : {"mlp.gate_up_proj.bias", "mlp.down_proj.bias"}) {
    Folder folder(make_model::ModelSpec{.arch = make_model::Arch::kPhi3, .layers = 1});
    folder.AddTensors({std::string("model.layers.0.") + bias});
    const auto model = Model::Load(folder.path(), {});
    ASSERT_FALSE(model.ok()) << bias;
    EXPECT_EQ(model.status().code(), StatusCode::kUnsupported);
    EXPECT_NE(model.status().ToString().find(bias), std::string::npos) << model.status().ToString();
  }
}

TEST(Model, Glm4MoesLayersThatGuessAheadAreLeftAlone) {
  const Warnings warnings;
  const make_model::ModelSpec spec{.arch = make_model::Arch::kGlm4Moe, .layers = 3, .qk_norm = false, .guessing_layers = 1};
  const auto model = Model::Load(TinyModelFile(spec).path(), {});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  ASSERT_EQ((*model)->layers().size(), 2u);
  EXPECT_EQ((*model)->layers()[0].feed_forward.size(), 1u);
  EXPECT_EQ((*model)->layers()[0].feed_forward[0].up.n, 2 * spec.ffn);
  EXPECT_EQ((*model)->layers()[1].feed_forward.size(), 8u);
  EXPECT_EQ((*model)->layers()[1].shared.up.n, spec.ffn);
  EXPECT_EQ((*model)->layers()[1].q_norm.size(), 0u);
  EXPECT_EQ(warnings.text(), "");
  const TinyModelFile broken(spec);
  OverwriteNumbers(broken.path(), "blk.1.exp_probs_b.bias", 3, std::vector<float>{NAN});
  EXPECT_NE(Model::Load(broken.path(), {}).status().ToString().find("blk.1.exp_probs_b.bias: number 3 is nan"),
            std::string::npos);
  for (const char* tensor : {"blk.1.exp_probs_b.bias", "blk.1.ffn_up_shexp.weight", "blk.0.ffn_up.weight"}) {
    EXPECT_NE(LoadChanged({tensor, Change::Kind::kDrop}, spec).status().ToString().find(std::string("the tensor ") + tensor),
              std::string::npos)
        << tensor;
  }
}

TEST(Model, GptOssHasAllItsBiasesAndSinks) {
  const make_model::ModelSpec spec{.arch = make_model::Arch::kGptOss, .layers = 1};
  for (const char* tensor :
       {"blk.0.attn_q.bias", "blk.0.attn_output.bias", "blk.0.attn_sinks.weight", "blk.0.ffn_gate_inp.bias",
        "blk.0.ffn_gate_exps.bias", "blk.0.ffn_down_exps.bias", "blk.0.post_attention_norm.weight"}) {
    const auto model = LoadChanged({tensor, Change::Kind::kDrop}, spec);
    EXPECT_EQ(model.status().code(), StatusCode::kBadFormat) << tensor;
    EXPECT_NE(model.status().ToString().find(std::string("the tensor ") + tensor + " is missing"), std::string::npos)
        << model.status().ToString();
  }
  const TinyModelFile infinite(spec);
  OverwriteNumbers(infinite.path(), "blk.0.attn_sinks.weight", 2, std::vector<float>{INFINITY});
  EXPECT_NE(Model::Load(infinite.path(), {}).status().ToString().find("blk.0.attn_sinks.weight: number 2 is inf"),
            std::string::npos)
      << Model::Load(infinite.path(), {}).status().ToString();
  const auto model = LoadChanged({"blk.0.ffn_up_exps.bias", Change::Kind::kTranspose}, spec);
  EXPECT_NE(model.status().ToString().find("the tensor blk.0.ffn_up_exps.bias has shape [512, 8], expected [8, 512]"),
            std::string::npos)
      << model.status().ToString();
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

// Both ways in which folders of models that read images, too, name the text model in them.
TEST(Model, ATextModelMayBeAPartOfALargerOne) {
  const Warnings warnings;
  for (const bool tied : {false, true}) {
    const make_model::ModelSpec spec{.arch = make_model::Arch::kGemma3, .layers = 1, .tied = tied};
    Folder outside(spec);
    outside.RenameTensors([](const std::string& name) { return "language_model." + name; });
    Folder inside(spec);
    inside.RenameTensors(
        [](const std::string& name) { return name.starts_with("model.") ? "model.language_model." + name.substr(6) : name; });
    outside.AddTensors({"vision_tower.layers.0.input_layernorm.weight", "multi_modal_projector.norm.weight"});
    inside.AddTensors({"model.vision_tower.layers.0.input_layernorm.weight"});
    for (const Folder* folder : {&outside, &inside}) {
      const auto model = Model::Load(folder->path(), {});
      ASSERT_TRUE(model.ok()) << model.status().ToString();
      EXPECT_EQ((*model)->tied(), tied);
    }
  }
  EXPECT_EQ(warnings.text(), "");
}

TEST(Model, OtherTensorsDoNotSayHowTheRestIsNamed) {
  Folder folder(make_model::ModelSpec{.layers = 1});
  folder.AddTensors({"value_model.layers.0.input_layernorm.weight", "value_model.layers.0.pre_feedforward_layernorm.weight"});
  const auto model = Model::Load(folder.path(), {});
  EXPECT_TRUE(model.ok()) << model.status().ToString();
}

// Words of the tokenizer's model without a row in the embedding are an error, added tokens are not.
TEST(Model, AddedTokensOfAFolderMayGoBeyondTheEmbedding) {
  Folder folder(make_model::ModelSpec{.layers = 1});
  const uint64_t rows = formats::ReadJsonFile(folder.path() + "/config.json").value()["vocab_size"];
  folder.ChangeTokenizer([rows](formats::Json* tokenizer) {
    (*tokenizer)["added_tokens"].push_back({{"id", rows}, {"content", "<image_soft_token>"}, {"special", true}});
  });
  const Warnings warnings;
  const auto model = Model::Load(folder.path(), {});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_EQ((*model)->tokenizer().FindToken("<image_soft_token>"), std::nullopt);
  EXPECT_EQ(std::count(warnings.text().begin(), warnings.text().end(), '\n'), 1) << warnings.text();
  folder.ChangeTokenizer([rows](formats::Json* tokenizer) { (*tokenizer)["model"]["vocab"]["word"] = rows; });
  const std::string error = Model::Load(folder.path(), {}).status().ToString();
  EXPECT_NE(error.find("but the model only " + std::to_string(rows)), std::string::npos) << error;
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
  const HuggingFaceNaming gemma{.body = "language_model.model.", .head = "language_model.", .post_norms = true};
  EXPECT_EQ(HuggingFaceName("blk.1.ffn_norm.weight", gemma), "language_model.model.layers.1.pre_feedforward_layernorm.weight");
  EXPECT_EQ(HuggingFaceName("blk.1.post_attention_norm.weight", gemma),
            "language_model.model.layers.1.post_attention_layernorm.weight");
  EXPECT_EQ(HuggingFaceName("output_norm.weight", gemma), "language_model.model.norm.weight");
  EXPECT_EQ(HuggingFaceName("output.weight", gemma), "language_model.lm_head.weight");
  EXPECT_EQ(HuggingFaceName("rope_freqs.weight", gemma), "");
}

}  // namespace
}  // namespace damask::model
