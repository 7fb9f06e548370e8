// Tasks by name, with options as policies have them: "vt:chains=4,hops=2".
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "texts/tasks.h"

namespace damask::evals {

struct TaskSpec {
  texts::Task task = texts::Task::kLines;
  texts::TaskOptions options;  // keys and values of needle, chains and hops of vt, words of cwe; the others as they are made

  // The spec that gives this one again: options that are as by default are left out, the others stand in one order.
  std::string ToString() const;
};

// InvalidArgument: no such task, an option that it has not, that is given twice or out of range.
Result<TaskSpec> ParseTaskSpec(std::string_view spec);

}  // namespace damask::evals
