// llama-server's "samplers": which steps there are between the model's distribution and the token that is drawn.
#pragma once

#include "engine/sampler.h"
#include "server/api_fields.h"

namespace damask::server {

// Turns off in `sampler` what the list, of names or of letters, leaves out. Steps that damask lacks do nothing without fields
// of their own, which are refused; those that it has stand in its order, another one is a fault.
void ReadSamplers(FieldReader* fields, engine::SamplerOptions* sampler);

}  // namespace damask::server
