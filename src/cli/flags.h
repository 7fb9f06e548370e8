// The flags of one command: CLI11 behind checked values, llama.cpp's short names, and errors of one sentence that name the
// flag.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace damask::cli {

// Targets of the declaring functions are written while Parse() runs and must live until then. `names` is CLI11's form,
// "-n,--predict"; `value` is the word for the value in help texts ("N", "FILE"). A flag given twice: the last one counts, lists
// gather all.
class Flags {
 public:
  // `command` is what the user typed, "eval logits"; `summary` is one line; `example` stands below the help text.
  Flags(std::string_view command, std::string_view summary, std::string_view example);
  ~Flags();

  void Switch(const std::string& names, bool* target, const std::string& help);
  void Text(const std::string& names, const std::string& value, std::optional<std::string>* target, const std::string& help);
  void Texts(const std::string& names, const std::string& value, std::vector<std::string>* target, const std::string& help);
  // A flag with two values, "--png L.H FILE": {first, second}, or empty.
  void TextPair(const std::string& names, const std::string& value, std::vector<std::string>* target, const std::string& help);
  // Whole numbers in [min, max].
  void Uint(const std::string& names, uint64_t min, uint64_t max, uint64_t* target, const std::string& help);
  // A whole number up to `max`, which is what -1 for "no limit" (as llama.cpp) stands for.
  void Limit(const std::string& names, uint64_t max, std::optional<uint64_t>* target, const std::string& help);
  // A number of bytes in [min, max]; K, M or G behind it are powers of 1024.
  void Bytes(const std::string& names, uint64_t min, uint64_t max, uint64_t* target, const std::string& help);
  // -1 for "random" (as llama.cpp), else a whole number.
  void Seed(const std::string& names, std::optional<uint64_t>* target, const std::string& help);
  // "512,2048".
  void Uints(const std::string& names, uint64_t min, uint64_t max, std::vector<uint64_t>* target, const std::string& help);
  // Finite numbers in [min, max].
  void Number(const std::string& names, double min, double max, double* target, const std::string& help);
  // "0.1,0.5".
  void Numbers(const std::string& names, double min, double max, std::vector<double>* target, const std::string& help);
  // An argument without a name, at most one.
  void Positional(const std::string& name, std::optional<std::string>* target, const std::string& help);

  // A name that CLI11 has no form for, or that is not worth a line of its own in the help text: "-sys" stands for "--system",
  // which is declared already.
  void Alias(const std::string& name, const std::string& stands_for);

  // The heading under which the next flags stand in the help text.
  void Group(const std::string& heading) { group_ = heading; }

  struct Parsed {
    bool help_wanted = false;
  };
  // Errors: InvalidArgument, one sentence; unknown flags are all named, each with what stands for it here or the nearest one.
  Result<Parsed> Parse(const std::vector<std::string>& arguments);
  std::string Help() const;

 private:
  CLI::Option* Add(const std::string& names, const std::string& value, const std::string& help,
                   std::function<Status(const std::string&)> set);
  // The same for a number or a list of them.
  void AddNumber(const std::string& names, const std::string& value, const std::string& help,
                 std::function<Status(const std::string&)> set);
  // Aliases resolved, "--name=value" split, unknown flags and missing values found, help_ set.
  Result<std::vector<std::string>> Normalise(const std::vector<std::string>& arguments);
  // The option of "--name=value", "-n=32" or "-n32", its name by itself, and the value if it is there. Null: there is none.
  const CLI::Option* Find(std::string* name, std::optional<std::string>* value) const;
  // Parts a number from the letter before it; false where what stands there is no number.
  bool SplitJoined(std::string* name, std::optional<std::string>* value) const;
  // Puts the values of the option arguments[*at] behind it into `out`; *at is then at the last of them.
  Status TakeValues(const CLI::Option& option, const std::optional<std::string>& joined,
                    const std::vector<std::string>& arguments, size_t* at, std::vector<std::string>* out) const;
  // What to say of a flag that there is not; "" where there is nothing to say.
  std::string HintFor(const std::string& name) const;
  Status UnknownFlags(const std::vector<std::string>& names) const;

  std::string command_;
  std::unique_ptr<CLI::App> app_;
  std::map<std::string, std::string> aliases_;
  std::set<const CLI::Option*> pairs_;    // options with two values
  std::set<const CLI::Option*> numbers_;  // options whose value begins with no letter
  std::string group_;
  bool help_ = false;
};

// Whether a word is more likely a file than anything else: with a slash in it, or an ending of model files.
bool LooksLikeAPath(std::string_view word);

// A decimal whole number, nothing around it. Errors say what was expected.
Result<uint64_t> ParseUint(std::string_view text, uint64_t min, uint64_t max);
// The same with K, M or G behind it, powers of 1024.
Result<uint64_t> ParseBytes(std::string_view text, uint64_t min, uint64_t max);
Result<double> ParseNumber(std::string_view text, double min, double max);

}  // namespace damask::cli
