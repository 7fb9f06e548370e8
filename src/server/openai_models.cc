#include "server/openai_models.h"

#include <nlohmann/json.hpp>

#include "base/text.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

Json Describe(const ModelCard& card) {
  return {{"id", SanitizeUtf8(card.id)},
          {"object", "model"},
          {"created", card.created},
          {"owned_by", "damask"},
          {"meta",
           {{"n_vocab", card.vocab},
            {"n_ctx_train", card.n_ctx_train},
            {"n_params", card.parameters},
            {"size", card.bytes},
            {"n_ctx", card.n_ctx}}}};
}

}  // namespace

std::string ModelListJson(const ModelCard& card) {
  return Json{{"object", "list"}, {"data", Json::array({Describe(card)})}}.dump();
}

std::string ModelJson(const ModelCard& card) { return Describe(card).dump(); }

}  // namespace damask::server
