#include "evals/statistics.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace damask::evals {
namespace {

constexpr double kZ = 1.959963984540054;  // 97.5 % of the normal distribution

// The same of Student's t distribution with 1, 2, ... degrees of freedom.
constexpr std::array kStudent = {12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
                                 2.2010,  2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
                                 2.0796,  2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423};

struct Sums {
  double difference = 0;
  double squares = 0;
};

Sums SumDifferences(std::span<const double> a, std::span<const double> b) {
  Sums sums;
  for (size_t i = 0; i < a.size(); ++i) {
    const double difference = b[i] - a[i];
    sums.difference += difference;
    sums.squares += difference * difference;
  }
  return sums;
}

}  // namespace

Interval WilsonInterval(double successes, size_t samples) {
  if (samples == 0) return {};
  const auto n = static_cast<double>(samples);
  const double share = successes / n;
  const double scale = 1 + kZ * kZ / n;
  const double center = (share + kZ * kZ / (2 * n)) / scale;
  const double half = kZ / scale * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  // At a share of 0 or 1 an end is the share itself, but for rounding.
  return {std::max(0.0, std::min(share, center - half)), std::min(1.0, std::max(share, center + half))};
}

PairedDifference PairedScores(std::span<const double> a, std::span<const double> b) {
  if (a.empty()) return {0, Interval{-1, 1}};
  const Sums sums = SumDifferences(a, b);
  const double n = static_cast<double>(a.size()) + 2;
  const double center = sums.difference / n;
  // Half an observation for "only a" and half for "only b" add one to the squares and nothing to the difference.
  const double half = kZ * std::sqrt((sums.squares + 1 - sums.difference * sums.difference / n)) / n;
  return {sums.difference / static_cast<double>(a.size()),
          Interval{std::max(-1.0, center - half), std::min(1.0, center + half)}};
}

PairedDifference PairedValues(std::span<const double> a, std::span<const double> b) {
  if (a.empty()) return {};
  const Sums sums = SumDifferences(a, b);
  const auto n = static_cast<double>(a.size());
  const double mean = sums.difference / n;
  if (a.size() < 2) return {mean, std::nullopt};
  const double variance = std::max(0.0, sums.squares - n * mean * mean) / (n - 1);
  const double half = StudentQuantile(a.size() - 1) * std::sqrt(variance / n);
  return {mean, Interval{mean - half, mean + half}};
}

double StudentQuantile(size_t degrees) {
  if (degrees <= kStudent.size()) return kStudent[degrees - 1];
  const auto n = static_cast<double>(degrees);
  const double z3 = kZ * kZ * kZ;
  // Fisher and Cornish's expansion about the normal quantile, two terms (Abramowitz and Stegun 26.7.5).
  return kZ + (z3 + kZ) / (4 * n) + (5 * z3 * kZ * kZ + 16 * z3 + 3 * kZ) / (96 * n * n);
}

}  // namespace damask::evals
