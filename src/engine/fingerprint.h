// What a mask of a model is bound to.
#pragma once

#include "masks/fingerprint.h"
#include "model/model.h"

namespace damask::engine {

// Reads the pieces of the vocabulary and samples of every weight matrix, a few megabytes in all.
masks::Fingerprint FingerprintOf(const model::Model& model);

}  // namespace damask::engine
