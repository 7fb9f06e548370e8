// damask tokenize: text to ids.
#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/text_input.h"

namespace damask::cli {
namespace {

class Tokenize : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Text");
    text_.Declare(flags, "the text");
    flags->Switch("--no-bos", &no_bos_, "no BOS token in front, whatever the vocabulary says");
    flags->Switch("--no-special,--no-parse-special", &no_special_, "text that spells a control token stays text");
    flags->Switch("--ids", &ids_only_, "print the ids only, comma-separated on one line");
    model_.DeclareModel(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_ASSIGN_OR_RETURN(const std::string text, text_.Read());
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<tokenizer::Tokenizer> tokenizer, LoadTokenizer(model_));
    text_.NoteUnreadInput();
    const tokenizer::Special special = no_special_ ? tokenizer::Special::kPlain : tokenizer::Special::kParse;
    DAMASK_ASSIGN_OR_RETURN(const std::vector<tokenizer::TokenId> ids,
                            no_bos_ ? tokenizer->Encode(text, special) : tokenizer::EncodePrompt(*tokenizer, text, special));
    if (common.json) {
      report::Json pieces = report::Json::array();
      for (const tokenizer::TokenId id : ids) pieces.push_back(SanitizeUtf8(tokenizer->Piece(id, true)));
      WriteJson({{"ids", ids}, {"pieces", pieces}, {"tokenizer", tokenizer->description()}});
    } else if (ids_only_) {
      Write(fmt::format("{}\n", fmt::join(ids, ",")));
    } else {
      for (const tokenizer::TokenId id : ids) Write(fmt::format("{:>7}  {}\n", id, Quote(tokenizer->Piece(id, true))));
      LogInfo(Counted(ids.size(), "token"));
    }
    return kExitDone;
  }

 private:
  TextInput text_;
  bool no_bos_ = false;
  bool no_special_ = false;
  bool ids_only_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeTokenize() { return std::make_unique<Tokenize>(); }

}  // namespace damask::cli
