// What every policy's plans keep, whatever it chooses.
#include <gtest/gtest.h>

#include "policies/density.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// Small budgets, so that something is left out of 700 positions.
const std::vector<std::string> kSparse = {
    "streaming:sinks=4,window=100",
    "a-shape:sinks=20,window=100",
    "a-shape:sinks=20,window=100,decode=sparse",
    "spans:span=90,sinks=20",
    "spans:heads=64/0.25/100+0.1/700,sinks=5",
    "h2o:heavy=0.1,recent=0.1",
    "h2o:budget=100",
    "vertical-slash:verticals=60,slashes=150",
    "vertical-slash:budget=160,decode=sparse",
    "quest:budget=128,skip=0,prefill=sparse",
    "quest:budget=100,skip=0,prefill=sparse,page=64",
    "quest:budget=128,skip=1",
    "infllm2:topk=4,window=64,dense=0",
    "infllm2:budget=160,dense=100,block=16",
    "hip:budget=160,skip=0",
    "xattention:threshold=0.6,stride=8,heads=joint",
    "xattention:budget=160,threshold=0.99,decode=sparse,block=16",
    "psa:local=64,decode=sparse",
    "psa:local=0,similar=none,decode=sparse",
    "psa:budget=300,similar=none,heads=joint,decode=sparse",
    "psa:energy=0.4/0.6/0.8/0.9,similar=none,local=0",
    "hip:keys=80,sinks=20,window=40,skip=1,stride=1,heads=joint,refresh=3",
    "flexprefill:gamma=0.3,least=128",
    "flexprefill:budget=192,gamma=1,tau=0.5,decode=sparse",
    "duo:heads=0/1,full=1,sinks=20,recent=100",
    "duo:heads=0/1,full=0,sinks=16,recent=64",
    "masformer:span=90,full=0,sinks=20",
    "masformer:span=100,full=0,local=block",
    "snapkv:cap=100",
    "snapkv:cap=100,prefill=sparse,chunk=64",
    "snapkv:cap=160,prefill=sparse,chunk=128,unit=64",
    "snapkv:cap=100,prefill=sparse,rows=100,chunk=64,unit=16",
    "pyramidkv:cap=100,prefill=sparse,chunk=64",
    "tca:keep=200,window=64,sinks=20,chunk=64",
    "tca:keep=200,window=50,chunk=128,form=pages",
    "tca:keep=200,window=1,rows=512,chunk=64",
    "citrus:keep=70,chunk=64",
    "citrus:keep=70,chunk=128,cache=standard,heads=own",
};

// Adds up what later rows did, or decides at the end of each prompt.
bool Remembers(const std::string& spec) {
  return spec.starts_with("h2o") || spec.starts_with("snapkv") || spec.starts_with("pyramidkv") || spec.starts_with("tca") ||
         spec.starts_with("citrus");
}
bool DecidesAtThePromptsEnd(const std::string& spec) {
  return spec.starts_with("snapkv") && spec.find("prefill=sparse") == std::string::npos;
}
// Budgets that cover everything.
const std::vector<std::string> kEverything = {
    "streaming:window=100000",
    "a-shape:window=100000,decode=sparse",
    "spans:span=1.0",
    "spans:heads=99999/1.0/99999+0.5/5000,sinks=0",
    "h2o:recent=99999",
    "h2o:heavy=1.0,recent=1.0",
    "vertical-slash:verticals=99999,decode=sparse",
    "vertical-slash:budget=99999,decode=sparse",
    "quest:budget=99999,prefill=sparse,skip=0",
    "infllm2:topk=99999,dense=0",
    "infllm2:budget=99999,dense=0,block=16",
    "infllm2:topk=1,dense=99999",
    "hip:budget=99999,skip=0",
    "xattention:threshold=1.0,decode=sparse",
    "xattention:budget=99999,threshold=1.0,decode=sparse,block=16",
    "psa:budget=99999,decode=sparse",
    "psa:topk=1/1/1/1,decode=sparse",
    "psa:energy=1/1/1/1,heads=joint",
    "hip:keys=99999,sinks=0,window=0,skip=0",
    "flexprefill:gamma=1,decode=sparse",
    "flexprefill:budget=99999,gamma=1,tau=1,decode=sparse",
    "duo:heads=0/1,full=99",
    "duo:heads=0/1,full=0,recent=99999",
    "masformer:full=99",
    "masformer:span=99999,full=0,local=block",
    "snapkv:cap=99999",
    "snapkv:cap=99999,prefill=sparse",
    "pyramidkv:cap=99999,prefill=sparse",
    "tca:keep=1000",
    "tca:window=99999",
    "tca:keep=1000,form=pages",
    "citrus:keep=99999,chunk=512",
};

TEST(AllPolicies, PlansAreCausalSortedWithoutDuplicatesAndKeepTheDiagonal) {
  Text text(700, 4, 2);
  for (const std::string& spec : kSparse) {
    PolicyRun run(spec, &text, 2);
    for (const size_t count : {300, 1, 17, 1, 381}) run.Append(count);
    run.ExpectSoundPlans();
    EXPECT_LT(run.planned_pairs(), run.causal_pairs()) << spec;
  }
}

TEST(AllPolicies, PlansStayWithinTheModelsOwnWindow) {
  Text text(400, 4, 2);
  for (const std::string& spec : kSparse) {
    PolicyRun run(spec, &text, 3, {0, 70, 150});
    for (const size_t count : {200, 1, 199}) run.Append(count);
    run.ExpectSoundPlans();
  }
}

TEST(AllPolicies, ABudgetThatCoversEverythingPlansWhatFullAttentionComputes) {
  Text text(600, 4, 2);
  PolicyRun full("full", &text);
  for (const size_t count : {550, 1, 49}) full.Append(count);
  for (const std::string& spec : kEverything) {
    PolicyRun run(spec, &text);
    for (const size_t count : {550, 1, 49}) run.Append(count);
    EXPECT_EQ(run.planned_pairs(), run.causal_pairs()) << spec;
    ExpectSamePlans(run, full);
  }
}

TEST(AllPolicies, ATextCutAtChunkBordersIsPlannedAsInOnePiece) {
  Text text(1100, 2, 1);
  for (const std::string& spec : kSparse) {
    if (spec.find("heads=") != std::string::npos || DecidesAtThePromptsEnd(spec)) continue;
    PolicyRun whole(spec, &text);
    whole.Append(1100);
    PolicyRun cut(spec, &text);
    for (const size_t count : {512, 512, 76}) cut.Append(count);
    ExpectSamePlans(whole, cut);
  }
}

TEST(AllPolicies, TwoRunsGiveTheSamePlans) {
  Text text(600, 2, 1);
  std::fill(text.keys.begin(), text.keys.end(), 0.5f);  // everything is a tie
  for (const std::string& spec : kSparse) {
    if (spec.find("heads=") != std::string::npos) continue;
    PolicyRun a(spec, &text);
    PolicyRun b(spec, &text);
    a.Append(600);
    b.Append(600);
    ExpectSamePlans(a, b);
  }
}

// Those that remember more have tests of their own.
TEST(AllPolicies, ATextCutBackAndReadAgainIsPlannedAsInAFreshSession) {
  Text text(700, 2, 1);
  for (const std::string& spec : kSparse) {
    if (spec.find("heads=") != std::string::npos || Remembers(spec)) continue;
    PolicyRun fresh(spec, &text);
    fresh.Append(401);
    fresh.Forget();
    fresh.Append(60);
    fresh.Append(1);
    Text other(700, 2, 1);
    PolicyRun cut(spec, &other);
    cut.Append(401);
    for (float& k : other.keys) k = -k;  // the text that is forgotten was another one
    cut.Append(250);
    other.keys = text.keys;
    cut.Truncate(401);
    cut.Forget();
    cut.Append(60);
    cut.Append(1);
    ExpectSamePlans(fresh, cut);
  }
}

TEST(AllPolicies, APlanOfEverythingThatMayBeReleasedIsNeverMade) {
  Text text(1400, 2, 1);
  for (const std::string& spec : kSparse) {
    if (spec.find("heads=") != std::string::npos) continue;
    PolicyRun run(spec, &text);
    std::set<uint64_t> released;
    for (const size_t count : {512, 300, 1, 1, 210, 376}) {
      run.Forget();
      run.Append(count);
      for (const PlannedBlock& block : run.blocks()) {
        for (const kernels::PlanEntry& entry : block.plan.entries) ASSERT_FALSE(released.contains(entry.block)) << spec;
        for (const kernels::PlanColumn& column : block.plan.columns) {
          ASSERT_FALSE(released.contains(column.position / 64)) << spec;
        }
        ASSERT_TRUE(released.empty() || block.plan.pooled.empty()) << spec;
      }
      for (uint64_t block = 0; (block + 1) * 64 <= run.length(); ++block) {
        if (run.policy().MayRelease(0, 0, block, run.length(), run.state())) released.insert(block);
      }
    }
    const bool by_content = spec.starts_with("quest") || spec.starts_with("vertical") || spec.starts_with("infllm2") ||
                            spec.starts_with("hip") || spec.starts_with("xattention") || spec.starts_with("flexprefill") ||
                            spec.starts_with("psa");
    const bool keeps_all =
        by_content || spec == kSparse[1] || (spec.starts_with("tca") && spec.find("pages") == std::string::npos);
    EXPECT_EQ(released.empty(), keeps_all) << spec;
  }
}

// Rows that decide have seen keys which later rows cannot see any more.
TEST(AllPolicies, PagesThatWereReleasedBehindAModelsOwnWindowChangeNoPlan) {
  Text text(1400, 2, 1);
  for (const std::string spec :
       {"snapkv:cap=64,rows=32", "snapkv:cap=64,rows=32,prefill=sparse,chunk=64", "pyramidkv:cap=64,rows=32",
        "tca:keep=200,window=100,rows=96,chunk=64", "tca:keep=200,window=64,form=pages", "citrus:keep=40,chunk=64",
        "citrus:keep=40,chunk=128,cache=standard", "h2o:budget=64"}) {
    PolicyRun kept(spec, &text, 1, {128});
    PolicyRun released(spec, &text, 1, {128});
    // Of the first prompt's last rows most came with the chunk before.
    for (const auto& [count, prompt_end] : {std::pair(512, false), {8, true}, {1, true}, {503, false}, {20, true}, {1, true}}) {
      kept.Append(count, prompt_end);
      released.Append(count, prompt_end);
      for (uint64_t block = 0; (block + 1) * 64 <= released.length(); ++block) {
        if (released.policy().MayRelease(0, 0, block, released.length(), released.state())) released.Release(block);
      }
    }
    SCOPED_TRACE(spec);
    ExpectSamePlans(kept, released);
  }
}

TEST(AllPolicies, ThoseThatChooseByContentDoNotChoosePagesThatAnotherPolicyHadReleased) {
  Text text(1300, 2, 1);
  for (const std::string spec :
       {"h2o:budget=64", "vertical-slash:budget=300,decode=sparse", "vertical-slash:verticals=99,slashes=99,decode=sparse",
        "quest:budget=400,skip=0,prefill=sparse", "infllm2:budget=400,dense=0", "hip:budget=400,skip=0",
        "xattention:decode=sparse", "psa:budget=300,decode=sparse", "psa:similar=none,local=128,decode=sparse",
        "flexprefill:decode=sparse,tau=0.4", "snapkv:cap=200", "snapkv:cap=200,prefill=sparse,chunk=64",
        "tca:keep=200,window=64,chunk=64", "tca:keep=200,window=64,form=pages", "citrus:keep=100,chunk=64"}) {
    PolicyRun run(spec, &text);
    run.SkipTo(1024);
    for (size_t block = 1; block < 12; ++block) run.Release(block);
    for (const size_t count : {100, 1, 150, 1}) run.Append(count);
    for (const PlannedBlock& block : run.blocks()) {
      for (const kernels::PlanEntry& entry : block.plan.entries) ASSERT_FALSE(entry.block >= 1 && entry.block < 12) << spec;
      for (const kernels::PlanColumn& column : block.plan.columns) {
        ASSERT_FALSE(column.position >= 64 && column.position < 768) << spec;
      }
      for (const kernels::PooledEntry& entry : block.plan.pooled) {
        for (size_t slot = 0; slot < 64; ++slot) {
          const uint64_t last = kernels::LastPosition(entry, slot);
          ASSERT_FALSE((entry.quarters >> (slot / 16) & 1) != 0 && last >= 64 && last < 768) << spec;
        }
      }
      for (const float value : run.Attend(block)) ASSERT_TRUE(std::isfinite(value)) << spec;
    }
  }
}

// Of 1,024 blocks 64 are looked at; these policies decide every eight blocks.
TEST(ShapeDensity, SomeBlocksStandForAll) {
  const ModelShape shape = {1, 1, 1, 16, {}};
  for (const std::string spec :
       {"snapkv:cap=512,prefill=sparse,chunk=512", "citrus:keep=512,chunk=512", "streaming:window=999"}) {
    const auto policy = *Create(spec, shape);
    uint64_t planned = 0;
    uint64_t causal = 0;
    kernels::Plan plan;
    for (uint64_t first = 0; first < 65536; first += 64) {
      policy->MakePlan({.first_position = first, .rows = 64, .context = first + 64}, &plan);
      planned += kernels::PlannedPairs(plan, first, 64, 1);
      causal += kernels::CausalPairs(first, 64, 1);
    }
    const double all = static_cast<double>(planned) / static_cast<double>(causal);
    EXPECT_NEAR(ShapeDensity(*policy, shape, 65536), all, 0.06 * all) << spec;
  }
}

TEST(SpecForDensity, ReachesHighDensitiesOfShortTexts) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto policy = *Create(*SpecForDensity("tca", 0.9, 512, shape), shape);
  EXPECT_GT(ShapeDensity(*policy, shape, 512), 0.85);
}

TEST(SpecForDensity, FindsTheLargestValueThatKeepsWithinTheDensity) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  for (const std::string spec : {"streaming",
                                 "a-shape",
                                 "spans",
                                 "h2o",
                                 "vertical-slash",
                                 "quest",
                                 "quest:page=64",
                                 "infllm2",
                                 "infllm2:block=16",
                                 "hip",
                                 "hip:block=64",
                                 "xattention",
                                 "xattention:block=16",
                                 "psa",
                                 "psa:similar=none",
                                 "flexprefill",
                                 "snapkv",
                                 "pyramidkv",
                                 "tca",
                                 "tca:form=pages",
                                 "citrus"}) {
    for (const double density : {0.15, 0.3}) {
      const Result<std::string> found = SpecForDensity(spec, density, 4096, shape);
      ASSERT_TRUE(found.ok()) << spec << ": " << found.status().ToString();
      const auto policy = Create(*found, shape);
      ASSERT_TRUE(policy.ok()) << *found << ": " << policy.status().ToString();
      EXPECT_LE(ShapeDensity(**policy, shape, 4096), density) << *found;
      EXPECT_GT(ShapeDensity(**policy, shape, 4096), density - 0.04) << *found;
    }
  }
}

TEST(SpecForDensity, TheMeasuredDensityIsNoHigherAndNotMuchLower) {
  Text text(2048, 4, 2);
  for (const std::string spec :
       {"streaming", "a-shape", "spans", "h2o", "vertical-slash:rows=4", "quest", "infllm2:block=16", "hip", "psa:similar=none",
        "xattention:block=16", "snapkv", "pyramidkv", "tca", "tca:form=pages", "citrus"}) {
    PolicyRun run(*SpecForDensity(spec, 0.25, 2048, {1, 4, 2, Text::kDim, {}}), &text);
    run.Append(2048);
    EXPECT_LE(run.density(), 0.25) << run.policy().Spec();
    EXPECT_GT(run.density(), 0.2) << run.policy().Spec();
  }
}

TEST(SpecForDensity, KeepsWhatTheSpecSays) {
  const ModelShape shape = {3, 4, 2, 16, {}};
  const std::string quest = *SpecForDensity("quest:page=64,skip=1,budget=99", 0.6, 2048, shape);
  EXPECT_EQ(quest.find("budget=99"), std::string::npos) << quest;
  EXPECT_EQ(quest.find("quest:prefill=sparse,page=64,skip=1,budget="), 0u) << quest;
}

TEST(SpecForDensity, WhatASpecSetsItselfIsToldApart) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  EXPECT_EQ(WhyNoDensity("streaming:sinks=8", shape), "");
  EXPECT_EQ(WhyNoDensity("streaming:sinks=8,window=99", shape), "'streaming:sinks=8,window=99' sets window itself");
  EXPECT_EQ(WhyNoDensity("dense", shape), "policy full has no option that sets its density");
  EXPECT_EQ(WhyNoDensity("none", shape), "");
  for (const char* overruled : {"masformer:layers=64/full", "spans:heads=32/32/64/32/32/32/32/32"}) {
    EXPECT_NE(WhyNoDensity(overruled, shape).find("computes the same whatever span is"), std::string::npos) << overruled;
  }
  for (const PolicyInfo& info : AllPolicies()) {
    if (!info.density_option.empty()) {
      EXPECT_EQ(WhyNoDensity(info.name, shape), "") << info.name;
    }
  }
}

TEST(SpecForDensity, RefusesInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto message = [&](std::string_view spec, double density) {
    return SpecForDensity(spec, density, 1024, shape).status().message();
  };
  EXPECT_EQ(message("full", 0.5), "policy full has no option that sets its density");
  EXPECT_EQ(message("none", 0.5).substr(0, 21), "unknown policy 'none'");
  EXPECT_EQ(message("quest", 0), "a density of 0 is not above 0 and at most 1");
  EXPECT_EQ(message("quest", 1.5), "a density of 1.5 is not above 0 and at most 1");
  EXPECT_EQ(message("quest:skip=2", 0.5), "'quest:skip=2' computes 1.0000 of 1024 tokens with budget=1, more than 0.5");
}

}  // namespace
}  // namespace damask::policies
