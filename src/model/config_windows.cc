#include "model/config_windows.h"

#include "base/limits.h"
#include "model/config_check.h"

namespace damask::model {

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
