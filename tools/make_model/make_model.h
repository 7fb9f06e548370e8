// Writes a random-weight model as files that llama.cpp and Hugging Face's libraries read.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "base/thread_pool.h"
#include "tools/make_model/spec.h"

namespace damask::make_model {

// One GGUF file at `path`, or with spec.split shards named after it ("dir/name.gguf" -> "dir/name-00001-of-00003.gguf"). Gives
// the files written. Errors: InvalidArgument for a spec that cannot be, WriteFailed.
Result<std::vector<std::string>> WriteGgufModel(const ModelSpec& spec, const std::string& path, ThreadPool* pool);

// The same weights as a Hugging Face folder (made when it is not there): config.json, model.safetensors (or, with spec.split,
// shards and an index), tokenizer.json, tokenizer_config.json. Only for F32, F16 and BF16; norms and biases are in that type
// too.
Status WriteHuggingFaceModel(const ModelSpec& spec, const std::string& folder, ThreadPool* pool);

}  // namespace damask::make_model
