// The options of a policy, "key=value,key=value", checked against the list of those it has.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace damask::policies {

struct OptionInfo {
  std::string name;
  std::string default_value;  // empty: must be given
  std::string help;           // one sentence, with the unit
};

class Options {
 public:
  // Unknown, repeated, missing and empty keys are InvalidArgument; a message names the policy and lists its options.
  static Result<Options> Parse(std::string_view policy, std::string_view text, const std::vector<OptionInfo>& known);

  // The value as a whole number in [min, max].
  Result<uint64_t> Count(const std::string& name, uint64_t min, uint64_t max) const;
  // The value as a finite number in [min, max].
  Result<double> Number(const std::string& name, double min, double max) const;
  const std::string& Text(const std::string& name) const { return values_.at(name); }

 private:
  std::string policy_;
  std::map<std::string, std::string> values_;
};

}  // namespace damask::policies
