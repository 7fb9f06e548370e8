// Fills a model's weights from whatever file holds them.
#pragma once

#include <string>

#include "base/status.h"
#include "model/model.h"
#include "model/tensor_source.h"

namespace damask::model {

class ModelLoader {
 public:
  // The model has its configuration; every tensor is checked against it. `path` is for messages. Views point into the source's
  // bytes, which the model must keep.
  static Status Load(const TensorSource& source, const std::string& path, Model* model);

 private:
  class Loading;
};

}  // namespace damask::model
