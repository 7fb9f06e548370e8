// What samples say about the truth: 95 % intervals.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

namespace damask::evals {

struct Interval {
  double low = 0;
  double high = 1;
};

// Wilson's score interval of a share, `successes` of `samples`; [0, 1] without samples. Where samples have scores between 0 and
// 1, their sum may stand for the successes: the interval is then wider than it need be, as such scores spread less than 0
// and 1. Source: Wilson (1927); Newcombe, Statistics in Medicine 17 (1998), method 3.
Interval WilsonInterval(double successes, size_t samples);

struct PairedDifference {
  double mean = 0;
  std::optional<Interval> interval;
};

// By how much scores `b` are above scores `a` of the same samples, in [-1, 1]. For scores of 0 and 1 this is the interval of
// Agresti and Min (Statistics in Medicine 24, 2005): Wald's after half an observation more in each of the four cells.
PairedDifference PairedScores(std::span<const double> a, std::span<const double> b);

// The same for values of any size (nats a token), by Student's t distribution; without an interval for fewer than two samples.
PairedDifference PairedValues(std::span<const double> a, std::span<const double> b);

// 97.5 % of Student's t distribution with so many degrees of freedom, 1 at least; within 0.0001.
double StudentQuantile(size_t degrees);

}  // namespace damask::evals
