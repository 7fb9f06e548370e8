#include "kernels/matmul_bench.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/aligned.h"
#include "base/timer.h"
#include "kernels/activation_forms.h"
#include "kernels/matmul.h"
#include "kernels/matmul_bodies.h"
#include "kernels/quant.h"

namespace damask::kernels {
namespace {

constexpr double kSecondsPerBody = 0.3;
constexpr size_t kLeastRuns = 3;
// Larger than the last-level caches that two cores are likely to get.
constexpr size_t kDecodeBytes = size_t{256} << 20;

std::vector<float> Random(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// `rows` weight rows; a few different ones, repeated.
AlignedArray<std::byte> RandomWeights(formats::TensorType type, size_t rows, size_t k) {
  constexpr size_t kDifferent = 32;
  const size_t row_bytes = formats::RowBytes(type, k);
  AlignedArray<std::byte> weights(rows * row_bytes);
  for (size_t row = 0; row < rows; ++row) {
    std::byte* out = weights.data() + row * row_bytes;
    if (row < kDifferent) {
      QuantizeRow(type, Random(k, static_cast<uint32_t>(row)).data(), k, out);
    } else {
      std::memcpy(out, weights.data() + row % kDifferent * row_bytes, row_bytes);
    }
  }
  return weights;
}

double Median(std::vector<double>* seconds) {
  std::nth_element(seconds->begin(), seconds->begin() + static_cast<ptrdiff_t>(seconds->size() / 2), seconds->end());
  return (*seconds)[seconds->size() / 2];
}

}  // namespace

std::vector<MatmulTiming> BenchMatmul(Target target, formats::TensorType type, size_t m, size_t n, size_t k, ThreadPool* pool) {
  const std::vector<float> x = Random(m * k, 1);
  const AlignedArray<std::byte> bytes = RandomWeights(type, n, k);
  const WeightView w{type, bytes.data(), n, k};
  AlignedArray<float> y(m * n);  // as the engine's
  std::vector<MatmulTiming> timings;
  for (const Body* listed : PrefillBodies(target, type)) {
    const Body& body = *listed;
    Activations loaded;
    MakeForms(Phase::kPrefill, body.forms, x.data(), m, k, k, pool, &loaded.forms());
    const Product product{&loaded.forms(), &w, nullptr, Store::kSet, y.data(), n};
    std::vector<Scratch> scratch(pool->num_threads());
    const auto whole = MakeWholeProducts();
    const Body* bodies[] = {&body};
    RunProducts(bodies, &product, 1, pool, scratch.data(), whole.get());
    std::vector<double> seconds;
    const Timer all;
    while (seconds.size() < kLeastRuns || all.Seconds() < kSecondsPerBody) {
      const Timer timer;
      RunProducts(bodies, &product, 1, pool, scratch.data(), whole.get());
      seconds.push_back(timer.Seconds());
    }
    MatmulTiming timing;
    timing.backend = body.name;
    timing.weights = std::string(formats::GetTensorType(type).name);
    timing.chosen = &body == &FindBody(target, Phase::kPrefill, type);
    const double tera = 2e-12 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(k);
    timing.seconds = Median(&seconds);
    timing.tflops = tera / timing.seconds;
    timing.fastest_seconds = *std::min_element(seconds.begin(), seconds.end());
    timing.fastest_tflops = tera / timing.fastest_seconds;
    timings.push_back(timing);
  }
  return timings;
}

DecodeTiming BenchDecode(Target target, formats::TensorType type, size_t n, size_t k, ThreadPool* pool) {
  const size_t matrix_bytes = n * formats::RowBytes(type, k);
  const size_t matrices = std::max<size_t>(1, kDecodeBytes / matrix_bytes);
  const AlignedArray<std::byte> bytes = RandomWeights(type, matrices * n, k);
  const std::vector<float> x = Random(k, 1);
  std::vector<float> y(n);
  Matmul matmul(target, pool);
  Activations loaded;
  matmul.Load(Phase::kDecode, x.data(), 1, k, k, &loaded);
  std::vector<double> seconds;
  for (size_t run = 0; run < 5; ++run) {
    const Timer timer;
    for (size_t i = 0; i < matrices; ++i) {
      matmul.Multiply(loaded, {type, bytes.data() + i * matrix_bytes, n, k}, {}, y.data(), n);
    }
    seconds.push_back(timer.Seconds());
  }
  const double total = static_cast<double>(matrices) * static_cast<double>(matrix_bytes);
  return {matmul.Describe(Phase::kDecode, type), std::string(formats::GetTensorType(type).name),
          1e-9 * total / Median(&seconds)};
}

}  // namespace damask::kernels
