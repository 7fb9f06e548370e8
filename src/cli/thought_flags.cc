#include "cli/thought_flags.h"

#include <fmt/format.h>

#include "base/text.h"

namespace damask::cli {

void ThoughtFlags::Declare(Flags* flags) {
  flags->Text("--reasoning-budget", "N", &budget,
              "chat with a model that thinks aloud: 0 has it answer at once, -1 lets it think (default: -1)");
  flags->Text("--reasoning-effort", "LEVEL", &effort,
              "how much a model may think that can be told (gpt-oss): none, low, medium or high");
}

Result<tokenizer::Thoughts> ThoughtFlags::Thoughts() const {
  const std::optional<tokenizer::Thoughts> level = tokenizer::ParseReasoningEffort(effort.value_or("medium"));
  if (!level) {
    return InvalidArgument(fmt::format("--reasoning-effort is {}, expected {}", Quote(*effort), tokenizer::kReasoningEfforts));
  }
  if (!budget || *budget == "-1") return *level;
  if (*budget != "0") return InvalidArgument(fmt::format("--reasoning-budget is {}, expected -1 or 0", Quote(*budget)));
  if (effort && *level != tokenizer::Thoughts::kNone) {
    return InvalidArgument(fmt::format("--reasoning-budget 0 and --reasoning-effort {} exclude each other", *effort));
  }
  return tokenizer::Thoughts::kNone;
}

}  // namespace damask::cli
