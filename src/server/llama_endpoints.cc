#include "server/llama_endpoints.h"

#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/version.h"
#include "formats/json.h"
#include "server/api_fields.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;
using tokenizer::TokenId;

struct TokenizeRequest {
  std::string content;
  bool add_special = false;
  bool parse_special = true;
  bool with_pieces = false;
};

std::optional<ApiError> ReadTokenizeRequest(const formats::Json& object, TokenizeRequest* request) {
  FieldReader fields(object);
  const std::string* content = fields.Text("content");
  if (content == nullptr) fields.Fail(MissingParameter("content", "content is missing: the text to tokenize"));
  request->add_special = fields.Bool("add_special").value_or(request->add_special);
  request->parse_special = fields.Bool("parse_special").value_or(request->parse_special);
  request->with_pieces = fields.Bool("with_pieces").value_or(request->with_pieces);
  if (content != nullptr) request->content = *content;
  return fields.error();
}

// A piece as llama-server shows it: text, or its bytes where they are no text.
Json PieceJson(const std::string& piece) {
  if (IsValidUtf8(piece)) return piece;
  Json bytes = Json::array();
  for (const char byte : piece) bytes.push_back(static_cast<unsigned char>(byte));
  return bytes;
}

Json SlotJson(const batching::SlotState& slot, size_t index, uint64_t context) {
  const bool busy = slot.request != 0;
  return {{"id", index},
          {"n_ctx", context},
          {"is_processing", busy},
          {"state", !busy                                        ? "idle"
                    : slot.state == batching::JobState::kReading ? "reading"
                                                                 : "drawing"},
          {"id_task", busy ? Json(slot.request) : Json(-1)},
          {"prompt_tokens", slot.usage.prompt_tokens},
          {"read_tokens", slot.usage.read_tokens},
          {"cached_tokens", slot.usage.cached_tokens},
          {"n_decoded", slot.usage.completion_tokens},
          {"kv_bytes", slot.kv_bytes}};
}

}  // namespace

ApiResult<std::string> Tokenize(const ServedModel& model, const std::string& body) {
  const ApiResult<formats::Json> parsed = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  TokenizeRequest request;
  if (auto error = ReadTokenizeRequest(std::get<formats::Json>(parsed), &request)) return *std::move(error);
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  const tokenizer::Special special = request.parse_special ? tokenizer::Special::kParse : tokenizer::Special::kPlain;
  const Result<std::vector<TokenId>> ids = request.add_special ? tokenizer::EncodePrompt(tokenizer, request.content, special)
                                                               : tokenizer.Encode(request.content, special);
  if (!ids.ok()) return FromStatus(ids.status());
  Json tokens = Json::array();
  for (const TokenId id : *ids) {
    if (request.with_pieces) {
      tokens.push_back({{"id", id}, {"piece", PieceJson(tokenizer.Piece(id, true))}});
    } else {
      tokens.push_back(id);
    }
  }
  return Json{{"tokens", std::move(tokens)}}.dump();
}

ApiResult<std::string> Detokenize(const ServedModel& model, const std::string& body) {
  const ApiResult<formats::Json> parsed = ReadBody(body);
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  const formats::Json& object = std::get<formats::Json>(parsed);
  const auto tokens = object.find("tokens");
  if (tokens == object.end()) return MissingParameter("tokens", "tokens is missing: an array of token ids");
  if (!tokens->is_array()) return InvalidType("tokens", "tokens is not an array of token ids");
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  std::vector<TokenId> ids;
  for (size_t i = 0; i < tokens->size(); ++i) {
    const formats::Json& id = (*tokens)[i];
    const std::string field = fmt::format("tokens[{}]", i);
    if (!id.is_number_integer()) return InvalidType(field, field + " is not a token id");
    if (!id.is_number_unsigned() || id.get<uint64_t>() >= tokenizer.vocab_size()) {
      return InvalidValue(field, fmt::format("{} is outside the vocabulary of {} tokens", field, tokenizer.vocab_size()));
    }
    ids.push_back(id.get<TokenId>());
  }
  return Json{{"content", SanitizeUtf8(tokenizer.Decode(ids, true))}}.dump();
}

std::string PropsJson(const ServedModel& model) {
  const engine::Engine& engine = model.engine();
  const engine::SamplerOptions sampler;
  const batching::PrefixStats prefix = model.scheduler().stats().prefix;
  Json params = {{"temperature", sampler.temperature},
                 {"top_k", sampler.top_k},
                 {"top_p", sampler.top_p},
                 {"min_p", sampler.min_p},
                 {"repeat_penalty", sampler.repeat_penalty}};
  const std::string& chat_template = engine.tokenizer().chat_template();
  return Json{{"default_generation_settings", {{"n_ctx", engine.context()}, {"params", std::move(params)}}},
              {"total_slots", model.scheduler_options().parallel},
              {"model_alias", SanitizeUtf8(model.card().id)},
              {"chat_template", model.chat_family() ? Json(SanitizeUtf8(chat_template)) : Json(nullptr)},
              {"build_info", fmt::format("damask {}", VersionString())},
              {"attention", {{"policy", SanitizeUtf8(model.policy_name())}, {"mask_pictures", !model.mask_page().empty()}}},
              {"memory",
               {{"kv_bytes_per_token", engine.kv_bytes_per_token()},
                {"weights_bytes", engine.model().file_bytes()},
                {"prefix_bytes_limit", prefix.memory_limit},
                {"prefix_disk_bytes_limit", prefix.disk_limit}}}}
      .dump();
}

std::string SlotsJson(const ServedModel& model) {
  const batching::SchedulerStats stats = model.scheduler().stats();
  Json slots = Json::array();
  for (size_t i = 0; i < stats.slots.size(); ++i) slots.push_back(SlotJson(stats.slots[i], i, model.engine().context()));
  return slots.dump();
}

}  // namespace damask::server
