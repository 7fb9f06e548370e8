// What is in a model file and what it will cost: for `damask info`. Shows what can be shown of files that do not run (a
// vocabulary alone, an architecture or a type we lack), with the reason.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/cpu.h"
#include "base/status.h"
#include "engine/engine.h"
#include "report/run_json.h"

namespace damask::report {

struct TokenizerInfo {
  std::string description;  // "bpe (llama-bpe)"
  uint64_t vocab = 0;
  tokenizer::SpecialTokens special;
  bool has_chat_template = false;
  std::optional<std::string> chat_family;  // of a known template
};

struct ModelInfo {
  std::string path;
  std::string format;         // "GGUF v3"
  std::string architecture;   // as the file has it
  std::string dominant_type;  // the element type of most bytes
  uint64_t file_bytes = 0;
  uint64_t parameters = 0;
  std::vector<model::TensorSummary> tensors;
  std::optional<model::ModelConfig> config;  // absent where the file's keys are not those of a model we know
  std::optional<TokenizerInfo> tokenizer;
  std::optional<std::string> unrunnable;  // why it does not run

  // What a run would take.
  uint64_t run_context = 0;  // positions
  kernels::KvType kv_type = kernels::KvType::kBf16;
  uint64_t kv_bytes_per_token = 0;  // 0 where the shape is not known
  uint64_t kv_bytes = 0;            // for run_context
  uint64_t repacked_bytes = 0;      // what --repack keeps
  uint64_t memory_bytes = 0;        // file, KV cache and repacked weights together
  Target target = Target::kScalar;
  size_t threads = 0;
  std::vector<std::pair<std::string, std::string>> kernels;  // empty where it does not run
};

// Errors: what cannot be opened or parsed at all.
Result<ModelInfo> DescribeModel(const engine::EngineOptions& options);

Json InfoJson(const ModelInfo& info);

enum class TensorList { kSummary, kFull };
std::string InfoText(const ModelInfo& info, TensorList list);

}  // namespace damask::report
