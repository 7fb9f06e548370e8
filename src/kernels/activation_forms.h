// Makes the forms of activations that the bodies read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/matmul_bodies.h"

namespace damask::kernels {

// Makes room for the forms named by `bits` of activations [m, k].
void PrepareForms(Phase phase, unsigned bits, size_t m, size_t k, Activations::Forms* out);

// Fills the forms named by `bits` from x [m, k]; rows are spread over the pool.
void MakeForms(Phase phase, unsigned bits, const float* x, size_t m, size_t k, size_t x_stride, ThreadPool* pool,
               Activations::Forms* out);
// The same from rows that are made on the way. `scratch` holds one for each thread of the pool.
void MakeForms(Phase phase, unsigned bits, RowMaker rows, size_t m, size_t k, ThreadPool* pool, Scratch* scratch,
               Activations::Forms* out);

// One row each, by instruction set.
namespace avx2 {
void MakeDecodeRow(const float* x, size_t k, size_t row, DecodeRows* out);
void MakeFixedRow(const float* x, size_t k, size_t row, FixedRows* out);
void MakeFineRow(const float* x, size_t k, size_t row, FineRows* out);
}  // namespace avx2
namespace avx512 {
void MakeWideRow(const float* x, size_t k, size_t blocks, int8_t* q, float* scale, int32_t* start);
}  // namespace avx512
namespace avx512bf16 {
void MakeBf16Row(const float* x, size_t k, size_t stride, uint16_t* out);
// One row of each of its tiles, row by row; PairTiles then makes B tiles of sixteen complete rows.
void MakeTilesRow(const float* x, size_t k, size_t k_tiles, size_t row, uint16_t* tiles);
void PairTiles(size_t k_tiles, uint16_t* tiles);
}  // namespace avx512bf16

}  // namespace damask::kernels
