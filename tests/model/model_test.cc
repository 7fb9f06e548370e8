// Loading: tensors that are missing, of another shape or type; split files and Hugging Face folders give the same model.
#include "model/model.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "model/tensor_source.h"
#include "tests/model/tiny_model.h"

namespace damask::model {
namespace {

// Copies a GGUF file, letting a test drop, rename or reshape single tensors. Metadata that the model needs is rebuilt from a
// spec.
struct Change {
  std::string tensor;
  enum class Kind { kDrop, kTranspose, kHalfRows } kind;
};

Result<std::unique_ptr<Model>> LoadChanged(const Change& change) {
  const TinyModelFile original(make_model::ModelSpec{.layers = 1});
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
    writer.AddTensor(tensor.name, tensor.type, shape);
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

TEST(Model, G18AMissingOutputIsTiedToTheEmbedding) {
  const auto model = LoadChanged({"output.weight", Change::Kind::kDrop});
  ASSERT_TRUE(model.ok()) << model.status().ToString();
  EXPECT_TRUE((*model)->tied());
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
  EXPECT_EQ(HuggingFaceName("output.weight"), "lm_head.weight");
  EXPECT_EQ(HuggingFaceName("rope_freqs.weight"), "");
  EXPECT_EQ(HuggingFaceName("blk.12"), "");
}

}  // namespace
}  // namespace damask::model
