// Every policy in the whole forward pass.
#include <cmath>

#include <gtest/gtest.h>

#include "engine/fingerprint.h"
#include "masks/mask_file.h"
#include "policies/density.h"
#include "policies/registry.h"
#include "tests/engine/logits.h"
#include "tests/masks/mask_cases.h"
#include "tests/model/tiny_model.h"

namespace damask::engine {
namespace {

// Reads 600 tokens and three more one by one, so that both phases are there.
std::vector<float> LogitsWith(Engine* engine, const std::string& spec) {
  EXPECT_TRUE(engine->SetPolicy(spec).ok()) << spec;
  engine->ResetStats();
  Session session(engine);
  EXPECT_TRUE(session.Append(SomeIds(600), nullptr, nullptr).ok()) << spec;
  for (const TokenId id : SomeIds(3)) EXPECT_TRUE(session.Decode(id, nullptr).ok()) << spec;
  return {session.logits().begin(), session.logits().end()};
}

class PoliciesForward : public testing::TestWithParam<const char*> {
 protected:
  TinyModelFile file_{make_model::ModelSpec{}};
};

using SparsePolicies = PoliciesForward;
TEST_P(SparsePolicies, GiveFiniteLogitsTheSameTwiceAtADensityBelowOne) {
  const auto engine = LoadTiny(file_);
  const std::vector<float> logits = LogitsWith(engine.get(), GetParam());
  for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_LT(engine->stats().density(), 0.9);
  EXPECT_GT(engine->stats().density(), 0.0);
  EXPECT_EQ(LogitsWith(engine.get(), GetParam()), logits);
}

// What a policy chooses by keys differs where two are nearly alike; what it may choose does not.
TEST_P(SparsePolicies, ChooseAmongEightBitKeysAsWell) {
  const auto bf16 = LoadTiny(file_);
  const auto q8 = LoadTiny(file_, {.kv = kernels::KvType::kQ8});
  LogitsWith(bf16.get(), GetParam());
  const std::vector<float> logits = LogitsWith(q8.get(), GetParam());
  for (const float logit : logits) ASSERT_TRUE(std::isfinite(logit));
  EXPECT_NEAR(q8->stats().density(), bf16->stats().density(), 0.02);
  EXPECT_EQ(LogitsWith(q8.get(), GetParam()), logits);
}

TEST_P(SparsePolicies, ReleasedPagesChangeNothing) {
  const auto engine = LoadTiny(file_);
  const auto releasing = LoadTiny(file_, {.kv_release = true});
  EXPECT_EQ(LogitsWith(releasing.get(), GetParam()), LogitsWith(engine.get(), GetParam()));
}

INSTANTIATE_TEST_SUITE_P(, SparsePolicies,
                         testing::Values("streaming:sinks=4,window=100", "a-shape:sinks=64,window=128,decode=sparse",
                                         "spans:span=100,sinks=10", "spans:span=0.25", "h2o:budget=128", "h2o",
                                         "vertical-slash:budget=200,decode=sparse", "quest:budget=160,skip=0,prefill=sparse",
                                         "infllm2:budget=160,dense=0,block=16", "hip:budget=160,skip=0",
                                         "xattention:budget=160,threshold=1.0,decode=sparse,block=16",
                                         "psa:budget=160,similar=none,decode=sparse", "psa:local=0,similar=none,heads=joint",
                                         "flexprefill:budget=160,gamma=1,decode=sparse", "duo:heads=1/0,full=1,recent=64",
                                         "masformer:span=100,full=1", "snapkv:cap=100,prefill=sparse,chunk=64",
                                         "snapkv:cap=160,prefill=sparse,unit=64", "pyramidkv:cap=100,prefill=sparse,chunk=128",
                                         "tca:keep=200,window=64,chunk=64", "tca:keep=200,window=64,form=pages",
                                         "citrus:keep=60,chunk=64,cache=standard", "citrus:keep=60,chunk=64,cache=single",
                                         "citrus:keep=60,chunk=64,last=20", "citrus:keep=60,chunk=64,instruction=what is it?"));

using DensePolicies = PoliciesForward;
TEST_P(DensePolicies, WithABudgetThatCoversEverythingEqualFullAttentionToTheBit) {
  const auto engine = LoadTiny(file_);
  EXPECT_EQ(LogitsWith(engine.get(), GetParam()), LogitsWith(engine.get(), "full"));
  EXPECT_EQ(engine->stats().density(), 1.0);
}

TEST_P(DensePolicies, EqualFullAttentionOverEightBitPagesToo) {
  const auto engine = LoadTiny(file_, {.kv = kernels::KvType::kQ8});
  EXPECT_EQ(LogitsWith(engine.get(), GetParam()), LogitsWith(engine.get(), "full"));
}

INSTANTIATE_TEST_SUITE_P(
    , DensePolicies,
    testing::Values("streaming:window=9999", "a-shape:window=9999,decode=sparse", "spans:span=9999", "h2o:budget=9999",
                    "h2o:heavy=1.0,recent=1.0", "vertical-slash:budget=9999,decode=sparse", "vertical-slash:verticals=9999",
                    "quest:budget=9999,skip=0,prefill=sparse", "infllm2:topk=9999,dense=0", "hip:budget=9999,skip=0",
                    "xattention:threshold=1.0,decode=sparse", "psa:budget=9999,decode=sparse", "psa:energy=1/1/1/1",
                    "flexprefill:gamma=1,decode=sparse", "duo:heads=1/0,full=99", "masformer:full=99",
                    "masformer:span=9999,full=0,local=block", "snapkv:cap=9999", "snapkv:cap=9999,prefill=sparse,chunk=64",
                    "pyramidkv:cap=9999", "tca:keep=1000", "tca:window=9999"));

// A Hugging Face folder has each key's dimensions in another order than the GGUF file of the same llama.
TEST(PoliciesForward, AMaskOfTheGgufFileChoosesTheSameKeysInTheHuggingFaceFolder) {
  const make_model::ModelSpec spec{.arch = make_model::Arch::kLlama, .type = "F32"};
  const TinyModelFile file(spec);
  ThreadPool pool(1);
  ASSERT_TRUE(make_model::WriteHuggingFaceModel(spec, file.folder() + "/hf", &pool).ok());
  const auto gguf = LoadTiny(file, {.target = "scalar"});
  const auto hf = Engine::Load({.model_path = file.folder() + "/hf", .threads = 1, .target = "scalar"});
  ASSERT_TRUE(hf.ok()) << hf.status().ToString();
  const masks::Mask mask = masks::ContentMask(FingerprintOf(gguf->model()), 16);
  const std::string path = file.folder() + "/content.mask";
  ASSERT_TRUE(masks::WriteMaskFile(mask, path).ok());
  const std::string spec_of_mask = "dam:mask=" + path + ",blocks=8,local=16,target=0.3";
  const std::vector<float> expected = LogitsWith(gguf.get(), spec_of_mask);
  EXPECT_LT(gguf->stats().density(), 0.7);
  EXPECT_LT(Nmse(LogitsWith(hf->get(), spec_of_mask), expected), 1e-8);
  EXPECT_EQ((*hf)->stats().planned_pairs, gguf->stats().planned_pairs);
}

// Layers differ under these, and the last one is computed for one row only.
TEST(PoliciesForward, ADensityThatWasAskedForIsMet) {
  const TinyModelFile file(make_model::ModelSpec{.layers = 3});
  const auto engine = LoadTiny(file);
  for (const char* spec : {"masformer:full=0", "pyramidkv", "snapkv", "tca", "streaming"}) {
    const Result<std::string> found = policies::SpecForDensity(spec, 0.4, 1024, engine->shape());
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    ASSERT_TRUE(engine->SetPolicy(*found).ok());
    engine->ResetStats();
    Session session(engine.get());
    ASSERT_TRUE(session.Append(SomeIds(1024), nullptr, nullptr).ok());
    EXPECT_LE(engine->stats().density(), 0.404) << *found;
    EXPECT_GT(engine->stats().density(), 0.36) << *found;
  }
}

TEST(PoliciesForward, ASessionMayChangeItsPolicyAsItGoes) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  Session session(engine.get());
  for (const char* spec :
       {"full", "h2o:budget=64", "quest:budget=64,skip=0,prefill=sparse", "h2o:budget=64",
        "vertical-slash:budget=64,decode=sparse", "infllm2:budget=64,dense=0", "hip:budget=64,skip=0", "xattention",
        "psa:budget=200,similar=none,decode=sparse", "flexprefill:gamma=0.3", "snapkv:cap=64", "streaming:window=50"}) {
    ASSERT_TRUE(engine->SetPolicy(spec).ok());
    ASSERT_TRUE(session.Append(SomeIds(150), nullptr, nullptr).ok());
    for (const float logit : session.logits()) ASSERT_TRUE(std::isfinite(logit)) << spec;
  }
}

TEST(PoliciesForward, AnotherLayoutOfPagesGivesNearlyTheSame) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto best = LoadTiny(file);
  const auto scalar = LoadTiny(file, {.target = "scalar"});
  for (const char* spec : {"quest:budget=9999,skip=0,prefill=sparse", "h2o:budget=9999", "vertical-slash:budget=9999",
                           "infllm2:topk=9999,dense=0", "hip:budget=9999,skip=0", "xattention:threshold=1.0",
                           "psa:topk=0/0/0/1,similar=none,local=0,decode=sparse", "flexprefill:gamma=1"}) {
    const std::vector<float> a = LogitsWith(best.get(), spec);
    const std::vector<float> b = LogitsWith(scalar.get(), spec);
    double error = 0;
    double norm = 0;
    for (size_t i = 0; i < a.size(); ++i) {
      error += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
      norm += std::pow(static_cast<double>(b[i]), 2);
    }
    EXPECT_LT(error / norm, 5e-3) << spec;
  }
}

}  // namespace
}  // namespace damask::engine
