// Whether a model that thinks aloud may do so before it answers.
#pragma once

#include <optional>
#include <string>

#include "base/status.h"
#include "cli/flags.h"
#include "tokenizer/chat_template.h"

namespace damask::cli {

struct ThoughtFlags {
  std::optional<std::string> budget;
  std::optional<std::string> effort;

  void Declare(Flags* flags);
  Result<tokenizer::Thoughts> Thoughts() const;
};

}  // namespace damask::cli
