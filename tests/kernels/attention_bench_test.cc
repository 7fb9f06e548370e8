#include "kernels/attention_bench.h"

#include <gtest/gtest.h>

namespace damask::kernels {
namespace {

AttentionBenchOptions SmallOptions(ThreadPool* pool) {
  AttentionBenchOptions options;
  options.head_dim = 64;
  options.heads = 4;
  options.kv_heads = 2;
  options.context = 2500;  // chunks, and a part of one that ends within a block
  options.densities = {0.5, 0.1};
  options.target = BestTarget();
  options.pool = pool;
  options.peak_flops = 1e12;
  options.min_seconds = 0.0;
  return options;
}

TEST(AttentionBench, DenseComesFirstAndSparseRunsHaveTheDensityAskedFor) {
  if (BestTarget() == Target::kScalar) GTEST_SKIP() << "the reference would take minutes";
  ThreadPool pool(2);
  const Result<std::vector<AttentionBenchResult>> results = BenchAttention(SmallOptions(&pool));
  ASSERT_TRUE(results.ok()) << results.status().ToString();
  ASSERT_EQ(results->size(), 3u);
  EXPECT_EQ(results->at(0).density, 1.0);
  EXPECT_EQ(results->at(0).efficiency, 1.0);
  EXPECT_EQ(results->at(0).blocks, 2u * 40 * 41 / 2);
  // The diagonal always counts, so that short rows have more than their share.
  EXPECT_NEAR(results->at(1).density, 0.5, 0.03);
  EXPECT_NEAR(results->at(2).density, 0.1, 0.03);
  for (const AttentionBenchResult& result : *results) {
    EXPECT_GT(result.seconds, 0.0);
    EXPECT_NEAR(result.tflops, 4.0 * 64 * result.density * 4 * 2500 * 2501 / 2 / result.seconds / 1e12, 1e-6);
    EXPECT_NEAR(result.fraction_of_peak, result.tflops, 1e-9);
  }
}

TEST(AttentionBench, ACancelLeavesTheDensitiesThatRan) {
  if (BestTarget() == Target::kScalar) GTEST_SKIP() << "the reference would take minutes";
  ThreadPool pool(2);
  AttentionBenchOptions options = SmallOptions(&pool);
  std::atomic<bool> cancel = false;
  options.cancel = &cancel;
  options.progress = [&](uint64_t done, uint64_t total, double) {
    EXPECT_EQ(total, 3u);
    cancel = done == 2;
  };
  const auto part = BenchAttention(options);
  ASSERT_TRUE(part.ok()) << part.status().ToString();
  ASSERT_EQ(part->size(), 2u);
  EXPECT_NEAR(part->at(1).density, 0.5, 0.03);
  EXPECT_TRUE(BenchAttention(options).value().empty());  // still cancelled
}

TEST(AttentionBench, ImpossibleShapesAreRefused) {
  ThreadPool pool(1);
  const auto code = [&](auto change) {
    AttentionBenchOptions options = SmallOptions(&pool);
    change(options);
    return BenchAttention(options).status().code();
  };
  EXPECT_EQ(code([](auto& o) { o.head_dim = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.head_dim = 65; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.head_dim = 512; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.kv_heads = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.heads = 5; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.heads = 128; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.context = 0; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.densities = {0.0}; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) { o.densities = {1.5}; }), StatusCode::kInvalidArgument);
  EXPECT_EQ(code([](auto& o) {
              o.head_dim = 256;
              o.heads = 1024;
              o.kv_heads = 1024;
              o.context = 1 << 20;
            }),
            StatusCode::kTooLarge);
}

TEST(AttentionBench, DecodeReportsBytesPerSecond) {
  if (BestTarget() == Target::kScalar) GTEST_SKIP() << "the reference would take minutes";
  ThreadPool pool(1);
  AttentionBenchOptions options = SmallOptions(&pool);
  options.decode_cache_bytes = 4 << 20;
  const Result<DecodeBenchResult> result = BenchDecodeAttention(options);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_NEAR(result->bytes_per_second * result->seconds, 2.0 * 40 * 64 * 64 * 2 * 2, 1.0);
  options.kv = KvType::kQ8;
  const Result<DecodeBenchResult> q8 = BenchDecodeAttention(options);
  ASSERT_TRUE(q8.ok()) << q8.status().ToString();
  const PageLayout layout = {64, KvType::kQ8};
  EXPECT_NEAR(q8->bytes_per_second * q8->seconds, 2.0 * 40 * static_cast<double>(layout.bytes()), 1.0);
}

}  // namespace
}  // namespace damask::kernels
