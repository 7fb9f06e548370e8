#include <gtest/gtest.h>

#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

// "F" for each layer in which the last row sees everything.
std::string FullLayersOf(const std::string& spec, size_t layers) {
  Text text(300, 2, 1);
  PolicyRun run(spec, &text, layers);
  run.Append(300);
  std::string full;
  for (size_t layer = 0; layer < layers; ++layer) full += run.Keys(299, 0, layer).size() == 300 ? 'F' : '-';
  return full;
}

TEST(MasformerPolicy, FullLayersAreWhereTheSpecSays) {
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=2", 8), "--F---F-");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=0.25", 8), "--F---F-");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=1", 6), "---F--");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=0", 3), "---");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=3,place=bottom", 6), "FFF---");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=2,place=top", 6), "----FF");
  EXPECT_EQ(FullLayersOf("masformer:span=20,full=9,place=top", 3), "FFF");
  EXPECT_EQ(FullLayersOf("masformer:layers=20/full/1.0/0.5", 4), "-FF-");
}

TEST(MasformerPolicy, OtherLayersSeeSinksAndTheSpan) {
  Text text(500, 2, 1);
  PolicyRun run("masformer:layers=32/0.5/full,sinks=16", &text, 3);
  for (const size_t count : {400, 1, 99}) run.Append(count);
  run.ExpectSoundPlans();
  for (uint64_t query = 0; query < 500; ++query) {
    const uint64_t half = (query / 64 + 1) * 32;
    for (uint64_t key = 0; key <= query; ++key) {
      ASSERT_EQ(run.Keys(query, 0, 0).contains(key), key < 16 || query - key < 32) << query << " " << key;
      ASSERT_EQ(run.Keys(query, 0, 1).contains(key), key < 16 || query - key < half) << query << " " << key;
    }
  }
}

TEST(MasformerPolicy, ABlockSeesItselfAndTheSinks) {
  Text text(700, 2, 1);
  for (const uint64_t sinks : {0, 4, 16, 100}) {
    PolicyRun run("masformer:span=120,full=0,local=block,sinks=" + std::to_string(sinks), &text);
    for (const size_t count : {300, 1, 17, 1, 381}) run.Append(count);
    run.ExpectSoundPlans();
    for (uint64_t query = 0; query < 700; query += 3) {
      const std::set<uint64_t> keys = run.Keys(query);
      const uint64_t begin = query / 128 * 128;  // 120 keys are two key blocks
      for (uint64_t key = 0; key <= query; ++key) {
        const bool sees = key < sinks || key >= begin;
        // A sink's quarter may be kept whole where the window passes.
        if (key >= sinks && key < (sinks + 15) / 16 * 16) continue;
        ASSERT_EQ(keys.contains(key), sees) << "sinks " << sinks << " query " << query << " key " << key;
      }
    }
  }
}

TEST(MasformerPolicy, WrongOptionsAreRefusedInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto message = [&](const std::string& spec) { return Create("masformer:" + spec, shape).status().message(); };
  EXPECT_EQ(message("place=left"), "policy masformer: place='left' is not spread, bottom or top");
  EXPECT_EQ(message("layers=1/2/3"), "policy masformer: layers lists 3 spans; the model has 2 layers");
  EXPECT_EQ(message("layers=1/x"), "'x' is not a span (256, 0.25 or 256+0.25)");
  EXPECT_EQ(message("local=block,span=0.5"), "policy masformer: local=block wants spans in keys, not in shares");
}

}  // namespace
}  // namespace damask::policies
