#include <cmath>

#include <gtest/gtest.h>

#include "policies/best.h"
#include "policies/head_states.h"
#include "policies/kept_keys.h"
#include "tests/policies/policy_run.h"

namespace damask::policies {
namespace {

const KeptKeys& StateOf(PolicyRun* run, size_t layer = 0) {
  return static_cast<HeadStates<KeptKeys>*>(run->state())->at(layer, 0);
}

// The keys that remain by the rule, computed the plain way: dense attention of the last `rows` of `length` over both heads.
std::set<uint32_t> KeptByRule(Text* text, uint64_t length, uint64_t cap, uint64_t rows, size_t pool) {
  const uint64_t border = (length - rows) / 16 * 16;
  std::vector<double> sums(border);
  for (uint64_t query = length - rows; query < length; ++query) {
    for (size_t head = 0; head < text->heads; ++head) {
      std::vector<double> p(query + 1);
      double total = 0;
      for (uint64_t key = 0; key <= query; ++key) {
        double score = 0;
        for (size_t d = 0; d < Text::kDim; ++d) score += static_cast<double>(text->query(query, head)[d]) * text->key(key)[d];
        total += p[key] = std::exp(score / 4);
      }
      for (uint64_t key = 0; key < border; ++key) sums[key] += p[key] / total;
    }
  }
  std::vector<float> smooth(border);
  for (size_t i = 0; i < border; ++i) {
    double sum = 0;
    for (size_t j = 0; j < border; ++j) sum += j + pool / 2 >= i && j <= i + pool / 2 ? sums[j] : 0.0;
    smooth[i] = static_cast<float>(sum);
  }
  std::vector<uint32_t> best;
  BestIndices(smooth, cap - rows, &best);
  return {best.begin(), best.end()};
}

TEST(SnapKvPolicy, KeepsWhatTheLastRowsOfThePromptLookAt) {
  Text text(800, 2, 1);
  PolicyRun run("snapkv:cap=100,rows=20,pool=5", &text);
  run.Append(700);
  run.Append(1);
  const std::set<uint64_t> seen = run.Keys(700);
  std::set<uint64_t> expected;
  for (const uint32_t key : KeptByRule(&text, 700, 100, 20, 5)) expected.insert(key);
  for (uint64_t key = 672; key <= 700; ++key) expected.insert(key);  // the last rows, in whole quarters
  EXPECT_EQ(seen, expected);
}

TEST(SnapKvPolicy, ReadsThePromptDenselyAndDropsNothingWhileItAnswers) {
  Text text(800, 2, 1);
  PolicyRun run("snapkv:cap=100,rows=20", &text);
  run.Append(700);
  EXPECT_EQ(run.planned_pairs(), run.causal_pairs());
  for (int i = 0; i < 40; ++i) run.Append(1);
  EXPECT_EQ(run.Keys(739).size(), 80u + 28u + 40u);
  EXPECT_EQ(StateOf(&run).kept().size(), 80u);
  run.Append(60);  // the next prompt: decided anew, of what is left
  EXPECT_EQ(StateOf(&run).kept().size(), 80u);
  EXPECT_EQ(StateOf(&run).low(), 768u);
}

TEST(SnapKvPolicy, APromptIsDecidedTheSameHoweverItWasCut) {
  Text text(800, 2, 1);
  PolicyRun whole("snapkv:cap=100,rows=40", &text);
  PolicyRun cut("snapkv:cap=100,rows=40", &text);
  whole.Append(700);
  for (const size_t count : {100, 539, 1, 30, 29}) cut.Append(count, false);
  cut.Append(1);  // not a drawn token: the prompt's last one
  whole.Forget();
  cut.Forget();
  whole.Append(60);
  cut.Append(60);
  ExpectSamePlans(whole, cut);
  EXPECT_EQ(StateOf(&whole).kept(), StateOf(&cut).kept());
}

TEST(SnapKvPolicy, ADroppedPositionIsNeverReadAgain) {
  Text text(1301, 2, 1);
  for (const std::string spec : {"snapkv:cap=60", "snapkv:cap=60,prefill=sparse,chunk=64", "pyramidkv:cap=60"}) {
    PolicyRun run(spec, &text);
    std::set<uint64_t> dropped;
    for (const size_t count : {512, 300, 1, 1, 1, 60, 425}) {
      run.Forget();
      run.Append(count);
      // In a run of several chunks the plans of the first ones may name what the last one dropped: they come before.
      for (const PlannedBlock& block : run.blocks()) {
        if (block.first + block.rows < run.length()) continue;
        for (const float value : run.Attend(block)) ASSERT_TRUE(std::isfinite(value)) << spec << " block " << block.first;
      }
      for (uint64_t position = 0; position < StateOf(&run).low(); ++position) {
        if (StateOf(&run).Keeps(position, position + 1)) continue;
        dropped.insert(position);
        run.Poison(position);
      }
      run.Forget();
    }
    run.Append(1);
    for (const float value : run.Attend(run.blocks().back())) ASSERT_TRUE(std::isfinite(value)) << spec;
    EXPECT_GT(dropped.size(), 1100u) << spec;
  }
}

TEST(SnapKvPolicy, WithWholePagesMemoryIsWhatIsKept) {
  Text text(2000, 2, 1);
  PolicyRun run("snapkv:cap=352,rows=32,unit=64", &text);
  run.Append(2000);
  size_t pages = 0;
  for (uint64_t block = 0; block * 64 < 2000; ++block) {
    pages += run.policy().MayRelease(0, 0, block, 2000, run.state()) ? 0 : 1;
  }
  EXPECT_EQ(pages, 320 / 64 + 2);  // and 1920 .. 1999, of which the last rows are part
}

TEST(SnapKvPolicy, SparseReadingSeesNoMoreThanTheCapAndItsChunk) {
  Text text(1500, 2, 1);
  PolicyRun run("snapkv:cap=128,prefill=sparse,chunk=64", &text);
  run.Append(1500);
  for (uint64_t query = 0; query < 1500; query += 11) {
    EXPECT_LE(run.Keys(query).size(), 128u + 64u + 15u) << query;
    EXPECT_GE(run.Keys(query).size(), std::min<uint64_t>(query + 1, 128)) << query;
  }
}

TEST(SnapKvPolicy, ABrokenChunkLeavesNoTraceAndAStateSaysHowFarItCanGoBack) {
  Text text(1200, 2, 1);
  const char* spec = "snapkv:cap=60,prefill=sparse,chunk=128";
  PolicyRun fresh(spec, &text);
  PolicyRun broken(spec, &text);
  fresh.Append(640);
  broken.Append(768);
  EXPECT_EQ(broken.state()->ExactLength(800), 800u);
  EXPECT_EQ(broken.state()->ExactLength(700), 640u);
  EXPECT_EQ(broken.state()->ExactLength(600), 0u);
  broken.Truncate(640);
  for (PolicyRun* run : {&fresh, &broken}) {
    run->Forget();
    run->Append(300);
    run->Append(1);
  }
  ExpectSamePlans(fresh, broken);
  for (const uint64_t length : {900, 777, 512, 100, 5}) {
    broken.Truncate(length);
    broken.Forget();
    broken.Append(100);
    broken.Append(1);
    broken.ExpectSoundPlans();
  }
}

TEST(SnapKvPolicy, DrawnTokensCanBeTakenBackExactly) {
  Text text(800, 2, 1);
  PolicyRun run("snapkv:cap=60", &text);
  run.Append(600);
  for (int i = 0; i < 5; ++i) run.Append(1);
  EXPECT_EQ(run.state()->ExactLength(602), 602u);
  EXPECT_EQ(run.state()->ExactLength(600), 600u);
  EXPECT_EQ(run.state()->ExactLength(599), 512u);
}

TEST(SnapKvPolicy, WrongOptionsAreRefusedInOneSentence) {
  const ModelShape shape = {2, 4, 2, 16, {}};
  const auto message = [&](const std::string& spec) { return Create("snapkv:" + spec, shape).status().message(); };
  EXPECT_EQ(message("pool=4"), "policy snapkv: pool=4 is not odd");
  EXPECT_EQ(message("unit=32"), "policy snapkv: unit=32 is not 1, 16 or 64");
  EXPECT_EQ(message("chunk=192"), "policy snapkv: chunk=192 is not 64, 128, 256 or 512");
}

// The second prompt is a chunk that is taken back with some of the first answer.
TEST(SnapKvPolicy, DrawnTokensBeforeTheLastChunkCanBeTakenBackExactly) {
  Text text(900, 2, 1);
  for (const std::string spec : {"snapkv:cap=100", "snapkv:cap=100,prefill=sparse,chunk=64", "pyramidkv:cap=100"}) {
    for (const uint64_t length : {600, 650, 700}) {
      PolicyRun fresh(spec, &text, 2);
      PolicyRun cut(spec, &text, 2);
      for (PolicyRun* run : {&fresh, &cut}) {
        run->Append(600);
        while (run->length() < (run == &fresh ? length : 700)) run->Append(1);
        run->Forget();
      }
      cut.Append(4);
      EXPECT_EQ(cut.state()->ExactLength(length), length) << spec;
      EXPECT_EQ(cut.state()->ExactLength(702), 700u) << spec;
      cut.Truncate(length);
      cut.Forget();
      for (PolicyRun* run : {&fresh, &cut}) {
        run->Append(120);
        run->Append(1);
      }
      ExpectSamePlans(fresh, cut);
    }
  }
}

}  // namespace
}  // namespace damask::policies
