// damask eval compare: policies side by side on the same samples.
#include <algorithm>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "base/write_file.h"
#include "cli/command.h"
#include "cli/eval_engine.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/text_input.h"
#include "engine/fingerprint.h"
#include "evals/cell_file.h"
#include "evals/compare.h"
#include "evals/compare_plan.h"
#include "evals/task_spec.h"
#include "masks/hash.h"
#include "report/compare_report.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

constexpr uint64_t kMaxSamples = 1000000;
constexpr const char* kTarget = "--target";
constexpr const char* kThreads = "--threads";
constexpr const char* kRepack = "--repack";

// The parts of a list without the spaces around them; an empty part is an error.
Result<std::vector<std::string>> ParseList(const std::string& flag, const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (const std::string_view piece : Split(text, separator)) {
    const std::string_view part = WithoutSpaces(piece);
    if (part.empty()) return InvalidArgument(fmt::format("{}: a part of {} is empty", flag, Quote(text)));
    if (std::find(parts.begin(), parts.end(), part) != parts.end()) {
      return InvalidArgument(fmt::format("{}: {} is given twice", flag, Quote(part)));
    }
    parts.emplace_back(part);
  }
  return parts;
}

// "lines, vt:chains=4,hops=2": a part that is an option belongs to the task before it.
Result<std::vector<std::string>> ParseTasks(const std::string& text) {
  std::vector<std::string> given;
  for (const std::string_view piece : Split(text, ',')) {
    const std::string_view part = WithoutSpaces(piece);
    const bool is_option = part.find('=') < part.find(':');
    if (is_option && !given.empty() && given.back().find(':') != std::string::npos) {
      given.back().append(",").append(part);
    } else {
      given.emplace_back(part);
    }
  }
  std::vector<std::string> tasks;
  for (std::string& task : given) {
    if (task.empty()) return InvalidArgument(fmt::format("--tasks: a part of {} is empty", Quote(text)));
    if (task != evals::kPerplexity) {
      const Result<evals::TaskSpec> spec = evals::ParseTaskSpec(task);
      if (!spec.ok()) return spec.status().At("--tasks");
      task = spec->ToString();
    }
    if (std::find(tasks.begin(), tasks.end(), task) != tasks.end()) {
      return InvalidArgument(fmt::format("--tasks: {} is given twice", Quote(task)));
    }
    tasks.push_back(std::move(task));
  }
  return tasks;
}

class EvalCompare : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Comparison");
    flags->Text("--policies", "SPEC;SPEC", &policies_,
                "the policies; the others are compared with the first. all: every one that is not in the list itself and needs "
                "no file");
    flags->Text("--tasks", "NAME,NAME", &tasks_,
                "lines, passkey, needle, kv, vt, cwe, fwe, perplexity (default: lines,passkey,perplexity); with options as "
                "needle:keys=4,values=2 or vt:chains=4,hops=2 or cwe:words=5");
    flags->Uints("--context", 1, limits::kMaxContext, &run_.contexts,
                 "tokens of prompt and answer together (default: 4096, or the model's context where that is shorter)");
    flags->Uint("--samples", 1, kMaxSamples, &run_.samples, "samples of each task and context (default 20)");
    flags->Uint("-s,--seed", 0, UINT64_MAX, &run_.seed, "of the samples (default 1)");
    flags->Numbers("--density", 1e-6, 1, &run_.densities,
                   "run each policy that has an option for it, and does not set that itself, once for each of these densities");
    flags->Text("-f,--file", "FILE", &file_, "a text for perplexity (default: prose of the program)");
    flags->Text("-o,--output", "FILE", &html_, "write a page with the table and pictures");
    flags->Alias("--html", "--output");
    flags->Alias("--out", "--output");
    flags->Text("--resume", "FILE", &resume_, "keep answers in this file and go on where it ends");
    flags->Switch("--any-target", &any_target_,
                  "go on from a file of --resume whose answers were computed with another --target");
    flags->Switch("--keep", &keep_, "with --json: the score of every sample");
    flags->Switch("--raw", &raw_, "plain text for models with a chat template, too");
    model_.DeclareChatTemplate(flags);
    model_.DeclareRun(flags);
    run_.contexts.clear();
  }

  Result<int> Run(const CommonFlags& common) override {
    if (keep_ && !common.json) return InvalidArgument("--keep is about what --json prints, and wants it");
    DAMASK_RETURN_IF_ERROR(ReadFlags());
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEvalEngine(model_, common, &run_.contexts));
    std::vector<std::string> left_out;
    run_.policies = evals::ExpandAll(*engine, run_.policies, &left_out);
    std::unique_ptr<evals::CellFile> cells;
    if (resume_) {
      DAMASK_ASSIGN_OR_RETURN(cells, evals::CellFile::Open(*resume_, AskedOf(*engine)));
    }
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(evals::CompareResult result,
                            evals::RunCompare(engine.get(), run_, cells.get(), progress, cancel.flag()));
    line.Clear();
    result.notes.insert(result.notes.begin(), left_out.begin(), left_out.end());
    if (cells) NoteSettings(cells->asked(), cells->own(), &result.notes);
    for (const std::string& note : result.notes) LogWarning(note);
    // What can fail comes last: the table is worth more.
    if (common.json) {
      WriteJson(report::CompareJson(*engine, run_, result, keep_ ? report::Scores::kKeep : report::Scores::kNone));
    } else {
      Write(report::CompareText(run_, result));
    }
    // A page of nothing would take the place of an earlier one.
    const Status page =
        html_ && !result.rows.empty() ? WriteFileAtomically(*html_, report::ComparePage(*engine, run_, result)) : Status();
    DAMASK_RETURN_IF_ERROR(result.kept);
    DAMASK_RETURN_IF_ERROR(page);
    return result.cancelled ? kExitInterrupted : kExitDone;
  }

 private:
  Status ReadFlags() {
    if (!policies_) return InvalidArgument("'damask eval compare' wants --policies");
    if (model_.policy || model_.mask) return InvalidArgument("--policies takes the place of --policy and --mask");
    if (any_target_ && !resume_) return InvalidArgument("--any-target is about answers that --resume keeps, and wants it");
    DAMASK_ASSIGN_OR_RETURN(run_.policies, ParseList("--policies", *policies_, ';'));
    DAMASK_ASSIGN_OR_RETURN(run_.tasks, ParseTasks(tasks_.value_or("lines,passkey,perplexity")));
    if (file_) {
      if (std::find(run_.tasks.begin(), run_.tasks.end(), evals::kPerplexity) == run_.tasks.end()) {
        return InvalidArgument("-f is the text of the perplexity task, which is not among --tasks");
      }
      DAMASK_ASSIGN_OR_RETURN(run_.text, ReadDocument(*file_));
    }
    std::vector<NamedFile> others = model_.Reads();
    if (file_) others.push_back({"-f", *file_});
    for (const std::string& spec : run_.policies) {
      for (NamedFile& file : FilesOfSpec("--policies", spec)) others.push_back(std::move(file));
    }
    if (resume_) {
      DAMASK_RETURN_IF_ERROR(CheckOutputFile("--resume", *resume_, others));
      others.push_back({"--resume", *resume_});
    }
    if (html_) DAMASK_RETURN_IF_ERROR(CheckOutputFile("-o", *html_, others));
    run_.audit = model_.Audit();
    DAMASK_RETURN_IF_ERROR(model_.CheckRaw(raw_));
    run_.form = raw_ ? evals::PromptForm::kRaw : evals::PromptForm::kAuto;
    return {};
  }

  // Everything that an answer depends on and that no cell says; not the number of samples, as a sample stands for itself.
  evals::Asked AskedOf(const engine::Engine& engine) const {
    const masks::Fingerprint model = engine::FingerprintOf(engine.model());
    // What a file sets beside its weights.
    const model::ModelConfig& config = engine.model().config();
    masks::Hasher settings;
    settings.AddText(model::SettingsText(config));
    settings.AddText(engine.tokenizer().chat_template());
    if (const auto family = engine.given_chat_family()) settings.AddText(tokenizer::ChatFamilyName(*family));
    settings.AddNumber(engine.tokenizer().special().puts_bos() ? 1 : 0);
    return {{"model", masks::Describe(model)},
            {"weights", fmt::format("{:016x}", model.weights_hash)},
            {"tokenizer", fmt::format("{:016x}", model.tokenizer_hash)},
            {"the model's settings", fmt::format("{:016x}", settings.value())},
            ContextOf(engine),
            {"rope", fmt::format("{} {} {} {}", model_.rope_scaling.value_or("as the model"), model_.rope_scale,
                                 model_.rope_base, model_.yarn_context)},
            {.name = kTarget, .value = std::string(TargetName(engine.target())), .may_differ = any_target_, .may_join = true},
            // On these only times depend. Files of the time before they were kept do not say them.
            {.name = kThreads, .value = fmt::format("{}", engine.threads()), .may_differ = true, .unsaid = ""},
            {.name = kRepack, .value = model_.repack ? "on" : "off", .may_differ = true, .unsaid = ""},
            // Files of the time before there was a choice do not say it.
            {.name = "--kv", .value = engine.kv_type() == kernels::KvType::kQ8 ? "q8" : "bf16", .unsaid = "bf16"},
            {"--seed", fmt::format("{}", run_.seed)},
            {"--raw", raw_ ? "on" : "off"},
            // Cells of perplexity say it. Files of the time before they did are theirs whose texts were the program's.
            {.name = "the text of --file", .value = "none", .unsaid = "none"},
            {"--audit", fmt::format("{}, --audit-decode {}, --audit-floor {}", model_.audit.prefill_every,
                                    model_.audit.decode_every, model_.audit.floor)},
            {"--kv-release", model_.kv_release ? "on" : "off"}};
  }

  // Without -c the context grows with the longest text, on which no shorter one depends: where positions go by it, the model's
  // settings say so. Files of the time before name the number that it had.
  evals::AskedValue ContextOf(const engine::Engine& engine) const {
    const uint64_t own = engine.model().config().context;
    evals::AskedValue context{.name = "-c", .value = fmt::format("{}", model_.context)};
    if (model_.context != 0 && model_.context != own) return context;
    context.value = "the model's";
    context.formerly = {fmt::format("{}", own)};
    for (const uint64_t length : run_.contexts) {
      if (length > own) context.formerly.push_back(fmt::format("{}", length));
    }
    return context;
  }

  // What answers of the file were computed with, where that is not what this run has.
  static void NoteSettings(const evals::Asked& asked, const evals::Asked& own, std::vector<std::string>* notes) {
    for (size_t i = 0; i < asked.size(); ++i) {
      const evals::AskedValue& one = asked[i];
      if (!one.may_differ || one.value.empty() || one.value == own[i].value) continue;
      const char* const so = one.name == kTarget ? "equal within rounding, not in speed" : "times are of these together";
      notes->push_back(fmt::format("the answers were computed with {} {}: {}", one.name, one.value, so));
    }
  }

  std::optional<std::string> policies_;
  std::optional<std::string> tasks_;
  std::optional<std::string> file_;
  std::optional<std::string> html_;
  std::optional<std::string> resume_;
  bool any_target_ = false;
  bool raw_ = false;
  bool keep_ = false;
  evals::CompareRun run_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalCompare() { return std::make_unique<EvalCompare>(); }

}  // namespace damask::cli
