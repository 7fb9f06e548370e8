#include "evals/task_spec.h"

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "evals/compare_plan.h"
#include "policies/table_text.h"

namespace damask::evals {
namespace {

using texts::Task;
using texts::TaskOptions;

struct TaskOption {
  Task task;
  std::string_view name;
  uint64_t TaskOptions::*value;
};

constexpr std::array<TaskOption, 5> kTaskOptions = {{{Task::kNeedle, "keys", &TaskOptions::keys},
                                                     {Task::kNeedle, "values", &TaskOptions::values},
                                                     {Task::kVt, "chains", &TaskOptions::chains},
                                                     {Task::kVt, "hops", &TaskOptions::hops},
                                                     {Task::kCwe, "words", &TaskOptions::words}}};

Status NoSuchTask(std::string_view name) {
  std::vector<std::string_view> known;
  for (const texts::TaskInfo& info : texts::AllTasks()) known.push_back(info.name);
  return InvalidArgument(fmt::format("found {}, expected {}, {}", Quote(name), fmt::join(known, ", "), kPerplexity));
}

Status NoSuchOption(const texts::TaskInfo& info, std::string_view name) {
  std::vector<std::string_view> known;
  for (const TaskOption& option : kTaskOptions) {
    if (option.task == info.task) known.push_back(option.name);
  }
  const std::string has = known.empty() ? "it has no options" : fmt::format("it has {}", fmt::join(known, ", "));
  return InvalidArgument(fmt::format("task {} has no option {}; {}", info.name, Quote(name), has));
}

const TaskOption* FindOption(Task task, std::string_view name) {
  for (const TaskOption& option : kTaskOptions) {
    if (option.task == task && option.name == name) return &option;
  }
  return nullptr;
}

Status TakeOption(const texts::TaskInfo& info, std::string_view text, TaskOptions* options) {
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos) {
    return InvalidArgument(fmt::format("task {}: found {} where key=value was expected", info.name, Quote(text)));
  }
  const TaskOption* const option = FindOption(info.task, text.substr(0, equals));
  if (option == nullptr) return NoSuchOption(info, text.substr(0, equals));
  const std::optional<uint64_t> value = policies::ParseNumber<uint64_t>(text.substr(equals + 1));
  if (!value) return InvalidArgument(fmt::format("task {}: {} is no whole number", info.name, Quote(text)));
  options->*option->value = *value;
  return {};
}

}  // namespace

std::string TaskSpec::ToString() const {
  std::string text(texts::InfoOf(task).name);
  char before = ':';
  for (const TaskOption& option : kTaskOptions) {
    if (option.task != task || options.*option.value == TaskOptions().*option.value) continue;
    text += fmt::format("{}{}={}", before, option.name, options.*option.value);
    before = ',';
  }
  return text;
}

Result<TaskSpec> ParseTaskSpec(std::string_view spec) {
  const size_t colon = spec.find(':');
  const texts::TaskInfo* const info = texts::FindTask(spec.substr(0, colon));
  if (info == nullptr) return NoSuchTask(spec.substr(0, colon));
  TaskSpec parsed{.task = info->task, .options = {}};
  if (colon == std::string_view::npos) return parsed;
  std::vector<std::string_view> given;
  for (const std::string_view part : Split(spec.substr(colon + 1), ',')) {
    const std::string_view key = part.substr(0, part.find('='));
    if (std::find(given.begin(), given.end(), key) != given.end()) {
      return InvalidArgument(fmt::format("task {}: option {} is given twice", info->name, Quote(key)));
    }
    given.push_back(key);
    DAMASK_RETURN_IF_ERROR(TakeOption(*info, part, &parsed.options));
  }
  if (const Status status = texts::ValidateTaskOptions(parsed.options); !status.ok()) return status.At(std::string(info->name));
  return parsed;
}

}  // namespace damask::evals
