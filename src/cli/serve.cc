// damask serve: an OpenAI-compatible server and its page.
#include <cstdlib>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "batching/prefix_directory.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/sampling_flags.h"
#include "cli/thought_flags.h"
#include "report/run_json.h"
#include "server/access.h"
#include "server/api_request.h"
#include "server/server.h"

namespace damask::cli {
namespace {

// How long answers that are under way may take after the first signal.
constexpr double kGraceSeconds = 20;
constexpr uint64_t kMaxPrefixBytes = uint64_t{1} << 50;
constexpr uint64_t kMaxKeyFile = 1 << 20;

class Serve : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Server");
    flags->Text("--host", "HOST", &host_, "address to listen on (default 127.0.0.1: this machine only)");
    flags->Uint("--port", 0, 65535, &port_, "port to listen on (default 8080; 0: a free one)");
    flags->Texts("--api-key", "KEY", &api_keys_, "clients must send this key (also: DAMASK_API_KEY in the environment)");
    flags->Texts("--api-key-file", "FILE", &api_key_files_, "a key a line");
    flags->Texts("--allowed-host", "HOST", &allowed_hosts_,
                 "name, not an address, by which the server may be called and whose pages may call it, beside localhost");
    flags->Text("-a,--alias", "NAME", &alias_, "name of the model for clients (default: its file's)");
    flags->Uint("--parallel", 1, 256, &parallel_, "requests worked on at once (default 8)");
    flags->Alias("-np", "--parallel");
    flags->Uint("--queue", 0, 65536, &queue_, "requests that may wait beside them; more are refused with 429 (default 64)");
    flags->Uint("--timeout", 0, 1 << 20, &timeout_, "seconds a request may take in all, 0: no limit (default 3600)");
    flags->Uint("--draft-max", 0, limits::kMaxContext, &draft_max_,
                "guess up to N tokens ahead of an answer that is drawn alone: the same answer sooner (default 0)");
    flags->Alias("--draft", "--draft-max");
    flags->Alias("--draft-n", "--draft-max");
    flags->Text("--prefix-cache", "DIR", &prefix_folder_, "keep prompts that have been read in this folder, over restarts");
    flags->Bytes("--prefix-bytes", 0, kMaxPrefixBytes, &prefixes_.memory_bytes,
                 "memory for prompts that have been read, 0: none, K, M and G are powers of 1024 (default 1G)");
    flags->Bytes("--prefix-disk-bytes", 0, kMaxPrefixBytes, &prefixes_.disk_bytes,
                 "what the folder may hold at most (default 8G)");
    flags->Text(
        "--reasoning-format", "FORMAT", &reasoning_format_,
        "thoughts of models that think aloud: auto or deepseek puts them into reasoning_content, none leaves them in the "
        "text (default: auto)");
    model_.DeclareChatTemplate(flags);
    thoughts_.Declare(flags);
    flags->Group("Answers, where a request does not say");
    flags->Limit("-n,--predict,--n-predict", kNoTokenLimit, &sampling_.max_tokens,
                 "tokens of an answer at most, -1 for what the context holds (default: -1)");
    sampling_.DeclareDrawing(flags);
    model_.DeclareServing(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_ASSIGN_OR_RETURN(const server::ServerOptions options, Options(common));
    // Before the model is loaded, which may take minutes.
    if (const std::string& folder = options.model.prefixes.directory; !folder.empty()) {
      DAMASK_RETURN_IF_ERROR(batching::PrefixDirectory::Open(folder).status());
    }
    Result<std::unique_ptr<server::Server>> listening = server::Server::Listen(options);
    if (!listening.ok()) {
      PrintError(listening.status());
      return listening.status().code() == StatusCode::kIo ? kExitFailed : ExitCode(listening.status());
    }
    server::Server& server = **listening;
    LogInfo(fmt::format("listening on {}", server.url()));
    DAMASK_RETURN_IF_ERROR(server.Load());
    const CancelScope cancel;  // before, there is nobody to wait for: a signal ends the program at once
    if (server.model().engine().embedded()) NoteEmbeddedModel();
    WarnOfRunFlags(model_, server.model().engine());
    Announce(server, options, common);
    cancel.Wait();
    LogInfo(fmt::format("stopping: answers under way get {} s, a second signal ends at once", kGraceSeconds));
    if (!server.Drain(kGraceSeconds)) LogWarning("some answers were cut off");
    return kExitDone;
  }

 private:
  Result<server::ServerOptions> Options(const CommonFlags& common) const {
    server::ServerOptions options;
    options.host = host_.value_or("127.0.0.1");
    if (options.host.empty()) return InvalidArgument("--host: the address is empty");
    options.port = static_cast<uint16_t>(port_);
    DAMASK_ASSIGN_OR_RETURN(options.access.api_keys, ApiKeys());
    for (const std::string& host : allowed_hosts_) {
      const std::optional<std::string> name = server::HostName(host);
      if (!name || *name != LowerCase(host)) {
        return InvalidArgument(fmt::format("--allowed-host is {}, expected a name without a port", Quote(host)));
      }
      if (server::IsAddress(*name)) {
        return InvalidArgument(fmt::format("--allowed-host is {}, expected a name: addresses are always served", Quote(host)));
      }
    }
    options.access.allowed_hosts = allowed_hosts_;
    options.access.allowed_hosts.push_back(options.host);
    DAMASK_ASSIGN_OR_RETURN(options.model.engine, model_.Options(common));
    options.model.scheduler = {
        .parallel = parallel_, .queue = queue_, .timeout_seconds = static_cast<double>(timeout_), .guesses = draft_max_};
    DAMASK_ASSIGN_OR_RETURN(options.model.thoughts, Thoughts());
    DAMASK_ASSIGN_OR_RETURN(options.model.requests, Requests());
    options.model.prefixes = prefixes_;
    if (prefix_folder_ && prefix_folder_->empty()) return InvalidArgument("--prefix-cache: the path is empty");
    if (!prefix_folder_ && prefixes_.disk_bytes != batching::PrefixStoreOptions().disk_bytes)
      return InvalidArgument("--prefix-disk-bytes is about the folder of --prefix-cache, and wants it");
    options.model.prefixes.directory = prefix_folder_.value_or("");
    if (alias_ && alias_->empty()) return InvalidArgument("--alias: the name is empty");
    options.model.alias = alias_.value_or("");
    if (!IsValidUtf8(options.model.alias)) return InvalidArgument("--alias: the name is not valid UTF-8");
    return options;
  }

  Result<server::RequestDefaults> Requests() const {
    server::RequestDefaults defaults;
    DAMASK_ASSIGN_OR_RETURN(const engine::GenerateOptions options, sampling_.Options(false));
    defaults.sampler = options.sampler;
    defaults.max_tokens = sampling_.max_tokens.value_or(kNoTokenLimit);
    // As they were given: a --top-p of 0 is no --top-k of 1 to a request with a top_p of its own.
    defaults.sampler.top_k = sampling_.top_k;
    defaults.sampler.top_p = static_cast<float>(sampling_.top_p);
    return defaults;
  }

  Result<server::ThoughtOptions> Thoughts() const {
    server::ThoughtOptions options;
    DAMASK_ASSIGN_OR_RETURN(options.thoughts, thoughts_.Thoughts());
    const std::optional<bool> apart = server::ParseReasoningFormat(reasoning_format_.value_or("auto"));
    if (!apart) {
      return InvalidArgument(
          fmt::format("--reasoning-format is {}, expected {}", Quote(*reasoning_format_), server::kReasoningFormats));
    }
    options.apart = *apart;
    return options;
  }

  Result<std::vector<std::string>> ApiKeys() const {
    std::vector<std::string> keys = api_keys_;
    if (const char* const key = std::getenv("DAMASK_API_KEY"); key != nullptr && *key != '\0') keys.emplace_back(key);
    for (const std::string& file : api_key_files_) {
      DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadDocumentFile(file, kMaxKeyFile));
      const size_t before = keys.size();
      for (std::string_view line : Split(text, '\n')) {
        while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
        if (!line.empty()) keys.emplace_back(line);
      }
      if (keys.size() == before) return BadFormat("the file has no key in it").At("--api-key-file " + Quote(file, 300));
    }
    for (const std::string& key : keys) {
      if (key.empty()) return InvalidArgument("--api-key: the key is empty");
    }
    return keys;
  }

  static void AnnouncePrefixes(const server::ServedModel& model, const batching::PrefixStoreOptions& prefixes) {
    if (!model.scheduler().keeps_prompts()) {
      const std::string why = fmt::format("no prompts are kept: the policy {} decides while it reads", model.policy_name());
      return prefixes.directory.empty() ? LogInfo(why) : LogWarning(why + "; --prefix-cache has no use");
    }
    LogInfo(fmt::format("prompts that have been read are kept: {} in memory, {}", FormatBytes(prefixes.memory_bytes),
                        prefixes.directory.empty()
                            ? "none on disk (--prefix-cache DIR)"
                            : fmt::format("{} in {}", FormatBytes(prefixes.disk_bytes), Quote(prefixes.directory, 300))));
  }

  // Weights and what --repack made of them are in memory already, so they are no part of what is left. Each request takes pages
  // as it grows, so a server may start that full use would end.
  static void WarnOfMemory(const engine::Engine& engine, const server::ServedModelOptions& options) {
    const std::optional<uint64_t> request = CheckedMul(engine.kv_bytes_per_token(), engine.context());
    const std::optional<uint64_t> requests = request ? CheckedMul(*request, options.scheduler.parallel) : std::nullopt;
    const uint64_t wanted = requests ? CheckedAdd(*requests, options.prefixes.memory_bytes).value_or(UINT64_MAX) : UINT64_MAX;
    const uint64_t left = AvailableMemory();
    if (wanted <= left) return;
    LogWarning(
        fmt::format("{} requests of {} tokens and the prompts that are kept want {} of memory, {} are left: --parallel, -c, "
                    "--prefix-bytes and --kv q8 lower that",
                    options.scheduler.parallel, engine.context(), FormatBytes(wanted), FormatBytes(left)));
  }

  // What the numbers given will cost, before anything is spent (and before anybody wonders).
  static void Announce(const server::Server& server, const server::ServerOptions& options, const CommonFlags& common) {
    const server::ServedModel& model = server.model();
    const engine::Engine& engine = model.engine();
    const uint64_t request = engine.kv_bytes_per_token() * engine.context();
    LogInfo(fmt::format("{}: {} at once with up to {} tokens ({} of keys and values each), policy {}", Quote(model.card().id),
                        Counted(options.model.scheduler.parallel, "request"), engine.context(), FormatBytes(request),
                        model.policy_name()));
    WarnOfMemory(engine, options.model);
    AnnouncePrefixes(model, options.model.prefixes);
    if (options.access.api_keys.empty() && !server::IsLoopback(options.host)) {
      LogWarning("the server can be reached from other machines, and no --api-key is asked for");
    }
    if (!common.json) return;
    WriteJson({{"url", server.url()},
               {"port", server.port()},
               {"model", SanitizeUtf8(model.card().id)},
               {"policy", SanitizeUtf8(model.policy_name())},
               {"context", engine.context()},
               {"parallel", options.model.scheduler.parallel},
               {"kv_type", kernels::KvTypeName(engine.kv_type())},
               {"kv_bytes_per_token", engine.kv_bytes_per_token()},
               {"repacked_bytes", engine.repacked_bytes()},
               {"load_s", engine.load_seconds()},
               {"kernels", report::KernelsJson(engine)}});
    std::fflush(stdout);
  }

  std::optional<std::string> host_;
  uint64_t port_ = 8080;
  std::vector<std::string> api_keys_;
  std::vector<std::string> api_key_files_;
  std::vector<std::string> allowed_hosts_;
  std::optional<std::string> alias_;
  uint64_t parallel_ = batching::SchedulerOptions{}.parallel;
  uint64_t queue_ = batching::SchedulerOptions{}.queue;
  uint64_t timeout_ = 3600;
  std::optional<std::string> reasoning_format_;
  uint64_t draft_max_ = 0;
  ThoughtFlags thoughts_;
  SamplingFlags sampling_;  // of which the server has those that draw
  std::optional<std::string> prefix_folder_;
  batching::PrefixStoreOptions prefixes_;  // without the folder
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeServe() { return std::make_unique<Serve>(); }

}  // namespace damask::cli
