// A model as a Hugging Face folder: config.json, tensors in safetensors files, a tokenizer beside them.
#pragma once

#include <string>

#include "base/status.h"
#include "formats/json.h"

namespace damask::formats {

// NotFound where the folder has no config.json: then it is no model's.
Status CheckModelFolder(const std::string& folder);
std::string ModelConfigPath(const std::string& folder);
Result<Json> ReadModelConfig(const std::string& folder);

}  // namespace damask::formats
