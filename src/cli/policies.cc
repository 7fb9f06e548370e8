// damask policies: what --policy may say.
#include "policies/registry.h"

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output.h"

namespace damask::cli {
namespace {

report::Json ToJson(const policies::PolicyInfo& policy) {
  report::Json options = report::Json::array();
  for (const policies::OptionInfo& option : policy.options) {
    options.push_back({{"name", option.name}, {"default", option.default_value}, {"help", option.help}});
  }
  return {{"name", policy.name},
          {"aliases", policy.aliases},
          {"help", policy.help},
          {"options", options},
          {"density_option", policy.density_option.empty() ? report::Json() : report::Json(policy.density_option)},
          {"source", policy.source}};
}

std::string ToText(const policies::PolicyInfo& policy) {
  std::string text = policy.name;
  for (const std::string& alias : policy.aliases) text += ", " + alias;
  text += fmt::format(": {}\n", policy.help);
  for (const policies::OptionInfo& option : policy.options) {
    text += fmt::format("  {}={}  {}\n", option.name, option.default_value, option.help);
  }
  if (!policy.density_option.empty()) text += fmt::format("  density: set by {}\n", policy.density_option);
  return text + fmt::format("  source: {}\n", policy.source);
}

class ListPolicies : public Command {
 public:
  void Declare(Flags* /*flags*/) override {}

  Result<int> Run(const CommonFlags& common) override {
    report::Json list = report::Json::array();
    for (const policies::PolicyInfo& policy : policies::AllPolicies()) {
      if (common.json) {
        list.push_back(ToJson(policy));
      } else {
        Write(ToText(policy));
      }
    }
    if (common.json) WriteJson({{"policies", list}});
    return kExitDone;
  }
};

}  // namespace

std::unique_ptr<Command> MakePolicies() { return std::make_unique<ListPolicies>(); }

}  // namespace damask::cli
