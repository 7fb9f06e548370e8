// Keys and values of q8 pages as the bf16 ones that attention's bodies read: one body for each instruction set, the same bits
// from all of them.
//
// Plain pointers and numbers only, as in attention_steps.h: the bodies must not share inline functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace damask::kernels {

// Consecutive slots of a q8 page, 16 or 32 of them from a multiple of their number on.
struct Q8Run {
  const int8_t* keys;            // [slots][head_dim]
  const int8_t* values;          // V^T lines: the line of dimension d begins at d * 32
  const uint16_t* key_scales;    // bf16 [slots][groups]
  const uint16_t* value_scales;  // bf16; those of group g begin at g * 64
};

// And where their bf16 numbers go.
struct ExpandRun {
  Q8Run from;
  size_t slots;
  uint16_t* to_keys;    // bf16 [slots][head_dim]
  uint16_t* to_values;  // bf16 V^T lines
};

// Number times scale, exact, then rounded to nearest even.
using ExpandFn = void (*)(const ExpandRun& run, size_t head_dim);

void ExpandAvx2(const ExpandRun& run, size_t head_dim);
void ExpandAvx512(const ExpandRun& run, size_t head_dim);
void ExpandAvx512Bf16(const ExpandRun& run, size_t head_dim);

}  // namespace damask::kernels
