#include "server/llama_requests.h"

#include <fmt/format.h>

#include "formats/json.h"
#include "server/api_fields.h"

namespace damask::server {

using tokenizer::TokenId;

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
  if (content != nullptr) request.content = *content;
  if (fields.error()) return *fields.error();
  return request;
}

ApiResult<std::vector<TokenId>> ParseDetokenizeRequest(const std::string& body, uint64_t vocab) {
  const ApiResult<formats::Json> parsed = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  const formats::Json& object = std::get<formats::Json>(parsed);
  const auto tokens = object.find("tokens");
  if (tokens == object.end()) return MissingParameter("tokens", "tokens is missing: an array of token ids");
  if (!tokens->is_array()) return InvalidType("tokens", "tokens is not an array of token ids");
  std::vector<TokenId> ids;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const formats::Json& id = (*tokens)[i];
    const std::string field = fmt::format("tokens[{}]", i);
    if (!id.is_number_integer()) return InvalidType(field, field + " is not a token id");
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= vocab) {
      return InvalidValue(field, fmt::format("{} is outside the vocabulary of {} tokens", field, vocab));
    }
    ids.push_back(id.get<TokenId>());
  }
  return ids;
}

}  // namespace damask::server
