#include <cmath>

#include <gtest/gtest.h>

#include "policies/best.h"
#include "tests/policies/policy_run.h"
#include "tests/temp_dir.h"

namespace damask::policies {
namespace {

// All rows look away from key 70.
Text AskedText(size_t length) {
  Text text(length, 4, 2);
  for (float& k : text.keys) k *= 0.1f;
  for (size_t kv_head = 0; kv_head < 2; ++kv_head) text.key(70, kv_head)[3] = 20.0f;
  for (uint64_t p = 0; p < length; ++p) {
    for (size_t head = 0; head < 4; ++head) text.query(p, head)[3] = -1.0f;
  }
  return text;
}

// An instruction of four rows looks at key 70.
void Ask(Text* text, PolicyRun* run) {
  const auto look = [&](float how) {
    for (uint64_t p = run->length(); p < run->length() + 4; ++p) {
      for (size_t head = 0; head < 4; ++head) text->query(p, head)[3] = how;
    }
  };
  look(1.0f);
  run->LookAhead(4);
  look(-1.0f);
}

void AskEachChunk(Text* text, PolicyRun* run, size_t chunks) {
  for (size_t i = 0; i < chunks; ++i) {
    if (run->length() > 0) Ask(text, run);
    run->Append(64, false);
  }
}

TEST(CitrusPolicy, TheNextChunkDecidesWhatStaysForAllHeadsOfALayer) {
  Text text(300, 4, 2);
  PolicyRun run("citrus:keep=20,chunk=64,cache=standard", &text);
  run.Append(192);  // chunk 2 has decided about chunks 0 and 1, of which 20 keys had stayed
  run.Forget();
  run.Append(1);
  const std::set<uint64_t> seen = run.Keys(192);
  EXPECT_EQ(seen.size(), 20u + 64u + 1u);
  for (size_t head = 1; head < 4; ++head) EXPECT_EQ(run.Keys(192, head), seen);
  // The first decision, computed the plain way: rows 64 .. 127 over keys 0 .. 127, all heads.
  PolicyRun first("citrus:keep=20,chunk=64,cache=standard", &text);
  first.Append(128);
  first.Append(1);
  std::vector<float> sums(64);
  for (uint64_t query = 64; query < 128; ++query) {
    for (size_t head = 0; head < 4; ++head) {
      std::vector<double> p(query + 1);
      double total = 0;
      for (uint64_t key = 0; key <= query; ++key) {
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) {
          score += static_cast<double>(text.query(query, head)[d]) * text.key(key, head / 2)[d];
        }
        total += p[key] = std::exp(score / 4);
      }
      for (uint64_t key = 0; key < 64; ++key) sums[key] += static_cast<float>(p[key] / total);
    }
  }
  std::vector<uint32_t> best;
  BestIndices(sums, 20, &best);
  std::set<uint64_t> expected(best.begin(), best.end());
  for (uint64_t key = 64; key <= 128; ++key) expected.insert(key);
  EXPECT_EQ(first.Keys(128), expected);
}

TEST(CitrusPolicy, WithSetsOfTheirOwnHeadsDiffer) {
  Text text(300, 4, 2);
  PolicyRun run("citrus:keep=20,chunk=64,cache=standard,heads=own", &text);
  run.Append(192);
  run.Append(1);
  EXPECT_EQ(run.Keys(192, 0), run.Keys(192, 1));  // of one KV head
  EXPECT_NE(run.Keys(192, 0), run.Keys(192, 2));
}

TEST(CitrusPolicy, TheCacheNeverHoldsMoreThanWhatIsKeptAndAChunk) {
  Text text(1000, 4, 2);
  PolicyRun run("citrus:keep=50,chunk=64", &text);
  for (int chunk = 0; chunk < 15; ++chunk) {
    run.Append(64, false);
    EXPECT_LE(run.Held().size(), 50u + 64u);
  }
}

TEST(CitrusPolicy, TheInstructionDecidesWithASingleCache) {
  Text text = AskedText(800);
  PolicyRun alone("citrus:keep=16,chunk=64,cache=standard", &text);
  alone.Append(640, false);
  PolicyRun asked("citrus:keep=16,chunk=64,cache=single", &text);
  AskEachChunk(&text, &asked, 10);
  for (PolicyRun* run : {&alone, &asked}) {
    run->Forget();
    run->Append(20);
    run->ExpectSoundPlans();
  }
  EXPECT_FALSE(alone.Keys(650).contains(70));
  EXPECT_TRUE(asked.Keys(650).contains(70));
}

TEST(CitrusPolicy, WithADoubleCacheTheTextIsReadWithOneAndAskedWithTheOther) {
  Text text = AskedText(800);
  PolicyRun run("citrus:keep=16,chunk=64,cache=double", &text);
  AskEachChunk(&text, &run, 10);
  Ask(&text, &run);
  run.Forget();
  run.Append(20);
  EXPECT_FALSE(run.Keys(650).contains(70));
  run.Append(1);  // drawn
  EXPECT_TRUE(run.Keys(660).contains(70));
  EXPECT_FALSE(run.policy().MayRelease(0, 0, 1, 661, run.state()));
  run.ExpectSoundPlans();
}

// The two sets differ by then; the chunk's own rows look away from key 70 in both.
TEST(CitrusPolicy, AChunkThatNothingIsAskedOfDecidesAboutBothSets) {
  Text text = AskedText(800);
  PolicyRun run("citrus:keep=16,chunk=64,cache=double", &text);
  AskEachChunk(&text, &run, 5);
  for (uint64_t p = run.length(); p < run.length() + 64; ++p) {
    for (size_t head = 0; head < 4; ++head) text.query(p, head)[3] = -1.0f;
  }
  run.Append(64);
  run.Append(1);  // drawn
  EXPECT_FALSE(run.Keys(384).contains(70));
  run.ExpectSoundPlans();
}

TEST(CitrusPolicy, ADroppedPositionIsNeverReadAgain) {
  Text text(1301, 4, 2);
  for (const std::string cache : {"standard", "single", "double"}) {
    PolicyRun run("citrus:keep=30,chunk=64,cache=" + cache, &text);
    size_t dropped = 0;
    for (int chunk = 0; chunk < 19; ++chunk) {
      run.Forget();
      if (run.length() > 0) run.LookAhead(4);
      run.Append(64, false);
      for (const PlannedBlock& block : run.blocks()) {
        for (const float value : run.Attend(block)) ASSERT_TRUE(std::isfinite(value)) << cache << " block " << block.first;
      }
      const std::set<uint64_t> held = run.Held();
      for (uint64_t position = 0; position < run.length(); ++position) {
        if (held.contains(position)) continue;
        for (size_t kv_head = 0; kv_head < 2; ++kv_head) run.Poison(position, kv_head);
        ++dropped;
      }
    }
    EXPECT_GT(dropped, 5000u);
  }
}

TEST(CitrusPolicy, NothingIsDroppedWhileItAnswersAndDrawnTokensCanBeTakenBack) {
  Text text(400, 4, 2);
  PolicyRun run("citrus:keep=30,chunk=64", &text);
  run.Append(256);
  for (int i = 0; i < 100; ++i) run.Append(1);
  EXPECT_EQ(run.Keys(355).size(), 30u + 64u + 100u);
  EXPECT_EQ(run.state()->ExactLength(300), 300u);
  EXPECT_EQ(run.state()->ExactLength(255), 192u);
}

TEST(CitrusPolicy, ABrokenChunkLeavesNoTrace) {
  Text text(800, 4, 2);
  PolicyRun fresh("citrus:keep=30,chunk=64", &text);
  PolicyRun broken("citrus:keep=30,chunk=64", &text);
  fresh.Append(640, false);
  broken.Append(704, false);
  broken.Truncate(640);
  for (PolicyRun* run : {&fresh, &broken}) {
    run->Forget();
    run->Append(100);
    run->Append(1);
  }
  ExpectSamePlans(fresh, broken);
}

TEST(CitrusPolicy, SaysWhatItAsksAndRefusesInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const test::TempDir dir;
  const auto asked = [&](const std::string& spec) { return (*Create("citrus" + spec, shape))->AskedInstruction(); };
  EXPECT_FALSE(asked(":cache=standard").given());
  EXPECT_EQ(asked("").last, 32u);
  EXPECT_TRUE(asked("").turn);
  EXPECT_EQ(asked(":last=9").last, 9u);
  EXPECT_FALSE(asked(":last=9").turn);
  EXPECT_EQ(asked(":instruction=what is it?").text, "what is it?");
  EXPECT_EQ(asked(":file=" + dir.Write("i", "who, what, where?")).text, "who, what, where?");
  const auto message = [&](const std::string& spec) { return Create("citrus:" + spec, shape).status().message(); };
  EXPECT_EQ(message("cache=triple"), "policy citrus: cache='triple' is not standard, single or double");
  EXPECT_EQ(message("instruction=x,file=y"), "policy citrus: instruction and file cannot be given together");
  EXPECT_EQ(message("last=0"), "policy citrus: last='0' is not a whole number between 1 and 256");
}

TEST(CitrusPolicy, DrawnTokensBeforeTheLastChunkCanBeTakenBackExactly) {
  Text text(600, 4, 2);
  PolicyRun fresh("citrus:keep=30,chunk=64", &text);
  PolicyRun cut("citrus:keep=30,chunk=64", &text);
  for (PolicyRun* run : {&fresh, &cut}) {
    run->Append(256);
    while (run->length() < (run == &fresh ? 300 : 350)) run->Append(1);
    run->Forget();
  }
  cut.Append(20);
  EXPECT_EQ(cut.state()->ExactLength(350), 350u);
  EXPECT_EQ(cut.state()->ExactLength(300), 300u);
  cut.Truncate(300);
  cut.Forget();
  for (PolicyRun* run : {&fresh, &cut}) {
    run->Append(100);
    run->Append(1);
  }
  ExpectSamePlans(fresh, cut);
}

TEST(CitrusPolicy, OfALongInstructionTheEndIsRead) {
  EXPECT_EQ(FirstInstructionToken(0, 1000), 0u);
  EXPECT_EQ(FirstInstructionToken(256, 1000), 0u);
  EXPECT_EQ(FirstInstructionToken(300, 1000), 44u);
  EXPECT_EQ(FirstInstructionToken(300, 100), 200u);
  EXPECT_EQ(FirstInstructionToken(10, 0), 10u);
  const test::TempDir dir;
  const std::string book = dir.Write("book", std::string(1 << 20, 'x'));
  EXPECT_EQ(Create("citrus:file=" + book, {2, 4, 2, 16, {}}).status().code(), StatusCode::kTooLarge);
}

}  // namespace
}  // namespace damask::policies
