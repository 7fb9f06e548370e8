// Which cells a comparison has: policies set to densities, by task and context.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "evals/compare.h"

namespace damask::evals {

inline constexpr std::string_view kPerplexity = "perplexity";

// `policies` with "all" replaced by every registered policy that is not in the list itself. One that cannot be made without
// more (a file) is left out with a note that says what it wants.
std::vector<std::string> ExpandAll(const engine::Engine& engine, const std::vector<std::string>& policies,
                                   std::vector<std::string>* notes);

// A generated task with the samples of `run`. InvalidArgument: no such task.
Result<TaskRun> TaskRunOf(const CompareRun& run, const std::string& task);

// The cells of `run`, without answers, in the order in which they run: by policy and density, then by context, then by task.
// Policies that cannot keep within a density are left out with a note, as are settings that another density gave already.
// InvalidArgument as in RunCompare.
Result<std::vector<Cell>> PlanCells(const engine::Engine& engine, const CompareRun& run, std::vector<std::string>* notes);

}  // namespace damask::evals
