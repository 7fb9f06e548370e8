// The wording of facts, questions and answers: the same in the evaluation, in calibration texts and in what the reference model
// was trained on. Facts, questions and answers are whole lines with their newline.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace damask::texts {

// A stored value: its wording around key and value. `answer` is written as prefix + value + rest.
struct FactWords {
  std::string fact;
  std::string question;
  std::string prefix;  // of the answer; a value that follows a word begins with the space between them
  std::string value;
  std::string rest;

  std::string Answer() const { return prefix + value + rest; }
};

FactWords LineFact(std::string_view key, std::string_view value);
FactWords PasskeyFact(std::string_view value);
FactWords NeedleFact(std::string_view key, std::string_view value);
FactWords KvFact(std::string_view key, std::string_view value);

// Of a key with several values, in the order of the text.
std::string ManyNeedlesQuestion(std::string_view key);
std::string ManyNeedlesPrefix(std::string_view key);

// "VAR ABC = 12345", "VAR DEF = VAR ABC".
std::string AssignValue(std::string_view name, std::string_view value);
std::string AssignName(std::string_view name, std::string_view source);
std::string ChainQuestion(std::string_view value);

// "Words: a b c".
std::string WordList(std::span<const std::string> words);

// "a, b, c".
std::string Enumerate(std::span<const std::string> items);

}  // namespace damask::texts
