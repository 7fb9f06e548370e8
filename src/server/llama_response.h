// llama-server's shapes for /completion, for api_response.cc.
#pragma once

#include <nlohmann/json.hpp>

#include "server/api_response.h"

namespace damask::server {

// A chunk of a stream that goes on. `tokens` are all that were sent so far, this piece included.
nlohmann::ordered_json LlamaChunk(const ResponseHead& head, const batching::Piece& piece, uint64_t tokens);

// The whole answer, or with an empty `answer` the last chunk of a stream.
nlohmann::ordered_json LlamaFinal(const ResponseHead& head, const GatheredAnswer& answer, const batching::Outcome& outcome);

}  // namespace damask::server
