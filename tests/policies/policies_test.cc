#include <functional>

#include <gtest/gtest.h>

#include "policies/registry.h"

namespace damask::policies {
namespace {

ModelShape Shape(std::vector<uint32_t> windows = {}) { return {2, 8, 2, 64, std::move(windows)}; }

std::unique_ptr<Policy> Make(std::string_view spec, const ModelShape& shape = Shape()) {
  Result<std::unique_ptr<Policy>> policy = Create(spec, shape);
  EXPECT_TRUE(policy.ok()) << policy.status().ToString();
  return policy.ok() ? std::move(policy).value() : nullptr;
}

// How often the kernels compute (query, key) for head 0, read off plan.h.
int TimesComputed(const kernels::Plan& plan, uint64_t query, uint64_t key) {
  int times = 0;
  for (const kernels::PlanEntry& entry : plan.entries) {
    if (entry.block != key / 64 || (entry.quarters >> (key % 64 / 16) & 1) == 0) continue;
    if ((entry.causal && key > query) || (entry.window != 0 && key + entry.window <= query)) continue;
    ++times;
  }
  for (const kernels::PlanColumn& column : plan.columns) times += column.position == key && key <= query ? 1 : 0;
  return times;
}

// Compares a policy with a rule on single pairs, for whole blocks, chunks that split them, and single rows.
void ExpectRule(const Policy& policy, size_t layer, uint64_t context, const std::function<bool(uint64_t, uint64_t)>& sees) {
  struct Rows {
    uint64_t first;
    size_t count;
  };
  std::vector<Rows> cases;
  for (uint64_t first = 0; first < context; first += 64) {
    cases.push_back({first, 64});
    cases.push_back({first, 21});
    cases.push_back({first + 21, 43});
    cases.push_back({first + 37, 1});
  }
  kernels::Plan plan;
  for (const Rows& rows : cases) {
    PlanRequest request;
    request.layer = layer;
    request.first_position = rows.first;
    request.rows = rows.count;
    request.context = rows.first + rows.count;
    policy.MakePlan(request, &plan);
    for (size_t i = 1; i < plan.entries.size(); ++i) ASSERT_LE(plan.entries[i - 1].block, plan.entries[i].block);
    for (size_t i = 1; i < plan.columns.size(); ++i) ASSERT_LT(plan.columns[i - 1].position, plan.columns[i].position);
    for (uint64_t query = rows.first; query < rows.first + rows.count; ++query) {
      for (uint64_t key = 0; key < request.context + 64; ++key) {
        ASSERT_EQ(TimesComputed(plan, query, key), sees(query, key) ? 1 : 0)
            << policy.Spec() << ": query " << query << " of rows " << rows.first << " + " << rows.count << ", key " << key;
      }
    }
  }
}

TEST(FullPolicy, SeesEveryCausalKey) {
  ExpectRule(*Make("full"), 0, 256, [](uint64_t query, uint64_t key) { return key <= query; });
}

TEST(FullPolicy, KeepsToTheModelsWindowOfEachLayer) {
  const std::unique_ptr<Policy> policy = Make("full", Shape({0, 70}));
  ExpectRule(*policy, 0, 256, [](uint64_t query, uint64_t key) { return key <= query; });
  ExpectRule(*policy, 1, 256, [](uint64_t query, uint64_t key) { return key <= query && query - key < 70; });
}

TEST(StreamingPolicy, SeesSinksAndWindowExactly) {
  struct Case {
    uint64_t sinks;
    uint64_t window;
  };
  for (const Case& c : {Case{0, 100}, Case{16, 1}, Case{64, 130}, Case{80, 64}, Case{0, 1}, Case{320, 10}, Case{1000, 5}}) {
    const auto policy = Make("streaming:sinks=" + std::to_string(c.sinks) + ",window=" + std::to_string(c.window));
    ExpectRule(*policy, 0, 384,
               [&](uint64_t query, uint64_t key) { return key <= query && (key < c.sinks || query - key < c.window); });
  }
}

TEST(StreamingPolicy, KeepsTheQuarterWhereSinksEndWhileTheWindowOfTheQueryBlockTouchesIt) {
  for (const uint64_t sinks : {1, 4, 20, 63, 70}) {
    for (const uint64_t window : {1, 50, 100, 1024}) {
      const auto policy = Make("streaming:sinks=" + std::to_string(sinks) + ",window=" + std::to_string(window));
      ExpectRule(*policy, 0, 320, [&](uint64_t query, uint64_t key) {
        const uint64_t block_first = query / 64 * 64;
        const uint64_t lowest = block_first >= window ? block_first - window + 1 : 0;
        const uint64_t quarter_end = (sinks + 15) / 16 * 16;
        const bool joined = key < quarter_end && lowest < quarter_end;
        return key <= query && (key < sinks || query - key < window || joined);
      });
    }
  }
}

TEST(StreamingPolicy, NeverLooksBeyondTheModelsOwnWindow) {
  for (const uint32_t own : {40u, 100u, 200u}) {
    const std::unique_ptr<Policy> policy = Make("streaming:sinks=16,window=64", Shape({own, own}));
    ExpectRule(*policy, 1, 384, [&](uint64_t query, uint64_t key) {
      const bool sink = own > 64 && key < 16 && query / 64 * 64 + 64 <= own;
      return key <= query && (sink || query - key < std::min<uint64_t>(64, own));
    });
  }
}

TEST(StreamingPolicy, LongContextsCostNoMoreThanSinksAndWindow) {
  const std::unique_ptr<Policy> policy = Make("streaming");
  PlanRequest request;
  request.first_position = 1 << 20;
  request.rows = 64;
  kernels::Plan plan;
  policy->MakePlan(request, &plan);
  EXPECT_EQ(plan.entries.size(), 17u);
  EXPECT_EQ(plan.columns.size(), 4u);
}

TEST(Registry, ListsEveryPolicyWithSourceAndOptions) {
  ASSERT_GE(AllPolicies().size(), 2u);
  for (const PolicyInfo& info : AllPolicies()) {
    EXPECT_FALSE(info.name.empty());
    EXPECT_FALSE(info.help.empty()) << info.name;
    EXPECT_FALSE(info.source.empty()) << info.name;
    for (const OptionInfo& option : info.options) EXPECT_FALSE(option.help.empty()) << info.name << " " << option.name;
  }
}

TEST(Registry, ASpecMadeByAPolicyMakesItAgain) {
  for (const std::string spec : {
           "full",
           "streaming:sinks=7,window=99",
           "a-shape:sinks=100,window=500,decode=sparse",
           "spans:span=64+0.25,heads=none,file=none,sinks=3",
           "h2o:heavy=0.25,recent=30,budget=0",
           "h2o:heavy=0.0,recent=0.1,budget=77",
           "vertical-slash:verticals=9,slashes=8,sinks=7,local=6,budget=5,rows=4,decode=sparse",
           "quest:budget=100,page=64,skip=1,prefill=sparse",
           "infllm2:topk=9,sinks=2,window=300,dense=77,budget=500,block=16",
           "hip:keys=9,sinks=8,window=7,skip=6,stride=5,refresh=4,budget=3,block=64,heads=joint",
           "xattention:threshold=0.75,stride=8,budget=100,block=16,heads=joint,decode=sparse",
           "psa:topk=0.1/0.2/0.3/1,energy=none,similar=none,local=77,budget=500,heads=joint,decode=sparse",
           "psa:topk=0/0/0/1,energy=0.7/0.8/0.9/0.9,similar=0.5/-1/1,local=0,budget=0,heads=each,decode=dense",
           "duo:file=none,heads=1/0,full=3,sinks=1,recent=2",
           "flexprefill:gamma=0.75,tau=0.25,least=99,budget=88,rows=4,decode=sparse",
           "snapkv:cap=70,rows=8,pool=7,unit=16,prefill=sparse,chunk=128",
           "pyramidkv:cap=70,rows=8,pool=7,unit=1,prefill=dense,chunk=512,taper=4",
           "tca:file=none,heads=0.5/0.25,keep=200,window=9,sinks=8,rows=7,lambda=0.25,form=pages,chunk=64",
           "citrus:keep=70,chunk=128,cache=single,instruction=what is it?,file=none,last=7,heads=own",
           "masformer:span=64,full=2,place=top,layers=none,local=block,sinks=3",
       }) {
    EXPECT_EQ(Make(Make(spec)->Spec())->Spec(), spec);
  }
  for (const PolicyInfo& info : AllPolicies()) {
    if (info.name == "dam" || info.name == "duo") continue;  // need their mask or table
    EXPECT_EQ(Make(info.name)->Spec(), Make(Make(info.name)->Spec())->Spec());
  }
  EXPECT_EQ(Make("dense")->Spec(), "full");
  EXPECT_EQ(Make("streaming")->Spec(), "streaming:sinks=4,window=1024");
}

// Small ones are printed with an exponent.
TEST(Registry, ASpecOfAnyShareCanBeReadAgain) {
  for (int zeros = 0; zeros < 30; ++zeros) {
    for (const std::string digits : {"1", "25", "999", "123456789"}) {
      const std::string share = "0." + std::string(static_cast<size_t>(zeros), '0') + digits;
      for (const std::string& given :
           {"h2o:heavy=" + share + ",recent=" + share, "spans:span=" + share, "spans:span=9+" + share}) {
        const std::unique_ptr<Policy> policy = Make(given);
        const std::unique_ptr<Policy> again = Make(policy->Spec());
        ASSERT_NE(again, nullptr) << given;
        EXPECT_EQ(again->Spec(), policy->Spec());
      }
    }
  }
}

TEST(Registry, WrongSpecsAreRefusedInOneSentenceThatNamesTheChoices) {
  const auto message = [](std::string_view spec) {
    const Result<std::unique_ptr<Policy>> policy = Create(spec, Shape());
    EXPECT_FALSE(policy.ok()) << spec;
    EXPECT_EQ(policy.status().code(), StatusCode::kInvalidArgument) << spec;
    return policy.status().message();
  };
  std::string names = "full, dense";
  for (const PolicyInfo& info : AllPolicies()) names += info.name == "full" ? "" : ", " + info.name;
  EXPECT_EQ(message("nonsense"), "unknown policy 'nonsense'; the policies are " + names);
  EXPECT_EQ(message("strming"), "unknown policy 'strming' (did you mean 'streaming'?); the policies are " + names);
  EXPECT_EQ(message(""), "unknown policy ''; the policies are " + names);
  EXPECT_EQ(message("streaming:sink=4"), "policy streaming has no option 'sink'; it has sinks, window");
  EXPECT_EQ(message("full:window=3"), "policy full has no option 'window'; it has no options");
  EXPECT_EQ(message("streaming:sinks"), "policy streaming: found 'sinks' where key=value was expected");
  EXPECT_EQ(message("streaming:sinks=1,"), "policy streaming: found '' where key=value was expected");
  EXPECT_EQ(message("streaming:sinks=1,sinks=2"), "policy streaming: option sinks is given twice");
  EXPECT_EQ(message("streaming:window=0"), "policy streaming: window='0' is not a whole number between 1 and 16777216");
  EXPECT_EQ(message("streaming:window=12x"), "policy streaming: window='12x' is not a whole number between 1 and 16777216");
  EXPECT_EQ(message("streaming:window=-1"), "policy streaming: window='-1' is not a whole number between 1 and 16777216");
  EXPECT_EQ(message("h2o:heavy=1.5"), "policy h2o: heavy='1.5' is neither a number of keys nor a share between 0.0 and 1.0");
  EXPECT_EQ(message("h2o:heavy=nan."), "policy h2o: heavy='nan.' is neither a number of keys nor a share between 0.0 and 1.0");
  EXPECT_EQ(message("h2o:heavy=0x.1p0"),
            "policy h2o: heavy='0x.1p0' is neither a number of keys nor a share between 0.0 and 1.0");
  EXPECT_EQ(message("h2o:heavy=1.e1"), "policy h2o: heavy='1.e1' is neither a number of keys nor a share between 0.0 and 1.0");
  EXPECT_EQ(message("h2o:recent=x"), "policy h2o: recent='x' is not a whole number between 0 and 16777216");
  EXPECT_EQ(message("quest:page=32"), "policy quest: page='32' is neither 16 nor 64");
  EXPECT_EQ(message("vertical-slash:rows=3"), "policy vertical-slash: rows='3' does not divide 64");
  EXPECT_EQ(message("a-shape:decode=fast"), "policy a-shape: decode='fast' is neither dense nor sparse");
  EXPECT_EQ(message("psa:topk=0.1/0.2"), "policy psa: topk='0.1/0.2' is not 4 numbers between 0 and 1 with / between them");
  EXPECT_EQ(message("psa:similar=1/1/2"), "policy psa: similar='1/1/2' is not 3 numbers between -1 and 1 with / between them");
  EXPECT_EQ(message("psa:energy=0.1/0.3/0.2/0.5"),
            "policy psa: energy='0.1/0.3/0.2/0.5' falls, where each level begins where the finer one ends");
  EXPECT_EQ(message("a\nb"), "unknown policy 'a\\x0ab'; the policies are " + names);
}

}  // namespace
}  // namespace damask::policies
