#include "formats/hf_folder.h"

#include <filesystem>

#include "base/file.h"
#include "base/text.h"

namespace damask::formats {

std::string ModelConfigPath(const std::string& folder) { return (std::filesystem::path(folder) / "config.json").string(); }

Status CheckModelFolder(const std::string& folder) {
  if (FileExists(ModelConfigPath(folder))) return {};
  return NotFound("is a folder without config.json, expected a GGUF file or a Hugging Face folder").At(Quote(folder, 300));
}

Result<Json> ReadModelConfig(const std::string& folder) {
  DAMASK_RETURN_IF_ERROR(CheckModelFolder(folder));
  return ReadJsonFile(ModelConfigPath(folder));
}

}  // namespace damask::formats
