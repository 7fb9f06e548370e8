#include "texts/facts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace damask::texts {

FactWords LineFact(std::string_view key, std::string_view value) {
  return {.fact = fmt::format("line {}: REGISTER_CONTENT is <{}>\n", key, value),
          .question = fmt::format("What is the REGISTER_CONTENT in line {}?\n", key),
          .prefix = fmt::format("line {}: REGISTER_CONTENT is <", key),
          .value = std::string(value),
          .rest = ">\n"};
}

FactWords PasskeyFact(std::string_view value) {
  return {.fact = fmt::format("The pass key is {0}. Remember it. {0} is the pass key.\n", value),
          .question = "What is the pass key?\n",
          .prefix = "The pass key is",
          .value = fmt::format(" {}", value),
          .rest = ".\n"};
}

FactWords NeedleFact(std::string_view key, std::string_view value) {
  return {.fact = fmt::format("One of the special magic numbers for {} is: {}.\n", key, value),
          .question = fmt::format("What is the special magic number for {}?\n", key),
          .prefix = fmt::format("The special magic number for {} is:", key),
          .value = fmt::format(" {}", value),
          .rest = ".\n"};
}

FactWords KvFact(std::string_view key, std::string_view value) {
  return {.fact = fmt::format("{}: {}\n", key, value),
          .question = fmt::format("What is the value of {}?\n", key),
          .prefix = fmt::format("{}:", key),
          .value = fmt::format(" {}", value),
          .rest = "\n"};
}

std::string ManyNeedlesQuestion(std::string_view key) {
  return fmt::format("What are all the special magic numbers for {}?\n", key);
}

std::string ManyNeedlesPrefix(std::string_view key) { return fmt::format("The special magic numbers for {} are:", key); }

std::string AssignValue(std::string_view name, std::string_view value) { return fmt::format("VAR {} = {}\n", name, value); }

std::string AssignName(std::string_view name, std::string_view source) {
  return fmt::format("VAR {} = VAR {}\n", name, source);
}

std::string ChainQuestion(std::string_view value) {
  return fmt::format("Find all variables that are assigned the value {}.\n", value);
}

std::string WordList(std::span<const std::string> words) { return fmt::format("Words: {}\n", fmt::join(words, " ")); }

std::string Enumerate(std::span<const std::string> items) { return fmt::format("{}", fmt::join(items, ", ")); }

}  // namespace damask::texts
