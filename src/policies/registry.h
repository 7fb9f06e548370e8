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
  // The whole-number option that sets how much is computed, and what else a SPEC says when it is set for a wanted density
  // ("prefill=sparse,skip=0"); empty where there is no such option. See density.h.
  std::string density_option;
  std::string density_settings;
};

// In the order in which they are to be shown.
const std::vector<PolicyInfo>& AllPolicies();

// By name or alias; null where there is none.
const PolicyInfo* FindPolicy(std::string_view name);
// The one that a SPEC names.
const PolicyInfo* PolicyOfSpec(std::string_view spec);

// Makes the policy of a SPEC: "name" or "name:key=value,key=value". InvalidArgument for an unknown name (the message lists the
// names) and for wrong options.
Result<std::unique_ptr<Policy>> Create(std::string_view spec, const ModelShape& shape);

}  // namespace damask::policies
