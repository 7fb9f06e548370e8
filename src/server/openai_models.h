// /v1/models: the one model that is served, in OpenAI's shape with llama-server's figures.
#pragma once

#include <cstdint>
#include <string>

namespace damask::server {

struct ModelCard {
  std::string id;            // the alias, or the file's name
  int64_t created = 0;       // seconds since 1970: when it was loaded
  uint64_t vocab = 0;        // tokens
  uint64_t n_ctx_train = 0;  // positions the model was trained for
  uint64_t parameters = 0;
  uint64_t bytes = 0;  // of its weights' file
  uint64_t n_ctx = 0;  // positions of one request
};

// {"object": "list", "data": [...]}.
std::string ModelListJson(const ModelCard& card);
// The single object of /v1/models/ID.
std::string ModelJson(const ModelCard& card);

}  // namespace damask::server
