// One question of an evaluation: what a model reads, and what it should say.
#pragma once

#include <string>
#include <vector>

namespace damask::texts {

// How an answer is scored, 0 to 1 (evals/score.h).
enum class Metric {
  kNumber,         // the first whole number in it is the expected one (LongEval)
  kExact,          // equal after SQuAD's normalisation
  kF1,             // token F1 after SQuAD's normalisation (LongBench)
  kSubstring,      // it contains one of the expected texts
  kAllSubstrings,  // the share of expected texts that it contains (RULER)
  kLvEval,         // token F1 behind a gate of keywords (LV-Eval)
};

struct Sample {
  std::string text;      // facts and filler, whole lines
  std::string question;  // one line
  std::string prefix;    // the answer's beginning, up to the value: given to models that only continue texts
  std::string answer;    // the whole right answer, `prefix` included, one line
  std::vector<std::string> expected;
  std::string keywords;  // kLvEval: what an answer must mention; empty: no gate
  Metric metric = Metric::kNumber;
};

}  // namespace damask::texts
