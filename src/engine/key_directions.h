// Principal directions of a KV head's rotated keys, weighted by its group's queries: a few numbers a key that give nearly the
// scores of all head_dim (FINDINGS of the method: a quarter to a half of the directions find the blocks that matter; Loki,
// arXiv 2406.02542, does the same for single tokens in decode).
#pragma once

#include "base/status.h"
#include "engine/capture.h"
#include "masks/mask.h"

namespace damask::engine {

// Directions are eigenvectors of the symmetric part of C_k C_q: C_k the keys' covariance, C_q the queries' second moment. The
// rank is the smallest multiple of 16 whose relative error sqrt(E[(q . (I - P) k)^2] / E[(q . k)^2]) is at most `max_error` on
// `moments` and, checked again, on those of a longer context, `far` (null: there is none); half of head_dim at most. The error
// noted is the larger one.
masks::KeyDirections FindDirections(const Moments& moments, const Moments* far, size_t layer, size_t kv_head, size_t head_dim,
                                    double max_error);

}  // namespace damask::engine
