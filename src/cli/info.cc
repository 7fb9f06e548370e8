// damask info: what is in a model file and what it will cost.
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "report/model_info.h"

namespace damask::cli {
namespace {

class Info : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Positional("FILE", &file_, "GGUF file or Hugging Face folder; -m says the same");
    flags->Switch("--tensors", &tensors_, "list every tensor (with --json they are always there)");
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_RETURN_IF_ERROR(model_.TakeFile(file_));
    DAMASK_ASSIGN_OR_RETURN(const engine::EngineOptions options, model_.Options(common));
    DAMASK_ASSIGN_OR_RETURN(const report::ModelInfo info, report::DescribeModel(options));
    if (options.model_path.empty()) NoteEmbeddedModel();
    if (info.config) WarnOfLongContext(model_, info.config->context);
    if (common.json) {
      WriteJson(report::InfoJson(info));
    } else {
      Write(report::InfoText(info, tensors_ ? report::TensorList::kFull : report::TensorList::kSummary));
    }
    return kExitDone;
  }

 private:
  std::optional<std::string> file_;
  bool tensors_ = false;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeInfo() { return std::make_unique<Info>(); }

}  // namespace damask::cli
