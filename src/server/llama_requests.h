// Bodies of /tokenize and /detokenize.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "server/api_error.h"
#include "tokenizer/tokenizer.h"

namespace damask::server {

struct TokenizeRequest {
  std::string content;  // UTF-8
  bool add_special = false;
  bool parse_special = true;
  bool with_pieces = false;
};

// Errors: 400 naming the field.
ApiResult<TokenizeRequest> ParseTokenizeRequest(const std::string& body);
// The ids, all within a vocabulary of that size.
ApiResult<std::vector<tokenizer::TokenId>> ParseDetokenizeRequest(const std::string& body, uint64_t vocab);

}  // namespace damask::server
