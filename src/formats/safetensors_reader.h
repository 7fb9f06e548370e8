// How safetensors files are read; users see only safetensors.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/fault.h"
#include "formats/safetensors.h"
#include "formats/safetensors_header.h"

namespace damask::formats {

class SafetensorsReader {
 public:
  // With `faults`, what can be read past is noted there and reading goes on.
  explicit SafetensorsReader(FaultList* faults) : faults_(faults), files_(new SafetensorsFiles) {}

  // Reads one file and adds its tensors. Errors carry the file's name.
  Status AddFile(std::shared_ptr<const FileBytes> file);

  // Reads all shards that the index file names; they lie beside it.
  Status AddIndex(const std::string& folder, const std::string& index_path, LoadMode load);

  std::shared_ptr<const SafetensorsFiles> Finish() { return std::move(files_); }

 private:
  Status ReadFile(const std::shared_ptr<const FileBytes>& file);
  Status CheckLayout(std::vector<SafetensorsEntry>* entries, uint64_t data_bytes);
  Status AddTensor(SafetensorsEntry entry, const std::byte* data);
  Status CheckShards(const std::map<std::string, std::string>& weight_map, const std::vector<std::string>& shards);
  Status Note(Status fault);

  FaultList* faults_;
  std::shared_ptr<SafetensorsFiles> files_;
  std::unordered_map<std::string, size_t> shard_of_;  // every tensor, those of other dtypes too
  std::string path_;                                  // of the file being read
};

// Opens model.safetensors or, where there is none, the index in `folder`.
Result<std::shared_ptr<const SafetensorsFiles>> OpenSafetensorsFolder(const std::string& folder, LoadMode load,
                                                                      FaultList* faults);

}  // namespace damask::formats
