// Generated questions about long texts, after LongEval (lines; Li et al. 2023) and RULER (needle, vt, cwe, fwe; Hsieh et al.,
// arXiv 2404.06654): every sample follows from its options and its seed alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "texts/sample.h"

namespace damask::texts {

enum class Task { kLines, kPasskey, kNeedle, kKv, kVt, kCwe, kFwe };

struct TaskInfo {
  Task task;
  std::string_view name;
  std::string_view summary;
  bool has_depth;  // one fact is asked for, and it stands in one place
};

const std::vector<TaskInfo>& AllTasks();
const TaskInfo& InfoOf(Task task);
const TaskInfo* FindTask(std::string_view name);

inline constexpr uint64_t kMaxNeedles = 1000;  // keys x values
inline constexpr uint64_t kMaxChains = 1000;
inline constexpr uint64_t kMaxHops = 4;
inline constexpr uint64_t kMinCommonWords = 3;
inline constexpr uint64_t kMaxCommonWords = 10;

struct TaskOptions {
  uint64_t tokens = 4096;  // of text, question and prefix together, at most
  uint64_t seed = 1;       // of this sample
  double depth = 0.5;      // where the asked fact stands: 0 in front of everything else, 1 behind it
  uint64_t keys = 1;       // needle: how many keys there are; one is asked for
  uint64_t values = 1;     // needle: of each key; all those of the asked key are wanted
  uint64_t chains = 1;     // vt: how many chains; one is asked for
  uint64_t hops = 4;       // vt: assignments behind the first one of a chain
  uint64_t words = 10;     // cwe: how many common words
};

// More tokens than any right answer of the task takes behind its prefix, whatever the vocabulary.
uint64_t AnswerTokens(Task task, const TaskOptions& options);

using CountTokens = std::function<Result<size_t>(std::string_view text)>;

// InvalidArgument naming the option that is out of range.
Status ValidateTaskOptions(const TaskOptions& options);

// A sample within options.tokens, and at most 1/32 of them or 32 tokens below, whichever is more. Counts the whole text a few
// times, so the time is linear in it. Errors: InvalidArgument where options are out of range or the least text does not fit,
// TooLarge where there are not enough keys for such a long one; those of `count`.
Result<Sample> MakeSample(Task task, const TaskOptions& options, const CountTokens& count);

}  // namespace damask::texts
