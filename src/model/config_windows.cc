#include "model/config_windows.h"

#include "base/limits.h"
#include "model/config_check.h"

namespace damask::model {

Status SetWindowPattern(const WindowPattern& windows, ModelConfig* config) {
  DAMASK_RETURN_IF_ERROR(CheckInRange(windows.window_name, windows.window, 1, limits::kMaxContext));
  DAMASK_RETURN_IF_ERROR(CheckInRange(windows.pattern_name, windows.pattern, 1, limits::kMaxLayers));
  config->windows.assign(config->layers, static_cast<uint32_t>(windows.window));
  for (size_t layer = windows.pattern - 1; layer < config->layers; layer += windows.pattern) config->windows[layer] = 0;
  return {};
}

}  // namespace damask::model
