// Weights of one model by name, each checked against the shape that its configuration asks for.
#pragma once

#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "kernels/matmul.h"
#include "model/config.h"
#include "model/model.h"
#include "model/tensor_source.h"

namespace damask::model {

// "blk.3.attn_q.weight"
std::string LayerName(size_t index, std::string_view part);

// Rows [first, first + count) of a matrix.
kernels::WeightView Rows(const kernels::WeightView& matrix, size_t first, size_t count);

// Names are GGUF's, messages have the file's own. Errors: BadFormat for what is missing or of another shape, Unsupported for
// types that damask cannot run. Views point into the source's bytes.
class TensorReader {
 public:
  TensorReader(const TensorSource& source, const ModelConfig& config) : source_(source), config_(config) {}

  // Null where there is none.
  Result<const formats::TensorInfo*> Find(const std::string& name);
  Result<const formats::TensorInfo*> Required(const std::string& name);
  Result<kernels::WeightView> Matrix(const std::string& name, size_t rows, size_t columns);
  Result<FloatVector> Vector(const std::string& name, size_t size);
  Result<FloatVector> Norm(const std::string& name, size_t size);
  // Empty where a file has none and may have none.
  Result<FloatVector> Bias(const std::string& name, size_t size);

  // For numbers that no later check would see.
  Status CheckFinite(const std::string& name, const FloatVector& values) const;

  std::string FileName(const std::string& name) const { return source_.FileName(name); }
  Status WrongShape(const std::string& name, const formats::TensorInfo& tensor, const std::vector<uint64_t>& expected) const;
  const ModelConfig& config() const { return config_; }
  const TensorSource& source() const { return source_; }
  // Whether it was found by one of the above.
  bool WasAskedFor(const formats::TensorInfo& tensor) const { return asked_.contains(&tensor); }

 private:
  const TensorSource& source_;
  const ModelConfig& config_;
  std::unordered_set<const formats::TensorInfo*> asked_;
};

}  // namespace damask::model
