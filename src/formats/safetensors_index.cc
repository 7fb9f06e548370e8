// Models in several safetensors files: model.safetensors.index.json says which tensor is in which file.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "formats/json.h"
#include "formats/safetensors_reader.h"

namespace damask::formats {
namespace {

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";

// Shards lie beside their index: a name that leads anywhere else is refused, not followed.
bool IsPlainFileName(const std::string& name) {
  return !name.empty() && name != "." && name.find("..") == std::string::npos &&
         name.find_first_of("/\\") == std::string::npos && name.find('\0') == std::string::npos;
}

// Tensor name -> file name.
Result<std::map<std::string, std::string>> ReadWeightMap(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const Json index, ReadJsonFile(path));
  const std::string where = Quote(path, 300);
  if (!index.is_object()) return BadFormat("expected an object").At(where);
  const auto found = index.find("weight_map");
  if (found == index.end() || !found->is_object()) return BadFormat("expected an object").At("key 'weight_map'").At(where);
  std::map<std::string, std::string> weight_map;
  for (const auto& [tensor, file] : found->items()) {
    const Status fault = BadFormat("expected the name of a file in the same folder").At("tensor " + Quote(tensor)).At(where);
    if (!file.is_string()) return fault;
    const auto& name = file.get_ref<const std::string&>();
    if (!IsPlainFileName(name)) return BadFormat("found " + Quote(name) + ", " + fault.message()).At(fault.where());
    weight_map.emplace(tensor, name);
  }
  if (weight_map.empty()) return BadFormat("the index names no tensors").At(where);
  return weight_map;
}

}  // namespace

Status SafetensorsReader::AddIndex(const std::string& folder, const std::string& index_path, LoadMode load) {
  using WeightMap = std::map<std::string, std::string>;
  DAMASK_ASSIGN_OR_RETURN(const WeightMap weight_map, ReadWeightMap(index_path));
  std::vector<std::string> shards;
  for (const auto& entry : weight_map) shards.push_back(entry.second);
  std::sort(shards.begin(), shards.end());
  shards.erase(std::unique(shards.begin(), shards.end()), shards.end());
  if (shards.size() > limits::kMaxSplitFiles) {
    return TooLarge(fmt::format("names {} files, expected at most {}", shards.size(), limits::kMaxSplitFiles))
        .At(Quote(index_path, 300));
  }
  for (const std::string& shard : shards) {
    Result<std::shared_ptr<const FileBytes>> file = FileBytes::Open(folder + "/" + shard, load);
    if (!file.ok()) return file.status().At(Quote(index_path, 300));
    DAMASK_RETURN_IF_ERROR(AddFile(std::move(*file)));
  }
  path_ = index_path;
  return CheckShards(weight_map, shards);
}

// Every tensor of the index must be in the file that the index says, or what is used is not what was meant.
Status SafetensorsReader::CheckShards(const std::map<std::string, std::string>& weight_map,
                                      const std::vector<std::string>& shards) {
  for (const auto& [tensor, file] : weight_map) {
    const auto found = shard_of_.find(tensor);
    Status fault;
    if (found == shard_of_.end()) {
      fault = BadFormat(fmt::format("the index says it is in {}, which does not have it", Quote(file)));
    } else if (shards[found->second] != file) {
      fault = BadFormat(fmt::format("the index says it is in {}, found in {}", Quote(file), Quote(shards[found->second])));
    }
    if (fault.ok()) continue;
    fault = Note(fault.At("tensor " + Quote(tensor)));
    if (!fault.ok()) return fault.At(Quote(path_, 300));
  }
  return {};
}

Result<std::shared_ptr<const SafetensorsFiles>> OpenSafetensorsFolder(const std::string& folder, LoadMode load,
                                                                      FaultList* faults) {
  SafetensorsReader reader(faults);
  const std::string single = folder + "/" + kSingleName;
  const std::string index = folder + "/" + kIndexName;
  if (FileExists(single)) {
    DAMASK_ASSIGN_OR_RETURN(std::shared_ptr<const FileBytes> file, FileBytes::Open(single, load));
    DAMASK_RETURN_IF_ERROR(reader.AddFile(std::move(file)));
  } else if (FileExists(index)) {
    DAMASK_RETURN_IF_ERROR(reader.AddIndex(folder, index, load));
  } else {
    return NotFound(fmt::format("neither {} nor {}", kSingleName, kIndexName)).At(Quote(folder, 300));
  }
  return reader.Finish();
}

}  // namespace damask::formats
