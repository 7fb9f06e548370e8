// Reads a whole model file and names everything that is wrong with it: `damask check`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/fault.h"

namespace damask::formats {

// `path` is a GGUF file (the first shard of a split one: all are read), a safetensors file, or a folder of safetensors files.
// A sound model gives no faults. Listed are: breaks of the format, as far as the file can be read past them; tensors that
// damask has no kernels for, by type; counts of NaN and infinite values, in quantised tensors of the scales of blocks. Errors
// only where there is nothing to read: Io, NotFound, OutOfMemory.
Result<std::vector<Fault>> CheckModelFile(const std::string& path, LoadMode load = LoadMode::kMap);

// The same for bytes in memory, which begin at a multiple of 8 (tests, fuzzing).
std::vector<Fault> CheckModelBytes(std::shared_ptr<const FileBytes> file);

}  // namespace damask::formats
