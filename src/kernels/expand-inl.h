// The loops of expand.h, written once. Included by the file of each instruction set, which supplies Ops:
//   Scales                    the factors of 16 numbers
//   Splat(bf16), Load(bf16*)  one for all, or 16 that follow each other
//   Store(numbers, scales, to)  16 numbers times their factors
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/expand.h"

namespace damask::kernels {
namespace {

template <class Ops>
struct Expander {
  static constexpr size_t kGroup = 32;  // dimensions with one scale
  static constexpr size_t kLine = 32;
  static constexpr size_t kPageSlots = 64;

  static void Run(const ExpandRun& run, size_t head_dim) {
    const size_t groups = (head_dim + kGroup - 1) / kGroup;
    for (size_t group = 0; group < groups; ++group) {
      const size_t first = group * kGroup;
      const size_t end = first + kGroup < head_dim ? first + kGroup : head_dim;
      for (size_t slot = 0; slot < run.slots; ++slot) {
        const size_t row = slot * head_dim;
        const typename Ops::Scales scales = Ops::Splat(run.from.key_scales[slot * groups + group]);
        for (size_t d = first; d < end; d += 16) Ops::Store(run.from.keys + row + d, scales, run.to_keys + row + d);
      }
      for (size_t slot = 0; slot < run.slots; slot += 16) {
        const typename Ops::Scales scales = Ops::Load(run.from.value_scales + group * kPageSlots + slot);
        for (size_t d = first; d < end; ++d) {
          Ops::Store(run.from.values + d * kLine + slot, scales, run.to_values + d * kLine + slot);
        }
      }
    }
  }
};

}  // namespace
}  // namespace damask::kernels
