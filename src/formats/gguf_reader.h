// How a GGUF file is read; users see only gguf.h. One GgufReader reads one file of a model, OpenAll puts the shards together.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "formats/byte_reader.h"
#include "formats/fault.h"
#include "formats/gguf.h"

namespace damask::formats {

class GgufReader {
 public:
  // With `faults`, what can be read past is noted there and reading goes on; what cannot is returned in both cases.
  GgufReader(std::shared_ptr<const FileBytes> file, const GgufOpenOptions& options, FaultList* faults);

  // This one file, whether it is a shard or not. Errors carry the file's name.
  Result<std::shared_ptr<GgufFile>> Read();

  // The file and, where its keys say that it is split, all other shards.
  static Result<std::shared_ptr<const GgufFile>> OpenAll(const std::string& path, const GgufOpenOptions& options,
                                                         FaultList* faults);
  static Result<std::shared_ptr<const GgufFile>> ParseWhole(std::shared_ptr<const FileBytes> file,
                                                            const GgufOpenOptions& options, FaultList* faults);

 private:
  // A tensor description before its bytes are found.
  struct Described {
    TensorInfo info;
    std::string_view name;  // in the file's bytes
    uint64_t offset = 0;    // from the start of the data section
    bool sized = false;     // type and shape are sound, so `info.bytes` is known
  };

  Status ReadAll();
  // A fault that can be read past: returned as it is, or noted with context_ and the file's name where there is a list.
  Status Note(Status fault);
  Status ReadHeader();
  Status ReadMetadata();
  Result<std::string_view> ReadKey();
  Result<GgufValue> ReadValue(uint32_t type);
  Result<GgufValue> ReadArray();
  template <typename T>
  Result<GgufArray> ReadNumbers(uint64_t count);
  Result<GgufArray> ReadBools(uint64_t count);
  Result<GgufArray> ReadStrings(uint64_t count);
  Result<bool> ReadBool();
  Result<std::string_view> ReadString(std::string_view what);
  Status ReadAlignment();
  Status ReadTensorInfos();
  Result<Described> ReadTensorInfo();
  Result<std::string_view> ReadTensorName();
  Status ReadShape(Described* tensor);
  Status PlaceTensors(std::vector<Described> tensors);
  Status PlaceTensor(Described* tensor, uint64_t data_begin);
  Status CheckEnd(uint64_t end, uint64_t padded_end);
  void AddTensor(Described tensor);

  // Moves the tensors and the bytes of `shard` into `whole`.
  static Status Append(GgufFile* whole, GgufFile* shard, size_t number, FaultList* faults);
  static Status AppendShards(const std::string& path, uint64_t count, const GgufOpenOptions& options, FaultList* faults,
                             GgufFile* whole);

  std::shared_ptr<const FileBytes> bytes_;
  GgufOpenOptions options_;
  FaultList* faults_;
  ByteReader reader_;
  std::shared_ptr<GgufFile> file_;
  std::string context_;  // "tensor 'x'" while one is read
  uint64_t num_tensors_ = 0;
  uint64_t num_keys_ = 0;
  uint64_t alignment_ = 32;
  uint64_t data_end_ = 0;                        // of the tensors placed so far, from the start of the data section
  size_t tensors_behind_end_ = 0;                // that the file is too short for
  uint64_t wanted_size_ = 0;                     // of the file, for all of these
  std::optional<uint64_t> expected_offset_ = 0;  // where the next tensor must begin; nothing after one of unknown size
};

// Which shard of a split model a file is, after its own keys.
struct GgufSplit {
  uint64_t number = 0;  // counted from 0
  uint64_t count = 1;
  std::optional<uint64_t> num_tensors;  // of all shards together
};

Result<GgufSplit> ReadSplitKeys(const GgufFile& file);

// "model-00001-of-00003.gguf" taken apart: prefix "model", number 1, count 3. Nothing for other names.
struct ShardName {
  std::string prefix;
  uint64_t number = 0;  // counted from 1
  uint64_t count = 0;
};

std::optional<ShardName> ParseShardName(std::string_view path);
std::string MakeShardName(const std::string& prefix, uint64_t number, uint64_t count);

}  // namespace damask::formats
