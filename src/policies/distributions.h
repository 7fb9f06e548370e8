// Small questions to lists of shares.
#pragma once

#include <cstddef>
#include <span>

namespace damask::policies {

// How many of the largest values have a sum of at most `wanted`. Values are not negative; their order is lost. Linear in time.
size_t CountWithin(std::span<float> values, double wanted);

// The root of the Jensen-Shannon divergence (natural logarithm) of p and q, both of sum 1: 0 where they are equal, at most
// sqrt(ln 2). A share of 0 adds nothing.
double JensenShannonDistance(std::span<const float> p, std::span<const float> q);

}  // namespace damask::policies
