// The page of `damask inspect -o`: one HTML file without anything from outside, for people who have never seen a mask as well.
#pragma once

#include <string>

#include "base/status.h"
#include "base/thread_pool.h"
#include "masks/mask.h"
#include "report/mask_figures.h"

namespace damask::report {

// A page of more heads would be too slow to look at, and too large.
inline constexpr size_t kMaxPageHeads = 16384;

// The page of a checked mask; every density of `figures` can be chosen on it. TooLarge over kMaxPageHeads; errors of libpng.
// Well-formed as XML but for the texts of <style> and <script>. Memory: a few KB a head.
Result<std::string> MaskPage(const masks::Mask& mask, const MaskFigures& figures, ThreadPool* pool);

// Its fixed parts (mask_page_style.cc, mask_page_script.cc, mask_page_legend.cc).
extern const char kMaskPageStyle[];
extern const char kMaskPageScript[];
extern const char kMaskPageLegend[];

}  // namespace damask::report
