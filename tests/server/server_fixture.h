// A whole server in the test's own process, over a tiny random-weight model with a chat template, and how a client talks to it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "server/server.h"
#include "tests/server/http_fixture.h"
#include "tests/server/raw_client.h"
#include "tests/temp_dir.h"

namespace damask::server {

using Json = nlohmann::json;

inline constexpr uint64_t kTinyVocab = 512;
// Prompts of this model may be so long that nothing but a cancel ends their reading within a test.
inline constexpr uint64_t kTinyContext = 131072;

// A Hugging Face folder, made once per program and seed.
std::string TinyChatModel(uint64_t seed = 1);
// The same model with a template that begins every answer inside of thoughts.
std::string TinyThinkingModel();

// Listens at a free port, serves TinyChatModel() with two threads, keeps no prefixes.
ServerOptions TinyServer();

// NOLINTNEXTLINE(bugprone-exception-escape): the check holds a Json's move for one that may throw.
struct Reply {
  int status = 0;  // 0: no answer
  Json json;       // the body; discarded where it is none
  RawResponse raw;
};

Reply Ask(uint16_t port, std::string_view method, std::string_view path, std::string_view body = {},
          std::string_view headers = {});

// `count` ids of the vocabulary; other steps (odd) give other ids.
Json PromptIds(size_t count, size_t step = 37);
// A greedy request; `more` overrides.
Json Greedy(const Json& prompt, uint64_t max_tokens, const Json& more = Json::object());
Json GreedyChat(const std::string& text, uint64_t max_tokens, const Json& more = Json::object());
// A stream that goes on until somebody ends it.
Json Endless();

std::string TextOf(const Reply& reply);  // of any of the three APIs
uint64_t CachedTokens(const Reply& reply);

// The four members of every error; nullptr stands for null.
void ExpectError(const Reply& reply, int status, const char* type, const char* code, const char* param);

class ServerFixture : public ::testing::Test {
 protected:
  // Before the folders that a test gave it go.
  void TearDown() override { server_.reset(); }

  void Listen(const ServerOptions& options = TinyServer());
  void Start(const ServerOptions& options = TinyServer());

  uint16_t port() const { return server_->port(); }
  batching::SchedulerStats Stats() const { return server_->model().scheduler().stats(); }
  Reply Get(std::string_view path, std::string_view headers = {}) const { return Ask(port(), "GET", path, {}, headers); }
  Reply Post(std::string_view path, const Json& body, std::string_view headers = {}) const {
    return Ask(port(), "POST", path, body.dump(), headers);
  }
  Reply PostText(std::string_view path, std::string_view body) const { return Ask(port(), "POST", path, body); }

  // Whatever came before: the server answers, and nothing is left of it.
  void ExpectWell() const;
  bool WaitForIdle() const;
  // The value of damask_NAME at /metrics once nothing is running (a request is counted a moment after its answer); NaN where
  // there is none.
  double Metric(const std::string& name) const;

  std::unique_ptr<Server> server_;
};

}  // namespace damask::server
