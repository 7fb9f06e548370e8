// The registered policies, by name. A new policy is one file and one line in registry.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "policies/options.h"
#include "policies/policy.h"

namespace damask::policies {

struct PolicyInfo {
  std::string name;
  std::vector<std::string> aliases;
  std::string help;    // one sentence
  std::string source;  // paper or origin
  std::vector<OptionInfo> options;
};

// In the order in which they are to be shown.
const std::vector<PolicyInfo>& AllPolicies();

// Makes the policy of a SPEC: "name" or "name:key=value,key=value". InvalidArgument for an unknown name (the message lists the
// names) and for wrong options.
Result<std::unique_ptr<Policy>> Create(std::string_view spec, const ModelShape& shape);

}  // namespace damask::policies
