// damask generate: one answer to a prompt.
#include "base/text.h"
#include "cli/answer_summary.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/sampling_flags.h"
#include "cli/text_input.h"
#include "cli/thought_flags.h"
#include "engine/conversation.h"
#include "report/progress.h"
#include "report/run_json.h"

namespace damask::cli {
namespace {

class Generate : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Prompt");
    text_.Declare(flags, "the prompt");
    flags->Text("--system", "TEXT", &system_, "system message of a chat");
    flags->Alias("-sys", "--system");
    flags->Alias("--system-prompt", "--system");
    flags->Switch("--chat", &chat_, "put the prompt into the model's chat template (default where it has one that is known)");
    flags->Alias("--conversation", "--chat");
    flags->Alias("-cnv", "--chat");
    flags->Switch("--raw", &raw_, "continue the prompt as it is");
    flags->Alias("--no-conversation", "--raw");
    flags->Alias("-no-cnv", "--raw");
    model_.DeclareChatTemplate(flags);
    thoughts_.Declare(flags);
    sampling_.Declare(flags);
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (chat_ && raw_) return InvalidArgument("--chat and --raw exclude each other");
    DAMASK_RETURN_IF_ERROR(model_.CheckRaw(raw_));
    DAMASK_ASSIGN_OR_RETURN(const engine::GenerateOptions options, sampling_.Options(text_.escape));
    DAMASK_ASSIGN_OR_RETURN(const engine::PromptInput input, ReadInput());
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    WarnOfIdleFlags(model_, *engine);
    text_.NoteUnreadInput();
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> prompt, engine::EncodePromptInput(*engine, input));
    engine::Session session(engine.get());
    CancelScope cancel;
    DAMASK_ASSIGN_OR_RETURN(const engine::GenerateResult result,
                            Answer(engine.get(), &session, prompt, options, common, &cancel));
    if (common.json) {
      WriteJson(report::GenerationJson(*engine, result, session.kv_bytes()));
    } else if (!result.text.empty() && result.text.back() != '\n') {
      Write("\n");
    }
    if (!common.json)
      LogAnswer(result, {options.max_tokens, engine->context()},
                sampling_.random_seed() ? std::optional(result.seed) : std::nullopt);
    return result.finish == engine::FinishReason::kCancelled && !OutputBroken() ? kExitInterrupted : kExitDone;
  }

 private:
  Result<engine::PromptInput> ReadInput() const {
    engine::PromptInput input;
    DAMASK_ASSIGN_OR_RETURN(input.text, text_.Read());
    DAMASK_ASSIGN_OR_RETURN(input.thoughts, thoughts_.Thoughts());
    input.system = system_.value_or("");
    if (!IsValidUtf8(input.system)) return InvalidArgument("--system: the text is not valid UTF-8");
    if (text_.escape) input.system = ProcessEscapes(input.system);
    input.style = chat_ ? engine::PromptStyle::kChat : raw_ ? engine::PromptStyle::kRaw : engine::PromptStyle::kAuto;
    return input;
  }

  static Result<engine::GenerateResult> Answer(engine::Engine* engine, engine::Session* session,
                                               const std::vector<engine::TokenId>& prompt,
                                               const engine::GenerateOptions& options, const CommonFlags& common,
                                               CancelScope* cancel) {
    report::ProgressLine progress(!common.quiet && StderrIsTerminal());
    engine::GenerateCallbacks callbacks;
    callbacks.cancel = cancel->flag();
    callbacks.progress = [&](uint64_t done, uint64_t total, double seconds) { progress.Update(done, total, seconds); };
    callbacks.text = [&](std::string_view text) {
      progress.Clear();
      if (!common.json) WriteLive(text);
      if (OutputBroken()) cancel->Cancel();
    };
    return engine::Generate(engine, session, prompt, options, callbacks);
  }

  TextInput text_;
  std::optional<std::string> system_;
  bool chat_ = false;
  bool raw_ = false;
  ThoughtFlags thoughts_;
  SamplingFlags sampling_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeGenerate() { return std::make_unique<Generate>(); }

}  // namespace damask::cli
