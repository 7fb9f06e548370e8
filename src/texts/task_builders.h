// The tasks' makers, each in the file of its kind; MakeSample (tasks.h) has checked the options.
#pragma once

#include "base/status.h"
#include "texts/tasks.h"

namespace damask::texts {

// task_facts.cc: nothing but facts, one of them asked for.
Result<Sample> MakeLines(const TaskOptions& options, const CountTokens& count);
Result<Sample> MakeKv(const TaskOptions& options, const CountTokens& count);

// task_prose.cc: facts in prose.
Result<Sample> MakePasskey(const TaskOptions& options, const CountTokens& count);
Result<Sample> MakeNeedle(const TaskOptions& options, const CountTokens& count);
Result<Sample> MakeVt(const TaskOptions& options, const CountTokens& count);

// task_words.cc: words to count.
Result<Sample> MakeCwe(const TaskOptions& options, const CountTokens& count);
Result<Sample> MakeFwe(const TaskOptions& options, const CountTokens& count);

}  // namespace damask::texts
