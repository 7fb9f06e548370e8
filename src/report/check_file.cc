#include "report/check_file.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "formats/check.h"
#include "formats/gguf.h"
#include "formats/hf_folder.h"
#include "formats/safetensors.h"
#include "formats/tensor_type.h"
#include "kernels/quant.h"
#include "model/embedded_model.h"
#include "model/model.h"

namespace damask::report {
namespace {

// Not finite values of a tensor or of a part of it.
struct Counts {
  uint64_t nan = 0;
  uint64_t infinite = 0;
  uint64_t first = UINT64_MAX;  // index of the first one

  void Add(uint64_t index, float value) {
    if (std::isfinite(value)) return;
    ++(std::isnan(value) ? nan : infinite);
    first = std::min(first, index);
  }
  void Merge(const Counts& other) {
    nan += other.nan;
    infinite += other.infinite;
    first = std::min(first, other.first);
  }
};

Counts CountRows(const formats::TensorInfo& tensor, Target target, uint64_t begin, uint64_t end, std::vector<float>* row) {
  const uint64_t columns = tensor.columns();
  const uint64_t row_bytes = formats::RowBytes(tensor.type, columns);
  row->resize(columns);
  Counts counts;
  for (uint64_t r = begin; r < end; ++r) {
    kernels::DequantizeRow(target, tensor.type, tensor.data + r * row_bytes, columns, row->data());
    for (uint64_t c = 0; c < columns; ++c) counts.Add(r * columns + c, (*row)[c]);
  }
  return counts;
}

Counts CountTensor(const formats::TensorInfo& tensor, Target target, ThreadPool* pool) {
  constexpr size_t kGrain = 64;
  std::vector<std::vector<float>> rows(pool->num_threads());
  std::mutex mutex;
  Counts total;
  pool->ParallelFor(tensor.rows(), kGrain, [&](size_t begin, size_t end, size_t worker) {
    const Counts part = CountRows(tensor, target, begin, end, &rows[worker]);
    const std::lock_guard<std::mutex> lock(mutex);
    total.Merge(part);
  });
  return total;
}

std::string Describe(const Counts& counts, const formats::TensorInfo& tensor) {
  std::string what;
  if (counts.nan != 0) what += fmt::format("{} NaN", counts.nan);
  if (counts.infinite != 0) what += fmt::format("{}{} infinite", what.empty() ? "" : ", ", counts.infinite);
  return fmt::format("{} among {} values, the first at row {}, column {}", what, tensor.rows() * tensor.columns(),
                     counts.first / tensor.columns(), counts.first % tensor.columns());
}

bool HasValues(const formats::TensorInfo& tensor) {
  return tensor.rows() != 0 && tensor.columns() != 0 && tensor.data != nullptr;
}

Status CheckValues(const std::vector<formats::TensorInfo>& tensors, Target target, ThreadPool* pool,
                   const std::atomic<bool>* cancel, CheckResult* result) {
  for (const formats::TensorInfo& tensor : tensors) {
    if (cancel != nullptr && cancel->load()) return Cancelled();
    const auto type = formats::FindTensorType(static_cast<uint32_t>(tensor.type));
    if (!type || !type->runnable) {
      const std::string name = type ? std::string(type->name) : fmt::format("{}", static_cast<uint32_t>(tensor.type));
      result->faults.push_back({Quote(tensor.name), fmt::format("its type {} is not one whose values damask can read", name)});
      continue;
    }
    if (!HasValues(tensor)) continue;
    const Counts counts = CountTensor(tensor, target, pool);
    if (counts.nan + counts.infinite != 0) result->faults.push_back({Quote(tensor.name), Describe(counts, tensor)});
    ++result->tensors;
    result->values += tensor.rows() * tensor.columns();
  }
  return {};
}

Fault FaultOf(const Status& status, const std::string& path) {
  return {status.where().empty() ? Quote(path) : status.where(), status.message()};
}

// Whatever owns the tensors' bytes, and the tensors.
struct OpenTensors {
  std::shared_ptr<const formats::GgufFile> gguf;
  std::shared_ptr<const formats::SafetensorsFiles> safetensors;
  const std::vector<formats::TensorInfo>& tensors() const { return gguf ? gguf->tensors() : safetensors->tensors(); }
};

Result<OpenTensors> Open(const std::string& path, LoadMode load) {
  OpenTensors open;
  if (path.empty()) {
    auto bytes = FileBytes::Borrow(EmbeddedModel(), std::string(EmbeddedModelName()));
    DAMASK_ASSIGN_OR_RETURN(open.gguf, formats::GgufFile::Parse(std::move(bytes), {}));
  } else if (IsDirectory(path)) {
    auto files = formats::SafetensorsFiles::OpenFolder(path, load);
    // A folder of something else is told as everywhere.
    if (files.status().code() == StatusCode::kNotFound) DAMASK_RETURN_IF_ERROR(formats::CheckModelFolder(path));
    DAMASK_ASSIGN_OR_RETURN(open.safetensors, std::move(files));
  } else {
    DAMASK_ASSIGN_OR_RETURN(open.gguf, formats::GgufFile::Open(path, {.load = load}));
  }
  return open;
}

// What the readers of files find when they read on behind a fault. The first fault stays the first.
Status AddFileFaults(const std::string& path, LoadMode load, CheckResult* result) {
  std::vector<formats::Fault> found;
  if (path.empty()) {
    found = formats::CheckModelBytes(FileBytes::Borrow(EmbeddedModel(), std::string(EmbeddedModelName())));
  } else {
    DAMASK_ASSIGN_OR_RETURN(found, formats::CheckModelFile(path, load));
  }
  for (const formats::Fault& fault : found) {
    const bool known = std::any_of(result->faults.begin(), result->faults.end(),
                                   [&](const Fault& other) { return other.where == fault.where && other.what == fault.what; });
    if (!known) result->faults.push_back({fault.where, fault.what});
  }
  return {};
}

bool CannotBeOpened(const Status& status) {
  return status.code() == StatusCode::kIo || status.code() == StatusCode::kNotFound ||
         status.code() == StatusCode::kOutOfMemory;
}

}  // namespace

Result<CheckResult> CheckModel(const std::string& path, LoadMode load, Target target, ThreadPool* pool,
                               const std::atomic<bool>* cancel) {
  CheckResult result;
  const Result<OpenTensors> open = Open(path, load);
  if (!open.ok() && CannotBeOpened(open.status())) return open.status();
  if (!open.ok()) {
    result.faults.push_back(FaultOf(open.status(), path));
    DAMASK_RETURN_IF_ERROR(AddFileFaults(path, load, &result));
    return result;
  }
  const model::LoadOptions options = {.load = load, .rope = {}, .context = 0};
  const auto loaded = path.empty() ? model::Model::LoadEmbedded(options) : model::Model::Load(path, options);
  result.loads = loaded.ok();
  if (!loaded.ok()) result.faults.push_back(FaultOf(loaded.status(), path));
  DAMASK_RETURN_IF_ERROR(CheckValues(open->tensors(), target, pool, cancel, &result));
  return result;
}

}  // namespace damask::report
