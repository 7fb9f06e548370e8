// damask eval perplexity: how well the model predicts a text.
#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/text_input.h"
#include "engine/evaluate.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

constexpr uint64_t kDefaultWindow = 512;  // as llama.cpp's perplexity

class EvalPerplexity : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Text");
    flags->Text("-f,--file", "FILE", &file_, "the text; - is standard input");
    model_.context_help =
        fmt::format("tokens of a window (default: {}, or the model's context where that is shorter)", kDefaultWindow);
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!file_) return InvalidArgument("'damask eval perplexity' wants -f FILE");
    DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadDocument(*file_));
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> ids,
                            engine->tokenizer().Encode(text, tokenizer::Special::kPlain));
    const uint64_t window = model_.context != 0 ? model_.context : std::min(kDefaultWindow, engine->context());
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(const engine::PerplexityResult result,
                            engine::Perplexity(engine.get(), ids, window, progress, cancel.flag()));
    line.Clear();
    if (common.json) {
      report::Json object = report::PerplexityJson(*engine, result);
      object["context"] = window;
      WriteJson(object);
    } else if (result.tokens == 0) {
      Write("no window was finished\n");
    } else {
      Write(fmt::format("perplexity {:.4f} ({:.5f} nats a token) over {} tokens in windows of {}, {}\n", result.perplexity,
                        result.nll, result.tokens, window, FormatSeconds(result.seconds)));
    }
    return result.cancelled ? kExitInterrupted : kExitDone;
  }

 private:
  std::optional<std::string> file_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalPerplexity() { return std::make_unique<EvalPerplexity>(); }

}  // namespace damask::cli
