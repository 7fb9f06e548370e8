#include <cmath>

#include "texts/facts.h"
#include "texts/fit.h"
#include "texts/keys.h"
#include "texts/task_builders.h"

namespace damask::texts {
namespace {

using MakeFact = FactWords (*)(std::string_view key, std::string_view value);

Sample BuildFacts(const TaskOptions& options, uint64_t facts, MakeFact make) {
  Random random(options.seed);
  const std::vector<std::string> keys = DrawKeys(facts, &random);
  const std::vector<std::string> values = DrawValues(facts, 1, &random);
  const auto place = static_cast<uint64_t>(std::lround(options.depth * static_cast<double>(facts - 1)));
  const FactWords asked = make(keys[0], values[0]);
  Sample sample;
  for (uint64_t i = 0; i < facts; ++i) {
    const uint64_t other = i < place ? i + 1 : i;
    sample.text += i == place ? asked.fact : make(keys[other], values[other]).fact;
  }
  sample.question = asked.question;
  sample.prefix = asked.prefix;
  sample.answer = asked.Answer();
  sample.expected = {values[0]};
  sample.metric = Metric::kNumber;
  return sample;
}

Result<Sample> MakeFacts(const TaskOptions& options, const CountTokens& count, MakeFact make) {
  return FitSample(options.tokens, {.min_units = 1, .max_units = kMaxKeys}, count,
                   [&](uint64_t facts) { return BuildFacts(options, facts, make); });
}

}  // namespace

Result<Sample> MakeLines(const TaskOptions& options, const CountTokens& count) { return MakeFacts(options, count, LineFact); }

Result<Sample> MakeKv(const TaskOptions& options, const CountTokens& count) { return MakeFacts(options, count, KvFact); }

}  // namespace damask::texts
