#include "tools/make_model/weights.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <string_view>
#include <vector>

#include "kernels/quant.h"

namespace damask::make_model {
namespace {

constexpr uint64_t kChunkValues = uint64_t{1} << 21;  // 8 MB of floats at a time

// The mixing function of splitmix64 (Steele, Lea and Flood 2014): a good 64-bit hash of a counter.
inline uint64_t Mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;

uint64_t TensorSeed(uint64_t seed, std::string_view name) {
  uint64_t hash = Mix(seed + kStep);
  for (const char c : name) hash = Mix(hash ^ static_cast<unsigned char>(c)) + kStep;
  return hash;
}

// Noise near enough to normal: the sum of four 16-bit uniform numbers. Integers only, so that no library's log or cos gets into
// the bytes; the bounds are +-3.46 deviations.
inline int32_t NoiseSum(uint64_t bits) {
  return static_cast<int32_t>((bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48)) - 2 * 65535;
}
constexpr double kNoiseDeviation = 37837.2267;  // sqrt(4 * (65536^2 - 1) / 12)

// The divisors of the rotation frequencies that Llama 3.1 brought: long waves are slowed by the factor, short ones left alone,
// those between blended. Source: rope scaling "llama3" of Hugging Face transformers.
void FillRopeFactors(const ModelSpec& spec, float* out) {
  const double context = static_cast<double>(spec.original_context());
  const double low = spec.rope_low_freq_factor;
  const double high = spec.rope_high_freq_factor;
  for (size_t i = 0; i < spec.head_dim / 2; ++i) {
    const double exponent = 2.0 * static_cast<double>(i) / static_cast<double>(spec.head_dim);
    const double wave = 2.0 * std::numbers::pi * std::pow(spec.rope_base, exponent);
    const double blend = std::clamp((context / wave - low) / (high - low), 0.0, 1.0);
    out[i] = static_cast<float>(1.0 / ((1.0 - blend) / spec.rope_factor + blend));
  }
}

void FillLongRopeFactors(const ModelSpec& spec, bool longer, float* out) {
  for (size_t i = 0; i < spec.rotated_dims() / 2; ++i) out[i] = static_cast<float>(LongRopeFactor(spec, i, longer));
}

// Hugging Face keeps the first numbers of all pairs of a head in its first half, the second ones in the other half.
uint64_t GgufRowOf(const Tensor& tensor, uint64_t hf_row) {
  const uint64_t head_dim = tensor.rows() / tensor.rotated_heads;
  const uint64_t in_head = hf_row % head_dim;
  return hf_row - in_head + 2 * (in_head % (head_dim / 2)) + in_head / (head_dim / 2);
}

}  // namespace

double LongRopeMagnitude(const ModelSpec& spec) {
  const double longer = static_cast<double>(spec.context) / static_cast<double>(spec.original_context());
  return longer <= 1 ? 1.0 : std::sqrt(1.0 + std::log(longer) / std::log(static_cast<double>(spec.original_context())));
}

double LongRopeFactor(const ModelSpec& spec, size_t pair, bool longer) {
  const double share = 2.0 * static_cast<double>(pair) / static_cast<double>(spec.rotated_dims());
  return 1.0 + share * (longer ? spec.rope_factor - 1.0 : 0.25);
}

void FillRow(const ModelSpec& spec, const Tensor& tensor, uint64_t row, float* out) {
  if (tensor.is_rope_factors && spec.rope_scaling == RopeScaling::kLongRope) {
    return FillLongRopeFactors(spec, tensor.of_longer_texts, out);
  }
  if (tensor.is_rope_factors) return FillRopeFactors(spec, out);
  const uint64_t columns = tensor.columns();
  const uint64_t start = TensorSeed(spec.seed, tensor.name) + (tensor.first_row + row) * columns * kStep;
  const float scale = static_cast<float>(tensor.deviation / kNoiseDeviation);
  const float mean = static_cast<float>(tensor.mean);
  for (uint64_t i = 0; i < columns; ++i) {
    out[i] = mean + static_cast<float>(NoiseSum(Mix(start + (i + 1) * kStep))) * scale;
  }
  if (spec.outlier_every == 0 || tensor.shape.size() == 1) return;
  const float larger = static_cast<float>(spec.outlier_scale);
  for (uint64_t i = 0; i < columns; ++i) {
    if (Mix(~start + i * kStep) % spec.outlier_every == 0) out[i] *= larger;
  }
}

Status StreamTensor(const ModelSpec& spec, const Tensor& tensor, formats::TensorType type, RowOrder order, ThreadPool* pool,
                    const formats::GgufWriter::Sink& sink) {
  const uint64_t columns = tensor.columns();
  const uint64_t row_bytes = formats::RowBytes(type, columns);
  const uint64_t chunk_rows = std::clamp<uint64_t>(kChunkValues / columns, 1, tensor.rows());
  const bool unpermute = order == RowOrder::kHuggingFace && spec.rotates_adjacent() && tensor.rotated_heads != 0;
  const bool less_one = order == RowOrder::kHuggingFace && spec.norms_less_one() && tensor.is_norm;
  std::vector<float> values(chunk_rows * columns);
  std::vector<std::byte> bytes(chunk_rows * row_bytes);
  for (uint64_t first = 0; first < tensor.rows(); first += chunk_rows) {
    const uint64_t rows = std::min(chunk_rows, tensor.rows() - first);
    pool->ParallelFor(rows, 16, [&](size_t begin, size_t end, size_t) {
      for (size_t r = begin; r < end; ++r) {
        float* row = values.data() + r * columns;
        FillRow(spec, tensor, unpermute ? GgufRowOf(tensor, first + r) : first + r, row);
        if (less_one) std::transform(row, row + columns, row, [](float value) { return value - 1.0f; });
        kernels::QuantizeRow(type, row, columns, bytes.data() + r * row_bytes);
      }
    });
    DAMASK_RETURN_IF_ERROR(sink(std::span(bytes).first(rows * row_bytes)));
  }
  return {};
}

}  // namespace damask::make_model
