#include "kernels/dnnl_products.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include <oneapi/dnnl/dnnl.hpp>

#include "base/aligned.h"
#include "base/bf16.h"
#include "kernels/matmul_targets.h"
#include "kernels/quant.h"

// From the OpenMP runtime that oneDNN is linked with; its header is the compiler's and not always there.
extern "C" void omp_set_num_threads(int count);

namespace damask::kernels {
namespace {

using dnnl::memory;

// Bytes of decoded weights held at a time.
constexpr size_t kChunkBytes = size_t{16} << 20;

struct ShapeKey {
  memory::data_type type;
  size_t m, n, k, x_stride;
  bool operator<(const ShapeKey& other) const {
    return std::tie(type, m, n, k, x_stride) < std::tie(other.type, other.m, other.n, other.k, other.x_stride);
  }
};

struct Primitive {
  memory::desc x, w, y;
  dnnl::matmul product;
};

memory::dim Dim(size_t value) { return static_cast<memory::dim>(value); }

Primitive Make(const ShapeKey& key, const dnnl::engine& engine) {
  Primitive made;
  made.x = memory::desc({Dim(key.m), Dim(key.k)}, key.type, memory::dims{Dim(key.x_stride), 1});
  made.w = memory::desc({Dim(key.k), Dim(key.n)}, key.type, memory::dims{1, Dim(key.k)});
  made.y = memory::desc({Dim(key.m), Dim(key.n)}, memory::data_type::f32, memory::dims{Dim(key.n), 1});
  made.product = dnnl::matmul(dnnl::matmul::primitive_desc(dnnl::matmul::desc(made.x, made.w, made.y), engine));
  return made;
}

}  // namespace

struct DnnlProducts::State {
  ThreadPool* pool;
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<ShapeKey, Primitive> primitives;
  AlignedArray<std::byte> weights;  // [chunk][k] floats or bf16
  AlignedArray<float> result;       // [m][chunk]
  AlignedArray<float> rows;         // [threads][k], for bf16

  const Primitive& Find(const ShapeKey& key) {
    const auto found = primitives.find(key);
    return found != primitives.end() ? found->second : primitives.emplace(key, Make(key, engine)).first->second;
  }
  void DecodeChunk(const WeightView& w, size_t begin, size_t end, DnnlType type);
  void StoreChunk(const Product& product, size_t begin, size_t end);
};

// Weight rows [begin, end) as oneDNN reads them.
void DnnlProducts::State::DecodeChunk(const WeightView& w, size_t begin, size_t end, DnnlType type) {
  const bool as_bf16 = type == DnnlType::kBf16;
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  const size_t element = as_bf16 ? 2 : 4;
  weights.Reserve((end - begin) * w.k * element);
  if (as_bf16) rows.Reserve(pool->num_threads() * w.k);
  pool->ParallelFor(end - begin, 4, [&](size_t first, size_t last, size_t worker) {
    for (size_t i = first; i < last; ++i) {
      const std::byte* row = w.data + (begin + i) * row_bytes;
      std::byte* out = weights.data() + i * w.k * element;
      if (!as_bf16) {
        DequantizeRow(BestTarget(), w.type, row, w.k, reinterpret_cast<float*>(out));
        continue;
      }
      if (w.type == formats::TensorType::kBF16) {
        std::memcpy(out, row, w.k * element);
        continue;
      }
      float* floats = rows.data() + worker * w.k;
      DequantizeRow(BestTarget(), w.type, row, w.k, floats);
      auto* words = reinterpret_cast<uint16_t*>(out);
      for (size_t j = 0; j < w.k; ++j) words[j] = ToBf16(floats[j]).bits;
    }
  });
}

void DnnlProducts::State::StoreChunk(const Product& product, size_t begin, size_t end) {
  const size_t width = end - begin;
  pool->ParallelFor(product.x->m, 8, [&](size_t first, size_t last, size_t /*worker*/) {
    for (size_t m = first; m < last; ++m) StoreElements(BestTarget(), product, m, begin, width, result.data() + m * width);
  });
}

DnnlProducts::DnnlProducts(ThreadPool* pool) : state_(new State{.pool = pool}) {}
DnnlProducts::~DnnlProducts() = default;

void DnnlProducts::Multiply(DnnlType type, const Product& product) {
  const Activations::Forms& x = *product.x;
  const WeightView& w = *product.w;
  omp_set_num_threads(static_cast<int>(state_->pool->num_threads()));
  const bool as_bf16 = type == DnnlType::kBf16;
  const size_t chunk = std::max<size_t>(16, kChunkBytes / std::max<size_t>(1, w.k * (as_bf16 ? 2 : 4)));
  const memory::data_type numbers = as_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  // oneDNN takes no const memory, but does not write to sources.
  void* source = as_bf16 ? static_cast<void*>(const_cast<uint16_t*>(x.bf16s.data())) : const_cast<float*>(x.floats.data());
  for (size_t begin = 0; begin < w.n; begin += chunk) {
    const size_t end = std::min(begin + chunk, w.n);
    state_->DecodeChunk(w, begin, end, type);
    const Primitive& primitive = state_->Find({numbers, x.m, end - begin, w.k, as_bf16 ? x.bf16_stride : x.float_stride});
    state_->result.Reserve(x.m * (end - begin));
    primitive.product.execute(state_->stream, {{DNNL_ARG_SRC, memory(primitive.x, state_->engine, source)},
                                               {DNNL_ARG_WEIGHTS, memory(primitive.w, state_->engine, state_->weights.data())},
                                               {DNNL_ARG_DST, memory(primitive.y, state_->engine, state_->result.data())}});
    state_->stream.wait();
    state_->StoreChunk(product, begin, end);
  }
}

}  // namespace damask::kernels
