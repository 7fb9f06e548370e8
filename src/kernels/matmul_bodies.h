// What stands behind Matmul: the forms of activations, the bodies, and the table that names one for each case. Private to the
// kernels folder and its tests.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned.h"
#include "base/cpu.h"
#include "base/thread_pool.h"
#include "formats/tensor_type.h"
#include "kernels/matmul.h"

namespace damask::kernels {

// Numbers per scale of the 8-bit activations: 32 in decode, as the weights' blocks; kWideBlock in prefill, where fewer scales
// leave more time for products.
inline constexpr size_t kDecodeBlock = 32;
inline constexpr size_t kWideBlock = 64;
// Rows of a weight panel in prefill, four vectors of 16 lanes.
inline constexpr size_t kPanelRows = 64;
// Numbers per scale of the 8-bit activations that meet weights of 4 and 5 bits in prefill with AVX2.
inline constexpr size_t kFineBlock = 32;
// Numbers per scale where both sides are rounded to 13 bits: the block's sum of products fits 32, and what they become at most.
inline constexpr size_t kFixedBlock = 128;
inline constexpr float kFixedLimit = 4095;
// Rows of a weight panel in prefill with AVX2.
inline constexpr size_t kNarrowPanelRows = 32;
// Rows of activations that a panel is multiplied with at a time, but by AMX. Parts begin at multiples of it.
inline constexpr size_t kTileRows = 6;
// Rows of a weight panel for AMX, and of a part at most.
inline constexpr size_t kTilePanelRows = 32;
inline constexpr size_t kTilePartRows = 512;

// Which forms a body reads; Load makes the union of what a target's bodies of one phase read.
enum FormBits : unsigned {
  kFormFloat = 1,
  kFormBf16 = 2,
  kFormWide8 = 4,
  kFormDecode8 = 8,
  kFormTiles = 16,
  kFormFixed16 = 32,
  kFormFine8 = 64,
};

// Activations rounded to 8 bits for prefill: x = scale[block] * q. Zeros after k.
struct WideRows {
  AlignedArray<int8_t> q;       // [m][stride]
  AlignedArray<float> scale;    // [m][blocks]
  AlignedArray<int32_t> start;  // [m][blocks]: -128 * sum of q over the block, where products with weights + 128 begin
  size_t stride = 0;            // an odd number of cache lines, so that rows do not share cache sets
  size_t blocks = 0;            // k / kWideBlock, rounded up
};

// Activations rounded to 13 bits for prefill: x = scale[block] * q. Zeros after k.
struct FixedRows {
  AlignedArray<int16_t> q;    // [m][stride]
  AlignedArray<float> scale;  // [m][blocks]
  size_t stride = 0;          // an odd number of cache lines, so that rows do not share cache sets
  size_t blocks = 0;          // k / kFixedBlock, rounded up
};

// Activations rounded to 8 bits for prefill: x = scale[block] * q. Zeros after k.
struct FineRows {
  AlignedArray<int8_t> q;  // [m][stride]
  // [m / kTileRows, rounded up][blocks][2][kTileRows]: scale, and scale * sum of q for what weights' minima bring.
  AlignedArray<float> factors;
  size_t stride = 0;  // an odd number of cache lines, so that rows do not share cache sets
  size_t blocks = 0;  // k / kFineBlock, rounded up

  // Where a row's scale of a block lies; its scaled sum lies kTileRows behind.
  size_t FactorAt(size_t row, size_t block) const {
    return (row / kTileRows * blocks + block) * (2 * kTileRows) + row % kTileRows;
  }
};

// One row for the matrix-vector kernels, in the orders in which they unpack weights; per row:
//   natural  q in order
//   halves   groups of four blocks: the first 16 numbers of each of the four, then the last 16 (32-blocks of nibbles)
//   pairs    groups of 256: blocks 0 2 1 3 4 6 5 7 (super-blocks of nibbles)
// and sums over sixteen q, for what offsets and minima of blocks of 16 bring; and sums over groups of four neighbouring q,
// negated, in those orders, so that an unsigned weight's offset costs no product: lane i of a 16-lane step starts at offset *
// sums[i].
struct DecodeRows {
  AlignedArray<int8_t> natural;
  AlignedArray<int8_t> halves;
  AlignedArray<int8_t> pairs;
  AlignedArray<int32_t> natural_sums;  // [m][stride / 4]
  AlignedArray<int16_t> sixteen_sums;  // [m][stride / 16]
  AlignedArray<int32_t> halves_sums;   // [m][stride / 8]: both halves of a group of four blocks together
  AlignedArray<float> scale;           // [m][stride / 32]
  AlignedArray<float> scaled_sum;      // [m][stride / 32]: scale * sum of q, for types with minima
  size_t stride = 0;                   // k rounded up to a multiple of 512
};

struct Activations::Forms {
  Phase phase = Phase::kPrefill;
  unsigned bits = 0;
  size_t m = 0;
  size_t k = 0;

  AlignedArray<float> floats;    // [m][float_stride], zeros after k
  size_t float_stride = 0;       // k rounded up to a multiple of 16
  AlignedArray<uint16_t> bf16s;  // [m][bf16_stride], zeros after k
  size_t bf16_stride = 0;        // k rounded up to a multiple of 32
  WideRows wide;
  FixedRows fixed;
  FineRows fine;
  DecodeRows decode;
  AlignedArray<uint16_t> tiles;  // B tiles [m / 16, an even number][k_tiles][16 pairs][16 rows][2], zeros outside
  size_t k_tiles = 0;            // k / 32, rounded up

  size_t bytes() const;
};

struct Scratch {
  AlignedArray<std::byte> panel;       // unpacked weights of one panel
  AlignedArray<float> rows;            // decoded weight rows
  std::atomic<size_t> next_range = 0;  // of the thread's share of a product whose weight rows are read range by range
};

enum class Store {
  kSet,   // y = x w^T + bias
  kAdd,   // y += x w^T + bias
  kGate,  // y = f(y) * x w^T, f = Product::gate: the second product of SwiGLU or GeGLU, over the first one's result
};

struct Product {
  const Activations::Forms* x = nullptr;
  const WeightView* w = nullptr;
  const float* bias = nullptr;  // [n] or null
  Store store = Store::kSet;
  float* y = nullptr;
  size_t y_stride = 0;
  GateFunction gate = GateFunction::kSilu;
  const std::byte* packed = nullptr;  // the panels of w as Body::pack_panel makes them; null: unpacked in the call
};

// A rectangle of y.
struct Part {
  size_t n_begin = 0;
  size_t n_end = 0;
  size_t m_begin = 0;
  size_t m_end = 0;
};

enum class Split {
  kPanels,     // Part by Part over the pool; n_begin is a multiple of Body::n_grain
  kRowRanges,  // ranges of weight rows over the pool, all of m at once; sized for bandwidth
};

struct Body {
  const char* name;
  unsigned forms;
  Split split;
  size_t n_grain;
  void (*run)(const Product& product, const Part& part, Scratch* scratch);
  // How panels are kept between calls: weight rows [n_begin, n_end) of one panel to `out`, 64-byte aligned, of panel_bytes(w),
  // a multiple of 64. Null: this body keeps none.
  size_t (*panel_bytes)(const WeightView& w) = nullptr;
  void (*pack_panel)(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out) = nullptr;
  // Of kPanels: weight rows that a part may have, a multiple of n_grain. 0: parts are one panel.
  size_t n_part = 0;
  // Of kPanels: cuts along the activation rows lie at multiples of this, a multiple of the rows that the body takes at a time.
  size_t m_grain = 16 * kTileRows;
  // A part of f(x gate^T) * (x up^T), f = up.gate, of at most half of n_part columns, right as the forms `gated_forms` of what
  // the next product reads; rows and columns behind the part's last ones, up to the form's, are zeros. Null: there is none.
  void (*run_gated)(const Product& gate, const Product& up, const Part& part, Scratch* scratch,
                    Activations::Forms* out) = nullptr;
  unsigned gated_forms = 0;
};

// The table.
const Body& FindBody(Target target, Phase phase, formats::TensorType type);

// The union of the forms that the bodies of a phase read for these weight types; for none named, of all.
unsigned FormsOf(Target target, Phase phase, std::span<const formats::TensorType> types);

// Every prefill body that a target can run over a weight type, the table's choice among them: for benchmarks.
std::vector<const Body*> PrefillBodies(Target target, formats::TensorType type);

// Runs one product, or two of the same shape (SwiGLU) part by part, so that the second finds the first one's part of y in
// cache. `scratch` holds one for each thread of the pool.
void RunProducts(const Body* const* bodies, const Product* products, size_t count, ThreadPool* pool, Scratch* scratch);

// Several products of the same activations. Parts are as large as if their weights were one: each reads all activations, so few
// are better, and threads wait for each other once. (Decode, whose threads read ranges of a matrix, takes one after the other.)
void RunSideBySide(const Body* const* bodies, const Product* products, size_t count, ThreadPool* pool, Scratch* scratch);

// f(gate) * up by body.run_gated, into forms that were prepared (PrepareForms).
void RunGated(const Body& body, const Product& gate, const Product& up, ThreadPool* pool, Scratch* scratch,
              Activations::Forms* out);

}  // namespace damask::kernels
