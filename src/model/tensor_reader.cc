#include "model/tensor_reader.h"

#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/quant.h"

namespace damask::model {

using formats::TensorInfo;
using kernels::WeightView;

std::string LayerName(size_t index, std::string_view part) { return fmt::format("blk.{}.{}", index, part); }

WeightView Rows(const WeightView& matrix, size_t first, size_t count) {
  return {matrix.type, matrix.data + first * formats::RowBytes(matrix.type, matrix.k), count, matrix.k};
}

Result<const TensorInfo*> TensorReader::Find(const std::string& name) {
  Result<const TensorInfo*> tensor = source_.Find(name);
  if (tensor.ok()) asked_.insert(*tensor);
  return tensor;
}

Result<const TensorInfo*> TensorReader::Required(const std::string& name) {
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor == nullptr) return BadFormat(fmt::format("the tensor {} is missing", source_.FileName(name)));
  if (!formats::GetTensorType(tensor->type).runnable) {
    return Unsupported(fmt::format("the tensor {} has type {}, which damask cannot run", source_.FileName(name),
                                   formats::GetTensorType(tensor->type).name));
  }
  return tensor;
}

Status TensorReader::WrongShape(const std::string& name, const TensorInfo& tensor,
                                const std::vector<uint64_t>& expected) const {
  return BadFormat(fmt::format("the tensor {} has shape [{}], expected [{}]", source_.FileName(name),
                               fmt::join(tensor.shape, ", "), fmt::join(expected, ", ")));
}

Result<WeightView> TensorReader::Matrix(const std::string& name, size_t rows, size_t columns) {
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
  const std::vector<uint64_t> expected = {rows, columns};
  if (tensor->shape != expected) return WrongShape(name, *tensor, expected);
  return WeightView{tensor->type, tensor->data, rows, columns};
}

Result<FloatVector> TensorReader::Vector(const std::string& name, size_t size) {
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Required(name));
  // One row of a matrix is a vector: converters leave such shapes as they find them.
  const std::vector<uint64_t> expected = {size};
  if (tensor->shape != expected && tensor->shape != std::vector<uint64_t>{1, size}) return WrongShape(name, *tensor, expected);
  FloatVector values(size);
  kernels::DequantizeRow(tensor->type, tensor->data, size, values.data());
  return values;
}

Status TensorReader::CheckFinite(const std::string& name, const FloatVector& values) const {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return BadFormat(fmt::format("number {} is {}, expected a finite one", i, values[i])).At(source_.FileName(name));
  }
  return {};
}

Result<FloatVector> TensorReader::Norm(const std::string& name, size_t size) {
  DAMASK_ASSIGN_OR_RETURN(FloatVector weight, Vector(name, size));
  if (config_.norms_less_one) {
    for (size_t i = 0; i < size; ++i) weight[i] += 1.0f;
  }
  return weight;
}

Result<FloatVector> TensorReader::Bias(const std::string& name, size_t size) {
  DAMASK_ASSIGN_OR_RETURN(const TensorInfo* tensor, Find(name));
  if (tensor == nullptr && !config_.traits().has_all_biases) return FloatVector();
  return Vector(name, size);
}

}  // namespace damask::model
