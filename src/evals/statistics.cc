#include "evals/statistics.h"

#include <algorithm>
#include <cmath>

namespace damask::evals {
namespace {

constexpr double kZ = 1.959963984540054;  // 97.5 % of the normal distribution

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
  if (a.empty()) return {};
  const Sums sums = SumDifferences(a, b);
  const double n = static_cast<double>(a.size()) + 2;
  const double center = sums.difference / n;
  // Half an observation for "only a" and half for "only b" add one to the squares and nothing to the difference.
  const double half = kZ * std::sqrt((sums.squares + 1 - sums.difference * sums.difference / n)) / n;
  return {sums.difference / static_cast<double>(a.size()), {std::max(-1.0, center - half), std::min(1.0, center + half)}};
}

PairedDifference PairedValues(std::span<const double> a, std::span<const double> b) {
  if (a.empty()) return {0, {0, 0}};
  const Sums sums = SumDifferences(a, b);
  const auto n = static_cast<double>(a.size());
  const double mean = sums.difference / n;
  if (a.size() < 2) return {mean, {mean, mean}};
  const double variance = std::max(0.0, sums.squares - n * mean * mean) / (n - 1);
  const double half = kZ * std::sqrt(variance / n);
  return {mean, {mean - half, mean + half}};
}

}  // namespace damask::evals
