// damask eval jsonl: questions of a file, scored.
#include "evals/jsonl.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/text_input.h"
#include "evals/score.h"
#include "report/eval_report.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

class EvalJsonl : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Questions");
    flags->Text("-f,--file", "FILE", &file_, "one {\"context\", \"question\", \"answers\"} a line; - is standard input");
    flags->Text("--metric", "NAME", &metric_, "em, f1, substring, all-substrings or lv-eval");
    flags->Uint("-n,--predict", 1, limits::kMaxContext, &run_.max_tokens, "tokens of an answer at most (default 64)");
    flags->Switch("--keep", &keep_, "with --json: every answer and score");
    flags->Switch("--raw", &raw_, "plain text for models with a chat template, too");
    model_.DeclareChatTemplate(flags);
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!file_) return InvalidArgument("'damask eval jsonl' wants -f FILE");
    DAMASK_RETURN_IF_ERROR(model_.CheckRaw(raw_));
    if (keep_ && !common.json) return InvalidArgument("--keep is about what --json prints, and wants it");
    DAMASK_ASSIGN_OR_RETURN(const texts::Metric metric, ParseMetric());
    DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadDocument(*file_));
    Result<std::vector<texts::Sample>> samples = evals::ReadJsonlSamples(text, metric);
    if (!samples.ok()) return samples.status().At(*file_ == "-" ? "standard input" : Quote(*file_));
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    run_.form = raw_ ? evals::PromptForm::kRaw : evals::PromptForm::kAuto;
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal(), "characters");
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(const evals::JsonlResult result,
                            evals::RunJsonl(engine.get(), *samples, run_, progress, cancel.flag()));
    line.Clear();
    if (common.json) {
      const report::Examples examples = keep_ ? report::Examples::kKeep : report::Examples::kNone;
      WriteJson(report::JsonlRunJson(*engine, *samples, result, examples));
    } else {
      Write(report::JsonlRunText(*samples, result));
    }
    return result.cancelled ? kExitInterrupted : kExitDone;
  }

 private:
  Result<texts::Metric> ParseMetric() const {
    if (!metric_) return InvalidArgument("'damask eval jsonl' wants --metric");
    const std::optional<texts::Metric> metric = evals::FindMetric(*metric_);
    if (metric && *metric != texts::Metric::kNumber) return *metric;
    return InvalidArgument(
        fmt::format("--metric: found {}, expected em, f1, substring, all-substrings or lv-eval", Quote(*metric_)));
  }

  std::optional<std::string> file_;
  std::optional<std::string> metric_;
  evals::JsonlRun run_;
  bool keep_ = false;
  bool raw_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalJsonl() { return std::make_unique<EvalJsonl>(); }

}  // namespace damask::cli
