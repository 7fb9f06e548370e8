#include "evals/score.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <map>
#include <utility>
#include <vector>

#include "base/text.h"

namespace damask::evals {
namespace {

constexpr std::array<std::pair<Metric, std::string_view>, 6> kNames = {{{Metric::kNumber, "number"},
                                                                        {Metric::kExact, "em"},
                                                                        {Metric::kF1, "f1"},
                                                                        {Metric::kSubstring, "substring"},
                                                                        {Metric::kAllSubstrings, "all-substrings"},
                                                                        {Metric::kLvEval, "lv-eval"}}};

constexpr double kKeywordGate = 0.2;

// LV-Eval's list for English.
constexpr auto kWordsOfNoMeaning = std::to_array<std::string_view>(
    {"about", "and",   "are",  "as",   "at",  "be",  "because", "being", "but",  "by",    "does", "for", "from",
     "had",   "has",   "have", "he",   "her", "his", "in",      "is",    "it",   "of",    "on",   "or",  "she",
     "that",  "their", "they", "this", "to",  "was", "were",    "what",  "when", "which", "who",  "with"});

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
bool IsPunctuation(char c) {
  return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') || (c >= '{' && c <= '~');
}

std::string LowerCase(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(), Lower);
  return lower;
}

std::vector<std::string> WordsOf(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (!word.empty() && word != "a" && word != "an" && word != "the") words.push_back(word);
    word.clear();
  };
  for (const char c : text) {
    if (IsSpace(c)) {
      end_word();
    } else if (!IsPunctuation(c)) {
      word += Lower(c);
    }
  }
  end_word();
  return words;
}

// How often each word is in both.
std::map<std::string, size_t> CommonWords(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  std::map<std::string, size_t> in_a;
  for (const std::string& word : a) ++in_a[word];
  std::map<std::string, size_t> in_b;
  for (const std::string& word : b) ++in_b[word];
  std::map<std::string, size_t> common;
  for (const auto& [word, times] : in_a) {
    if (const auto found = in_b.find(word); found != in_b.end()) common[word] = std::min(times, found->second);
  }
  return common;
}

bool MentionsKeywords(const std::vector<std::string>& answer, const std::vector<std::string>& keywords) {
  size_t found = 0;
  for (const auto& [word, times] : CommonWords(answer, keywords)) {
    if (std::find(kWordsOfNoMeaning.begin(), kWordsOfNoMeaning.end(), word) == kWordsOfNoMeaning.end()) found += times;
  }
  return static_cast<double>(found) >= kKeywordGate * static_cast<double>(keywords.size());
}

double Contains(const std::string& lower_answer, std::string_view expected) {
  return lower_answer.find(LowerCase(expected)) != std::string::npos ? 1 : 0;
}

double ScoreOne(Metric metric, std::string_view answer, std::string_view expected, std::string_view keywords) {
  switch (metric) {
    case Metric::kNumber: return FirstNumber(answer) == expected ? 1 : 0;
    case Metric::kExact: return ExactMatch(answer, expected);
    case Metric::kF1: return TokenF1(answer, expected);
    case Metric::kSubstring:
    case Metric::kAllSubstrings: return Contains(LowerCase(answer), expected);
    case Metric::kLvEval: return LvEvalScore(answer, expected, keywords);
  }
  return 0;
}

}  // namespace

std::string_view MetricName(Metric metric) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& entry) { return entry.first == metric; })->second;
}

std::optional<Metric> FindMetric(std::string_view name) {
  for (const auto& [metric, known] : kNames) {
    if (known == name) return metric;
  }
  return std::nullopt;
}

double Score(std::string_view answer, const texts::Sample& sample) {
  double best = 0;
  double sum = 0;
  for (const std::string& expected : sample.expected) {
    const double score = ScoreOne(sample.metric, answer, expected, sample.keywords);
    best = std::max(best, score);
    sum += score;
  }
  if (sample.metric != Metric::kAllSubstrings) return best;
  return sample.expected.empty() ? 0 : sum / static_cast<double>(sample.expected.size());
}

std::string NormaliseAnswer(std::string_view text) {
  std::string joined;
  for (const std::string& word : WordsOf(text)) {
    if (!joined.empty()) joined += ' ';
    joined += word;
  }
  return joined;
}

double ExactMatch(std::string_view answer, std::string_view expected) {
  return NormaliseAnswer(answer) == NormaliseAnswer(expected) ? 1 : 0;
}

double TokenF1(std::string_view answer, std::string_view expected) {
  const std::vector<std::string> a = WordsOf(answer);
  const std::vector<std::string> b = WordsOf(expected);
  size_t common = 0;
  for (const auto& [word, times] : CommonWords(a, b)) common += times;
  if (common == 0) return 0;
  return 2 * static_cast<double>(common) / static_cast<double>(a.size() + b.size());
}

double LvEvalScore(std::string_view answer, std::string_view expected, std::string_view keywords) {
  const std::vector<std::string> wanted = WordsOf(keywords);
  if (!wanted.empty() && !MentionsKeywords(WordsOf(answer), wanted)) return 0;
  return TokenF1(answer, expected);
}

std::string_view FirstNumber(std::string_view text) {
  const auto* begin = std::find_if(text.begin(), text.end(), IsDigit);
  const auto* end = std::find_if_not(begin, text.end(), IsDigit);
  return {begin, static_cast<size_t>(end - begin)};
}

}  // namespace damask::evals
