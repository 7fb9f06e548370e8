// Reads a model or a mask file whole and names every fault: for `damask check`.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cpu.h"
#include "base/file.h"
#include "base/status.h"
#include "base/thread_pool.h"

namespace damask::report {

struct Fault {
  std::string where;  // file, key or tensor
  std::string what;   // one sentence
};

struct CheckResult {
  std::vector<Fault> faults;
  bool loads = false;    // damask would use it
  uint64_t tensors = 0;  // of a model: whose values have been read
  uint64_t values = 0;
};

// What a file says it is: by a mask file's magic; anything else counts as a model.
enum class FileKind { kModel, kMask };
FileKind KindOfFile(const std::string& path);

// A GGUF file or a Hugging Face folder; "" is the embedded model. Values that are not finite are counted per tensor. Where the
// file itself is broken, its faults are formats/check.h's. Errors: a path that cannot be opened, Cancelled.
Result<CheckResult> CheckModel(const std::string& path, LoadMode load, Target target, ThreadPool* pool,
                               const std::atomic<bool>* cancel);

// The same for a mask file. Errors: a path that cannot be opened.
Result<CheckResult> CheckMaskFile(const std::string& path);

}  // namespace damask::report
