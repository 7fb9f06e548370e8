#include "server/api_logprobs.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::server {
namespace {

using Json = nlohmann::ordered_json;

// JSON has no infinity; OpenAI writes this for a token that cannot be.
constexpr float kImpossible = -9999.0f;

float Finite(float logprob) { return std::isfinite(logprob) ? std::max(logprob, kImpossible) : kImpossible; }

Json BytesJson(std::string_view bytes) {
  Json numbers = Json::array();
  for (const char c : bytes) numbers.push_back(static_cast<unsigned char>(c));
  return numbers;
}

// A token's text as a name.
std::string TokenName(const std::string& bytes) {
  if (IsValidUtf8(bytes)) return bytes;
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

// Characters that begin in these bytes, so that a character cut into several tokens counts once.
uint64_t CharactersIn(std::string_view bytes) {
  return static_cast<uint64_t>(
      std::count_if(bytes.begin(), bytes.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

Json ChatToken(batching::TokenId id, float logprob, const TokenBytes& bytes) {
  const std::string text = bytes(id, true);
  return {{"token", SanitizeUtf8(text)}, {"logprob", Finite(logprob)}, {"bytes", BytesJson(text)}};
}

Json LlamaToken(batching::TokenId id, float logprob, const TokenBytes& bytes) {
  const std::string text = bytes(id, true);
  return {{"id", id}, {"token", SanitizeUtf8(text)}, {"bytes", BytesJson(text)}, {"logprob", Finite(logprob)}};
}

using MakeToken = Json (*)(batching::TokenId id, float logprob, const TokenBytes& bytes);

// Each token with its likeliest rivals.
Json TokensJson(std::span<const batching::DrawnToken> tokens, const TokenBytes& bytes, MakeToken make) {
  Json all = Json::array();
  for (const batching::DrawnToken& token : tokens) {
    Json one = make(token.id, token.logprob, bytes);
    Json& top = one["top_logprobs"] = Json::array();
    for (const batching::TokenLogprob& rival : token.top) top.push_back(make(rival.id, rival.logprob, bytes));
    all.push_back(std::move(one));
  }
  return all;
}

Json TopByName(const batching::DrawnToken& token, const TokenBytes& bytes) {
  Json top = Json::object();
  // Two tokens may have one text: the likelier one stays.
  for (const batching::TokenLogprob& rival : token.top) top.emplace(TokenName(bytes(rival.id, true)), Finite(rival.logprob));
  top.emplace(TokenName(bytes(token.id, true)), Finite(token.logprob));  // OpenAI's has it, likely or not
  return top;
}

}  // namespace

Json ChatLogprobsJson(std::span<const batching::DrawnToken> tokens, const TokenBytes& bytes) {
  return {{"content", TokensJson(tokens, bytes, ChatToken)}, {"refusal", nullptr}};
}

Json CompletionLogprobsJson(std::span<const batching::DrawnToken> tokens, size_t top, const TokenBytes& bytes,
                            uint64_t* offset) {
  Json names = Json::array();
  Json logprobs = Json::array();
  Json tops = top == 0 ? Json(nullptr) : Json::array();
  Json offsets = Json::array();
  for (const batching::DrawnToken& token : tokens) {
    names.push_back(TokenName(bytes(token.id, true)));
    logprobs.push_back(Finite(token.logprob));
    if (top > 0) tops.push_back(TopByName(token, bytes));
    offsets.push_back(*offset);
    *offset += CharactersIn(bytes(token.id, false));
  }
  return {{"tokens", std::move(names)},
          {"token_logprobs", std::move(logprobs)},
          {"top_logprobs", std::move(tops)},
          {"text_offset", std::move(offsets)}};
}

Json LlamaProbabilitiesJson(std::span<const batching::DrawnToken> tokens, const TokenBytes& bytes) {
  return TokensJson(tokens, bytes, LlamaToken);
}

}  // namespace damask::server
