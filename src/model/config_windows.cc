#include "model/config_windows.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "model/config_check.h"

namespace damask::model {

Result<std::optional<std::vector<bool>>> ReadLayerTypes(const formats::Json& json, size_t layers) {
  const auto listed = json.find("layer_types");
  if (listed == json.end() || listed->is_null()) return std::optional<std::vector<bool>>();
  if (!listed->is_array() || listed->size() != layers) {
    return BadFormat(fmt::format("layer_types is no array of {} types, one for each layer", layers));
  }
  std::vector<bool> windows(layers);
  for (size_t layer = 0; layer < layers; ++layer) {
    const formats::Json& type = (*listed)[layer];
    windows[layer] = type == "sliding_attention";
    if (windows[layer] || type == "full_attention") continue;
    return Unsupported(fmt::format("layer_types: layer {} is {}, only full_attention and sliding_attention are supported",
                                   layer, Quote(type.is_string() ? type.get<std::string>() : type.type_name())));
  }
  return std::optional(std::move(windows));
}

Status SetWindowPattern(const WindowPattern& windows, ModelConfig* config) {
  DAMASK_RETURN_IF_ERROR(CheckInRange(windows.window_name, windows.window, 1, limits::kMaxContext));
  if (windows.layers) {
    DAMASK_RETURN_IF_ERROR(
        CheckInRange("the length of " + windows.pattern_name, windows.layers->size(), config->layers, config->layers));
    config->windows.assign(config->layers, 0);
    for (size_t layer = 0; layer < config->layers; ++layer) {
      if ((*windows.layers)[layer]) config->windows[layer] = static_cast<uint32_t>(windows.window);
    }
    return {};
  }
  DAMASK_RETURN_IF_ERROR(CheckInRange(windows.pattern_name, windows.pattern, 1, limits::kMaxLayers));
  config->windows.assign(config->layers, static_cast<uint32_t>(windows.window));
  for (size_t layer = windows.pattern - 1; layer < config->layers; layer += windows.pattern) config->windows[layer] = 0;
  return {};
}

}  // namespace damask::model
