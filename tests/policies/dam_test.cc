#include "policies/dam.h"

#include <gtest/gtest.h>

#include "masks/extend.h"
#include "masks/mask_file.h"
#include "policies/density.h"
#include "tests/masks/mask_cases.h"
#include "tests/policies/policy_run.h"
#include "tests/temp_dir.h"

namespace damask::policies {
namespace {

// 2 layers of 4 heads in 2 groups, head_dim 64; treatments static, content, dense in turn.
masks::Mask SmallMask() { return masks::RandomMask(2, 4, 100, 5); }

ModelShape Shape() { return {2, 4, 2, 64, {}}; }

class DamPolicyTest : public testing::Test {
 protected:
  std::string Write(const masks::Mask& mask) {
    std::string path = dir_.File("small.mask");
    const Status status = masks::WriteMaskFile(mask, path);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return path;
  }
  test::TempDir dir_;
};

TEST_F(DamPolicyTest, ExactModePlansWhatTheMaskKeepsForEveryHead) {
  const masks::Mask mask = SmallMask();
  const auto policy = Create("dam:mask=" + Write(mask) + ",mode=exact", Shape());
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  kernels::Plan plan;
  for (const uint64_t first : {0, 64, 256}) {
    for (size_t layer = 0; layer < 2; ++layer) {
      for (size_t kv_head = 0; kv_head < 2; ++kv_head) {
        PlanRequest request;
        request.layer = layer;
        request.kv_head = kv_head;
        request.first_position = first;
        request.rows = 50;
        (*policy)->MakePlan(request, &plan);
        for (size_t g = 0; g < 2; ++g) {
          for (uint64_t query = first; query < first + 50; ++query) {
            for (uint64_t key = 0; key <= query; ++key) {
              const bool kept = masks::Keeps(mask.head(layer, kv_head * 2 + g), mask.parameters, query, key);
              ASSERT_EQ(masks::TimesComputed(plan, first, query, key, g), kept ? 1 : 0)
                  << "layer " << layer << " head " << kv_head * 2 + g << " query " << query << " key " << key;
            }
          }
        }
      }
    }
  }
}

TEST_F(DamPolicyTest, BlocksAreTheDefaultAndTheSpecMakesThePolicyAgain) {
  const std::string spec = "dam:mask=" + Write(SmallMask());
  const auto policy = Create(spec, Shape());
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  EXPECT_EQ((*policy)->Spec(), spec + ",mode=blocks");
  const auto again = Create((*policy)->Spec(), Shape());
  ASSERT_TRUE(again.ok()) << again.status().ToString();
  EXPECT_EQ((*again)->Spec(), spec + ",mode=blocks");
  kernels::Plan plan;
  PlanRequest request;
  request.first_position = 6400;
  request.rows = 64;
  (*policy)->MakePlan(request, &plan);
  EXPECT_TRUE(plan.exact_masks.empty());
  EXPECT_FALSE(plan.entries.empty());
}

TEST_F(DamPolicyTest, M02_AMaskOfAnotherModelIsRefusedNamingBoth) {
  const std::string spec = "dam:mask=" + Write(SmallMask());
  const auto refused = [&](const ModelShape& shape) {
    const auto policy = Create(spec, shape);
    EXPECT_FALSE(policy.ok());
    return policy.status().message();
  };
  const std::string made = "'llama', 'tiny', 2 layers of 4 heads, 2 KV heads, head_dim 64, 1000 tokens; the model is ";
  EXPECT_EQ(refused({3, 4, 2, 64, {}}),
            "the mask was made for another model (layers): " + made + "3 layers of 4 heads, 2 KV heads, head_dim 64");
  EXPECT_EQ(refused({2, 8, 2, 64, {}}),
            "the mask was made for another model (heads): " + made + "2 layers of 8 heads, 2 KV heads, head_dim 64");
  EXPECT_EQ(refused({2, 4, 4, 64, {}}),
            "the mask was made for another model (heads): " + made + "2 layers of 4 heads, 4 KV heads, head_dim 64");
  EXPECT_EQ(refused({2, 4, 2, 128, {}}),
            "the mask was made for another model (head size): " + made + "2 layers of 4 heads, 2 KV heads, head_dim 128");
}

// The mask leaves the number and the size of KV heads open, as maps captured elsewhere do.
TEST_F(DamPolicyTest, KeyDirectionsThatDoNotFitTheModelAreRefused) {
  masks::Mask open = masks::ContentMask(SmallMask().fingerprint, 16);
  open.fingerprint.kv_heads = 0;
  open.fingerprint.head_dim = 0;
  EXPECT_TRUE(Create("dam:mask=" + Write(open), Shape()).ok());
  const auto refused = [&](const masks::KeyDirections& directions, const ModelShape& shape) {
    masks::Mask mask = open;
    mask.key_directions = {directions};
    const std::string path = Write(mask);
    const Status status = Create("dam:mask=" + path, shape).status();
    EXPECT_EQ(status.code(), StatusCode::kBadFormat);
    const std::string file = "'" + path + "': ";
    EXPECT_TRUE(status.ToString().starts_with(file)) << status.ToString();
    return status.ToString().substr(file.size());
  };
  const auto directions = [](uint32_t kv_head, uint32_t rank, uint32_t head_dim) {
    return masks::KeyDirections{1, kv_head, rank, head_dim, 0.0f, std::vector<float>(size_t{rank} * head_dim, 0.5f)};
  };
  EXPECT_EQ(
      refused(directions(3, 16, 64), Shape()),
      "key directions of layer 1 KV head 3: rank 16 of head_dim 64, expected a KV head below 2, head_dim 64 and a rank up "
      "to 256");
  EXPECT_EQ(refused(directions(1, 16, 128), Shape()),
            "key directions of layer 1 KV head 1: rank 16 of head_dim 128, expected a KV head below 2, head_dim 64 and a rank "
            "up to 256");
  EXPECT_EQ(
      refused(directions(0, 257, 512), {2, 4, 2, 512, {}}),
      "key directions of layer 1 KV head 0: rank 257 of head_dim 512, expected a KV head below 2, head_dim 512 and a rank "
      "up to 256");
}

TEST_F(DamPolicyTest, WrongOptionsAndFilesAreRefused) {
  const auto message = [&](const std::string& spec) {
    const auto policy = Create(spec, Shape());
    EXPECT_FALSE(policy.ok()) << spec;
    return policy.status().message();
  };
  EXPECT_EQ(message("dam"), "policy dam needs its option mask: the mask file, as damask calibrate writes it");
  EXPECT_EQ(message("dam:mask=x,mode=fast"), "policy dam: mode='fast' is neither blocks nor exact");
  EXPECT_EQ(message("dam:mask=x,blocks=few"),
            "policy dam: blocks='few' is not a whole number between 0 and 16777216, nor is it mask");
  EXPECT_EQ(message("dam:mask=" + dir_.File("none")), "cannot open: No such file or directory");
  EXPECT_EQ(message("dam:mask=" + dir_.Write("text", "hello")), "not a damask mask file: it does not begin with DAMASKMK");
}

TEST_F(DamPolicyTest, BlocksMeetADensity) {
  Text text(2048, 4, 2);
  const masks::Fingerprint model{.layers = 1, .heads = 4, .kv_heads = 2, .head_dim = Text::kDim};
  const std::string spec = "dam:mask=" + Write(masks::ContentMask(model, Text::kDim)) + ",target=1";
  for (const double density : {0.15, 0.3, 0.6}) {
    const Result<std::string> found = SpecForDensity(spec, density, 2048, {1, 4, 2, Text::kDim, {}});
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    PolicyRun run(*found, &text);
    EXPECT_LE(ShapeDensity(run.policy(), run.shape(), 2048), density) << *found;
    run.Append(2048);
    EXPECT_LE(run.density(), density) << *found;
    EXPECT_GT(run.density(), density - 0.02) << *found;
  }
  EXPECT_EQ(WhyNoDensity(spec, {1, 4, 2, Text::kDim, {}}), "");
}

TEST_F(DamPolicyTest, TheMaskSaysHowManyBlocksUnlessTheSpecDoes) {
  masks::Mask mask = masks::ContentMask(SmallMask().fingerprint, 16);
  const std::string spec = "dam:mask=" + Write(mask);
  const double usual = ShapeDensity(**Create(spec, Shape()), Shape(), 4096);
  mask.parameters.content_blocks = 40;
  Write(mask);
  const auto policy = *Create(spec, Shape());
  EXPECT_EQ(policy->Spec(), spec + ",mode=blocks");
  EXPECT_EQ((*Create(spec + ",blocks=mask", Shape()))->ContentHash(), policy->ContentHash());
  EXPECT_EQ(WhyNoDensity(spec + ",blocks=mask", Shape()), "'" + spec + ",blocks=mask' sets blocks itself");
  EXPECT_GT(ShapeDensity(*policy, Shape(), 4096), 2 * usual);
  const auto ten = *Create(spec + ",blocks=10", Shape());
  EXPECT_EQ(ten->Spec(), spec + ",mode=blocks,blocks=10");
  EXPECT_EQ(ShapeDensity(*ten, Shape(), 4096), usual);
  EXPECT_NE(ten->ContentHash(), policy->ContentHash());
}

TEST_F(DamPolicyTest, AMaskWithoutContentHeadsIsTheSameWithAnyNumberOfBlocks) {
  masks::Mask mask = SmallMask();
  for (masks::HeadMask& head : mask.heads) head.treatment = masks::Treatment::kStatic;
  const std::string spec = "dam:mask=" + Write(mask);
  const auto policy = Create(spec + ",blocks=77", Shape());
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  EXPECT_EQ((*policy)->Spec(), spec + ",mode=blocks");
  EXPECT_EQ((*policy)->ContentHash(), (*Create(spec, Shape()))->ContentHash());
  EXPECT_EQ(WhyNoDensity(spec, Shape()), "'" + spec + "' computes the same whatever blocks is");
}

TEST_F(DamPolicyTest, KeepsToTheModelsOwnWindow) {
  masks::Mask mask = SmallMask();
  for (masks::HeadMask& head : mask.heads) head.treatment = masks::Treatment::kStatic;
  ModelShape shape = Shape();
  shape.windows = {0, 90};
  const auto policy = MakeDam(std::move(mask), "memory", {}, shape);
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  kernels::Plan plan;
  PlanRequest request;
  request.layer = 1;
  request.first_position = 512;
  request.rows = 64;
  (*policy)->MakePlan(request, &plan);
  for (uint64_t query = 512; query < 576; ++query) {
    EXPECT_EQ(masks::TimesComputed(plan, 512, query, query, 0), 1);
    for (uint64_t key = 0; key + 90 <= query; ++key) ASSERT_EQ(masks::TimesComputed(plan, 512, query, key, 0), 0);
  }
}

TEST_F(DamPolicyTest, PagesBehindTheModelsOwnWindowAreReleasedWhateverTheHeadsChoose) {
  ModelShape shape = Shape();
  shape.windows = {0, 90};
  const auto policy = MakeDam(masks::ContentMask(SmallMask().fingerprint, 16), "memory", {}, shape);
  ASSERT_TRUE(policy.ok()) << policy.status().ToString();
  EXPECT_FALSE((*policy)->MayRelease(0, 0, 0, 512, nullptr));
  EXPECT_TRUE((*policy)->MayRelease(1, 0, 0, 512, nullptr));
  EXPECT_TRUE((*policy)->MayRelease(1, 0, 5, 473, nullptr));  // ends with key 383, row 473 sees from 384 on
  EXPECT_FALSE((*policy)->MayRelease(1, 0, 5, 472, nullptr));
}

}  // namespace
}  // namespace damask::policies
