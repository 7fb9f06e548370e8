// Reading safetensors files: one file, or the shards that a model.safetensors.index.json names.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/gguf.h"

namespace damask::formats {

class SafetensorsFiles {
 public:
  // `folder` holds model.safetensors or model.safetensors.index.json with its shards.
  static Result<std::shared_ptr<const SafetensorsFiles>> OpenFolder(const std::string& folder, LoadMode load);
  // One file already in memory (tests, fuzzing).
  static Result<std::shared_ptr<const SafetensorsFiles>> Parse(std::shared_ptr<const FileBytes> file);

  // F32, F16 and BF16 tensors only; tensors of another dtype are kept by name and refused by Find with Unsupported.
  const std::vector<TensorInfo>& tensors() const { return tensors_; }
  // NotFound where the files have no such tensor. Tensors whose bytes are not aligned for their type are copied on opening.
  Result<const TensorInfo*> Find(std::string_view name) const;
  // Tensors of other dtypes: name -> dtype.
  const std::unordered_map<std::string, std::string>& unsupported() const { return unsupported_; }
  uint64_t file_bytes() const { return file_bytes_; }

 private:
  friend class SafetensorsReader;
  SafetensorsFiles() = default;

  std::vector<std::shared_ptr<const FileBytes>> files_;
  std::vector<std::unique_ptr<std::byte[]>> copies_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, size_t> index_;
  std::unordered_map<std::string, std::string> unsupported_;  // name -> dtype
  uint64_t file_bytes_ = 0;
};

}  // namespace damask::formats
