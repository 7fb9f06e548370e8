#include "cli/thought_flags.h"

#include <fmt/format.h>

#include "base/text.h"

namespace damask::cli {

void ThoughtFlags::Declare(Flags* flags) {
  flags->Text("--reasoning-budget", "N", &budget,
              "chat with a model that thinks aloud: 0 has it answer at once, -1 lets it think (default: -1)");
}

Result<tokenizer::Thoughts> ThoughtFlags::Thoughts() const {
  if (!budget || *budget == "-1") return tokenizer::Thoughts::kAsTheModel;
  if (*budget == "0") return tokenizer::Thoughts::kNone;
  return InvalidArgument(fmt::format("--reasoning-budget is {}, expected -1 or 0", Quote(*budget)));
}

}  // namespace damask::cli
