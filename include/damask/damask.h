// The public C++ API of damask: load a model, keep sessions over it, generate.
//
//   damask::ModelOptions options{.path = "model.gguf"};
//   auto model = damask::Model::Load(options);
//   if (!model.ok()) { std::cerr << model.status().ToString() << "\n"; return 1; }
//   damask::Session session = model->NewSession();
//   auto answer = session.Generate("The capital of France is", {.max_tokens = 16});
//   if (answer.ok()) std::cout << answer->text << "\n";
//
// Threads: a Model may be shared for reading (Tokenize, accessors); its sessions share one compute pool and are used by one
// thread at a time. No function throws but what a callback of yours throws, which ends the call; errors are Status values whose
// text is one sentence for people. Versioning: names in
// this header stay within a major version; fields are only added.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "damask/status.h"

namespace damask {

using TokenId = int32_t;

struct ModelOptions {
  std::string path;             // a GGUF file or a Hugging Face folder; empty: the embedded reference model
  size_t threads = 0;           // 0: one per physical core
  std::string target = "auto";  // "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx": force one set of kernels
  uint64_t context = 0;         // positions a session may hold; 0: what the model was trained for
  std::string policy = "full";  // attention policy, "name:key=value,...": `damask policies` lists them
  std::string kv = "bf16";      // type of the KV cache; "q8" takes about half the memory
  bool mmap = true;             // false reads the file into memory: immune to a file that changes while it is used
};

struct GenerateOptions {
  uint64_t max_tokens = 256;
  float temperature = 0.8f;      // 0: greedy
  uint64_t top_k = 40;           // 0: off
  float top_p = 0.95f;           // 1: off
  float min_p = 0.05f;           // 0: off
  float repeat_penalty = 1.0f;   // 1: off
  std::optional<uint64_t> seed;  // the same seed gives the same text
  std::vector<std::string> stop;
  // Called with text as it becomes certain, always whole UTF-8 characters.
  std::function<void(std::string_view)> on_text;
  // Tokens of the prompt read so far, tokens in all.
  std::function<void(uint64_t done, uint64_t total)> on_progress;
  // Looked at between layers; may be set from any thread.
  const std::atomic<bool>* cancel = nullptr;
};

struct Answer {
  std::string text;           // without the stop string
  std::vector<TokenId> ids;   // what was drawn, an end token included
  std::string finish_reason;  // "stop", "length" or "cancelled"
  uint64_t seed = 0;
  uint64_t prompt_tokens = 0;  // appended by this call
  double prefill_seconds = 0;
  double decode_seconds = 0;
  double density_prefill = 1;  // planned key positions / causal key positions
  double density_decode = 1;
};

struct ModelInfo {
  std::string architecture;  // as the file says: "llama", "qwen3", ...
  uint64_t parameters = 0;
  uint64_t file_bytes = 0;
  size_t layers = 0, heads = 0, kv_heads = 0, head_dim = 0, vocab = 0;
  uint64_t context = 0;
  uint64_t kv_bytes_per_token = 0;
  std::string target;  // the kernels in use
  std::string kv;      // type of the KV cache: "bf16", "q8", or "f32" (target "scalar")
};

class Session;

class Model {
 public:
  static Result<Model> Load(const ModelOptions& options);
  Model(Model&&) noexcept;
  Model& operator=(Model&&) noexcept;
  ~Model();

  ModelInfo info() const;
  // Ids of a text, without BOS; `parse_special`: text that spells a control token becomes that token.
  Result<std::vector<TokenId>> Tokenize(std::string_view text, bool parse_special = false) const;
  std::string Detokenize(const std::vector<TokenId>& ids) const;

  // Must not outlive the model.
  Session NewSession();

  struct Impl;

 private:
  explicit Model(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// One conversation: everything appended so far stays in its KV cache.
class Session {
 public:
  Session(Session&&) noexcept;
  Session& operator=(Session&&) noexcept;
  ~Session();

  // Appends `prompt` (with BOS at the start of the session where the model wants one) and answers. The text is taken as it is:
  // no chat template. An empty prompt goes on with an answer that max_tokens, a stop string or a cancel has ended.
  Result<Answer> Generate(std::string_view prompt, const GenerateOptions& options);
  // The same from ids; nothing is added.
  Result<Answer> GenerateFromIds(const std::vector<TokenId>& prompt, const GenerateOptions& options);
  // One user turn through the model's chat template. Unsupported where the model has no known one, InvalidArgument where the
  // session holds text of Generate. A turn that is cancelled before its answer begins is not part of the conversation.
  Result<Answer> Chat(std::string_view message, const GenerateOptions& options);

  uint64_t length() const;  // tokens in the cache
  uint64_t kv_bytes() const;
  // Forgets everything from position `length` on: more where the policy's state can only go back further (length() tells).
  // A conversation ends with it: what is left is text for Generate.
  void Truncate(uint64_t length);

  struct Impl;

 private:
  friend class Model;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask
