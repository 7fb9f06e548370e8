// Loads the feed-forward step of a layer: one network, or experts with their router and what stands beside them.
#pragma once

#include "base/status.h"
#include "model/model.h"
#include "model/tensor_reader.h"

namespace damask::model {

Status LoadFeedForward(TensorReader* reader, size_t index, LayerWeights* w);

}  // namespace damask::model
