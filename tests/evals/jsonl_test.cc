#include "evals/jsonl.h"

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "evals/score.h"

namespace damask::evals {
namespace {

constexpr const char* kGood = R"({"context": "The cat is red.", "question": "Which colour?", "answers": ["red", "crimson"]})";

TEST(ReadJsonl, TakesContextQuestionAndAnswers) {
  const auto samples = ReadJsonlSamples(std::string(kGood) + "\n\n" + kGood + "\r\n", Metric::kF1);
  ASSERT_TRUE(samples.ok()) << samples.status().ToString();
  ASSERT_EQ(samples->size(), 2U);
  const texts::Sample& sample = samples->front();
  EXPECT_EQ(sample.text, "The cat is red.\n\n");
  EXPECT_EQ(sample.question, "Question: Which colour?\n");
  EXPECT_EQ(sample.prefix, "Answer:");
  EXPECT_EQ(sample.expected, (std::vector<std::string>{"red", "crimson"}));
  EXPECT_EQ(sample.metric, Metric::kF1);
}

TEST(ReadJsonl, TakesLongBenchAndLvEvalLines) {
  const auto samples = ReadJsonlSamples(
      R"({"input": "Who?", "context": "c", "answers": ["Ann"], "length": 9, "dataset": "hotpotqa", "answer_keywords": "Ann Lee"})",
      Metric::kLvEval);
  ASSERT_TRUE(samples.ok()) << samples.status().ToString();
  EXPECT_EQ(samples->front().question, "Question: Who?\n");
  EXPECT_EQ(samples->front().keywords, "Ann Lee");
}

TEST(ReadJsonl, OneTextIsAListOfOne) {
  const auto samples = ReadJsonlSamples(R"({"question": "q", "context": "", "answers": "yes"})", Metric::kExact);
  ASSERT_TRUE(samples.ok()) << samples.status().ToString();
  EXPECT_EQ(samples->front().expected, std::vector<std::string>{"yes"});
}

struct BadLine {
  const char* line;
  const char* part;
};

class BadLines : public ::testing::TestWithParam<BadLine> {};

TEST_P(BadLines, AreNamedWithTheirNumber) {
  const auto samples = ReadJsonlSamples(std::string(kGood) + "\n\n" + GetParam().line + "\n" + kGood, Metric::kF1);
  ASSERT_FALSE(samples.ok());
  const std::string message = samples.status().ToString();
  EXPECT_EQ(message.rfind("line 3: ", 0), 0U) << message;
  EXPECT_NE(message.find(GetParam().part), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(
    Jsonl, BadLines,
    ::testing::Values(BadLine{"{\"context\": \"c\"", ""}, BadLine{"[1]", "no JSON object"}, BadLine{"7", "no JSON object"},
                      BadLine{R"({"question": "q", "answers": ["a"]})", "\"context\" is missing"},
                      BadLine{R"({"context": "c", "answers": ["a"]})", "\"question\" is missing"},
                      BadLine{R"({"context": "c", "question": "q"})", "\"answers\" is missing"},
                      BadLine{R"({"context": 7, "question": "q", "answers": ["a"]})", "context"},
                      BadLine{R"({"context": "c", "question": "q", "answers": []})", "\"answers\" is no text"},
                      BadLine{R"({"context": "c", "question": "q", "answers": [1]})", "\"answers\" is no text"},
                      BadLine{R"({"context": "c", "question": "q", "answers": ["a"], "answer_keywords": 3})",
                              "answer_keywords"},
                      BadLine{"{\"context\": \"c\xff\"}", "UTF-8"}));

TEST(ReadJsonl, AFileWithoutQuestionsIsRefused) {
  EXPECT_EQ(ReadJsonlSamples("\n \n", Metric::kF1).status().code(), StatusCode::kInvalidArgument);
}

std::unique_ptr<engine::Engine> LoadEmbedded() {
  auto engine = engine::Engine::Load({.threads = 1});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

TEST(RunJsonl, ScoresEverySample) {
  const auto engine = LoadEmbedded();
  const auto samples = ReadJsonlSamples(std::string(kGood) + "\n" + kGood, Metric::kSubstring);
  ASSERT_TRUE(samples.ok());
  const auto result = RunJsonl(engine.get(), *samples, {.max_tokens = 4}, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_EQ(result->answers.size(), 2U);
  EXPECT_EQ(result->summary.samples, 2U);
  EXPECT_EQ(result->answers[0].answered.text, result->answers[1].answered.text);
  EXPECT_FALSE(result->answers[0].truncated);
}

TEST(RunJsonl, ALongContextLosesItsMiddle) {
  const auto engine = LoadEmbedded();
  std::string context = "The first words. ";
  for (int i = 0; i < 500; ++i) context += "Something in between. ";
  const auto samples = ReadJsonlSamples(R"({"question": "q", "answers": "a", "context": ")" + context + "\"}", Metric::kF1);
  ASSERT_TRUE(samples.ok());
  const auto result = RunJsonl(engine.get(), *samples, {.context = 256, .max_tokens = 4}, nullptr, nullptr);
  ASSERT_TRUE(result.ok()) << result.status().ToString();
  EXPECT_TRUE(result->answers[0].truncated);
  EXPECT_LE(result->answers[0].answered.prompt_tokens, 252U);
  EXPECT_GE(result->answers[0].answered.prompt_tokens, 240U);
}

TEST(RunJsonl, AQuestionThatDoesNotFitIsNamed) {
  const auto engine = LoadEmbedded();
  std::string question;
  for (int i = 0; i < 200; ++i) question += "why ";
  const auto samples = ReadJsonlSamples(R"({"context": "c", "answers": "a", "question": ")" + question + "\"}", Metric::kF1);
  ASSERT_TRUE(samples.ok());
  const auto result = RunJsonl(engine.get(), *samples, {.context = 64, .max_tokens = 4}, nullptr, nullptr);
  EXPECT_NE(result.status().ToString().find("sample 1"), std::string::npos) << result.status().ToString();
  // The last one as well, before the first is asked.
  std::vector<texts::Sample> both = *ReadJsonlSamples(kGood, Metric::kF1);
  both.push_back(samples->front());
  uint64_t asked = 0;
  const auto count = [&](uint64_t, uint64_t, double) { ++asked; };
  const auto second = RunJsonl(engine.get(), both, {.context = 64, .max_tokens = 4}, count, nullptr);
  EXPECT_NE(second.status().ToString().find("sample 2"), std::string::npos) << second.status().ToString();
  EXPECT_EQ(asked, 0U);
}

}  // namespace
}  // namespace damask::evals
