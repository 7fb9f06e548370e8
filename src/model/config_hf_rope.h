// The rotation of a Hugging Face config.json: base, scaling, the part of a head that turns.
#pragma once

#include "base/status.h"
#include "formats/json.h"
#include "model/config.h"

namespace damask::model {

// The configuration has its context and head size by then.
Status ReadHuggingFaceRope(const formats::Json& json, ModelConfig* config);

}  // namespace damask::model
