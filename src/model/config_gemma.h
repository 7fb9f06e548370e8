// What sets Gemma 3 apart from the other architectures, wherever its configuration comes from. Sources: Gemma Team, Gemma 3
// Technical Report (arXiv 2503.19786), Hugging Face transformers' Gemma3TextConfig, llama.cpp's src/models/gemma3.cpp.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "formats/json.h"
#include "model/config.h"
#include "model/config_windows.h"

namespace damask::model {

// Every so manieth layer has no sliding window, where a file does not say.
inline constexpr uint64_t kGemma3Pattern = 6;

// Layers of the model of 27 billion parameters.
inline constexpr size_t kGemma3LargestLayers = 62;

// GeGLU, norms behind attention and feed-forward, embeddings times the root of the width; the layers with a window rotate by
// base 10,000 unless set otherwise. Layers and width must have been checked by then.
Status SetGemma3(const WindowPattern& windows, ModelConfig* config);

// The text model's object of a config.json: the file itself (gemma3_text), or one member of it (gemma3, which also reads
// images), with the library's defaults for what it leaves out.
Result<formats::Json> Gemma3TextConfig(const formats::Json& json);

// Fields that only Gemma 3 has: windows, the second base, the scale of the scores. Refuses what damask does not compute.
Status ReadGemma3(const formats::Json& json, ModelConfig* config);

}  // namespace damask::model
