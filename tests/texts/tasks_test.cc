#include "texts/tasks.h"

#include <algorithm>
#include <limits>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>

#include <gtest/gtest.h>

#include "base/text.h"
#include "tests/texts/vocab.h"
#include "texts/fit.h"
#include "texts/keys.h"
#include "texts/words.h"

namespace damask::texts {
namespace {

Sample Make(Task task, const TaskOptions& options) {
  Result<Sample> sample = MakeSample(task, options, QuarterCount);
  EXPECT_TRUE(sample.ok()) << sample.status().ToString();
  return sample.ok() ? *sample : Sample{};
}

size_t Times(const std::string& text, const std::string& part) {
  size_t times = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++times;
  return times;
}

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string Prompt(const Sample& sample) { return sample.text + sample.question + sample.prefix; }

class EveryTask : public ::testing::TestWithParam<TaskInfo> {
 protected:
  Task task() const { return GetParam().task; }
};

TEST_P(EveryTask, FollowsFromItsSeed) {
  const Sample once = Make(task(), {.tokens = 1024, .seed = 5});
  EXPECT_EQ(Prompt(once), Prompt(Make(task(), {.tokens = 1024, .seed = 5})));
  EXPECT_NE(Prompt(once), Prompt(Make(task(), {.tokens = 1024, .seed = 6})));
}

TEST_P(EveryTask, KeepsToItsBudgetWithinTheMargin) {
  for (const uint64_t tokens : {400U, 777U, 2048U, 20000U}) {
    const size_t taken = *QuarterCount(Prompt(Make(task(), {.tokens = tokens, .seed = tokens})));
    EXPECT_LE(taken, tokens);
    EXPECT_GE(taken + FitMargin(tokens), tokens);
  }
}

TEST_P(EveryTask, CountsWithARealVocabulary) {
  const auto vocab = LoadVocab("llama-spm");
  ASSERT_NE(vocab, nullptr);
  const CountTokens count = CountWith(*vocab);
  const Result<Sample> sample = MakeSample(task(), {.tokens = 3000, .seed = 2}, count);
  ASSERT_TRUE(sample.ok()) << sample.status().ToString();
  const size_t taken = *count(Prompt(*sample));
  EXPECT_LE(taken, 3000U);
  EXPECT_GE(taken + FitMargin(3000), 3000U);
}

TEST_P(EveryTask, CountsAFewTimesHoweverLongTheText) {
  size_t counted = 0;
  const CountTokens count = [&](std::string_view text) -> Result<size_t> {
    counted += text.size();
    return QuarterCount(text);
  };
  ASSERT_TRUE(MakeSample(task(), {.tokens = 100000, .seed = 1}, count).ok());
  EXPECT_LE(counted, 8U * 400000U);
}

TEST_P(EveryTask, TheAnswerBeginsWithThePrefixHoldsAllThatIsExpectedAndIsOneLine) {
  const Sample sample = Make(task(), {.tokens = 1000, .seed = 3});
  EXPECT_EQ(sample.answer.rfind(sample.prefix, 0), 0U);
  EXPECT_EQ(sample.answer.find('\n'), sample.answer.size() - 1);
  EXPECT_EQ(sample.question.find('\n'), sample.question.size() - 1);
  EXPECT_FALSE(sample.expected.empty());
  for (const std::string& expected : sample.expected) EXPECT_NE(sample.answer.find(expected), std::string::npos);
  EXPECT_NE(sample.prefix.empty() ? 'x' : sample.prefix.back(), ' ');
}

TEST_P(EveryTask, TextThatDoesNotFitIsRefused) {
  const Result<Sample> sample = MakeSample(task(), {.tokens = 5}, QuarterCount);
  EXPECT_EQ(sample.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(sample.status().ToString().find("5 tokens are too few"), std::string::npos) << sample.status().ToString();
}

TEST_P(EveryTask, AnErrorOfTheTokenizerIsHandedOn) {
  const Result<Sample> sample = MakeSample(task(), {}, [](std::string_view) -> Result<size_t> { return Internal("broken"); });
  EXPECT_EQ(sample.status().code(), StatusCode::kInternal);
}

TEST_P(EveryTask, ItsValuesAreTheEvaluations) {
  const Sample sample = Make(task(), {.tokens = 2000, .seed = 4});
  const std::string text = Prompt(sample);
  const std::regex number("[0-9]{3,}");
  for (std::sregex_iterator it(text.begin(), text.end(), number); it != std::sregex_iterator(); ++it) {
    const uint64_t value = std::stoull(it->str());
    EXPECT_TRUE(value >= 10000 && value <= 99999 && value % 7 == 3) << value;
  }
}

TEST_P(EveryTask, IsFoundByItsName) { EXPECT_EQ(FindTask(GetParam().name)->task, task()); }

INSTANTIATE_TEST_SUITE_P(Tasks, EveryTask, ::testing::ValuesIn(AllTasks()),
                         [](const auto& task) { return std::string(task.param.name); });

TEST(Tasks, AnUnknownNameIsNoTask) { EXPECT_EQ(FindTask("haystack"), nullptr); }

// Task and what the asked fact looks like around key and value, which the question and the answer give.
class OneFact : public ::testing::TestWithParam<Task> {};

std::string AskedFact(Task task, const Sample& sample) {
  const std::string& value = sample.expected.at(0);
  std::smatch match;
  std::regex_search(sample.question, match, std::regex("[a-z]+-[a-z]+"));
  const std::string key = match.str();
  switch (task) {
    case Task::kLines: return "line " + key + ": REGISTER_CONTENT is <" + value + ">\n";
    case Task::kPasskey: return "The pass key is " + value + ". Remember it. " + value + " is the pass key.\n";
    case Task::kNeedle: return "One of the special magic numbers for " + key + " is: " + value + ".\n";
    default: return key + ": " + value + "\n";
  }
}

TEST_P(OneFact, TheAskedFactIsInTheTextOnceOnALineOfItsOwn) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    const Sample sample = Make(GetParam(), {.tokens = 1000, .seed = seed, .keys = 3});
    const std::string fact = AskedFact(GetParam(), sample);
    EXPECT_EQ(Times("\n" + sample.text, "\n" + fact), 1U) << fact;
    EXPECT_EQ(Times(sample.text, sample.expected[0]), GetParam() == Task::kPasskey ? 2U : 1U);
  }
}

TEST_P(OneFact, StandsAtTheDepthAskedFor) {
  for (const double depth : {0.0, 0.25, 0.5, 0.9, 1.0}) {
    const Sample sample = Make(GetParam(), {.tokens = 4000, .seed = 9, .depth = depth, .keys = 4});
    const std::string fact = AskedFact(GetParam(), sample);
    const auto others = static_cast<double>(sample.text.size() - fact.size());
    EXPECT_NEAR(static_cast<double>(sample.text.find(fact)) / others, depth, 0.03);
  }
}

TEST_P(OneFact, DepthZeroIsTheVeryFrontAndOneTheVeryEnd) {
  const Sample front = Make(GetParam(), {.tokens = 1000, .seed = 2, .depth = 0});
  EXPECT_EQ(front.text.find(AskedFact(GetParam(), front)), 0U);
  const Sample end = Make(GetParam(), {.tokens = 1000, .seed = 2, .depth = 1});
  const std::string fact = AskedFact(GetParam(), end);
  EXPECT_EQ(end.text.find(fact), end.text.size() - fact.size());
}

TEST_P(OneFact, TheDepthMovesTheFactAndLeavesTheQuestion) {
  const Sample a = Make(GetParam(), {.tokens = 1000, .seed = 2, .depth = 0.2});
  const Sample b = Make(GetParam(), {.tokens = 1000, .seed = 2, .depth = 0.8});
  EXPECT_EQ(a.question, b.question);
  EXPECT_EQ(a.answer, b.answer);
}

INSTANTIATE_TEST_SUITE_P(Tasks, OneFact, ::testing::Values(Task::kLines, Task::kPasskey, Task::kNeedle, Task::kKv));

TEST(Lines, EveryKeyIsThereOnceAndMadeOfTheEvaluationsWords) {
  std::set<std::string> keys;
  const std::vector<std::string> lines = Lines(Make(Task::kLines, {.tokens = 8000}).text);
  for (const std::string& line : lines) {
    std::smatch match;
    ASSERT_TRUE(std::regex_match(line, match, std::regex("line ([a-z]+)-([a-z]+): REGISTER_CONTENT is <([0-9]{5})>"))) << line;
    EXPECT_TRUE(IsEvaluationWord(match[1].str()) && IsEvaluationWord(match[2].str())) << line;
    EXPECT_TRUE(keys.insert(match[1].str() + "-" + match[2].str()).second) << line;
  }
  EXPECT_GT(lines.size(), 500U);
}

TEST(Lines, MoreFactsThanKeysAreTooMany) {
  EXPECT_EQ(MakeSample(Task::kLines, {.tokens = 1000000}, QuarterCount).status().code(), StatusCode::kTooLarge);
}

TEST(Lines, TheAskedValueStaysUniqueWhereValuesRunOut) {
  const Sample sample = Make(Task::kLines, {.tokens = 200000});
  EXPECT_GT(Lines(sample.text).size(), 12857U);
  EXPECT_EQ(Times(sample.text, sample.expected[0]), 1U);
}

TEST(Needle, SeveralValuesAreAnsweredInTheOrderOfTheText) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Sample sample = Make(Task::kNeedle, {.tokens = 2000, .seed = seed, .keys = 2, .values = 4});
    ASSERT_EQ(sample.expected.size(), 4U);
    size_t last = 0;
    for (const std::string& value : sample.expected) {
      const size_t at = sample.text.find(value);
      ASSERT_NE(at, std::string::npos);
      EXPECT_GE(at, last);
      last = at;
    }
    EXPECT_EQ(Times(sample.text, "One of the special magic numbers for "), 8U);
    EXPECT_EQ(sample.metric, Metric::kAllSubstrings);
    EXPECT_EQ(sample.question.rfind("What are all the special magic numbers for ", 0), 0U);
  }
}

TEST(Needle, KeysMultiplyTheFacts) {
  EXPECT_EQ(Times(Make(Task::kNeedle, {.tokens = 2000, .keys = 7}).text, "special magic numbers"), 7U);
}

TEST(Vt, EveryChainIsThereInItsOrder) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Sample sample = Make(Task::kVt, {.tokens = 1500, .seed = seed, .chains = 3, .hops = 3});
    ASSERT_EQ(sample.expected.size(), 4U);
    std::smatch match;
    ASSERT_TRUE(std::regex_search(sample.question, match, std::regex("[0-9]{5}")));
    size_t last = sample.text.find("VAR " + sample.expected[0] + " = " + match.str() + "\n");
    ASSERT_NE(last, std::string::npos);
    for (size_t i = 1; i < sample.expected.size(); ++i) {
      const size_t at = sample.text.find("VAR " + sample.expected[i] + " = VAR " + sample.expected[i - 1] + "\n");
      ASSERT_NE(at, std::string::npos);
      EXPECT_GT(at, last);
      last = at;
    }
    EXPECT_EQ(Times("\n" + sample.text, "\nVAR "), 12U);
  }
}

std::map<std::string, size_t> Frequencies(const Sample& sample) {
  EXPECT_EQ(sample.text.rfind("Words: ", 0), 0U);
  std::map<std::string, size_t> times;
  std::istringstream stream(sample.text.substr(7));
  for (std::string word; stream >> word;) ++times[word];
  return times;
}

TEST(Cwe, CommonWordsComeTenTimesAsOftenAsAllOthers) {
  for (const uint64_t tokens : {600U, 3000U, 50000U}) {
    const Sample sample = Make(Task::kCwe, {.tokens = tokens, .words = 5});
    std::map<std::string, size_t> times = Frequencies(sample);
    ASSERT_EQ(sample.expected.size(), 5U);
    const size_t common = times[sample.expected[0]];
    for (const std::string& word : sample.expected) {
      EXPECT_EQ(times[word], common);
      times.erase(word);
    }
    EXPECT_GE(times.size(), 10U);
    for (const auto& [word, count] : times) EXPECT_EQ(10 * count, common) << word;
    EXPECT_EQ(sample.question, "What are the 5 most common words?\n");
  }
}

TEST(Fwe, TheThreeMostFrequentWordsAreExpectedInTheirOrder) {
  for (const uint64_t tokens : {300U, 3000U, 50000U}) {
    const Sample sample = Make(Task::kFwe, {.tokens = tokens});
    std::map<std::string, size_t> times = Frequencies(sample);
    ASSERT_EQ(sample.expected.size(), 3U);
    EXPECT_GT(times[sample.expected[0]], times[sample.expected[1]]);
    EXPECT_GT(times[sample.expected[1]], times[sample.expected[2]]);
    const size_t third = times[sample.expected[2]];
    for (const std::string& word : sample.expected) times.erase(word);
    for (const auto& [word, count] : times) EXPECT_LT(count, third) << word;
  }
}

TEST(Fwe, FrequenciesFallWithTheSquareOfTheRank) {
  const Sample sample = Make(Task::kFwe, {.tokens = 50000});
  std::map<std::string, size_t> times = Frequencies(sample);
  const auto first = static_cast<double>(times[sample.expected[0]]);
  EXPECT_NEAR(first / static_cast<double>(times[sample.expected[1]]), 4.0, 0.1);
  EXPECT_NEAR(first / static_cast<double>(times[sample.expected[2]]), 9.0, 0.2);
}

struct WrongOption {
  TaskOptions options;
  const char* part;
};

class WrongOptions : public ::testing::TestWithParam<WrongOption> {};

TEST_P(WrongOptions, AreNamed) {
  const Result<Sample> sample = MakeSample(Task::kNeedle, GetParam().options, QuarterCount);
  EXPECT_EQ(sample.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(sample.status().ToString().find(GetParam().part), std::string::npos) << sample.status().ToString();
}

INSTANTIATE_TEST_SUITE_P(Tasks, WrongOptions,
                         ::testing::Values(WrongOption{{.depth = 1.5}, "the depth is 1.5, expected 0 to 1"},
                                           WrongOption{{.depth = -0.1}, "the depth is -0.1"},
                                           WrongOption{{.depth = std::numeric_limits<double>::quiet_NaN()}, "the depth is nan"},
                                           WrongOption{{.keys = 0}, "the number of keys is 0"},
                                           WrongOption{{.values = 1001}, "the number of values is 1001"},
                                           WrongOption{{.keys = 100, .values = 100}, "keys times values is 10000"},
                                           WrongOption{{.chains = 0}, "the number of chains is 0"},
                                           WrongOption{{.hops = 5}, "the number of hops is 5, expected 1 to 4"},
                                           WrongOption{{.words = 2}, "the number of common words is 2, expected 3 to 10"}));

}  // namespace
}  // namespace damask::texts
