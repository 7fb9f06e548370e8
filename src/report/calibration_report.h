// The figures of `damask calibrate`.
#pragma once

#include <string>

#include "engine/calibrate.h"
#include "report/run_json.h"

namespace damask::report {

// {"layers", "heads", "treatments": {"static", "content", "dense"}, "mass_mean", "mass_min", "effect_sum", "density", ...}
Json CalibrationJson(const engine::CalibrateResult& result);
// A few lines.
std::string CalibrationText(const engine::CalibrateResult& result, const std::string& path);

}  // namespace damask::report
