#include "server/llama_requests.h"

#include <fmt/format.h>

#include "formats/json.h"
#include "server/api_fields.h"

namespace damask::server {

using tokenizer::TokenId;

namespace {

// With its pieces a text becomes up to 30 times as long: each of its bytes may be a token.
constexpr size_t kMaxContentBytes = size_t{8} << 20;

}  // namespace

ApiResult<TokenizeRequest> ParseTokenizeRequest(const std::string& body) {
  const ApiResult<formats::Json> parsed = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  TokenizeRequest request;
  FieldReader fields(std::get<formats::Json>(parsed));
  const std::string* content = fields.Text("content");
  if (content == nullptr) fields.Fail(MissingParameter("content", "content is missing: the text to tokenize"));
  request.add_special = fields.Bool("add_special").value_or(request.add_special);
  request.parse_special = fields.Bool("parse_special").value_or(request.parse_special);
  request.with_pieces = fields.Bool("with_pieces").value_or(request.with_pieces);
  if (content != nullptr && content->size() > kMaxContentBytes) {
    fields.Fail(InvalidValue("content", fmt::format("Invalid value for 'content': expected at most {} bytes, but got {}.",
                                                    kMaxContentBytes, content->size())));
  }
  if (content != nullptr) request.content = *content;
  if (fields.error()) return *fields.error();
  return request;
}

ApiResult<std::vector<TokenId>> ParseDetokenizeRequest(const std::string& body, uint64_t vocab) {
  const ApiResult<formats::Json> parsed = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  FieldReader fields(std::get<formats::Json>(parsed));
  const formats::Json* const tokens = fields.Array("tokens");
  if (tokens == nullptr) fields.Fail(MissingParameter("tokens", "tokens is missing: an array of token ids"));
  if (fields.error()) return *fields.error();
  std::vector<TokenId> ids = ReadIds(&fields, "tokens", *tokens, static_cast<int64_t>(vocab) - 1);
  if (fields.error()) return *fields.error();
  return ids;
}

}  // namespace damask::server
