#include "kernels/matmul_bench.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/aligned.h"
#include "base/timer.h"
#include "kernels/activation_forms.h"
#include "kernels/dnnl_products.h"
#include "kernels/matmul.h"
#include "kernels/matmul_bodies.h"
#include "kernels/packed_weights.h"
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

// What is multiplied, and the times of it.
class ProductTimer {
 public:
  ProductTimer(formats::TensorType type, size_t m, size_t n, size_t k, ThreadPool* pool)
      : pool_(pool), x_(Random(m * k, 1)), weights_(RandomWeights(type, n, k)), w_{type, weights_.data(), n, k}, y_(m * n) {}

  const WeightView& weights() const { return w_; }

  // By multiply(product), of activations in these forms; `packed` is the product's.
  template <typename Multiply>
  MatmulTiming Time(const char* backend, unsigned forms, const std::byte* packed, const Multiply& multiply) {
    const size_t m = x_.size() / w_.k;
    MakeForms(Phase::kPrefill, forms, x_.data(), m, w_.k, w_.k, pool_, &loaded_.forms());
    const Product product{.x = &loaded_.forms(), .w = &w_, .y = y_.data(), .y_stride = w_.n, .packed = packed};
    multiply(product);
    std::vector<double> seconds;
    const Timer all;
    while (seconds.size() < kLeastRuns || all.Seconds() < kSecondsPerBody) {
      const Timer timer;
      multiply(product);
      seconds.push_back(timer.Seconds());
    }
    MatmulTiming timing;
    timing.backend = backend;
    timing.repacked = packed != nullptr;
    timing.weights = std::string(formats::GetTensorType(w_.type).name);
    const double tera = 2e-12 * static_cast<double>(m) * static_cast<double>(w_.n) * static_cast<double>(w_.k);
    timing.seconds = Median(&seconds);
    timing.tflops = tera / timing.seconds;
    timing.fastest_seconds = *std::min_element(seconds.begin(), seconds.end());
    timing.fastest_tflops = tera / timing.fastest_seconds;
    return timing;
  }

 private:
  ThreadPool* pool_;
  std::vector<float> x_;
  AlignedArray<std::byte> weights_;
  WeightView w_;
  AlignedArray<float> y_;  // as the engine's
  Activations loaded_;
};

}  // namespace

std::vector<MatmulTiming> BenchMatmul(Target target, formats::TensorType type, size_t m, size_t n, size_t k, ThreadPool* pool) {
  ProductTimer timer(type, m, n, k, pool);
  std::vector<Scratch> scratch(pool->num_threads());
  std::vector<MatmulTiming> timings;
  for (const Body* body : PrefillBodies(target, type)) {
    const auto time = [&](const std::byte* packed) {
      timings.push_back(timer.Time(body->name, body->forms, packed,
                                   [&](const Product& product) { RunProducts(&body, &product, 1, pool, scratch.data()); }));
      timings.back().chosen = body == &FindBody(target, Phase::kPrefill, type);
    };
    time(nullptr);
    if (body->pack_panel == nullptr) continue;
    PackedWeights packed;
    packed.Add(*body, timer.weights(), pool, scratch.data());
    if (const std::byte* const panels = packed.Find(timer.weights().data); panels != nullptr) time(panels);
  }
  DnnlProducts dnnl(pool);
  for (const DnnlType numbers : {DnnlType::kBf16, DnnlType::kFloat32}) {
    if (target < (numbers == DnnlType::kBf16 ? Target::kAvx512Bf16 : Target::kAvx2)) continue;
    timings.push_back(timer.Time(DnnlProducts::NameOf(numbers), DnnlProducts::FormOf(numbers), nullptr,
                                 [&](const Product& product) { dnnl.Multiply(numbers, product); }));
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
