// damask check: every fault of a model or mask file.
#include <fmt/format.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "report/check_file.h"

namespace damask::cli {
namespace {

class Check : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Positional("FILE", &file_, "GGUF file, Hugging Face folder or mask file; -m says the same");
    model_.DeclareModel(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_RETURN_IF_ERROR(model_.TakeFile(file_));
    DAMASK_ASSIGN_OR_RETURN(const std::string path, model_.Path());
    if (path.empty()) NoteEmbeddedModel();
    if (report::KindOfFile(path) == report::FileKind::kMask) return CheckMask(path, common);
    return CheckModel(path, common);
  }

 private:
  Result<int> CheckMask(const std::string& path, const CommonFlags& common) {
    DAMASK_ASSIGN_OR_RETURN(const report::CheckResult result, report::CheckMaskFile(path));
    Report(result, common, "read the mask file whole");
    if (result.loads) return kExitDone;
    return BadFormat("the mask cannot be used: " + result.faults[0].what).At(result.faults[0].where);
  }

  Result<int> CheckModel(const std::string& path, const CommonFlags& common) {
    DAMASK_ASSIGN_OR_RETURN(const Target target, PrepareTarget(common.target));
    ThreadPool pool(common.threads == 0 ? DefaultThreadCount() : common.threads);
    const CancelScope cancel;
    DAMASK_ASSIGN_OR_RETURN(const report::CheckResult result,
                            report::CheckModel(path, model_.Load(), target, &pool, cancel.flag()));
    Report(result, common, fmt::format("{} values of {} tensors read", result.values, result.tensors));
    if (result.loads) return result.faults.empty() ? kExitDone : kExitFailed;
    return BadFormat("the model does not load: " + result.faults[0].what).At(result.faults[0].where);
  }

  static void Report(const report::CheckResult& result, const CommonFlags& common, std::string_view what_was_read) {
    if (common.json) {
      WriteJson(ToJson(result));
      return;
    }
    for (const report::Fault& fault : result.faults) Write(fmt::format("{}: {}\n", fault.where, fault.what));
    Write(fmt::format("{}, {}\n", what_was_read,
                      result.faults.empty() ? "no faults" : fmt::format("faults: {}", result.faults.size())));
  }

  static report::Json ToJson(const report::CheckResult& result) {
    report::Json faults = report::Json::array();
    for (const report::Fault& fault : result.faults) {
      faults.push_back({{"where", SanitizeUtf8(fault.where)}, {"what", SanitizeUtf8(fault.what)}});
    }
    return {{"faults", faults}, {"loads", result.loads}, {"tensors", result.tensors}, {"values", result.values}};
  }

  std::optional<std::string> file_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeCheck() { return std::make_unique<Check>(); }

}  // namespace damask::cli
