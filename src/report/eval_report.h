// Evaluations as JSON and as tables: the same keys wherever they are printed (docs/cli.md lists them).
#pragma once

#include <string>
#include <vector>

#include "evals/jsonl.h"
#include "evals/run.h"
#include "report/run_json.h"

namespace damask::report {

// {"samples", "accuracy", "ci_low", "ci_high", "density", ...}; null where nothing was measured.
Json SummaryJson(const evals::Summary& summary);

enum class Examples { kNone, kKeep };

Json TaskRunJson(const engine::Engine& engine, const evals::TaskRun& run, const evals::TaskResult& result, Examples examples);
// One line for each context; with `depths` one for each depth as well. Without a finished sample it says so.
std::string TaskRunText(const evals::TaskRun& run, const evals::TaskResult& result);

std::string JsonlRunText(const std::vector<texts::Sample>& samples, const evals::JsonlResult& result);
Json JsonlRunJson(const engine::Engine& engine, const std::vector<texts::Sample>& samples, const evals::JsonlResult& result,
                  Examples examples);

// "0.950 (0.764-0.991)".
std::string AccuracyText(double accuracy, const evals::Interval& interval);

}  // namespace damask::report
