#include "cli/model_flags.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "formats/gguf.h"
#include "model/embedded_model.h"
#include "report/check_file.h"

namespace damask::cli {

void ModelFlags::DeclareModel(Flags* flags) {
  flags->Group("Model");
  flags->Text("-m,--model", "MODEL", &model, "GGUF file (the first one of a split model) or Hugging Face folder");
  flags->Switch("--no-mmap", &no_mmap, "read the file into memory instead of mapping it");
}

void ModelFlags::DeclareReading(Flags* flags) {
  DeclareModel(flags);
  flags->Uint("-c,--ctx-size", 0, limits::kMaxContext, &context, context_help);
  flags->Text("--kv", "TYPE", &kv, "KV cache: bf16, or q8 in about half the memory (default: bf16)");
  flags->Switch("--repack", &repack, "keep the weights a second time, as prefill wants them: faster, in more memory");
  flags->Text("--rope-scaling", "NAME", &rope_scaling, "read past the trained length: none, linear, llama3, yarn");
  flags->Number("--rope-scale", 1e-3, 1e6, &rope_scale, "by how much the text may be longer than trained");
  flags->Number("--rope-freq-base", 1, 1e12, &rope_base, "rope base (default: the model's)");
  flags->Uint("--yarn-orig-ctx", 1, limits::kMaxContext, &yarn_context, "trained context (default: the model's)");
}

void ModelFlags::DeclareServing(Flags* flags) {
  DeclareReading(flags);
  flags->Group("Attention");
  flags->Text("--policy", "SPEC", &policy,
              "attention policy, name or name:key=value,... (default: full); 'damask policies' lists them");
  flags->Text("--mask", "FILE", &mask, "a calibrated mask, the same as --policy dam:mask=FILE");
  flags->Uint("--audit", 0, limits::kMaxContext, &audit.prefill_every,
              "of a sparse prefill, compute one row in N densely too and report what was kept; 0: none (default 256)");
  flags->Uint("--audit-decode", 0, limits::kMaxContext, &audit.decode_every, "the same for one answer token in N (default 64)");
}

void ModelFlags::DeclareRun(Flags* flags) {
  DeclareServing(flags);
  flags->Number("--audit-floor", 0, 1, &audit.floor, "heads whose strong-key hit falls below see every key from then on");
  flags->Switch("--kv-release", &kv_release, "positions that no head can reach again leave the KV cache as the text goes by");
}

void ModelFlags::DeclareChatTemplate(Flags* flags) {
  flags->Text("--chat-template", "NAME", &chat_template,
              "family of the chat template (default: the file's): " + tokenizer::ChatFamilyNames());
}

Status ModelFlags::CheckRaw(bool raw) const {
  if (raw && chat_template) return InvalidArgument("--raw and --chat-template exclude each other");
  return {};
}

Result<std::string> ModelFlags::Path() const {
  if (model && model->empty()) return InvalidArgument("--model: the path is empty");
  return model.value_or("");
}

Result<std::string> ModelFlags::PolicySpec() const {
  if (!mask) return policy.value_or("full");
  if (policy) return InvalidArgument("--mask and --policy exclude each other");
  if (mask->empty()) return InvalidArgument("--mask: the path is empty");
  // A SPEC has no way to say it.
  if (mask->find(',') != std::string::npos) return InvalidArgument("--mask: a path with a comma in it cannot be used");
  return "dam:mask=" + *mask;
}

std::vector<NamedFile> ModelFlags::Reads() const {
  std::vector<NamedFile> files;
  if (policy) files = FilesOfSpec("--policy", *policy);
  if (model) files.push_back({"-m", *model});
  if (mask) files.push_back({"--mask", *mask});
  return files;
}

Status ModelFlags::TakeFile(const std::optional<std::string>& file) {
  if (!file) return {};
  if (model) return InvalidArgument("FILE and --model name the same thing: give one of them");
  model = file;
  return {};
}

model::AuditOptions ModelFlags::Audit() const {
  model::AuditOptions options = audit;
  if (audit.prefill_every == kDefaultAudit) options.rarer_from = 8192;
  return options;
}

namespace {

// Names of -m that are part of a model, or no model, and what to give instead.
Status CheckIsModel(const std::string& path) {
  if (path.ends_with(".safetensors") && FileExists(path) && !IsDirectory(path)) {
    return InvalidArgument("is a file of a Hugging Face folder, expected the folder that it lies in").At(Quote(path, 300));
  }
  if (report::KindOfFile(path) == report::FileKind::kMask) {
    return InvalidArgument("is a mask file, expected a model: --mask takes masks").At(Quote(path, 300));
  }
  return {};
}

Result<std::optional<tokenizer::ChatFamily>> ParseChatTemplate(const std::optional<std::string>& name) {
  if (!name) return std::optional<tokenizer::ChatFamily>();
  const std::optional<tokenizer::ChatFamily> family = tokenizer::ParseChatFamily(*name);
  if (family) return family;
  return InvalidArgument(fmt::format("--chat-template is {}, expected one of {}", Quote(*name), tokenizer::ChatFamilyNames()));
}

bool IsFull(const std::string& policy) { return policy == "full" || policy == "dense"; }

}  // namespace

Result<kernels::KvType> ParseKv(const std::optional<std::string>& kv) {
  Result<kernels::KvType> type = kernels::ParseKvType(kv.value_or("bf16"));
  if (!type.ok()) return type.status().At("--kv");
  return type;
}

Result<engine::EngineOptions> ModelFlags::Options(const CommonFlags& common) const {
  engine::EngineOptions options;
  DAMASK_ASSIGN_OR_RETURN(options.model_path, Path());
  DAMASK_RETURN_IF_ERROR(CheckIsModel(options.model_path));
  options.threads = common.threads;
  options.target = common.target;
  options.load = Load();
  options.context = context;
  DAMASK_ASSIGN_OR_RETURN(options.policy, PolicySpec());
  // Full attention keeps everything: there is nothing to find out.
  if (!IsFull(options.policy)) options.audit = Audit();
  if (kv_release && audit.floor >= 0)
    return InvalidArgument("--kv-release and --audit-floor exclude each other: released keys do not come back");
  if (audit.floor >= 0 && !Audit().enabled())
    return InvalidArgument("--audit-floor goes by the audit, which --audit 0 and --audit-decode 0 turn off");
  options.kv_release = kv_release;
  DAMASK_ASSIGN_OR_RETURN(options.kv, ParseKv(kv));
  DAMASK_ASSIGN_OR_RETURN(options.chat_family, ParseChatTemplate(chat_template));
  options.repack = repack;
  options.rope.scaling = rope_scaling.value_or("");
  options.rope.factor = rope_scale;
  options.rope.base = rope_base;
  options.rope.original_context = yarn_context;
  return options;
}

void WarnOfLongContext(const ModelFlags& flags, uint64_t trained) {
  const bool meant = flags.rope_scaling.value_or("none") != "none" || flags.rope_scale != 0 || flags.rope_base != 0;
  if (meant || flags.context <= trained) return;
  LogWarning(
      fmt::format("{} tokens are more than the model's context of {} (--rope-scaling reads past it)", flags.context, trained));
}

namespace {

void WarnOfIdleRepack(const ModelFlags& flags, const engine::Engine& engine) {
  if (!flags.repack || engine.repacked_bytes() != 0) return;
  LogWarning(fmt::format("--repack changes nothing: products of {} take the weights as they are", TargetName(engine.target())));
}

}  // namespace

void WarnOfRunFlags(const ModelFlags& flags, const engine::Engine& engine) {
  WarnOfLongContext(flags, engine.model().config().context);
  WarnOfIdleRepack(flags, engine);
}

void WarnOfIdleFlags(const ModelFlags& flags, const engine::Engine& engine) {
  const Result<std::string> policy = flags.PolicySpec();
  if (flags.audit.floor >= 0 && policy.ok() && IsFull(*policy)) {
    LogWarning("--audit-floor changes nothing: with full attention every head sees every key");
  }
  const model::RopeConfig& rope = engine.model().config().rope;
  if (flags.rope_scaling && rope.scaling != model::RopeScaling::kNone && rope.factor == 1.0) {
    LogWarning(
        fmt::format("--rope-scaling {} changes nothing: the text is no longer than trained (-c or --rope-scale says by "
                    "how much it may be)",
                    *flags.rope_scaling));
  }
}

void NoteEmbeddedModel() { LogInfo("no -m given: the model inside the program answers"); }

Result<std::unique_ptr<engine::Engine>> LoadEngine(const ModelFlags& flags, const CommonFlags& common) {
  DAMASK_ASSIGN_OR_RETURN(const engine::EngineOptions options, flags.Options(common));
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<engine::Engine> engine, engine::Engine::Load(options));
  if (engine->embedded()) NoteEmbeddedModel();
  WarnOfRunFlags(flags, *engine);
  return engine;
}

Result<std::unique_ptr<tokenizer::Tokenizer>> LoadTokenizer(const ModelFlags& flags) {
  DAMASK_ASSIGN_OR_RETURN(const std::string path, flags.Path());
  if (IsDirectory(path)) return tokenizer::Tokenizer::FromHuggingFace(path);
  DAMASK_RETURN_IF_ERROR(CheckIsModel(path));
  const formats::GgufOpenOptions options{.load = flags.Load(), .require_tensor_data = false};
  if (!path.empty()) {
    DAMASK_ASSIGN_OR_RETURN(const std::shared_ptr<const formats::GgufFile> file, formats::GgufFile::Open(path, options));
    Result<std::unique_ptr<tokenizer::Tokenizer>> tokenizer = tokenizer::Tokenizer::FromGguf(*file);
    if (!tokenizer.ok()) return tokenizer.status().At(Quote(path, 300));
    return tokenizer;
  }
  DAMASK_ASSIGN_OR_RETURN(
      const std::shared_ptr<const formats::GgufFile> file,
      formats::GgufFile::Parse(FileBytes::Borrow(EmbeddedModel(), std::string(EmbeddedModelName())), options));
  NoteEmbeddedModel();
  return tokenizer::Tokenizer::FromGguf(*file);
}

}  // namespace damask::cli
