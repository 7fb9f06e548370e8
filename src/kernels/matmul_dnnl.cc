// Products by oneDNN: weights are decoded in chunks by our pool, the product runs on oneDNN's own OpenMP threads (as many as
// the pool has). The default where no body of ours is faster.
#include <algorithm>
#include <cstring>
#include <map>
#include <tuple>

#include <oneapi/dnnl/dnnl.hpp>

#include "base/bf16.h"
#include "base/checked.h"
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

}  // namespace

struct WholeProducts {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<ShapeKey, Primitive> primitives;
  AlignedArray<std::byte> weights;  // [chunk][k] floats or bf16
  AlignedArray<float> result;       // [m][chunk]
  AlignedArray<float> rows;         // [threads][k], for bf16

  const Primitive& Find(const ShapeKey& key);
};

namespace {

// Models have a handful of shapes; a prompt's last chunk brings others: forget all when they pile up.
constexpr size_t kMaxPrimitives = 64;

Primitive Make(const ShapeKey& key, const dnnl::engine& engine) {
  Primitive made;
  made.x = memory::desc({Dim(key.m), Dim(key.k)}, key.type, memory::dims{Dim(key.x_stride), 1});
  made.w = memory::desc({Dim(key.k), Dim(key.n)}, key.type, memory::dims{1, Dim(key.k)});
  made.y = memory::desc({Dim(key.m), Dim(key.n)}, memory::data_type::f32, memory::dims{Dim(key.n), 1});
  made.product = dnnl::matmul(dnnl::matmul::primitive_desc(dnnl::matmul::desc(made.x, made.w, made.y), engine));
  return made;
}

// Weight rows [begin, end) as oneDNN reads them.
void DecodeChunk(const WeightView& w, size_t begin, size_t end, bool as_bf16, ThreadPool* pool, WholeProducts* state) {
  const size_t row_bytes = formats::RowBytes(w.type, w.k);
  const size_t element = as_bf16 ? 2 : 4;
  state->weights.Reserve((end - begin) * w.k * element);
  if (as_bf16) state->rows.Reserve(pool->num_threads() * w.k);
  pool->ParallelFor(end - begin, 4, [&](size_t first, size_t last, size_t worker) {
    for (size_t i = first; i < last; ++i) {
      const std::byte* row = w.data + (begin + i) * row_bytes;
      std::byte* out = state->weights.data() + i * w.k * element;
      if (!as_bf16) {
        DequantizeRow(BestTarget(), w.type, row, w.k, reinterpret_cast<float*>(out));
        continue;
      }
      if (w.type == formats::TensorType::kBF16) {
        std::memcpy(out, row, w.k * element);
        continue;
      }
      float* floats = state->rows.data() + worker * w.k;
      DequantizeRow(BestTarget(), w.type, row, w.k, floats);
      auto* words = reinterpret_cast<uint16_t*>(out);
      for (size_t j = 0; j < w.k; ++j) words[j] = ToBf16(floats[j]).bits;
    }
  });
}

void StoreChunk(const Product& product, size_t begin, size_t end, ThreadPool* pool, float* result) {
  const size_t width = end - begin;
  pool->ParallelFor(product.x->m, 8, [&](size_t first, size_t last, size_t /*worker*/) {
    for (size_t m = first; m < last; ++m) StoreElements(BestTarget(), product, m, begin, width, result + m * width);
  });
}

void Run(const Product& product, bool as_bf16, ThreadPool* pool, WholeProducts* state) {
  const Activations::Forms& x = *product.x;
  const WeightView& w = *product.w;
  omp_set_num_threads(static_cast<int>(pool->num_threads()));
  const size_t element = as_bf16 ? 2 : 4;
  const size_t chunk = std::max<size_t>(16, kChunkBytes / std::max<size_t>(1, w.k * element));
  const memory::data_type type = as_bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  // oneDNN takes no const memory, but does not write to sources.
  void* source = as_bf16 ? static_cast<void*>(const_cast<uint16_t*>(x.bf16s.data())) : const_cast<float*>(x.floats.data());
  for (size_t begin = 0; begin < w.n; begin += chunk) {
    const size_t end = std::min(begin + chunk, w.n);
    DecodeChunk(w, begin, end, as_bf16, pool, state);
    const Primitive& primitive = state->Find({type, x.m, end - begin, w.k, as_bf16 ? x.bf16_stride : x.float_stride});
    state->result.Reserve(x.m * (end - begin));
    primitive.product.execute(state->stream, {{DNNL_ARG_SRC, memory(primitive.x, state->engine, source)},
                                              {DNNL_ARG_WEIGHTS, memory(primitive.w, state->engine, state->weights.data())},
                                              {DNNL_ARG_DST, memory(primitive.y, state->engine, state->result.data())}});
    state->stream.wait();
    StoreChunk(product, begin, end, pool, state->result.data());
  }
}

}  // namespace

const Primitive& WholeProducts::Find(const ShapeKey& key) {
  const auto found = primitives.find(key);
  if (found != primitives.end()) return found->second;
  if (primitives.size() >= kMaxPrimitives) primitives.clear();
  return primitives.emplace(key, Make(key, engine)).first->second;
}

void WholeProductsDeleter::operator()(WholeProducts* state) const { delete state; }

std::unique_ptr<WholeProducts, WholeProductsDeleter> MakeWholeProducts() {
  return std::unique_ptr<WholeProducts, WholeProductsDeleter>(new WholeProducts);
}

size_t WholeProductsBytes(const WholeProducts& state) {
  return state.weights.bytes() + state.result.bytes() + state.rows.bytes();
}

namespace one_dnn {

void MultiplyFloat(const Product& product, ThreadPool* pool, WholeProducts* state) { Run(product, false, pool, state); }
void MultiplyBf16(const Product& product, ThreadPool* pool, WholeProducts* state) { Run(product, true, pool, state); }

}  // namespace one_dnn
}  // namespace damask::kernels
