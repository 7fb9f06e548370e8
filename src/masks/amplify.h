// The transforms that turn a captured map into values on which a threshold decides (DAM stage 1, step 2).
//
//   acts on the mean M = S / n:   boxcox       ((max(M, epsilon))^lambda - 1) / lambda, ln where lambda = 0; shifted so that
//   the
//                                              smallest value of the map is 0
//                                 average      M
//                                 yeo-johnson  ((M + 1)^lambda - 1) / lambda, ln(M + 1) where lambda = 0
//                                 z-score      (M - average of M) / standard deviation of M; 0 where all are equal
//                                 min-max      (M - smallest) / (largest - smallest); 0 where all are equal
//   acts on the sum S:            sum          S
//                                 log          ln(1 + S)
//                                 sqrt         sqrt(S)
//                                 arcsinh      asinh(S)
// Smallest, largest, average and deviation are those of the causal cells. With row scaling S and M are multiplied by the row's
// length (i + 1) first, so that uniform attention has the value 1 in every row.
// Source: DAM (arXiv 2506.11104); which act on the sum was read off the maps its authors published.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "masks/statistics.h"

namespace damask::masks {

// The numbers are those of the mask file.
enum class Transform : uint8_t {
  kBoxCox = 0,
  kAverage = 1,
  kSum = 2,
  kLog = 3,
  kSqrt = 4,
  kYeoJohnson = 5,
  kZScore = 6,
  kMinMax = 7,
  kArcsinh = 8,
};
inline constexpr uint8_t kNumTransforms = 9;

std::string_view TransformName(Transform transform);
// InvalidArgument for an unknown name; the message lists the names.
Result<Transform> ParseTransform(std::string_view name);

struct AmplifyOptions {
  Transform transform = Transform::kBoxCox;
  double lambda = 0.5;     // boxcox, yeo-johnson
  double epsilon = 1e-10;  // the smallest mean that boxcox sees
  bool scale_rows = false;
};

// The transformed map, packed triangle [L]. Cost: L^2 / 2 cells.
std::vector<double> Amplify(const HeadStatistics& statistics, const AmplifyOptions& options);

}  // namespace damask::masks
