#include "policies/distributions.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace damask::policies {

// Values before `begin` are counted, those from `end` on are not.
size_t CountWithin(std::span<float> values, double wanted) {
  size_t begin = 0;
  size_t end = values.size();
  double sum = 0;
  const auto at = [&](size_t i) { return values.begin() + static_cast<std::ptrdiff_t>(i); };
  while (begin < end) {
    const size_t middle = begin + (end - begin) / 2;
    std::nth_element(at(begin), at(middle), at(end), std::greater<>());
    double part = 0;
    for (size_t i = begin; i <= middle; ++i) part += static_cast<double>(values[i]);
    if (sum + part <= wanted) {
      sum += part;
      begin = middle + 1;
    } else {
      end = middle;
    }
  }
  return begin;
}

double JensenShannonDistance(std::span<const float> p, std::span<const float> q) {
  double sum = 0;
  for (size_t i = 0; i < p.size(); ++i) {
    const auto a = static_cast<double>(p[i]);
    const auto b = static_cast<double>(q[i]);
    const double mean = (a + b) / 2;
    if (a > 0) sum += a * std::log(a / mean);
    if (b > 0) sum += b * std::log(b / mean);
  }
  return std::sqrt(std::max(0.0, sum / 2));
}

}  // namespace damask::policies
