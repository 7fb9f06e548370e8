// Token ids that a user gives: --tokens, a file, or standard input.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "cli/flags.h"
#include "tokenizer/tokenizer.h"

namespace damask::cli {

struct TokenInput {
  std::optional<std::string> tokens;
  std::optional<std::string> file;

  void Declare(Flags* flags, const std::string& what);
  // What --tokens or the file says, standard input where neither is given. Errors: both given, nothing in it.
  Result<std::string> Read() const;
  // That text as ids of a vocabulary of `vocab` entries, separated by commas, spaces or newlines; at least one id. Errors name
  // where the text is from.
  Result<std::vector<tokenizer::TokenId>> Parse(std::string_view text, size_t vocab) const;
};

}  // namespace damask::cli
