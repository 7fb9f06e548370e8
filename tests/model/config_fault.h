// What holds for a configuration whatever bytes it is read from: for its fuzz target and the test over that target's corpus.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/limits.h"
#include "formats/gguf.h"
#include "formats/json.h"
#include "model/config.h"
#include "model/rope.h"

namespace damask::model {

// From the keys of a GGUF file, or from a config.json where the bytes do not begin as such a file.
inline Result<ModelConfig> ConfigOfBytes(std::string_view bytes) {
  if (bytes.starts_with("GGUF")) {
    const auto memory = FileBytes::Borrow(std::as_bytes(std::span(bytes.data(), bytes.size())), "input");
    DAMASK_ASSIGN_OR_RETURN(const auto file, formats::GgufFile::Parse(memory, {.require_tensor_data = false}));
    return ConfigFromGguf(*file);
  }
  DAMASK_ASSIGN_OR_RETURN(const formats::Json json, formats::ParseJson(bytes));
  return ConfigFromHuggingFace(json);
}

inline bool AreFinite(const std::vector<float>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); });
}

// What is wrong with its rotations; "" where nothing is.
inline std::string FaultOfRope(const ModelConfig& c) {
  const RopeConfig& rope = c.rope;
  if (rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > c.head_dim) return "rotated dimensions";
  for (const std::vector<float>& factors : {rope.short_factors, rope.long_factors}) {
    if (!factors.empty() && factors.size() != rope.dims / 2) return "factors of rotations";
  }
  std::vector<float> cos_sin(rope.dims);
  RopeTable(rope, rope.factors()).Fill(c.context, cos_sin.data());
  return AreFinite(cos_sin) ? "" : "rotations";
}

// What is wrong with a configuration that was let through: with what loading divides by, loops over and asks memory for.
inline std::string FaultOfConfig(const ModelConfig& c) {
  const auto within = [](uint64_t number, uint64_t most) { return number >= 1 && number <= most; };
  if (!within(c.layers, limits::kMaxLayers)) return "layers";
  if (!within(c.width, limits::kMaxWidth) || !within(c.ffn, limits::kMaxWidth)) return "widths";
  if (!within(c.heads, limits::kMaxHeads) || !within(c.kv_heads, c.heads) || c.heads % c.kv_heads != 0) return "heads";
  if (!within(c.head_dim, 256) || !within(c.vocab, limits::kMaxVocab) || !within(c.context, limits::kMaxContext))
    return "sizes";
  if (!c.windows.empty() && c.windows.size() != c.layers) return "windows";
  if (c.experts != 0 && (c.experts > limits::kMaxExperts || !within(c.experts_used, c.experts))) return "experts";
  if (c.shared_ffn > limits::kMaxWidth || c.dense_layers >= c.layers) return "what stands beside experts";
  if (c.dense_layers != 0 && !within(c.dense_ffn, limits::kMaxWidth)) return "what stands before experts";
  if (c.position_scale != 0.0f && c.position_scale_length == 0) return "a scale by position";
  if (!AreFinite({c.embedding_scale, c.residual_scale, c.logit_scale, c.query_scale, c.query_scale_at(c.context)}))
    return "scales";
  if (SettingsText(c).empty()) return "its text";
  return FaultOfRope(c);
}

// The same, after the flags that read it on.
inline std::string FaultOfFurtherConfig(ModelConfig config) {
  for (const char* scaling : {"", "yarn", "llama3", "linear", "none"}) {
    if (!ApplyRopeOverrides({.scaling = scaling}, 4 * config.context, &config).ok()) continue;
    ChooseLongRope(4 * config.context, &config);
    if (const std::string fault = FaultOfConfig(config); !fault.empty()) return fault + ", read on by " + scaling;
  }
  return "";
}

// What is wrong with how these bytes are read; "" where nothing is.
inline std::string FaultOfConfigBytes(std::string_view bytes) {
  const Result<ModelConfig> config = ConfigOfBytes(bytes);
  if (!config.ok()) return config.status().message().empty() ? "an error without words" : "";
  const std::string fault = FaultOfConfig(*config);
  return fault.empty() ? FaultOfFurtherConfig(*config) : fault;
}

}  // namespace damask::model
