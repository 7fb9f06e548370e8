#include "engine/capture.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/ops.h"
#include "masks/extend.h"

namespace damask::engine {
namespace {

// Query rows whose scores are computed together: the keys of a quarter are unpacked once for all of them.
constexpr size_t kRowsTogether = 16;

struct HeadShape {
  size_t head_dim;
  size_t group;
  size_t q_width;
  float scale;
  uint32_t window;  // the model's own
  kernels::PageLayout layout;
};

HeadShape ShapeOf(Engine* engine, size_t layer) {
  const model::ModelConfig& c = engine->model().config();
  return {c.head_dim,      c.group(),
          c.q_width(),     1.0f / std::sqrt(static_cast<float>(c.head_dim)),
          c.window(layer), engine->page_pool()->layout()};
}

// Dense probabilities of some rows of one KV head's group.
class DenseRows {
 public:
  DenseRows(Engine* engine, const model::LayerView& view, size_t kv_head)
      : target_(engine->target()),
        shape_(ShapeOf(engine, view.layer)),
        sinks_(engine->model().layers()[view.layer].sinks.data(), engine->model().layers()[view.layer].sinks.size()),
        view_(view),
        kv_head_(kv_head) {}

  // Calls row(position, g, probabilities [position + 1]) for `count` rows, `stride` apart, from the view's row `first` on; the
  // probabilities may be overwritten.
  template <typename Row>
  void ForEach(size_t first, size_t count, size_t stride, Row&& row) {
    const size_t end = view_.first_position + first + (count - 1) * stride + 1;
    const size_t vectors = count * shape_.group;
    q_.resize(vectors * shape_.head_dim);
    scores_.resize(vectors * end);
    for (size_t r = 0; r < count; ++r) {
      const float* q = view_.q + (first + r * stride) * shape_.q_width + kv_head_ * shape_.group * shape_.head_dim;
      std::copy_n(q, shape_.group * shape_.head_dim, q_.data() + r * shape_.group * shape_.head_dim);
    }
    kernels::Scores(target_, shape_.layout, view_.cache->pages(view_.layer, kv_head_), 0, end, q_.data(), shape_.head_dim,
                    vectors, shape_.scale, scores_.data(), end, &scratch_);
    for (size_t r = 0; r < count; ++r) {
      const uint64_t position = view_.first_position + first + r * stride;
      for (size_t g = 0; g < shape_.group; ++g) {
        float* scores = scores_.data() + (r * shape_.group + g) * end;
        std::fill_n(scores, kernels::LowestKey(position, shape_.window), -INFINITY);
        const double lse = kernels::Softmax(target_, scores, position + 1);
        LeaveToSink(lse, kv_head_ * shape_.group + g, {scores, position + 1});
        row(position, g, std::span<float>(scores, position + 1));
      }
    }
  }

 private:
  // A learned sink takes its share of a row (kernels::QueryBlock::sinks).
  void LeaveToSink(double lse, size_t head, std::span<float> probabilities) const {
    if (sinks_.empty()) return;
    const auto of_keys = static_cast<float>(1.0 / (1.0 + std::exp(static_cast<double>(sinks_[head]) - lse)));
    for (float& probability : probabilities) probability *= of_keys;
  }

  Target target_;
  HeadShape shape_;
  std::span<const float> sinks_;  // [heads] of the layer, or none
  const model::LayerView& view_;
  size_t kv_head_;
  std::vector<float> q_;
  std::vector<float> scores_;
  kernels::ScoresScratch scratch_;
};

double Sum(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum;
}

// One row against every form.
void AddRowLosses(std::span<const float> probabilities, const masks::HeadMask& mask, const masks::Parameters& parameters,
                  std::span<const WindowForm> forms, HeadLosses* losses) {
  const uint64_t position = probabilities.size() - 1;
  const size_t aside = std::min(probabilities.size(), kernels::kPageTokens);
  const auto strongest = std::max_element(probabilities.begin() + static_cast<std::ptrdiff_t>(aside), probabilities.end());
  const bool strong = strongest != probabilities.end() && *strongest > model::kStrongShare;
  const auto strong_key = static_cast<uint64_t>(strongest - probabilities.begin());
  ++losses->rows;
  if (strong) ++losses->strong_rows;
  for (size_t key = 0; key <= position; ++key) {
    // Kept pairs are asked for one by one: only where there is mass to speak of.
    if (probabilities[key] > 1e-4f && masks::Keeps(mask, parameters, position, key)) {
      losses->patterns.mass_sum += static_cast<double>(probabilities[key]);
    }
  }
  if (strong && masks::Keeps(mask, parameters, position, strong_key)) ++losses->patterns.strong_hits;
  for (size_t f = 0; f < forms.size(); ++f) {
    const uint64_t local = position + 1 > forms[f].window ? position + 1 - forms[f].window : 0;
    const uint64_t sinks = std::min<uint64_t>(forms[f].sinks, local);
    losses->windows[f].mass_sum += Sum(probabilities.first(sinks)) + Sum(probabilities.subspan(local));
    if (strong && (strong_key < sinks || strong_key >= local)) ++losses->windows[f].strong_hits;
  }
}

void AddOuter(const float* x, size_t n, double weight, std::vector<double>* matrix) {
  for (size_t i = 0; i < n; ++i) {
    const double xi = static_cast<double>(x[i]) * weight;
    for (size_t j = 0; j < n; ++j) (*matrix)[i * n + j] += xi * static_cast<double>(x[j]);
  }
}

}  // namespace

void CaptureMaps(Engine* engine, const model::LayerView& view, masks::LayerCapture* capture) {
  const size_t length = capture->head(0).length();
  if (view.first_position >= length) return;
  const size_t rows = std::min<size_t>(view.rows, length - view.first_position);
  const model::ModelConfig& c = engine->model().config();
  engine->pool().ParallelFor(c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t kv_head = begin; kv_head < end; ++kv_head) {
      DenseRows dense(engine, view, kv_head);
      for (size_t first = 0; first < rows; first += kRowsTogether) {
        dense.ForEach(first, std::min(kRowsTogether, rows - first), 1,
                      [&](uint64_t position, size_t g, std::span<float> probabilities) {
                        capture->AddRow(kv_head * c.group() + g, position, probabilities);
                      });
      }
    }
  });
}

void ForRows(Engine* engine, const model::LayerView& view, std::span<const uint32_t> positions, RowProbabilities row) {
  const model::ModelConfig& c = engine->model().config();
  const auto first = std::lower_bound(positions.begin(), positions.end(), view.first_position);
  const auto last = std::lower_bound(first, positions.end(), view.first_position + view.rows);
  engine->pool().ParallelFor(c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t kv_head = begin; kv_head < end; ++kv_head) {
      DenseRows dense(engine, view, kv_head);
      for (auto wanted = first; wanted != last; ++wanted) {
        dense.ForEach(*wanted - view.first_position, 1, 1, [&](uint64_t position, size_t g, std::span<float> probabilities) {
          row(kv_head, g, position, probabilities);
        });
      }
    }
  });
}

void MeasureLosses(Engine* engine, const model::LayerView& view, std::span<const masks::HeadMask> masks,
                   const masks::Parameters& parameters, std::span<const WindowForm> forms, uint64_t first_row, size_t stride,
                   std::vector<HeadLosses>* losses) {
  const model::ModelConfig& c = engine->model().config();
  const size_t first = first_row > view.first_position ? first_row - view.first_position : 0;
  if (first >= view.rows) return;
  losses->resize(c.heads);
  for (HeadLosses& head : *losses) head.windows.resize(forms.size());
  engine->pool().ParallelFor(c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t kv_head = begin; kv_head < end; ++kv_head) {
      DenseRows dense(engine, view, kv_head);
      for (size_t row = first; row < view.rows; row += kRowsTogether * stride) {
        const size_t count = std::min(kRowsTogether, (view.rows - row + stride - 1) / stride);
        dense.ForEach(row, count, stride, [&](uint64_t, size_t g, std::span<float> probabilities) {
          const size_t head = kv_head * c.group() + g;
          AddRowLosses(probabilities, masks[head], parameters, forms, &(*losses)[head]);
        });
      }
    }
  });
}

namespace {

// A rotation that keeps lengths: keys have the table's magnitude already.
void FillUnscaled(const model::RopeTable& rope, uint64_t position, float* cos_sin) {
  rope.Fill(position, cos_sin);
  const auto magnitude = static_cast<float>(rope.magnitude());
  if (magnitude == 1.0f) return;
  for (size_t i = 0; i < rope.dims(); ++i) cos_sin[i] /= magnitude;
}

}  // namespace

void AddMoments(Engine* engine, const model::LayerView& view, uint64_t context, size_t stride, uint64_t seed,
                std::vector<Moments>* moments) {
  const model::ModelConfig& c = engine->model().config();
  const size_t dim = c.head_dim;
  moments->resize(c.kv_heads);
  engine->pool().ParallelFor(c.kv_heads, 1, [&](size_t begin, size_t end, size_t) {
    for (size_t kv_head = begin; kv_head < end; ++kv_head) {
      Moments& m = (*moments)[kv_head];
      m.keys.resize(dim * dim);
      m.queries.resize(dim * dim);
      m.key_sum.resize(dim);
      std::mt19937_64 random(seed + 1000003 * kv_head + view.first_position);
      std::vector<float> rotation(c.rope.dims);
      std::vector<float> vectors((c.group() + 1) * dim);
      for (size_t row = 0; row < view.rows; row += stride) {
        const uint64_t position = view.first_position + row;
        // One more rotation moves query and key together, as if the text stood elsewhere in the context.
        const uint64_t shift = random() % std::max<uint64_t>(context, 1);
        const std::byte* page = view.cache->pages(view.layer, kv_head)[position / kernels::kPageTokens];
        kernels::LoadKey(engine->page_pool()->layout(), page, position % kernels::kPageTokens, vectors.data());
        std::copy_n(view.q + row * c.q_width() + kv_head * c.group() * dim, c.group() * dim, vectors.data() + dim);
        if (c.rotates(view.layer)) {
          FillUnscaled(engine->model().rope(view.layer), shift, rotation.data());
          kernels::Rope(engine->target(), c.rope.kind, vectors.data(), c.group() + 1, dim, c.rope.dims, rotation.data());
        }
        AddOuter(vectors.data(), dim, 1.0, &m.keys);
        for (size_t d = 0; d < dim; ++d) m.key_sum[d] += static_cast<double>(vectors[d]);
        for (size_t g = 1; g <= c.group(); ++g) AddOuter(vectors.data() + g * dim, dim, 1.0, &m.queries);
        m.key_count += 1;
        m.query_count += c.group();
      }
    }
  });
}

}  // namespace damask::engine
