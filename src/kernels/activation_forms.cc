#include "kernels/activation_forms.h"

#include <algorithm>
#include <cstring>

#include "base/aligned.h"
#include "base/checked.h"
#include "kernels/activation_tiles.h"

namespace damask::kernels {
namespace {

using Forms = Activations::Forms;

size_t RoundUp(size_t value, size_t to) { return CeilDiv(value, to) * to; }

void ReserveWide(size_t m, size_t k, WideRows* wide) {
  wide->blocks = CeilDiv(k, kWideBlock);
  wide->stride = (CeilDiv(wide->blocks * kWideBlock, kCacheLine) | 1) * kCacheLine;
  wide->q.Reserve(m * wide->stride);
  wide->scale.Reserve(m * wide->blocks);
  wide->start.Reserve(m * wide->blocks);
}

void ReserveFixed(size_t m, size_t k, FixedRows* fixed) {
  constexpr size_t kLine = kCacheLine / sizeof(int16_t);
  fixed->blocks = CeilDiv(k, kFixedBlock);
  fixed->stride = (fixed->blocks * kFixedBlock / kLine | 1) * kLine;
  fixed->q.Reserve(m * fixed->stride);
  fixed->scale.Reserve(m * fixed->blocks);
}

void ReserveFine(size_t m, size_t k, FineRows* fine) {
  fine->blocks = CeilDiv(k, kFineBlock);
  fine->stride = (CeilDiv(fine->blocks * kFineBlock, kCacheLine) | 1) * kCacheLine;
  fine->q.Reserve(m * fine->stride);
  fine->factors.Reserve(RoundUp(m, kTileRows) * fine->blocks * 2);
}

void ReserveDecode(size_t m, size_t k, DecodeRows* decode) {
  decode->stride = RoundUp(k, 512);
  const size_t numbers = m * decode->stride;
  decode->natural.Reserve(numbers);
  decode->halves.Reserve(numbers);
  decode->pairs.Reserve(numbers);
  decode->natural_sums.Reserve(numbers / 4);
  decode->sixteen_sums.Reserve(numbers / 16);
  decode->halves_sums.Reserve(numbers / 8);
  decode->scale.Reserve(numbers / kDecodeBlock);
  decode->scaled_sum.Reserve(numbers / kDecodeBlock);
}

void Reserve(size_t m, size_t k, Forms* forms) {
  if ((forms->bits & kFormFloat) != 0) {
    forms->float_stride = RoundUp(k, 16);
    forms->floats.Reserve(m * forms->float_stride);
  }
  if ((forms->bits & kFormBf16) != 0) {
    // An odd number of cache lines, so that rows do not share cache sets.
    forms->bf16_stride = (CeilDiv(k, 32) | 1) * 32;
    forms->bf16s.Reserve(m * forms->bf16_stride);
  }
  if ((forms->bits & kFormTiles) != 0) {
    forms->k_tiles = CeilDiv(k, 32);
    forms->tiles.Reserve(RoundUp(m, 32) * forms->k_tiles * 32);
  }
  if ((forms->bits & kFormWide8) != 0) ReserveWide(m, k, &forms->wide);
  if ((forms->bits & kFormFixed16) != 0) ReserveFixed(m, k, &forms->fixed);
  if ((forms->bits & kFormFine8) != 0) ReserveFine(m, k, &forms->fine);
  if ((forms->bits & kFormDecode8) != 0) ReserveDecode(m, k, &forms->decode);
}

void MakeFloatRow(const float* x, size_t k, size_t stride, float* out) {
  std::memcpy(out, x, k * sizeof(float));
  std::memset(out + k, 0, (stride - k) * sizeof(float));
}

void MakeRow(const float* x, size_t k, size_t row, Forms* forms) {
  if ((forms->bits & kFormFloat) != 0)
    MakeFloatRow(x, k, forms->float_stride, forms->floats.data() + row * forms->float_stride);
#if defined(__x86_64__)
  if ((forms->bits & kFormBf16) != 0) {
    avx512bf16::MakeBf16Row(x, k, forms->bf16_stride, forms->bf16s.data() + row * forms->bf16_stride);
  }
  if ((forms->bits & kFormTiles) != 0) avx512bf16::MakeTilesRow(x, k, forms->k_tiles, row, forms->tiles.data());
  if ((forms->bits & kFormWide8) != 0) {
    WideRows& wide = forms->wide;
    avx512::MakeWideRow(x, k, wide.blocks, wide.q.data() + row * wide.stride, wide.scale.data() + row * wide.blocks,
                        wide.start.data() + row * wide.blocks);
  }
  if ((forms->bits & kFormFixed16) != 0) avx2::MakeFixedRow(x, k, row, &forms->fixed);
  if ((forms->bits & kFormFine8) != 0) avx2::MakeFineRow(x, k, row, &forms->fine);
  if ((forms->bits & kFormDecode8) != 0) avx2::MakeDecodeRow(x, k, row, &forms->decode);
#endif
}

// Rows that a worker takes at a time: about 64 KB of floats, or all of a row of tiles, which are ended while they are near.
size_t GrainOf(unsigned bits, size_t k) {
  if ((bits & kFormTiles) != 0) return kTileColumns;
  return std::max<size_t>(1, 16384 / std::max<size_t>(1, k));
}

// row_of(row, worker): k floats.
template <typename RowOf>
void FillForms(const RowOf& row_of, ThreadPool* pool, Forms* out) {
  const bool tiles = (out->bits & kFormTiles) != 0;
  if (tiles) ZeroTilesBehind(out->m, {out->tiles.data(), out->k_tiles});
  pool->ParallelFor(out->m, GrainOf(out->bits, out->k), [&](size_t begin, size_t end, size_t worker) {
    for (size_t row = begin; row < end; ++row) MakeRow(row_of(row, worker), out->k, row, out);
#if defined(__x86_64__)
    if (tiles) avx512bf16::PairTiles(out->k_tiles, out->tiles.data() + begin / kTileColumns * out->k_tiles * 512);
#endif
  });
}

}  // namespace

size_t Forms::bytes() const {
  return floats.bytes() + bf16s.bytes() + wide.q.bytes() + wide.scale.bytes() + wide.start.bytes() + fixed.q.bytes() +
         fixed.scale.bytes() + fine.q.bytes() + fine.factors.bytes() + decode.natural.bytes() + decode.halves.bytes() +
         decode.pairs.bytes() + decode.natural_sums.bytes() + decode.sixteen_sums.bytes() + decode.halves_sums.bytes() +
         decode.scale.bytes() + decode.scaled_sum.bytes() + tiles.bytes();
}

void PrepareForms(Phase phase, unsigned bits, size_t m, size_t k, Forms* out) {
  out->phase = phase;
  out->bits = bits;
  out->m = m;
  out->k = k;
  Reserve(m, k, out);
}

void MakeForms(Phase phase, unsigned bits, const float* x, size_t m, size_t k, size_t x_stride, ThreadPool* pool, Forms* out) {
  PrepareForms(phase, bits, m, k, out);
  FillForms([&](size_t row, size_t /*worker*/) { return x + row * x_stride; }, pool, out);
}

void MakeForms(Phase phase, unsigned bits, RowMaker rows, size_t m, size_t k, ThreadPool* pool, Scratch* scratch, Forms* out) {
  PrepareForms(phase, bits, m, k, out);
  for (size_t worker = 0; worker < pool->num_threads(); ++worker) scratch[worker].rows.Reserve(k);
  FillForms([&](size_t row, size_t worker) { return rows(row, scratch[worker].rows.data()); }, pool, out);
}

void ZeroTilesBehind(size_t m, const ActivationTiles& tiles) {
  for (size_t row = m / kTileColumns * kTileColumns; row < RoundUp(m, 2 * kTileColumns); row += kTileColumns) {
    if (row >= m || m - row < kTileColumns) std::memset(tiles.Line(row, 0), 0, tiles.k_tiles * 512 * sizeof(uint16_t));
  }
}

}  // namespace damask::kernels
