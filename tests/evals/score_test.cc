#include "evals/score.h"

#include <gtest/gtest.h>

namespace damask::evals {
namespace {

double ScoreOf(Metric metric, std::string_view answer, std::vector<std::string> expected, std::string keywords = "") {
  texts::Sample sample;
  sample.expected = std::move(expected);
  sample.metric = metric;
  sample.keywords = std::move(keywords);
  return Score(answer, sample);
}

TEST(Score, TheFirstNumberCounts) {
  EXPECT_EQ(ScoreOf(Metric::kNumber, "24169>", {"24169"}), 1);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "The REGISTER_CONTENT in line flat-magnet is <24169>.", {"24169"}), 1);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "11111, no: 24169", {"24169"}), 0);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "241690", {"24169"}), 0);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "124169", {"24169"}), 0);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "no idea", {"24169"}), 0);
  EXPECT_EQ(ScoreOf(Metric::kNumber, "", {"24169"}), 0);
}

TEST(Score, NormalisesAsSquadDoes) {
  EXPECT_EQ(NormaliseAnswer("  The  Quick, brown-fox!\n"), "quick brownfox");
  EXPECT_EQ(NormaliseAnswer("An apple a day"), "apple day");
  EXPECT_EQ(NormaliseAnswer("Anthem of theory"), "anthem of theory");
  EXPECT_EQ(NormaliseAnswer("\"The\" (a) an."), "");
  EXPECT_EQ(NormaliseAnswer("Z\xc3\xbcrich"), "z\xc3\xbcrich");
}

TEST(Score, ExactMatchTakesTheBestOfTheAnswers) {
  EXPECT_EQ(ScoreOf(Metric::kExact, "The Denver Broncos.", {"Carolina", "denver broncos"}), 1);
  EXPECT_EQ(ScoreOf(Metric::kExact, "Denver", {"denver broncos"}), 0);
}

TEST(Score, F1IsTheHarmonicMeanOverWords) {
  // 3 of 4 words of the answer, 3 of 5 of the expected one: 2 * 3 / (4 + 5).
  EXPECT_DOUBLE_EQ(TokenF1("in 1776 by Jefferson", "written in 1776 by Adams"), 6.0 / 9.0);
  // "red" twice in both counts twice.
  EXPECT_DOUBLE_EQ(TokenF1("red red blue", "red red red"), 4.0 / 6.0);
  EXPECT_EQ(TokenF1("the the", "the"), 0);
  EXPECT_EQ(TokenF1("", "word"), 0);
  EXPECT_EQ(TokenF1("same words", "Same, words!"), 1);
}

TEST(Score, SubstringsIgnoreCase) {
  EXPECT_EQ(ScoreOf(Metric::kSubstring, "it is PARIS, of course", {"London", "Paris"}), 1);
  EXPECT_EQ(ScoreOf(Metric::kSubstring, "Pari", {"Paris"}), 0);
}

TEST(Score, AllSubstringsGiveTheShareThatIsThere) {
  EXPECT_DOUBLE_EQ(ScoreOf(Metric::kAllSubstrings, "abc, DEF", {"ABC", "DEF", "GHI"}), 2.0 / 3.0);
  EXPECT_EQ(ScoreOf(Metric::kAllSubstrings, "abc, DEF", {}), 0);
}

TEST(Score, LvEvalLetsNoAnswerThroughThatMissesTheKeywords) {
  // One keyword of four: over the gate of a fifth, the score is F1.
  EXPECT_DOUBLE_EQ(LvEvalScore("the rocket left", "the rocket started", "rocket launch site florida"), 0.5);
  EXPECT_EQ(LvEvalScore("the bird left", "the rocket left", "rocket launch site florida"), 0);
  // Exactly a fifth passes.
  EXPECT_DOUBLE_EQ(LvEvalScore("rocket", "rocket", "rocket b c d e"), 1);
  EXPECT_EQ(LvEvalScore("rocket", "rocket", "rocket b c d e f"), 0);
}

TEST(Score, LvEvalsWordsOfNoMeaningDoNotOpenTheGate) {
  EXPECT_EQ(LvEvalScore("because of his", "because of his", "because of his"), 0);
  EXPECT_EQ(LvEvalScore("because of rain", "because of rain", "because of rain"), 1);
}

TEST(Score, LvEvalWithoutKeywordsIsF1) { EXPECT_DOUBLE_EQ(LvEvalScore("red car", "red bus", ""), 0.5); }

TEST(Score, MetricsHaveNames) {
  for (const Metric metric :
       {Metric::kNumber, Metric::kExact, Metric::kF1, Metric::kSubstring, Metric::kAllSubstrings, Metric::kLvEval}) {
    EXPECT_EQ(FindMetric(MetricName(metric)), metric);
  }
  EXPECT_EQ(FindMetric("rouge"), std::nullopt);
}

}  // namespace
}  // namespace damask::evals
