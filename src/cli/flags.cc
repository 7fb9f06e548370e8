#include "cli/flags.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/nearest.h"
#include "base/text.h"
#include "cli/suggest.h"

namespace damask::cli {
namespace {

// How far a list may go: a wrong comma should not start a day's work.
constexpr size_t kMaxListItems = 1000;

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

template <typename T, typename ParseItem>
Status ParseList(const std::string& text, ParseItem parse, std::vector<T>* target) {
  std::vector<T> items;
  for (const std::string_view part : Split(text, ',')) {
    DAMASK_ASSIGN_OR_RETURN(const T item, parse(part));
    if (items.size() == kMaxListItems) return InvalidArgument(fmt::format("a list has at most {} items", kMaxListItems));
    items.push_back(item);
  }
  *target = std::move(items);
  return Status();
}

Status MissingValue(const CLI::Option& option) {
  return InvalidArgument(fmt::format("--{} wants a value ({})", option.get_lnames().back(), option.get_type_name()));
}

bool IsNegativeNumber(std::string_view text) {
  return text.size() > 1 && text[0] == '-' && ((text[1] >= '0' && text[1] <= '9') || text[1] == '.');
}

std::string Range(double min, double max) {
  if (max == std::numeric_limits<double>::max()) return fmt::format("a number from {:g} on", min);
  return fmt::format("a number from {:g} to {:g}", min, max);
}

}  // namespace

bool LooksLikeAPath(std::string_view word) {
  return word.find('/') != std::string_view::npos || word.ends_with(".gguf") || word.ends_with(".safetensors");
}

Result<uint64_t> ParseUint(std::string_view text, uint64_t min, uint64_t max) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < min || value > max) {
    return InvalidArgument(fmt::format("found {}, expected a whole number from {} to {}", Quote(text), min, max));
  }
  return value;
}

Result<uint64_t> ParseBytes(std::string_view text, uint64_t min, uint64_t max) {
  constexpr std::string_view kUnits = "KMG";
  std::string_view digits = text;
  const size_t unit = text.empty() ? std::string_view::npos : kUnits.find(text.back());
  if (unit != std::string_view::npos) digits.remove_suffix(1);
  const unsigned shift = unit == std::string_view::npos ? 0 : 10 * (static_cast<unsigned>(unit) + 1);
  const Result<uint64_t> number = ParseUint(digits, 0, max >> shift);
  if (!number.ok() || *number << shift < min) {
    return InvalidArgument(
        fmt::format("found {}, expected a number of bytes from {} to {}, with K, M or G behind it for powers of 1024",
                    Quote(text), min, max));
  }
  return *number << shift;
}

Result<double> ParseNumber(std::string_view text, double min, double max) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value) || value < min || value > max) {
    return InvalidArgument(fmt::format("found {}, expected {}", Quote(text), Range(min, max)));
  }
  return value;
}

Flags::Flags(std::string_view command, std::string_view summary, std::string_view example) : command_(command) {
  app_ = std::make_unique<CLI::App>(std::string(summary), "damask " + command_);
  app_->set_help_flag();
  app_->allow_extras(false);
  app_->get_formatter()->column_width(34);
  app_->footer(fmt::format("\nExample:\n  {}", example));
}

Flags::~Flags() = default;

CLI::Option* Flags::Add(const std::string& names, const std::string& value, const std::string& help,
                        std::function<Status(const std::string&)> set) {
  const std::string shown = names.substr(names.rfind(',') == std::string::npos ? 0 : names.rfind(',') + 1);
  CLI::callback_t callback = [set = std::move(set), shown](const CLI::results_t& results) {
    for (const std::string& result : results) {
      const Status status = set(result);
      if (!status.ok()) throw CLI::ValidationError(status.At(shown).ToString(), CLI::ExitCodes::ValidationError);
    }
    return true;
  };
  CLI::Option* option = app_->add_option(names, std::move(callback), help);
  option->type_name(value)->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->allow_extra_args(false);
  if (!group_.empty()) option->group(group_);
  return option;
}

void Flags::AddNumber(const std::string& names, const std::string& value, const std::string& help,
                      std::function<Status(const std::string&)> set) {
  numbers_.insert(Add(names, value, help, std::move(set)));
}

void Flags::Switch(const std::string& names, bool* target, const std::string& help) {
  CLI::Option* option = app_->add_flag(names, *target, help);
  if (!group_.empty()) option->group(group_);
}

void Flags::Text(const std::string& names, const std::string& value, std::optional<std::string>* target,
                 const std::string& help) {
  Add(names, value, help, [target](const std::string& text) {
    *target = text;
    return Status();
  });
}

void Flags::Texts(const std::string& names, const std::string& value, std::vector<std::string>* target,
                  const std::string& help) {
  CLI::Option* option = Add(names, value, help + " (may be given again)", [target](const std::string& text) {
    target->push_back(text);
    return Status();
  });
  option->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void Flags::TextPair(const std::string& names, const std::string& value, std::vector<std::string>* target,
                     const std::string& help) {
  CLI::Option* option = Add(names, value, help, [target](const std::string& text) {
    if (target->size() == 2) target->clear();
    target->push_back(text);
    return Status();
  });
  option->expected(2)->option_text(value);  // else the help text says "x 2" behind it
  pairs_.insert(option);
}

void Flags::Uint(const std::string& names, uint64_t min, uint64_t max, uint64_t* target, const std::string& help) {
  AddNumber(names, "N", help, [=](const std::string& text) -> Status {
    DAMASK_ASSIGN_OR_RETURN(*target, ParseUint(text, min, max));
    return Status();
  });
}

void Flags::Limit(const std::string& names, uint64_t max, std::optional<uint64_t>* target, const std::string& help) {
  AddNumber(names, "N", help, [=](const std::string& text) -> Status {
    const Result<uint64_t> limit = text == "-1" ? Result<uint64_t>(max) : ParseUint(text, 0, max);
    if (!limit.ok()) return InvalidArgument(limit.status().message() + ", or -1 for no limit");
    *target = *limit;
    return Status();
  });
}

void Flags::Bytes(const std::string& names, uint64_t min, uint64_t max, uint64_t* target, const std::string& help) {
  AddNumber(names, "BYTES", help, [=](const std::string& text) -> Status {
    DAMASK_ASSIGN_OR_RETURN(*target, ParseBytes(text, min, max));
    return Status();
  });
}

void Flags::Seed(const std::string& names, std::optional<uint64_t>* target, const std::string& help) {
  AddNumber(names, "S", help, [target](const std::string& text) -> Status {
    if (text == "-1") {
      target->reset();
      return Status();
    }
    const Result<uint64_t> seed = ParseUint(text, 0, INT64_MAX);
    if (!seed.ok()) return InvalidArgument(seed.status().message() + ", or -1 for a random one");
    *target = *seed;
    return Status();
  });
}

void Flags::Uints(const std::string& names, uint64_t min, uint64_t max, std::vector<uint64_t>* target,
                  const std::string& help) {
  AddNumber(names, "N,N", help, [=](const std::string& text) {
    return ParseList(
        text, [=](std::string_view part) { return ParseUint(part, min, max); }, target);
  });
}

void Flags::Number(const std::string& names, double min, double max, double* target, const std::string& help) {
  AddNumber(names, "X", help, [=](const std::string& text) -> Status {
    DAMASK_ASSIGN_OR_RETURN(*target, ParseNumber(text, min, max));
    return Status();
  });
}

void Flags::Numbers(const std::string& names, double min, double max, std::vector<double>* target, const std::string& help) {
  AddNumber(names, "X,X", help, [=](const std::string& text) {
    return ParseList(
        text, [=](std::string_view part) { return ParseNumber(part, min, max); }, target);
  });
}

void Flags::Positional(const std::string& name, std::optional<std::string>* target, const std::string& help) {
  Text(name, "", target, help);
}

void Flags::Alias(const std::string& name, const std::string& stands_for) {
  CLI::Option* const option = app_->get_option(stands_for);
  const bool first =
      std::none_of(aliases_.begin(), aliases_.end(), [&](const auto& alias) { return alias.second == stands_for; });
  option->description(option->get_description() + (first ? "; also " : ", ") + name);
  aliases_[name] = stands_for;
}

std::string Flags::HintFor(const std::string& name) const {
  if (const std::string_view hint = LlamaFlagHint(name); !hint.empty()) return std::string(hint);
  std::vector<std::string> known = {"--help"};
  for (const CLI::Option* option : std::as_const(*app_).get_options()) {
    for (const std::string& long_name : option->get_lnames()) known.push_back("--" + long_name);
  }
  for (const auto& [alias, stands_for] : aliases_) {
    if (alias.compare(0, 2, "--") == 0) known.push_back(alias);  // few letters are near everything
  }
  const bool few_letters = name[1] != '-' && name.size() <= 4;  // likewise
  const std::string nearest = few_letters ? std::string() : Nearest(name, known);
  if (!nearest.empty()) return fmt::format("did you mean {}?", Quote(nearest));
  const CLI::Option* begun = app_->get_option_no_throw(name.substr(0, 2));
  const bool joined = name.size() > 2 && begun != nullptr && TakesValue(*begun) && numbers_.count(begun) == 0;
  return joined ? fmt::format("the value of {} stands behind a space", name.substr(0, 2)) : std::string();
}

Status Flags::UnknownFlags(const std::vector<std::string>& names) const {
  std::vector<std::pair<std::string, std::string>> groups;  // a hint, and the flags it is for
  for (const std::string& name : names) {
    const std::string hint = HintFor(name);
    const auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& other) { return other.first == hint; });
    if (group == groups.end()) {
      groups.emplace_back(hint, Quote(name));
    } else {
      group->second += ", " + Quote(name);
    }
  }
  std::string text;
  for (const auto& [hint, flags] : groups) {
    text += (text.empty() ? "" : "; ") + flags + (hint.empty() ? "" : ": " + hint);
  }
  return InvalidArgument(fmt::format("'damask {}' has no flag{} {}", command_, names.size() == 1 ? "" : "s", text));
}

// "-n32", but not "-ngl": no number begins with a letter. Texts do not join: "-pps" and "-mmproj" are flags of llama.cpp.
bool Flags::SplitJoined(std::string* name, std::optional<std::string>* value) const {
  if ((*name)[1] == '-' || name->size() == 2) return true;
  const CLI::Option* option = app_->get_option_no_throw(name->substr(0, 2));
  const char first = (*name)[2];
  const bool letter = (first >= 'a' && first <= 'z') || (first >= 'A' && first <= 'Z');
  if (option == nullptr || numbers_.count(option) == 0 || letter || *value) return false;
  *value = name->substr(2);
  name->resize(2);
  return true;
}

const CLI::Option* Flags::Find(std::string* name, std::optional<std::string>* value) const {
  if (const size_t equals = name->find('='); equals != std::string::npos) {
    *value = name->substr(equals + 1);
    name->resize(equals);
  }
  if (const auto alias = aliases_.find(*name); alias != aliases_.end()) *name = alias->second;
  if (name->size() < 2 || !SplitJoined(name, value)) return nullptr;
  return app_->get_option_no_throw(*name);
}

Status Flags::TakeValues(const CLI::Option& option, const std::optional<std::string>& joined,
                         const std::vector<std::string>& arguments, size_t* at, std::vector<std::string>* out) const {
  if (!TakesValue(option)) {
    if (joined) return InvalidArgument(fmt::format("{} takes no value", out->back()));
    return {};
  }
  if (joined) out->push_back(*joined);
  const size_t more = (joined ? 0 : 1) + pairs_.count(&option);
  if (arguments.size() - (*at + 1) < more) return MissingValue(option);
  for (size_t i = 0; i < more; ++i) out->push_back(arguments[++*at]);
  return {};
}

Result<std::vector<std::string>> Flags::Normalise(const std::vector<std::string>& arguments) {
  std::vector<std::string> out;
  std::vector<std::string> unknown;
  Status fault;  // the first one, told where no flag is unknown
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string name = arguments[i];
    if (name == "--") {
      out.insert(out.end(), arguments.begin() + static_cast<ptrdiff_t>(i), arguments.end());
      break;
    }
    if (name.size() < 2 || name[0] != '-') {  // "-" alone is a file name by old custom
      out.push_back(name);
      continue;
    }
    std::optional<std::string> value;
    const CLI::Option* option = Find(&name, &value);
    if (option == nullptr) {
      if (std::find(unknown.begin(), unknown.end(), name) == unknown.end()) unknown.push_back(name);
      if (i + 1 < arguments.size() && IsNegativeNumber(arguments[i + 1])) ++i;  // its value
      continue;
    }
    out.push_back(name);
    if (option->check_name("--help")) help_ = true;
    const Status taken = TakeValues(*option, value, arguments, &i, &out);
    if (fault.ok()) fault = taken;
  }
  if (!unknown.empty()) return UnknownFlags(unknown);
  if (!fault.ok()) return fault;
  return out;
}

Result<Flags::Parsed> Flags::Parse(const std::vector<std::string>& arguments) {
  Switch("-h,--help", &help_, "show this text");
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::string> normalised, Normalise(arguments));
  if (help_) return Parsed{.help_wanted = true};
  try {
    app_->parse(std::vector<std::string>(normalised.rbegin(), normalised.rend()));
  } catch (const CLI::ExtrasError&) {
    const std::string word = app_->remaining().at(0);
    const char* const hint =
        LooksLikeAPath(word) && app_->get_option_no_throw("--model") != nullptr ? ": a model is given with -m" : "";
    return InvalidArgument(fmt::format("'damask {}' does not know what to do with {}{}", command_, Quote(word), hint));
  } catch (const CLI::ParseError& error) {
    return InvalidArgument(error.what());
  }
  return Parsed{};
}

std::string Flags::Help() const { return app_->help(); }

}  // namespace damask::cli
