// How good an answer is, 0 to 1.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "texts/sample.h"

namespace damask::evals {

using texts::Metric;

// "em", "f1", "substring", "all-substrings", "lv-eval", "number".
std::string_view MetricName(Metric metric);
std::optional<Metric> FindMetric(std::string_view name);

// The best score of `answer` over the expected texts (kAllSubstrings: over all of them together). Letters outside ASCII have no
// case here.
double Score(std::string_view answer, const texts::Sample& sample);

// Lower case, without punctuation and the articles a, an, the; one space between words. Source: the SQuAD evaluation script
// (Rajpurkar et al., arXiv 1606.05250), used by LongBench and LV-Eval as well.
std::string NormaliseAnswer(std::string_view text);

// Of the normalised texts.
double ExactMatch(std::string_view answer, std::string_view expected);
// Harmonic mean of precision and recall over words, each counted as often as it occurs in both.
double TokenF1(std::string_view answer, std::string_view expected);

// 0 where fewer than a fifth of the words of `keywords` are in the answer (words of no meaning, 38 of them, are never counted
// as found); else TokenF1. Empty keywords: TokenF1. English texts only. Source: LV-Eval (arXiv 2402.05136) and its metrics.py.
double LvEvalScore(std::string_view answer, std::string_view expected, std::string_view keywords);

// The first run of digits; empty where there is none.
std::string_view FirstNumber(std::string_view text);

}  // namespace damask::evals
