// damask chat: a conversation in the terminal, or over a pipe: a line is a question.
#include <cstdio>
#include <iostream>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/dialogue.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/sampling_flags.h"
#include "cli/text_input.h"
#include "engine/conversation.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

constexpr std::string_view kHelp =
    "a line is a question, \\ at its end goes on in the next line; /reset forgets what was said (not the document), /exit or "
    "Ctrl-D ends, Ctrl-C cuts an answer short";

// The next question: lines joined where one ends in a backslash. Nothing at the end of the input.
std::optional<std::string> ReadQuestion() {
  std::string text;
  while (true) {
    if (StdinIsTerminal()) std::fputs(text.empty() ? "> " : "  ", stderr);
    std::string line;
    if (!std::getline(std::cin, line)) return text.empty() ? std::nullopt : std::optional(text);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const bool more = !line.empty() && line.back() == '\\';
    if (more) line.back() = '\n';
    text += line;
    if (!more) return text;
  }
}

class Chat : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Conversation");
    flags->Text("-f,--file", "FILE", &file_, "a document that every question may be about; it is read once");
    flags->Text("--system", "TEXT", &system_, "system message");
    flags->Alias("-sys", "--system");
    flags->Alias("--system-prompt", "--system");
    sampling_.Declare(flags);
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    common_ = common;
    DAMASK_ASSIGN_OR_RETURN(options_, sampling_.Options(false));
    if (file_ && *file_ == "-")
      return InvalidArgument("--file: standard input holds the questions, the document must be a file");
    std::string document;
    if (file_) {
      DAMASK_ASSIGN_OR_RETURN(document, ReadDocument(*file_));
    }
    if (!IsValidUtf8(system_.value_or(""))) return InvalidArgument("--system: the text is not valid UTF-8");
    DAMASK_ASSIGN_OR_RETURN(engine_, LoadEngine(model_, common));
    const std::optional<tokenizer::ChatFamily> family = engine::ModelChatFamily(*engine_);
    if (!family) WarnOfPlainText();
    Dialogue dialogue(family, system_.value_or(""), std::move(document));
    for (std::string& stop : dialogue.StopStrings()) options_.stop.push_back(std::move(stop));
    if (StdinIsTerminal()) LogInfo(std::string(kHelp));
    DAMASK_RETURN_IF_ERROR(Converse(&dialogue));
    if (common.json) PrintJson();
    return kExitDone;
  }

 private:
  void WarnOfPlainText() const {
    const std::string& jinja = engine_->tokenizer().chat_template();
    const std::string what = jinja.empty() ? "the model has no chat template"
                                           : fmt::format("the model's chat template {} is of no known family",
                                                         Quote(jinja.substr(0, jinja.find('\n')), 60));
    LogWarning(what + ": plain text is used");
  }

  Status Converse(Dialogue* dialogue) {
    engine::Session session(engine_.get());
    while (!OutputBroken()) {
      const std::optional<std::string> question = ReadQuestion();
      if (!question || *question == "/exit" || *question == "/quit") break;
      if (*question == "/help") {
        LogInfo(std::string(kHelp));
      } else if (*question == "/reset") {
        dialogue->Reset();
      } else if (!question->empty()) {
        Status status = Ask(dialogue, &session, *question);
        if (!status.ok() && !StdinIsTerminal()) return status;
        if (!status.ok()) PrintError(status);
      }
    }
    if (StdinIsTerminal()) std::fputs("\n", stderr);
    return Status();
  }

  // Errors leave the dialogue as it was.
  Status Ask(Dialogue* dialogue, engine::Session* session, const std::string& question) {
    if (!IsValidUtf8(question)) return InvalidArgument("the question is not valid UTF-8");
    dialogue->AddQuestion(question);
    const Result<engine::GenerateResult> result = Answer(*dialogue, session);
    if (!result.ok() || (result->finish == engine::FinishReason::kCancelled && result->text.empty())) {
      dialogue->DropLast();
      return result.status();
    }
    dialogue->AddAnswer(result->text);
    said_.push_back({{"role", "user"}, {"content", question}});
    said_.push_back({{"role", "assistant"}, {"content", SanitizeUtf8(result->text)}});
    kv_bytes_ = session->kv_bytes();
    return Status();
  }

  Result<engine::GenerateResult> Answer(const Dialogue& dialogue, engine::Session* session) {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> prompt, dialogue.Encode(engine_->tokenizer()));
    if (engine_->policy().AskedInstruction().turn) {
      DAMASK_ASSIGN_OR_RETURN(const size_t turn, dialogue.TurnTokens(engine_->tokenizer()));
      session->SetTurnTokens(turn);
    }
    const size_t held = engine::ReusePrefix(session, prompt);
    CancelScope cancel;
    report::ProgressLine progress(!common_.quiet && StderrIsTerminal());
    engine::GenerateCallbacks callbacks;
    callbacks.cancel = cancel.flag();
    callbacks.progress = [&](uint64_t done, uint64_t total, double seconds) { progress.Update(done, total, seconds); };
    callbacks.text = [&](std::string_view text) {
      progress.Clear();
      if (!common_.json) WriteLive(text);
      if (OutputBroken()) cancel.Cancel();
    };
    Result<engine::GenerateResult> result =
        engine::Generate(engine_.get(), session, std::span(prompt).subspan(held), options_, callbacks);
    if (!result.ok()) return result;
    if (!common_.json) WriteLive("\n");
    turns_.push_back({{"prompt_tokens", prompt.size()},
                      {"cached_tokens", held},
                      {"generated_tokens", result->ids.size()},
                      {"finish_reason", engine::FinishReasonName(result->finish)},
                      {"density_prefill", result->prefill_stats.density()},
                      {"prefill_s", result->prefill_seconds},
                      {"decode_s", result->decode_seconds}});
    return result;
  }

  void PrintJson() const {
    WriteJson({{"messages", said_},
               {"turns", turns_},
               {"model", report::ModelName(*engine_)},
               {"target", TargetName(engine_->target())},
               {"kv_type", kernels::KvTypeName(engine_->kv_type())},
               {"threads", engine_->threads()},
               {"kernels", report::KernelsJson(*engine_)},
               {"memory", report::MemoryJson(*engine_, kv_bytes_)}});
  }

  std::optional<std::string> file_;
  std::optional<std::string> system_;
  SamplingFlags sampling_;
  ModelFlags model_;
  CommonFlags common_;
  engine::GenerateOptions options_;
  std::unique_ptr<engine::Engine> engine_;
  report::Json said_ = report::Json::array();
  report::Json turns_ = report::Json::array();
  uint64_t kv_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeChat() { return std::make_unique<Chat>(); }

}  // namespace damask::cli
