#include "masks/amplify.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"

namespace damask::masks {
namespace {

constexpr std::string_view kNames[kNumTransforms] = {"boxcox",      "average", "sum",     "log",    "sqrt",
                                                     "yeo-johnson", "z-score", "min-max", "arcsinh"};

bool ActsOnSum(Transform transform) {
  return transform == Transform::kSum || transform == Transform::kLog || transform == Transform::kSqrt ||
         transform == Transform::kArcsinh;
}

double Power(double x, double lambda) {
  if (lambda == 0.0) return std::log(x);
  // The default, and std::pow takes ten times as long.
  return ((lambda == 0.5 ? std::sqrt(x) : std::pow(x, lambda)) - 1.0) / lambda;
}

double Cell(double x, const AmplifyOptions& options) {
  switch (options.transform) {
    case Transform::kBoxCox: return Power(std::max(x, options.epsilon), options.lambda);
    case Transform::kYeoJohnson: return Power(x + 1.0, options.lambda);
    case Transform::kLog: return std::log1p(x);
    case Transform::kSqrt: return std::sqrt(x);
    case Transform::kArcsinh: return std::asinh(x);
    case Transform::kAverage:
    case Transform::kSum:
    case Transform::kZScore:
    case Transform::kMinMax: break;
  }
  return x;
}

// values = (values - shift) / scale, or all 0 where the scale is 0.
void Normalise(double shift, double scale, std::vector<double>* values) {
  for (double& value : *values) value = scale == 0.0 ? 0.0 : (value - shift) / scale;
}

void ZScore(std::vector<double>* values) {
  const auto count = static_cast<double>(values->size());
  double sum = 0.0;
  for (const double value : *values) sum += value;
  const double mean = sum / count;
  double squares = 0.0;
  for (const double value : *values) squares += (value - mean) * (value - mean);
  Normalise(mean, std::sqrt(squares / count), values);
}

}  // namespace

std::string_view TransformName(Transform transform) { return kNames[static_cast<size_t>(transform)]; }

Result<Transform> ParseTransform(std::string_view name) {
  const auto* const found = std::find(std::begin(kNames), std::end(kNames), name);
  if (found == std::end(kNames)) {
    return InvalidArgument(fmt::format("unknown transform {}; the transforms are {}", Quote(name), fmt::join(kNames, ", ")));
  }
  return static_cast<Transform>(found - std::begin(kNames));
}

std::vector<double> Amplify(const HeadStatistics& statistics, const AmplifyOptions& options) {
  std::vector<double> values(statistics.sums().size());
  size_t cell = 0;
  for (size_t row = 0; row < statistics.length(); ++row) {
    double factor = ActsOnSum(options.transform) ? 1.0 : statistics.Inverse(row);
    if (options.scale_rows) factor *= static_cast<double>(row + 1);
    for (const double sum : statistics.row(row)) values[cell++] = Cell(sum * factor, options);
  }
  if (values.empty()) return values;
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  if (options.transform == Transform::kBoxCox) Normalise(*smallest, 1.0, &values);
  if (options.transform == Transform::kMinMax) Normalise(*smallest, *largest - *smallest, &values);
  if (options.transform == Transform::kZScore) ZScore(&values);
  return values;
}

}  // namespace damask::masks
