// Attention touches nothing beyond pages, queries and outputs, whatever the plan.
#include <cstddef>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/attention_steps.h"
#include "tests/kernels/attention_cases.h"
#include "tests/kernels/guarded_bytes.h"

namespace damask::kernels {
namespace {

constexpr size_t kContext = 200;  // the last page is not full
constexpr size_t kFirst = 192;

std::vector<Target> TargetsToTry() {
  std::vector<Target> targets;
  for (const Target target : AllTargets()) {
    if (target != Target::kScalar && TargetSupported(target)) targets.push_back(target);
  }
  return targets;
}

// A copy of a cache, each page between two that may not be touched.
class GuardedCache {
 public:
  GuardedCache(const RandomCache& cache, Edge edge) {
    const size_t size = cache.layout().bytes();
    for (size_t block = 0; block < cache.num_pages(); ++block) {
      storage_.push_back(std::make_unique<GuardedBytes>(size, edge));
      std::memcpy(storage_.back()->data(), cache.pages()[block], size);
      pages_.push_back(storage_.back()->data());
    }
  }
  const std::byte* const* pages() const { return pages_.data(); }

 private:
  std::vector<std::unique_ptr<GuardedBytes>> storage_;
  std::vector<const std::byte*> pages_;
};

// A full plan and a random one over queries of their own.
void RunBothPlans(const AttentionShape& shape, size_t rows, const GuardedCache& cache, Edge edge, std::mt19937* random) {
  RandomQueries queries(shape.head_dim, shape.group, kFirst, rows, 3);
  GuardedBytes q(queries.q(), edge);
  GuardedBytes out(queries.out(), edge);
  GuardedBytes lse(queries.lse(), edge);
  QueryBlock block = queries.block();
  block.q = q.floats();
  block.out = out.floats();
  block.lse = lse.floats();
  Plan full;
  FullPlan(kFirst, rows, 0, &full);
  AttentionScratch scratch;
  for (const Plan& plan : {full, RandomPlan(kFirst, rows, shape.group, random)}) {
    for (const Target target : TargetsToTry()) FindAttention(target, shape)(shape, block, plan, cache.pages(), &scratch);
    // Reads what AMX's tiles read, on machines without them, too.
    if (CanEmulateAmx()) RunPlan(AmxEmulatedBody(), shape, block, plan, cache.pages(), &scratch);
  }
}

class AttentionBorders : public ::testing::TestWithParam<KvType> {};

TEST_P(AttentionBorders, NothingBeyondTheOperandsIsTouched) {
  std::mt19937 random(5);
  for (const size_t head_dim : {16, 32, 48, 64, 80, 96, 112, 128, 144, 256}) {
    const RandomCache cache({head_dim, GetParam()}, kContext, 9);
    for (const Edge edge : {Edge::kBegin, Edge::kEnd}) {
      const GuardedCache guarded(cache, edge);
      for (const size_t group : {1, 3, 4, 8}) {
        const AttentionShape shape{head_dim, group, 0.125f, GetParam()};
        SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " group " << group);
        for (const size_t rows : {1, 2, 7, 8}) RunBothPlans(shape, rows, guarded, edge, &random);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryKvType, AttentionBorders, ::testing::Values(KvType::kBf16, KvType::kQ8),
                         [](const auto& type) { return std::string(KvTypeName(type.param)); });

}  // namespace
}  // namespace damask::kernels
