#include "policies/options.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/limits.h"
#include "base/text.h"

namespace damask::policies {
namespace {

std::string ListOf(const std::vector<OptionInfo>& known) {
  if (known.empty()) return "it has no options";
  std::vector<std::string> names;
  names.reserve(known.size());
  for (const OptionInfo& option : known) names.push_back(option.name);
  return fmt::format("it has {}", fmt::join(names, ", "));
}

}  // namespace

Result<Options> Options::Parse(std::string_view policy, std::string_view text, const std::vector<OptionInfo>& known) {
  Options options;
  options.policy_ = policy;
  for (const std::string_view part : text.empty() ? std::vector<std::string_view>() : Split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals + 1 == part.size()) {
      return InvalidArgument(fmt::format("policy {}: found {} where key=value was expected", policy, Quote(part)));
    }
    const std::string key(part.substr(0, equals));
    const bool exists = std::any_of(known.begin(), known.end(), [&](const OptionInfo& option) { return option.name == key; });
    if (!exists) return InvalidArgument(fmt::format("policy {} has no option {}; {}", policy, Quote(key), ListOf(known)));
    if (!options.values_.emplace(key, part.substr(equals + 1)).second) {
      return InvalidArgument(fmt::format("policy {}: option {} is given twice", policy, key));
    }
  }
  for (const OptionInfo& option : known) {
    if (options.values_.contains(option.name)) continue;
    if (option.default_value.empty()) {
      return InvalidArgument(fmt::format("policy {} needs its option {}: {}", policy, option.name, option.help));
    }
    options.values_.emplace(option.name, option.default_value);
  }
  return options;
}

Result<uint64_t> Options::Count(const std::string& name, uint64_t min, uint64_t max) const {
  const std::string& text = values_.at(name);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return InvalidArgument(
        fmt::format("policy {}: {}={} is not a whole number between {} and {}", policy_, name, Quote(text), min, max));
  }
  return value;
}

std::string Amount::ToString() const { return share > 0 || keys == 0 ? fmt::format("{:#}", share) : fmt::format("{}", keys); }

Result<Amount> Options::KeysOrShare(const std::string& name) const {
  const std::string& text = values_.at(name);
  if (text.find('.') == std::string::npos) {
    DAMASK_ASSIGN_OR_RETURN(const uint64_t keys, Count(name, 0, limits::kMaxContext));
    return Amount{.keys = keys};
  }
  double share = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), share);
  if (error != std::errc() || end != text.data() + text.size() || !(share >= 0 && share <= 1)) {
    return InvalidArgument(fmt::format("policy {}: {}={} is neither a number of keys nor a share between 0.0 and 1.0", policy_,
                                       name, Quote(text)));
  }
  return Amount{.share = share};
}

Result<bool> Options::Either(const std::string& name, std::string_view first, std::string_view second) const {
  const std::string& text = values_.at(name);
  if (text == first || text == second) return text == second;
  return InvalidArgument(fmt::format("policy {}: {}={} is neither {} nor {}", policy_, name, Quote(text), first, second));
}

Result<double> Options::Number(const std::string& name, double min, double max) const {
  const std::string& text = values_.at(name);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !(value >= min && value <= max)) {
    return InvalidArgument(
        fmt::format("policy {}: {}={} is not a number between {} and {}", policy_, name, Quote(text), min, max));
  }
  return value;
}

}  // namespace damask::policies
