// damask detokenize: ids to text.
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/token_input.h"

namespace damask::cli {
namespace {

class Detokenize : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Tokens");
    input_.Declare(flags, "the ids");
    flags->Switch("--no-special", &no_special_, "leave control tokens out of the text");
    model_.DeclareModel(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!input_.tokens && !input_.file && StdinIsTerminal()) {
      return InvalidArgument("there are no ids: give --tokens N,N, -f FILE, or ids on standard input");
    }
    DAMASK_ASSIGN_OR_RETURN(const std::string tokens, input_.Read());
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<tokenizer::Tokenizer> tokenizer, LoadTokenizer(model_));
    DAMASK_ASSIGN_OR_RETURN(const std::vector<tokenizer::TokenId> ids, input_.Parse(tokens, tokenizer->vocab_size()));
    const std::string text = tokenizer->Decode(ids, !no_special_);
    if (common.json) {
      WriteJson({{"text", SanitizeUtf8(text)}});
    } else {
      WriteLive(text);
      Write("\n");
    }
    return kExitDone;
  }

 private:
  TokenInput input_;
  bool no_special_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeDetokenize() { return std::make_unique<Detokenize>(); }

}  // namespace damask::cli
