// make_model's files: the same everywhere, complete, and alike in both formats. That other engines read them is known from the
// golden numbers (tests/golden).
#include "tools/make_model/make_model.h"

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "tests/temp_dir.h"
#include "tokenizer/tokenizer.h"
#include "tools/make_model/tensors.h"
#include "tools/make_model/vocabulary.h"

namespace damask::make_model {
namespace {

using formats::GgufFile;
using formats::SafetensorsFiles;
using formats::TensorInfo;
using formats::TensorType;

ModelSpec SmallSpec(Arch arch) {
  ModelSpec spec;
  spec.arch = arch;
  spec.width = 64;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.head_dim = 16;
  spec.ffn = 96;
  spec.vocab = 400;
  return spec;
}

// FNV-1a, 64 bits.
uint64_t Hash(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

class MakeModelTest : public testing::Test {
 protected:
  std::string WriteGguf(const ModelSpec& spec, const std::string& name = "x.gguf") {
    const auto files = WriteGgufModel(spec, folder_.File(name), &pool_);
    EXPECT_TRUE(files.ok()) << files.status().ToString();
    return files.ok() ? files.value().front() : "";
  }

  std::shared_ptr<const GgufFile> OpenGguf(const ModelSpec& spec) {
    auto file = GgufFile::Open(WriteGguf(spec), {});
    EXPECT_TRUE(file.ok()) << file.status().ToString();
    return file.ok() ? file.value() : nullptr;
  }

  test::TempDir folder_;
  ThreadPool pool_{2};
};

TEST_F(MakeModelTest, TheBytesAreTheOnesThatTheGoldenNumbersWereMadeFrom) {
  // A change here asks for new golden numbers.
  const auto hash_of = [&](const char* type) {
    ModelSpec spec = SmallSpec(Arch::kLlama);
    spec.width = 256;
    spec.type = type;
    return Hash(test::ReadBytes(WriteGguf(spec)));
  };
  EXPECT_EQ(hash_of("F32"), 4503643098246706674u);
  EXPECT_EQ(hash_of("Q8_0"), 10955798091238728071u);
  EXPECT_EQ(hash_of("Q4_K_M"), 16313668320886661132u);
}

TEST_F(MakeModelTest, TheNumberOfThreadsDoesNotShowInTheBytes) {
  const ModelSpec spec = SmallSpec(Arch::kQwen3);
  ThreadPool one(1);
  ASSERT_TRUE(WriteGgufModel(spec, folder_.File("one.gguf"), &one).ok());
  EXPECT_EQ(test::ReadBytes(WriteGguf(spec)), test::ReadBytes(folder_.File("one.gguf")));
}

TEST_F(MakeModelTest, AnotherSeedGivesOtherWeights) {
  ModelSpec spec = SmallSpec(Arch::kLlama);
  const auto first = OpenGguf(spec);
  spec.seed = 2;
  const std::string path = WriteGguf(spec, "second.gguf");
  const auto second = GgufFile::Open(path, {}).value();
  const TensorInfo* a = first->FindTensor("blk.0.ffn_up.weight");
  const TensorInfo* b = second->FindTensor("blk.0.ffn_up.weight");
  EXPECT_NE(std::memcmp(a->data, b->data, a->bytes), 0);
}

TEST_F(MakeModelTest, ShardsHoldTheSameTensorsAsOneFile) {
  ModelSpec spec = SmallSpec(Arch::kQwen2);
  const auto whole = OpenGguf(spec);
  spec.split = 5;
  const auto split = GgufFile::Open(WriteGguf(spec, "s.gguf"), {});
  ASSERT_TRUE(split.ok()) << split.status().ToString();
  ASSERT_EQ(split.value()->tensors().size(), whole->tensors().size());
  for (const TensorInfo& tensor : whole->tensors()) {
    const TensorInfo* other = split.value()->FindTensor(tensor.name);
    ASSERT_NE(other, nullptr) << tensor.name;
    ASSERT_EQ(other->bytes, tensor.bytes) << tensor.name;
    EXPECT_EQ(std::memcmp(other->data, tensor.data, tensor.bytes), 0) << tensor.name;
  }
}

TEST_F(MakeModelTest, MixedTypesFollowLlamaCppsQuantiser) {
  ModelSpec spec;  // 256 wide
  spec.layers = 8;
  spec.ffn = 320;  // no multiple of 256
  spec.type = "Q4_K_M";
  std::set<std::string> better;
  std::map<std::string, TensorType> types;
  for (const Tensor& tensor : ListTensors(spec)) {
    types[tensor.name] = tensor.type;
    if (tensor.type == TensorType::kQ6_K) better.insert(tensor.name);
  }
  EXPECT_EQ(types["blk.1.attn_v.weight"], TensorType::kQ4_K);
  EXPECT_EQ(types["blk.0.ffn_down.weight"], TensorType::kQ8_0);  // in place of Q6_K
  EXPECT_EQ(types["blk.1.ffn_down.weight"], TensorType::kQ5_0);  // in place of Q4_K
  EXPECT_EQ(types["blk.1.attn_norm.weight"], TensorType::kF32);
  const std::set<std::string> expected = {"output.weight", "blk.0.attn_v.weight", "blk.3.attn_v.weight", "blk.6.attn_v.weight",
                                          "blk.7.attn_v.weight"};
  EXPECT_EQ(better, expected);
}

// Row `hf_row` of q or k in a Hugging Face folder and where the same numbers lie in a llama GGUF file: pairs there are
// adjacent.
uint64_t AdjacentRow(uint64_t hf_row, uint64_t head_dim) {
  const uint64_t head = hf_row / head_dim;
  const uint64_t in_head = hf_row % head_dim;
  const bool second = in_head >= head_dim / 2;
  return head * head_dim + (second ? 2 * (in_head - head_dim / 2) + 1 : 2 * in_head);
}

TEST_F(MakeModelTest, HuggingFaceFoldersHoldTheSameWeights) {
  for (const Arch arch : kArchs) {
    ModelSpec spec = SmallSpec(arch);
    if (!spec.has_hugging_face_form()) continue;
    spec.tied = arch == Arch::kQwen3;
    const auto gguf = OpenGguf(spec);
    spec.split = arch == Arch::kLlama ? 4 : 0;
    const std::string folder = folder_.File("hf" + std::to_string(static_cast<int>(arch)));
    const Status status = WriteHuggingFaceModel(spec, folder, &pool_);
    ASSERT_TRUE(status.ok()) << status.ToString();
    const auto hf = SafetensorsFiles::OpenFolder(folder, LoadMode::kMap);
    ASSERT_TRUE(hf.ok()) << hf.status().ToString();
    const std::vector<Tensor> tensors = ListHuggingFaceTensors(spec);
    EXPECT_EQ(hf.value()->tensors().size(), tensors.size());
    for (const Tensor& tensor : tensors) {
      const TensorInfo* a = gguf->FindTensor(tensor.name);
      const auto b = hf.value()->Find(tensor.hf_name);
      ASSERT_TRUE(a != nullptr && b.ok()) << tensor.name;
      ASSERT_EQ(b.value()->shape, tensor.shape) << tensor.hf_name;
      ASSERT_EQ(a->shape.size() == 3, tensor.hf_name.find(".experts.") != std::string::npos) << tensor.name;
      const uint64_t row_bytes = a->bytes / a->rows();
      if (spec.norms_less_one() && tensor.is_norm) continue;  // the same logits: tests/engine/session_test.cc
      const bool permuted = spec.rotates_adjacent() && tensor.rotated_heads != 0;
      for (uint64_t row = 0; row < b.value()->rows(); ++row) {
        const uint64_t gguf_row = permuted ? AdjacentRow(row, spec.head_dim) : tensor.first_row + row;
        ASSERT_EQ(std::memcmp(b.value()->data + row * row_bytes, a->data + gguf_row * row_bytes, row_bytes), 0)
            << tensor.name << " row " << row;
      }
    }
  }
}

TEST_F(MakeModelTest, BothFormatsTokenizeAlike) {
  ModelSpec spec = SmallSpec(Arch::kLlama);
  spec.vocab = 3000;
  const auto gguf = OpenGguf(spec);
  ASSERT_TRUE(WriteHuggingFaceModel(spec, folder_.File("hf"), &pool_).ok());
  const auto a = tokenizer::Tokenizer::FromGguf(*gguf);
  const auto b = tokenizer::Tokenizer::FromHuggingFace(folder_.File("hf"));
  ASSERT_TRUE(a.ok()) << a.status().ToString();
  ASSERT_TRUE(b.ok()) << b.status().ToString();
  for (const char* text :
       {"tene rona lita", "The quick brown fox.\n\nline 12: <34>", "gr\u00fc\u00dfe \u4f60\u597d", " two  spaces "}) {
    const auto ids = a.value()->Encode(text, tokenizer::Special::kParse);
    const auto hf_ids = b.value()->Encode(text, tokenizer::Special::kParse);
    ASSERT_TRUE(ids.ok() && hf_ids.ok()) << text;
    EXPECT_EQ(ids.value(), hf_ids.value()) << text;
    EXPECT_EQ(a.value()->Decode(ids.value(), false), text);
  }
}

TEST_F(MakeModelTest, VocabulariesOfAnySizeHaveNoPieceTwiceAndEveryPieceIsAJoinOfTwo) {
  for (const size_t size : {300u, 512u, 5000u}) {
    const Vocabulary vocabulary = MakeVocabulary(size);
    EXPECT_EQ(vocabulary.pieces.size(), size);
    EXPECT_EQ(std::set<std::string>(vocabulary.pieces.begin(), vocabulary.pieces.end()).size(), size);
    std::set<std::string> joined;
    for (const auto& [left, right] : ListMerges(vocabulary)) joined.insert(left + right);
    for (size_t id = kFirstPiece; id < size; ++id) {
      const std::string& piece = vocabulary.pieces[id];
      const bool single = piece.size() == 1 || (piece.size() <= 3 && static_cast<unsigned char>(piece[0]) >= 0xc0);
      EXPECT_TRUE(single || joined.count(piece) != 0) << piece;
    }
  }
}

TEST_F(MakeModelTest, RopeFactorsAreThoseOfLlama3) {
  ModelSpec spec = SmallSpec(Arch::kLlama);
  ASSERT_TRUE(ApplyShape("1b", &spec).ok());
  spec.layers = 1;
  spec.width = 64;
  spec.ffn = 64;
  spec.vocab = 300;
  const auto file = OpenGguf(spec);
  const TensorInfo* tensor = file->FindTensor("rope_freqs.weight");
  ASSERT_NE(tensor, nullptr);
  std::vector<float> factors(32);
  ASSERT_EQ(tensor->bytes, factors.size() * sizeof(float));
  std::memcpy(factors.data(), tensor->data, tensor->bytes);
  EXPECT_EQ(factors.front(), 1.0f);  // short waves stay
  EXPECT_EQ(factors.back(), 32.0f);  // long ones are slowed by the whole factor
  for (size_t i = 1; i < factors.size(); ++i) EXPECT_GE(factors[i], factors[i - 1]);
}

TEST_F(MakeModelTest, SpecsThatCannotBeAreRefused) {
  const auto code = [&](auto change) {
    ModelSpec spec = SmallSpec(Arch::kLlama);
    change(&spec);
    return WriteGgufModel(spec, folder_.File("bad.gguf"), &pool_).status().code();
  };
  EXPECT_EQ(code([](ModelSpec* s) { s->type = "IQ3_S"; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](ModelSpec* s) { s->kv_heads = 3; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](ModelSpec* s) { s->head_dim = 15; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](ModelSpec* s) { s->vocab = 299; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](ModelSpec* s) { s->window = 16; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](ModelSpec* s) { s->layers = 0; }), StatusCode::kInvalidArgument);
  ModelSpec quantised = SmallSpec(Arch::kLlama);
  quantised.type = "Q8_0";
  EXPECT_EQ(WriteHuggingFaceModel(quantised, folder_.File("hf"), &pool_).code(), StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace damask::make_model
