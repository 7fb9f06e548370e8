// damask chat: a conversation in the terminal, or over a pipe: a line is a question.
#include <algorithm>
#include <cstdio>
#include <iostream>

#include <fmt/format.h>

#include "base/entropy.h"
#include "base/log.h"
#include "base/text.h"
#include "cli/answer_summary.h"
#include "cli/command.h"
#include "cli/dialogue.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/sampling_flags.h"
#include "cli/text_input.h"
#include "cli/thought_flags.h"
#include "engine/conversation.h"
#include "engine/shown_answer.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

constexpr std::string_view kHelp =
    "a line is a question, \\ at its end goes on in the next line, and a pasted text is part of one; /reset forgets what was "
    "said (not the document), /exit or Ctrl-D ends, Ctrl-C cuts an answer short";

// "/reset" or whatever looks like it: a slash and letters. A path, and a line that begins with two slashes, are questions.
bool LooksLikeACommand(std::string_view line) {
  return line.size() > 1 && line[0] == '/' &&
         std::all_of(line.begin() + 1, line.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
}

// A line as a command: without the blanks behind it.
std::string_view CommandOf(std::string_view line) { return line.substr(0, line.find_last_not_of(" \t") + 1); }

// The names of what the questions come from.
bool IsStandardInput(std::string_view path) {
  return path == "-" || path == "/dev/stdin" || path == "/dev/fd/0" || path == "/proc/self/fd/0";
}

// The next question over a pipe: lines joined where one ends in a backslash. Nothing at the end of the input.
std::optional<std::string> ReadLines() {
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
    model_.DeclareChatTemplate(flags);
    thoughts_.Declare(flags);
    sampling_.Declare(flags);
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    common_ = common;
    DAMASK_ASSIGN_OR_RETURN(options_, sampling_.Options(false));
    seed_ = options_.sampler.seed ? *options_.sampler.seed : static_cast<uint32_t>(RandomSeed());
    if (file_ && IsStandardInput(*file_))
      return InvalidArgument("--file: standard input holds the questions, the document must be a file");
    std::string document;
    if (file_) {
      DAMASK_ASSIGN_OR_RETURN(document, ReadDocument(*file_));
    }
    DAMASK_ASSIGN_OR_RETURN(const tokenizer::Thoughts thoughts, thoughts_.Thoughts());
    if (!IsValidUtf8(system_.value_or(""))) return InvalidArgument("--system: the text is not valid UTF-8");
    DAMASK_ASSIGN_OR_RETURN(engine_, LoadEngine(model_, common));
    if (engine_->embedded()) TellOfEmbeddedModel();
    WarnOfIdleFlags(model_, *engine_);
    const engine::ChatForm form = engine::ModelChatForm(*engine_);
    if (!form.family) LogWarning(engine::WhyPlainChat(*engine_) + ": plain text is used");
    Dialogue dialogue(form, thoughts, system_.value_or(""), std::move(document));
    for (std::string& stop : dialogue.StopStrings()) options_.stop.push_back(std::move(stop));
    if (StdinIsTerminal()) LogInfo(std::string(kHelp));
    const Status ended = Converse(&dialogue);
    // What was answered is not lost to a question that could not be.
    if (common.json && (ended.ok() || !said_.empty())) PrintJson();
    DAMASK_RETURN_IF_ERROR(ended);
    return kExitDone;
  }

 private:
  // It goes on until something stops it.
  void TellOfEmbeddedModel() {
    LogInfo("it answers facts from a document given with -f, and is no chat model");
    if (!sampling_.max_tokens) options_.max_tokens = kFewTokens;
  }

  Status Converse(Dialogue* dialogue) {
    engine::Session session(engine_.get());
    while (!OutputBroken()) {
      const std::optional<std::string> question = LineEditor::Possible() ? editor_.Read("> ") : ReadLines();
      if (!question) break;
      const std::string_view command = CommandOf(*question);
      if (command == "/exit" || command == "/quit") break;
      if (command == "/help") {
        LogInfo(std::string(kHelp));
      } else if (command == "/reset") {
        dialogue->Reset();
      } else if (LooksLikeACommand(command)) {
        LogWarning(
            fmt::format("there is no command {}, there are /reset, /help and /exit; with a space in front it is a question",
                        Quote(command)));
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
    report::Json turn;
    const Result<engine::GenerateResult> result = Answer(*dialogue, session, &turn);
    if (!result.ok() || (result->finish == engine::FinishReason::kCancelled && result->text.empty())) {
      dialogue->DropLast();
      return WithAWayOut(result.status(), *dialogue);
    }
    dialogue->AddAnswer(result->text);
    said_.push_back({{"role", "user"}, {"content", question}});
    said_.push_back({{"role", "assistant"}, {"content", SanitizeUtf8(result->text)}});
    turns_.push_back(std::move(turn));
    kv_bytes_ = session->kv_bytes();
    return Status();
  }

  // Where the context is full of what was said there is more to do than the engine knows of.
  static Status WithAWayOut(const Status& status, const Dialogue& dialogue) {
    if (status.code() != StatusCode::kTooLarge || dialogue.messages().empty()) return status;
    return TooLarge(status.ToString() + "; /reset forgets what was said");
  }

  // `turn`: what --json says of it.
  Result<engine::GenerateResult> Answer(const Dialogue& dialogue, engine::Session* session, report::Json* turn) {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> prompt, dialogue.Encode(engine_->tokenizer()));
    if (engine_->policy().AskedInstruction().turn) {
      DAMASK_ASSIGN_OR_RETURN(const size_t turn_tokens, dialogue.TurnTokens(engine_->tokenizer()));
      session->SetTurnTokens(turn_tokens);
    }
    const size_t held = engine::ReusePrefix(session, prompt);
    // So that a question asked again after /reset has another answer, and the whole run the same answers with the same seed.
    options_.sampler.seed = seed_ + asked_++;
    CancelScope cancel;
    report::ProgressLine progress(!common_.quiet && StderrIsTerminal());
    engine::GenerateCallbacks callbacks;
    callbacks.cancel = cancel.flag();
    callbacks.progress = [&](uint64_t done, uint64_t total, double seconds) { progress.Update(done, total, seconds); };
    engine::ShownAnswer answer(dialogue.family(), dialogue.thoughts());
    std::string shown;
    const auto show = [&](const std::string& text) {
      shown += text;
      if (!common_.json) WriteLive(text);
    };
    callbacks.text = [&](std::string_view text) {
      progress.Clear();
      show(answer.Add(text));
      if (OutputBroken()) cancel.Cancel();
    };
    Result<engine::GenerateResult> result =
        engine::Generate(engine_.get(), session, std::span(prompt).subspan(held), options_, callbacks);
    if (!result.ok()) return result;
    show(answer.Finish());
    result->text = std::move(shown);
    if (!common_.json) {
      WriteLive("\n");
      LogAnswer(*result, {options_.max_tokens, engine_->context()},
                sampling_.random_seed() ? std::optional(seed_) : std::nullopt);
    }
    const model::HeadAudit audit = result->audit.Total();
    *turn = {{"prompt_tokens", prompt.size()},
             {"cached_tokens", held},
             {"generated_tokens", result->ids.size()},
             {"finish_reason", engine::FinishReasonName(result->finish)},
             {"density_prefill", result->prefill_stats.density()},
             {"recall_mean", audit.rows == 0 ? report::Json(nullptr) : report::Json(audit.recall())},
             {"prefill_s", result->prefill_seconds},
             {"decode_s", result->decode_seconds}};
    return result;
  }

  void PrintJson() const {
    WriteJson({{"messages", said_},
               {"turns", turns_},
               {"seed", seed_},
               {"model", report::ModelName(*engine_)},
               {"target", TargetName(engine_->target())},
               {"kv_type", kernels::KvTypeName(engine_->kv_type())},
               {"threads", engine_->threads()},
               {"kernels", report::KernelsJson(*engine_)},
               {"memory", report::MemoryJson(*engine_, kv_bytes_)}});
  }

  LineEditor editor_;
  std::optional<std::string> file_;
  std::optional<std::string> system_;
  ThoughtFlags thoughts_;
  SamplingFlags sampling_{.default_tokens = kNoTokenLimit};
  ModelFlags model_;
  CommonFlags common_;
  engine::GenerateOptions options_;
  std::unique_ptr<engine::Engine> engine_;
  report::Json said_ = report::Json::array();
  report::Json turns_ = report::Json::array();
  uint64_t seed_ = 0;   // of the first answer; the next ones count on
  uint64_t asked_ = 0;  // questions that the model was given
  uint64_t kv_bytes_ = 0;
};

}  // namespace

std::unique_ptr<Command> MakeChat() { return std::make_unique<Chat>(); }

}  // namespace damask::cli
