// How the next token is drawn and when an answer ends: shared by generate and chat, and in part by serve.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "cli/flags.h"
#include "engine/generate.h"

namespace damask::cli {

// As -n -1 says: the context ends an answer.
inline constexpr uint64_t kNoTokenLimit = limits::kMaxContext;
inline constexpr uint64_t kFewTokens = 256;

struct SamplingFlags {
  uint64_t default_tokens = kFewTokens;
  std::optional<uint64_t> max_tokens;
  double temperature = 0.8;
  uint64_t top_k = 40;
  double top_p = 0.95;
  double min_p = 0.05;
  double repeat_penalty = 1.0;
  uint64_t repeat_last_n = 64;
  uint64_t draft_max = 0;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool special = false;

  void Declare(Flags* flags);
  // Of them how a token is drawn: temperature to seed.
  void DeclareDrawing(Flags* flags);
  // Whether answers depend on a seed that nobody gave.
  bool random_seed() const { return !seed && temperature > 0; }
  // `escape`: -e was given, stop strings have escapes too.
  Result<engine::GenerateOptions> Options(bool escape) const;
};

}  // namespace damask::cli
