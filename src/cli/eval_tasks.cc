// damask eval lines, passkey, needle, kv, vt, cwe, fwe: generated tasks by length and depth.
#include "evals/run.h"

#include "base/limits.h"
#include "base/log.h"
#include "cli/command.h"
#include "cli/eval_engine.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "report/eval_report.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

constexpr uint64_t kMaxSamples = 1000000;

class EvalTask : public Command {
 public:
  explicit EvalTask(texts::Task task) { run_.task = task; }

  void Declare(Flags* flags) override {
    flags->Group("Task");
    flags->Uints("--context", 1, limits::kMaxContext, &run_.contexts,
                 "tokens of prompt and answer together (default: 4096, or the model's context where that is shorter)");
    flags->Uint("--samples", 1, kMaxSamples, &run_.samples,
                "samples of each context, with --depths of each depth (default 20)");
    flags->Uint("-s,--seed", 0, UINT64_MAX, &run_.seed, "of the samples (default 1)");
    flags->Switch("--keep", &keep_, "with --json: every question, answer and score");
    flags->Switch("--raw", &raw_, "plain text for models with a chat template, too");
    model_.DeclareChatTemplate(flags);
    DeclareTask(flags);
    model_.DeclareRun(flags);
    run_.contexts.clear();
  }

  Result<int> Run(const CommonFlags& common) override {
    if (keep_ && !common.json) return InvalidArgument("--keep is about what --json prints, and wants it");
    DAMASK_RETURN_IF_ERROR(texts::ValidateTaskOptions(run_.options));
    DAMASK_RETURN_IF_ERROR(model_.CheckRaw(raw_));
    run_.form = raw_ ? evals::PromptForm::kRaw : evals::PromptForm::kAuto;
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEvalEngine(model_, common, &run_.contexts));
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(const evals::TaskResult result, evals::RunTask(engine.get(), run_, progress, cancel.flag()));
    line.Clear();
    if (common.json) {
      WriteJson(report::TaskRunJson(*engine, run_, result, keep_ ? report::Examples::kKeep : report::Examples::kNone));
    } else {
      Write(report::TaskRunText(run_, result));
    }
    return result.cancelled ? kExitInterrupted : kExitDone;
  }

 private:
  void DeclareTask(Flags* flags) {
    texts::TaskOptions& options = run_.options;
    if (texts::InfoOf(run_.task).has_depth) {
      flags->Numbers("--depths", 0, 1, &run_.depths,
                     "where the fact stands: 0 the text's beginning, 1 its end (default: spread over the text)");
    }
    if (run_.task == texts::Task::kNeedle) {
      flags->Uint("--keys", 1, texts::kMaxNeedles, &options.keys, "keys in the text; one is asked for (default 1)");
      flags->Uint("--values", 1, texts::kMaxNeedles, &options.values, "values of each key; all are wanted (default 1)");
    }
    if (run_.task == texts::Task::kVt) {
      flags->Uint("--chains", 1, texts::kMaxChains, &options.chains, "chains in the text; one is asked for (default 1)");
      flags->Uint("--hops", 1, texts::kMaxHops, &options.hops, "assignments behind the first of a chain (default 4)");
    }
    if (run_.task == texts::Task::kCwe) {
      flags->Uint("--words", texts::kMinCommonWords, texts::kMaxCommonWords, &options.words, "common words (default 10)");
    }
  }

  evals::TaskRun run_;
  bool keep_ = false;
  bool raw_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalTask(texts::Task task) { return std::make_unique<EvalTask>(task); }

}  // namespace damask::cli
