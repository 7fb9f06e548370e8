// The public C++ API of damask: load a model, keep sessions over it, generate.
//
//   damask::ModelOptions options{.path = "model.gguf"};
//   auto model = damask::Model::Load(options);
//   if (!model.ok()) { std::cerr << model.status().ToString() << "\n"; return 1; }
//   damask::Session session = model->NewSession();
//   auto answer = session.Generate("The capital of France is", {.max_tokens = 16});
//   if (answer.ok()) std::cout << answer->text << "\n";
//
// Threads: everything of a Model and its sessions may be used from any thread, one session by one thread at a time. Sessions of
// one model share one compute pool and take turns: a call waits until another's is done or is in a callback. A callback may use
// the model and other sessions, of its own only what reads it (length(), tokens()).
// Errors are Status values whose text is one sentence for people; it names an option as the command line does ("--ctx-size" is
// ModelOptions::context). No function throws but what a callback of yours throws, which ends the call, and the
// value of a Result that has none.
// Versioning: names in this header stay within a major version; fields are only added.
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

#include "damask/log.h"
#include "damask/status.h"

namespace damask {

using TokenId = int32_t;

// Every field has a value, so that compilers do not warn of those that {.path = ...} leaves out.
struct ModelOptions {
  std::string path = {};  // a GGUF file or a Hugging Face folder; empty: the embedded reference model
  size_t threads = 0;     // 0: one per physical core
  // Force one set of kernels: "scalar", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx". "auto" takes the best this CPU
  // has. Where that is "amx", Load asks Linux for tiles for the whole process, once and for good: signal stacks (sigaltstack)
  // must then have room for them (sysconf(_SC_MINSIGSTKSZ), some 11 KB). Where the system refuses, "auto" takes "avx512bf16"
  // and warns, "amx" is Unsupported. No other target asks for anything.
  std::string target = "auto";
  uint64_t context = 0;         // positions a session may hold; 0: what the model was trained for
  std::string policy = "full";  // attention policy, "name:key=value,...": `damask policies` lists them
  std::string kv = "bf16";      // type of the KV cache; "q8" takes about half the memory
  bool mmap = true;             // false reads the file into memory: immune to a file that changes while it is used
  bool repack = false;          // keep the weights also as reading wants them: faster, for memory of about their size
  // To read past the trained length: "none", "linear", "llama3", "yarn"; "": as the file says.
  std::string rope_scaling = {};
  double rope_scale = 0;  // by how much a text may be longer than trained; 0: the file's, else what `context` wants
  double rope_base = 0;   // 0: the file's
  uint64_t rope_original_context = 0;  // the trained length, for "yarn"; 0: the file's
};

struct GenerateOptions {
  uint64_t max_tokens = 256;
  float temperature = 0.8f;     // 0: greedy
  uint64_t top_k = 40;          // 0: off
  float top_p = 0.95f;          // 1: off
  float min_p = 0.05f;          // 0: off
  float repeat_penalty = 1.0f;  // 1: off
  uint64_t repeat_last_n = 64;  // tokens that repeat_penalty looks at
  // OpenAI's, over the tokens drawn so far, -2 to 2. 0: off.
  float presence_penalty = 0;
  float frequency_penalty = 0;
  std::optional<uint64_t> seed = {};  // the same seed gives the same text
  std::vector<std::string> stop = {};
  // Tokens to guess ahead at most, where a text repeats itself: faster then, and the answer is the same. 0: off.
  size_t guesses = 0;
  // Called with text as it becomes certain, always whole UTF-8 characters.
  std::function<void(std::string_view)> on_text = {};
  // Tokens of the prompt read so far, tokens in all.
  std::function<void(uint64_t done, uint64_t total)> on_progress = {};
  // Looked at between layers; may be set from any thread.
  const std::atomic<bool>* cancel = nullptr;
};

struct Answer {
  std::string text;          // without the stop string; a character that the end cut in two is U+FFFD, and whole in ids
  std::vector<TokenId> ids;  // what was drawn, an end token included
  // "stop": the model ended it, or a stop string. "length": max_tokens, or the context is full. "cancelled".
  std::string finish_reason;
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
  // "" where there is no memory for it; ids outside the vocabulary say nothing.
  std::string Detokenize(const std::vector<TokenId>& ids) const;

  // Must not outlive the model. Without memory for it, it holds nothing and every call of it is OutOfMemory.
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
  // session holds text of Generate: one or the other, but that Generate("") goes on with an answer that was cut off. A turn
  // without an answer (cancelled before it begins, max_tokens 0) is not part of the conversation; what was read of it stays in
  // the cache until the next turn, which reads only what is new.
  Result<Answer> Chat(std::string_view message, const GenerateOptions& options);

  // A session of its own with the same text, to go on differently: answers to several questions about one document. Both share
  // the cache's pages so far, so it takes next to no time or memory. Unsupported with policies that remember of a text what its
  // keys do not tell (h2o, ...).
  Result<Session> Fork();

  uint64_t length() const;  // tokens in the cache
  // Those tokens. The last one of an answer that was cut off comes with the next call. Valid until then.
  const std::vector<TokenId>& tokens() const;
  uint64_t kv_bytes() const;
  // Forgets everything from position `length` on: more where the policy's state can only go back further (length() tells).
  // A conversation ends with it: what is left is text for Generate; behind Truncate(0) either may begin. A cut-off answer's
  // last token stands at position length(): Truncate(length()) forgets it alone, and ends no conversation. Beyond, nothing
  // happens.
  void Truncate(uint64_t length);

  struct Impl;

 private:
  friend class Model;
  explicit Session(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace damask
