// What the load and the soak ask of `damask serve` over the embedded model.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace damask::server {

struct Question {
  nlohmann::json body;
  std::string text;  // the answer when it was alone
};

// Greedy requests with prompts of 5 to 2000 tokens and answers of 3 to 60; some share their beginning.
inline std::vector<nlohmann::json> MakeBodies() {
  std::vector<nlohmann::json> bodies;
  for (size_t i = 0; i < 24; ++i) {
    const size_t length = i % 8 == 7 ? 2000 : 5 + i * 37 % 600;
    nlohmann::json ids = nlohmann::json::array();
    for (size_t j = 0; j < length; ++j) ids.push_back((j * (37 + 2 * (i % 6)) + 11) % 2048);
    bodies.push_back({{"prompt", std::move(ids)},
                      {"max_tokens", 3 + i * 13 % 58},
                      {"temperature", 0},
                      {"stream_options", {{"include_usage", true}}}});
  }
  return bodies;
}

}  // namespace damask::server
