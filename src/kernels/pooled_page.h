// Means of consecutive slots of a page, laid down as slots of another page: the pooled keys of a plan (PooledEntry).
#pragma once

#include <cstddef>

#include "kernels/page.h"

namespace damask::kernels {

// Slots [slot, slot + (kPageTokens >> shift)) of `pooled` become the means of keys, and of values, of 1 << shift slots of
// `page` each. shift is 1, 2 or 3; `slot` is a multiple of their number. Every mean is a float32 sum over the slots themselves,
// rounded once: a coarse level loses nothing to a finer one, and levels nest up to that rounding.
void PoolPage(const PageLayout& layout, const std::byte* page, size_t shift, std::byte* pooled, size_t slot);

}  // namespace damask::kernels
