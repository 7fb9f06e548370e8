#include "texts/tasks.h"

#include <algorithm>

#include <fmt/format.h>

#include "texts/task_builders.h"

namespace damask::texts {
namespace {

Status InRange(std::string_view what, uint64_t value, uint64_t min, uint64_t max) {
  if (value >= min && value <= max) return {};
  return InvalidArgument(fmt::format("{} is {}, expected {} to {}", what, value, min, max));
}

Result<Sample> Make(Task task, const TaskOptions& options, const CountTokens& count) {
  switch (task) {
    case Task::kLines: return MakeLines(options, count);
    case Task::kPasskey: return MakePasskey(options, count);
    case Task::kNeedle: return MakeNeedle(options, count);
    case Task::kKv: return MakeKv(options, count);
    case Task::kVt: return MakeVt(options, count);
    case Task::kCwe: return MakeCwe(options, count);
    case Task::kFwe: return MakeFwe(options, count);
  }
  return Internal("an unknown task");
}

}  // namespace

const std::vector<TaskInfo>& AllTasks() {
  static const std::vector<TaskInfo> kTasks = {
      {Task::kLines, "lines", "one line among many, by its key (LongEval)", true},
      {Task::kPasskey, "passkey", "a pass key hidden in prose", true},
      {Task::kNeedle, "needle", "numbers of keys hidden in prose (RULER)", true},
      {Task::kKv, "kv", "the value of one key among many", true},
      {Task::kVt, "vt", "chains of variables hidden in prose (RULER)", false},
      {Task::kCwe, "cwe", "the most common words of a list (RULER)", false},
      {Task::kFwe, "fwe", "the three most frequent words of a list (RULER)", false},
  };
  return kTasks;
}

const TaskInfo& InfoOf(Task task) {
  return *std::find_if(AllTasks().begin(), AllTasks().end(), [&](const TaskInfo& info) { return info.task == task; });
}

const TaskInfo* FindTask(std::string_view name) {
  for (const TaskInfo& info : AllTasks()) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

Status ValidateTaskOptions(const TaskOptions& options) {
  if (!(options.depth >= 0 && options.depth <= 1)) {
    return InvalidArgument(fmt::format("the depth is {}, expected 0 to 1", options.depth));
  }
  DAMASK_RETURN_IF_ERROR(InRange("the number of keys", options.keys, 1, kMaxNeedles));
  DAMASK_RETURN_IF_ERROR(InRange("the number of values", options.values, 1, kMaxNeedles));
  DAMASK_RETURN_IF_ERROR(InRange("keys times values", options.keys * options.values, 1, kMaxNeedles));
  DAMASK_RETURN_IF_ERROR(InRange("the number of chains", options.chains, 1, kMaxChains));
  DAMASK_RETURN_IF_ERROR(InRange("the number of hops", options.hops, 1, kMaxHops));
  return InRange("the number of common words", options.words, kMinCommonWords, kMaxCommonWords);
}

uint64_t AnswerTokens(Task task, const TaskOptions& options) {
  constexpr uint64_t kEnd = 8;  // ".", ">", the newline, and room to see that it is missing
  switch (task) {
    case Task::kLines:
    case Task::kPasskey:
    case Task::kKv: return 6 + kEnd;  // " 12345"
    case Task::kNeedle: return 7 * options.values + kEnd;
    case Task::kVt: return 5 * (options.hops + 1) + kEnd;  // "ABC, "
    case Task::kCwe: return 8 * options.words + kEnd;
    case Task::kFwe: return 8 * 3 + kEnd;
  }
  return kEnd;
}

Result<Sample> MakeSample(Task task, const TaskOptions& options, const CountTokens& count) {
  DAMASK_RETURN_IF_ERROR(ValidateTaskOptions(options));
  Result<Sample> sample = Make(task, options, count);
  if (!sample.ok()) return sample.status().At(std::string(InfoOf(task).name));
  return sample;
}

}  // namespace damask::texts
