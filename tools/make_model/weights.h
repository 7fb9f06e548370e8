// The numbers of a model's tensors. Any row can be made alone, so tensors are made in parallel, piece by piece, in any order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/status.h"
#include "base/thread_pool.h"
#include "formats/gguf_writer.h"
#include "tools/make_model/spec.h"
#include "tools/make_model/tensors.h"

namespace damask::make_model {

// What cos and sin are multiplied by with longrope. Source: Phi3Config of Hugging Face transformers.
double LongRopeMagnitude(const ModelSpec& spec);

// Divisor of frequency `pair`, for texts up to the trained length or longer ones: not those of any model.
double LongRopeFactor(const ModelSpec& spec, size_t pair, bool longer);

// Row `row` of the tensor as GGUF orders rows, out [tensor.columns()].
void FillRow(const ModelSpec& spec, const Tensor& tensor, uint64_t row, float* out);

enum class RowOrder { kGguf, kHuggingFace };

// Encodes all rows of the tensor as `type` and hands them to the sink, some MB at a time.
Status StreamTensor(const ModelSpec& spec, const Tensor& tensor, formats::TensorType type, RowOrder order, ThreadPool* pool,
                    const formats::GgufWriter::Sink& sink);

}  // namespace damask::make_model
