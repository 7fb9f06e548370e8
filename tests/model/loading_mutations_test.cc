// Models that a converter got wrong, a few hundred of them, always the same: sound files of every architecture with a number, a
// name, a shape or a tensor that is not what it should be. Each is refused in one sentence, or reads a text to its end. What
// breaks a file's own format is the fuzz targets' affair. A seed that crashes leaves its file in $TMPDIR/damask_test_*.
#include <algorithm>
#include <cctype>
#include <string>

#include <gtest/gtest.h>

#include "base/log.h"
#include "engine/engine.h"
#include "tests/model/gguf_mutator.h"
#include "tests/model/gguf_parts.h"
#include "tests/model/tiny_model.h"

namespace damask::model {
namespace {

using make_model::Arch;

constexpr uint32_t kSeeds = 60;  // of each architecture

std::string SoundModel(Arch arch) {
  const TinyModelFile file({.arch = arch,
                            .layers = 3,
                            .width = 64,
                            .heads = 4,
                            .kv_heads = arch == Arch::kOlmo2 ? size_t{4} : size_t{2},
                            .head_dim = 16,
                            .ffn = 64,
                            .vocab = 384,
                            .context = 256,
                            .type = "Q8_0",
                            .window = arch == Arch::kMistral ? size_t{16} : size_t{0}});
  return test::ReadBytes(file.path());
}

void ExpectOneSentence(const Status& status) {
  EXPECT_NE(status.message(), "");
  EXPECT_EQ(status.message().find('\n'), std::string::npos) << status.message();
  EXPECT_NE(status.code(), StatusCode::kInternal) << status.message();
}

// Whether it is a model: loaded, and asked for the word behind a text of more than a query block.
bool Answers(const std::string& path) {
  const auto loaded = engine::Engine::Load({.model_path = path, .threads = 1, .load = LoadMode::kRead});
  if (!loaded.ok()) {
    ExpectOneSentence(loaded.status());
    return false;
  }
  engine::Session session(loaded->get());
  Status read = session.Append(engine::SomeIds(70, 384), {}, nullptr);
  if (read.ok()) read = session.Decode(5, nullptr);
  if (!read.ok()) ExpectOneSentence(read);
  return read.ok();
}

class LoadingMutations : public ::testing::TestWithParam<Arch> {
 protected:
  LoadingMutations() {
    SetLogSink([](LogLevel, const std::string&) {});
  }
  ~LoadingMutations() override { SetLogSink({}); }
};

TEST_P(LoadingMutations, AreRefusedOrAnswer) {
  const test::TempDir folder;
  const std::string sound = SoundModel(GetParam());
  const GgufParts parts = TakeApart(sound);
  ASSERT_TRUE(Answers(folder.Write("model.gguf", PutTogether(parts))));
  uint32_t answered = 0;
  for (uint32_t seed = 1; seed <= kSeeds; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    GgufParts mutated = parts;
    GgufMutator mutator(&mutated, seed);
    for (uint32_t left = 1 + seed % 3; left > 0; --left) mutator.Mutate();
    if (seed % 5 == 0) mutator.SpoilData();
    answered += Answers(folder.Write("model.gguf", PutTogether(mutated))) ? 1 : 0;
  }
  EXPECT_GT(answered, 0u);
  EXPECT_LT(answered, kSeeds);
}

INSTANTIATE_TEST_SUITE_P(EveryArchitecture, LoadingMutations, ::testing::ValuesIn(make_model::kArchs), [](const auto& arch) {
  std::string name(make_model::ArchName(arch.param));
  std::replace_if(
      name.begin(), name.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

}  // namespace
}  // namespace damask::model
