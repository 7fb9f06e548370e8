// The next portion of a PageFetch. Internal to the file that includes it, as these are compiled with their own instructions.
#pragma once

#include <cstddef>

#include "base/aligned.h"
#include "kernels/attention_steps.h"

namespace damask::kernels {
namespace {

// The next line of rows that are read, or written.
template <int kWrite>
[[gnu::always_inline]] inline void FetchLine(RowFetch* fetch) {
  if (fetch->row == fetch->num_rows) return;
  __builtin_prefetch(static_cast<const char*>(fetch->rows[fetch->row]) + fetch->offset, kWrite, kWrite ? 3 : 2);
  fetch->offset += kCacheLine;
  if (fetch->offset < fetch->row_bytes) return;
  fetch->offset = 0;
  ++fetch->row;
}

[[gnu::always_inline]] inline void FetchPortion(PageFetch* fetch) {
  FetchLine<0>(&fetch->reads);
  FetchLine<1>(&fetch->writes);
  if (fetch->page == fetch->num_pages) return;
  const auto* const from = static_cast<const char*>(fetch->pages[fetch->page]) + fetch->offset;
  for (size_t i = 0; i < fetch->portion; i += kCacheLine) __builtin_prefetch(from + i, 0, 2);
  fetch->offset += fetch->portion;
  if (fetch->offset < fetch->page_bytes) return;
  fetch->offset = 0;
  ++fetch->page;
}

}  // namespace
}  // namespace damask::kernels
