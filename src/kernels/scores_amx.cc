#include "kernels/scores_amx-inl.h"

namespace damask::kernels::amx {

void TileScores(const PageLayout& layout, const std::byte* const* pages, uint64_t first, uint64_t end, const float* q,
                size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride, ScoresScratch* scratch) {
  ScoresByTiles<HardwareTiles>(layout, pages, first, end, q, q_stride, rows, scale, scores, score_stride, scratch);
}

void TileRunScores(const PageLayout& layout, const std::byte* const* pages, size_t run, uint64_t first_page, uint64_t end_page,
                   const float* q, size_t q_stride, size_t rows, float scale, float* scores, size_t score_stride,
                   ScoresScratch* scratch) {
  RunScoresByTiles<HardwareTiles>(layout, pages, run, first_page, end_page, q, q_stride, rows, scale, scores, score_stride,
                                  scratch);
}

}  // namespace damask::kernels::amx
