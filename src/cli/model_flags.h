// The flags that say which model, and how it runs.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "cli/command.h"
#include "cli/output_file.h"
#include "engine/engine.h"

namespace damask::cli {

inline constexpr uint64_t kDefaultAudit = 256;

struct ModelFlags {
  std::optional<std::string> model;
  bool no_mmap = false;
  uint64_t context = 0;
  std::optional<std::string> policy;
  std::optional<std::string> mask;
  model::AuditOptions audit{.prefill_every = kDefaultAudit, .decode_every = 64};  // as the flags say: Audit() is what runs
  std::optional<std::string> kv;
  std::optional<std::string> chat_template;
  bool kv_release = false;
  bool repack = false;
  std::optional<std::string> rope_scaling;
  double rope_scale = 0;
  double rope_base = 0;
  uint64_t yarn_context = 0;
  std::string context_help = "context in tokens (default: the model's)";  // of -c, for a command to which it means more

  // -m and --no-mmap.
  void DeclareModel(Flags* flags);
  // And what whatever reads texts needs: -c, --kv, --repack, the rope flags.
  void DeclareReading(Flags* flags);
  // And what a run with an attention policy needs: --policy, --mask, the audit.
  void DeclareServing(Flags* flags);
  // And --audit-floor and --kv-release, under which what is read depends on what was read before.
  void DeclareRun(Flags* flags);
  // --chat-template, for what puts prompts into one; stands in the command's own group.
  void DeclareChatTemplate(Flags* flags);

  // A FILE that a command takes as well as -m; an error where both are given.
  Status TakeFile(const std::optional<std::string>& file);
  // The path, "" for the embedded model. An empty -m is an error.
  Result<std::string> Path() const;
  LoadMode Load() const { return no_mmap ? LoadMode::kRead : LoadMode::kMap; }
  // --policy, or what --mask stands for; "full" where neither is given.
  Result<std::string> PolicySpec() const;
  // The files that a run reads: the model, the mask, those that the policy names.
  std::vector<NamedFile> Reads() const;
  // At the default rate, rows far back are rarer: the audit's share of the time stays where it is at some 8,192 tokens.
  model::AuditOptions Audit() const;
  // Of a command that has --raw as well.
  Status CheckRaw(bool raw) const;
  Result<engine::EngineOptions> Options(const CommonFlags& common) const;
};

// What --kv says, bf16 where it is not given.
Result<kernels::KvType> ParseKv(const std::optional<std::string>& kv);

// Warns of -c past the model's context, where no rope flag says that it is meant to be read past.
void WarnOfLongContext(const ModelFlags& flags, uint64_t trained);
// And of a --repack that changes nothing.
void WarnOfRunFlags(const ModelFlags& flags, const engine::Engine& engine);

// Of flags of an answer that change nothing. Where the context may still grow, as in an evaluation, it is too early to say.
void WarnOfIdleFlags(const ModelFlags& flags, const engine::Engine& engine);

// Says on standard error that the embedded model runs, unless --quiet.
void NoteEmbeddedModel();

Result<std::unique_ptr<engine::Engine>> LoadEngine(const ModelFlags& flags, const CommonFlags& common);

// Needs no weights in the file.
Result<std::unique_ptr<tokenizer::Tokenizer>> LoadTokenizer(const ModelFlags& flags);

}  // namespace damask::cli
