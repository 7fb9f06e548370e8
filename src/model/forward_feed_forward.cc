// The feed-forward step: one network, or many, of which a router picks some for each token. Sources of the latter: Fedus et
// al., Switch Transformers (arXiv 2101.03961); Jiang et al., Mixtral of Experts (arXiv 2401.04088).
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/scores.h"
#include "model/forward.h"
#include "model/forward_buffers.h"

namespace damask::model {
namespace {

// Below it shares are not made to sum to 1: llama.cpp's, the smallest number of half precision.
constexpr float kSmallestSum = 6.103515625e-5f;

}  // namespace

// The product of x with `matrix`, and `bias`, through `norm` where there is one, scaled.
void Forward::AddToResidual(const kernels::Activations& x, const kernels::WeightView& matrix, const FloatVector& bias,
                            const FloatVector& norm) {
  const size_t width = model_->config().width;
  const float scale = model_->config().residual_scale;
  Buffers& b = *buffers_;
  if (norm.size() == 0 && scale == 1.0f) {
    matmul_.Multiply(x, matrix, {.bias = bias.data(), .accumulate = true}, b.x.data(), width);
    return;
  }
  matmul_.Multiply(x, matrix, {.bias = bias.data()}, b.normed.data(), width);
  pool_->ParallelFor(rows_, kRowGrain, [&](size_t begin, size_t end, size_t) {
    for (size_t row = begin; row < end; ++row) {
      float* added = b.normed.data() + row * width;
      if (norm.size() != 0) kernels::RmsNorm(target_, added, norm.data(), model_->config().rms_epsilon, width, added);
      for (size_t i = 0; i < width; ++i) b.x.data()[row * width + i] += scale * added[i];
    }
  });
}

// f(gate) * up of the loaded activations, loaded into `gated`. Where there are biases the products are done with when the
// function is to be applied.
void Forward::LoadGated(const FeedForwardWeights& network, size_t rows) {
  const kernels::GateFunction gate = model_->config().gate;
  const size_t ffn = network.gate.n;
  Buffers& b = *buffers_;
  if (network.gate_bias.size() == 0 && network.up_bias.size() == 0) {
    return matmul_.LoadGated(b.activations, gate, network.gate, network.up, &b.gated);
  }
  b.hidden.Reserve(rows_ * ffn);
  b.up.Reserve(rows_ * ffn);
  matmul_.Multiply(b.activations, network.gate, {.bias = network.gate_bias.data()}, b.hidden.data(), ffn);
  matmul_.Multiply(b.activations, network.up, {.bias = network.up_bias.data()}, b.up.data(), ffn);
  pool_->ParallelFor(rows, kRowGrain, [&](size_t begin, size_t end, size_t) {
    kernels::GateMul(target_, gate, b.hidden.data() + begin * ffn, b.up.data() + begin * ffn, (end - begin) * ffn);
  });
  matmul_.Load(phase_, b.hidden.data(), rows, ffn, ffn, &b.gated);
}

void Forward::FeedForward(const LayerWeights& weights) {
  if (weights.router.data == nullptr) {
    const Stopwatch watch(&stats_.product_seconds);
    LoadNormed(weights.ffn_norm, 0, rows_);
    return Network(weights.feed_forward[0], weights.ffn_post_norm);
  }
  NormRows(weights.ffn_norm);
  const Stopwatch watch(&stats_.product_seconds);
  Experts(weights);
  if (weights.shared.down.data == nullptr) return;
  matmul_.Load(phase_, buffers_->normed.data(), rows_, weights.shared.gate.k, weights.shared.gate.k, &buffers_->activations);
  Network(weights.shared, weights.ffn_post_norm);
}

// All rows, which are loaded, through one network.
void Forward::Network(const FeedForwardWeights& network, const FloatVector& post_norm) {
  LoadGated(network, rows_);
  AddToResidual(buffers_->gated, network.down, network.down_bias, post_norm);
}

void Forward::Experts(const LayerWeights& weights) {
  ScoreExperts(weights);
  ChooseExperts(weights.choice_bias);
  for (size_t e = 0; e < weights.feed_forward.size(); ++e) {
    if (!buffers_->routed[e].empty()) RunExpert(weights.feed_forward[e], buffers_->routed[e]);
  }
}

// By the products of decode: float32 for float weights, where those of a prefill round to bf16, and which expert comes last is
// often a close call.
void Forward::ScoreExperts(const LayerWeights& weights) {
  const kernels::WeightView& router = weights.router;
  Buffers& b = *buffers_;
  for (size_t row = 0; row < rows_; row += kDecodeRows) {
    const size_t rows = std::min(kDecodeRows, rows_ - row);
    matmul_.Load(kernels::Phase::kDecode, b.normed.data() + row * router.k, rows, router.k, router.k, &b.activations);
    matmul_.Multiply(b.activations, router, {.bias = weights.router_bias.data()}, b.routing.data() + row * router.n, router.n);
  }
}

// From scores to shares.
void Forward::GateExperts(float* scores) const {
  const ModelConfig& c = model_->config();
  if (c.gating != Gating::kSigmoid) {
    kernels::Softmax(target_, scores, c.experts);
    return;
  }
  std::transform(scores, scores + c.experts, scores, [](float score) { return 1.0f / (1.0f + std::exp(-score)); });
}

// The likeliest experts of one row, of equal ones the first, to `chosen` [experts_used]. `bias` counts for the choice only: it
// keeps experts busy alike (Wang et al., arXiv 2408.15664). `order` is scratch.
void Forward::ChooseExpertsOfRow(float* shares, const FloatVector& bias, std::vector<size_t>* order,
                                 ChosenExpert* chosen) const {
  const ModelConfig& c = model_->config();
  GateExperts(shares);
  // NaN, which a later check finds, would be no order.
  const auto rank = [&](size_t e) {
    const float value = bias.size() == 0 ? shares[e] : shares[e] + bias[e];
    return std::isnan(value) ? -std::numeric_limits<float>::infinity() : value;
  };
  order->resize(c.experts);
  std::iota(order->begin(), order->end(), size_t{0});
  const auto end = order->begin() + static_cast<std::ptrdiff_t>(c.experts_used);
  std::partial_sort(order->begin(), end, order->end(),
                    [&](size_t i, size_t j) { return rank(i) != rank(j) ? rank(i) > rank(j) : i < j; });
  float sum = 0;
  for (auto e = order->begin(); e != end; ++e) sum += shares[*e];
  const float scale = c.shares_sum_to_one ? c.expert_scale / std::max(sum, kSmallestSum) : c.expert_scale;
  for (auto e = order->begin(); e != end; ++e) *chosen++ = {*e, shares[*e] * scale};
}

void Forward::ChooseExperts(const FloatVector& bias) {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  b.chosen.resize(rows_ * c.experts_used);
  pool_->ParallelFor(rows_, RowGrain(), [&](size_t begin, size_t end, size_t) {
    std::vector<size_t> order;
    for (size_t row = begin; row < end; ++row) {
      ChooseExpertsOfRow(b.routing.data() + row * c.experts, bias, &order, b.chosen.data() + row * c.experts_used);
    }
  });
  b.routed.resize(c.experts);
  for (std::vector<RoutedRow>& rows : b.routed) rows.clear();
  for (size_t i = 0; i < b.chosen.size(); ++i) b.routed[b.chosen[i].expert].push_back({i / c.experts_used, b.chosen[i].share});
}

// Experts come in ascending order, so what a row gets is added up in one order, whatever its company.
void Forward::RunExpert(const FeedForwardWeights& expert, std::span<const RoutedRow> rows) {
  const ModelConfig& c = model_->config();
  Buffers& b = *buffers_;
  pool_->ParallelFor(rows.size(), kRowGrain, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      std::copy_n(b.normed.data() + rows[i].row * c.width, c.width, b.gathered.data() + i * c.width);
    }
  });
  matmul_.Load(phase_, b.gathered.data(), rows.size(), c.width, c.width, &b.activations);
  LoadGated(expert, rows.size());
  matmul_.Multiply(b.gated, expert.down, {.bias = expert.down_bias.data()}, b.gathered.data(), c.width);
  pool_->ParallelFor(rows.size(), kRowGrain, [&](size_t begin, size_t end, size_t) {
    for (size_t i = begin; i < end; ++i) {
      float* x = b.x.data() + rows[i].row * c.width;
      const float* answer = b.gathered.data() + i * c.width;
      for (size_t d = 0; d < c.width; ++d) x[d] += rows[i].share * answer[d];
    }
  });
}

}  // namespace damask::model
