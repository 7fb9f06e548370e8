// Log-probabilities of drawn tokens, as OpenAI's API reports them: of the model's own distribution.
#pragma once

#include <cstddef>
#include <span>

#include "batching/request.h"

namespace damask::batching {

// Of token `id` under softmax(logits [vocab]), with the `top` likeliest tokens (ties to the lower id; at most vocab of them).
DrawnToken LogprobsOf(std::span<const float> logits, TokenId id, size_t top);

}  // namespace damask::batching
