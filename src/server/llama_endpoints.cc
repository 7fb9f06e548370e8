#include "server/llama_endpoints.h"

#include <iterator>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "base/version.h"
#include "server/llama_requests.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;
using tokenizer::TokenId;

// A piece as llama-server shows it: text, or its bytes where they are no text.
Json PieceJson(const std::string& piece) {
  if (IsValidUtf8(piece)) return piece;
  Json bytes = Json::array();
  for (const char byte : piece) bytes.push_back(static_cast<unsigned char>(byte));
  return bytes;
}

// Written at once: a tree of as many values would take hundreds of bytes for a token.
std::string TokensJson(const tokenizer::Tokenizer& tokenizer, const std::vector<TokenId>& ids, bool with_pieces) {
  std::string json = R"({"tokens":[)";
  const auto out = std::back_inserter(json);
  const char* comma = "";
  for (const TokenId id : ids) {
    if (with_pieces) {
      fmt::format_to(out, R"({}{{"id":{},"piece":{}}})", comma, id, PieceJson(tokenizer.Piece(id, true)).dump());
    } else {
      fmt::format_to(out, "{}{}", comma, id);
    }
    comma = ",";
  }
  return json += "]}";
}

// The file's template, or the name of the family that --chat-template gives it; null where chats are plain text.
Json ChatTemplateJson(const ServedModel& model) {
  if (!model.chat_family()) return nullptr;
  const std::string_view jinja = tokenizer::TemplateOf(model.engine().tokenizer(), *model.chat_family());
  return SanitizeUtf8(std::string(jinja.empty() ? tokenizer::ChatFamilyName(*model.chat_family()) : jinja));
}

// What holds where a request is silent; -1 as llama-server has it: a random seed, and as many tokens as the context holds.
Json ParamsJson(const RequestDefaults& defaults) {
  const engine::SamplerOptions& sampler = defaults.sampler;
  return {{"seed", sampler.seed ? Json(*sampler.seed) : Json(-1)},
          {"temperature", sampler.temperature},
          {"top_k", sampler.top_k},
          {"top_p", sampler.top_p},
          {"min_p", sampler.min_p},
          {"repeat_penalty", sampler.repeat_penalty},
          {"repeat_last_n", sampler.repeat_last_n},
          {"n_predict", defaults.max_tokens < limits::kMaxContext ? Json(defaults.max_tokens) : Json(-1)}};
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

ApiResult<std::string> Tokenize(const ServedModel& model, const std::string& body, FunctionRef<bool()> gone) {
  const ApiResult<TokenizeRequest> parsed = ParseTokenizeRequest(body);
  if (gone()) return "";
  if (const ApiError* error = std::get_if<ApiError>(&parsed)) return *error;
  const TokenizeRequest& request = std::get<TokenizeRequest>(parsed);
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  const tokenizer::Special special = request.parse_special ? tokenizer::Special::kParse : tokenizer::Special::kPlain;
  const Result<std::vector<TokenId>> ids = request.add_special ? tokenizer::EncodePrompt(tokenizer, request.content, special)
                                                               : tokenizer.Encode(request.content, special);
  if (!ids.ok()) return FromStatus(ids.status());
  if (gone()) return "";
  return TokensJson(tokenizer, *ids, request.with_pieces);
}

ApiResult<std::string> Detokenize(const ServedModel& model, const std::string& body) {
  const tokenizer::Tokenizer& tokenizer = model.engine().tokenizer();
  const ApiResult<std::vector<TokenId>> ids = ParseDetokenizeRequest(body, tokenizer.vocab_size());
  if (const ApiError* error = std::get_if<ApiError>(&ids)) return *error;
  return Json{{"content", SanitizeUtf8(tokenizer.Decode(std::get<0>(ids), true))}}.dump();
}

std::string PropsJson(const ServedModel& model) {
  const engine::Engine& engine = model.engine();
  const batching::PrefixStats prefix = model.scheduler().stats().prefix;
  return Json{{"default_generation_settings", {{"n_ctx", engine.context()}, {"params", ParamsJson(model.request_defaults())}}},
              {"total_slots", model.scheduler_options().parallel},
              {"model_alias", SanitizeUtf8(model.card().id)},
              {"chat_template", ChatTemplateJson(model)},
              {"build_info", fmt::format("damask {}", VersionString())},
              {"attention", {{"policy", SanitizeUtf8(model.policy_name())}, {"mask_pictures", !model.mask_page().empty()}}},
              {"memory",
               {{"kv_type", kernels::KvTypeName(engine.kv_type())},
                {"kv_bytes_per_token", engine.kv_bytes_per_token()},
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
