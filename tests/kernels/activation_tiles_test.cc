// Activations that arrive as tiles in other ways than row by row: the same bits, whatever the way.
#include "kernels/activation_tiles.h"

#include <gtest/gtest.h>

#include <vector>

#include "kernels/activation_forms.h"
#include "kernels/attention_steps.h"
#include "tests/kernels/attention_cases.h"
#include "tests/kernels/matmul_cases.h"

namespace damask::kernels {
namespace {

class ActivationTilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!TargetSupported(Target::kAvx512Bf16)) GTEST_SKIP() << "tiles need AVX-512 bf16";
  }

  static std::vector<uint16_t> Numbers(const Activations::Forms& forms) {
    return {forms.tiles.data(), forms.tiles.data() + (forms.m + 31) / 32 * 32 * forms.k_tiles * 32};
  }
  std::vector<uint16_t> ByLoad(const std::vector<float>& x, size_t m, size_t k) {
    Activations loaded;
    MakeForms(Phase::kPrefill, kFormTiles, x.data(), m, k, k, &pool_, &loaded.forms());
    return Numbers(loaded.forms());
  }

  // Room for activations [m, k], all ones.
  static ActivationTiles Prepare(size_t m, size_t k, Activations* out) {
    Activations::Forms& forms = out->forms();
    PrepareForms(Phase::kPrefill, kFormTiles, m, k, &forms);
    std::fill_n(forms.tiles.data(), forms.tiles.size(), uint16_t{0x3f80});
    const ActivationTiles tiles{forms.tiles.data(), forms.k_tiles};
    ZeroTilesBehind(m, tiles);
    return tiles;
  }

  ThreadPool pool_{2};
};

TEST_F(ActivationTilesTest, RowsComeInPiecesOfAnySizeFromAnyRowOn) {
  constexpr size_t kWidth = 192;
  for (const size_t m : {1, 15, 16, 31, 32, 33, 80, 113}) {
    const std::vector<float> x = RandomFloats(m * kWidth, static_cast<uint32_t>(m));
    const std::vector<uint16_t> expected = ByLoad(x, m, kWidth);
    for (const size_t piece : {1, 7, 16, 24, 64}) {
      Activations made;
      const ActivationTiles tiles = Prepare(m, kWidth, &made);
      for (size_t row = 0; row < m; row += piece) {
        for (const size_t column : {0, 64}) {
          StoreTiles(x.data() + row * kWidth + column, kWidth, std::min(piece, m - row), column == 0 ? 64 : kWidth - 64, tiles,
                     row, column);
        }
      }
      ASSERT_EQ(Numbers(made.forms()), expected) << m << " rows, " << piece << " at a time";
    }
  }
}

TEST_F(ActivationTilesTest, AttentionLeavesThereWhatItsRowsWouldBecome) {
  if (__builtin_cpu_supports("avx512vbmi") == 0) GTEST_SKIP() << "the body needs VBMI";
  AttentionScratch scratch;
  std::mt19937 random(5);
  for (const size_t head_dim : {32, 64, 96, 128, 256}) {
    for (const size_t group : {1, 3, 4}) {
      const size_t rows = 16 * (1 + random() % 4);
      const uint64_t first = 64 + random() % 64;
      const RandomCache cache({head_dim, KvType::kBf16}, first + rows, 7);
      const AttentionShape shape{head_dim, group, 0.1f, KvType::kBf16};
      Plan plan = RandomPlan(first, rows, group, &random);
      RandomQueries as_rows(head_dim, group, first, rows, 3);
      RunPlan(AmxEmulatedBody(), shape, as_rows.block(), plan, cache.pages(), &scratch);
      // The block is rows 32 on of more activations, and columns 64 on.
      const size_t m = 32 + rows;
      const size_t k = 64 + group * head_dim;
      std::vector<float> all(m * k, 0.0f);
      for (size_t row = 0; row < rows; ++row) {
        std::copy_n(as_rows.out().data() + row * group * head_dim, group * head_dim, all.data() + (32 + row) * k + 64);
      }
      Activations made;
      RandomQueries queries(head_dim, group, first, rows, 3);
      QueryBlock block = queries.block();
      block.tiles = Prepare(m, k, &made);
      std::fill_n(made.forms().tiles.data(), made.forms().tiles.size(), uint16_t{0});
      block.tiles_row = 32;
      block.tiles_column = 64;
      RunPlan(AmxEmulatedBody(), shape, block, plan, cache.pages(), &scratch);
      EXPECT_EQ(Numbers(made.forms()), ByLoad(all, m, k)) << "head_dim " << head_dim << " group " << group << " rows " << rows;
      EXPECT_EQ(queries.lse(), as_rows.lse());
    }
  }
}

TEST_F(ActivationTilesTest, OnlyWholeTilesOfOneHeadAreFilledDirectly) {
  const AttentionShape shape{64, 4, 0.1f, KvType::kBf16};
  QueryBlock block;
  block.rows = 32;
  block.tiles_row = 16;
  EXPECT_TRUE(FillsTiles(Target::kAmx, shape, block));
  EXPECT_FALSE(FillsTiles(Target::kAvx512Bf16, shape, block));
  EXPECT_FALSE(FillsTiles(Target::kAmx, {80, 4, 0.1f, KvType::kBf16}, block)) << "heads do not begin at tiles";
  EXPECT_FALSE(FillsTiles(Target::kAmx, {64, 4, 0.1f, KvType::kF32}, block)) << "the reference runs";
  block.rows = 33;
  EXPECT_FALSE(FillsTiles(Target::kAmx, shape, block));
  block.rows = 32;
  block.tiles_row = 8;
  EXPECT_FALSE(FillsTiles(Target::kAmx, shape, block));
  block.tiles_row = 0;
  const float sinks[4] = {};
  block.sinks = sinks;
  EXPECT_FALSE(FillsTiles(Target::kAmx, shape, block));
}

}  // namespace
}  // namespace damask::kernels
