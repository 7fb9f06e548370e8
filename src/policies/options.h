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

// So many keys of a text as a share of it is, rounded down; 0.29 of 100 is 29, though the product of the binary 0.29 is less.
inline uint64_t ShareOf(double share, uint64_t length) {
  return static_cast<uint64_t>(share * static_cast<double>(length) + 1e-9);
}

// A number of keys: so many, or a share of the text so far.
struct Amount {
  uint64_t keys = 0;
  double share = 0;

  uint64_t Of(uint64_t length) const { return keys + ShareOf(share, length); }
  std::string ToString() const;  // "512" or "0.1"
};

class Options {
 public:
  // Unknown, repeated, missing and empty keys are InvalidArgument; a message names the policy and lists its options.
  static Result<Options> Parse(std::string_view policy, std::string_view text, const std::vector<OptionInfo>& known);

  // The value as a whole number in [min, max].
  Result<uint64_t> Count(const std::string& name, uint64_t min, uint64_t max) const;
  // "512": so many keys, at most limits::kMaxContext; "0.1", with a point ("1.e-05" too): that share, at most 1.
  Result<Amount> KeysOrShare(const std::string& name) const;
  // Which of the two words stands there: false for the first.
  Result<bool> Either(const std::string& name, std::string_view first, std::string_view second) const;
  // The value as a finite number in [min, max].
  Result<double> Number(const std::string& name, double min, double max) const;
  const std::string& Text(const std::string& name) const { return values_.at(name); }

 private:
  std::string policy_;
  std::map<std::string, std::string> values_;
};

}  // namespace damask::policies
