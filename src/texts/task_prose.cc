#include <algorithm>
#include <cmath>

#include "texts/facts.h"
#include "texts/fit.h"
#include "texts/haystack.h"
#include "texts/keys.h"
#include "texts/task_builders.h"

namespace damask::texts {
namespace {

size_t PlaceAt(double depth, uint64_t sentences) {
  return static_cast<size_t>(std::lround(depth * static_cast<double>(sentences)));
}

// Prose of its own for every seed, whatever else is drawn from it.
uint64_t ProseSeed(uint64_t seed) { return Random(seed).Below(UINT64_MAX); }

void AskOne(const FactWords& asked, std::string_view value, Sample* sample) {
  sample->question = asked.question;
  sample->prefix = asked.prefix;
  sample->answer = asked.Answer();
  sample->expected = {std::string(value)};
  sample->metric = Metric::kNumber;
}

Sample BuildPasskey(const TaskOptions& options, uint64_t sentences) {
  Random random(options.seed);
  const std::string value = DrawValues(1, 1, &random).front();
  const FactWords asked = PasskeyFact(value);
  Sample sample;
  sample.text = Haystack(sentences, ProseSeed(options.seed), {{PlaceAt(options.depth, sentences), asked.fact}});
  AskOne(asked, value, &sample);
  return sample;
}

// The asked key's values in the order of their places.
std::vector<std::string> InOrderOfPlace(const std::vector<PlacedFact>& facts, const std::vector<std::string>& values,
                                        uint64_t asked_values) {
  std::vector<size_t> order(asked_values);
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return facts[a].before < facts[b].before; });
  std::vector<std::string> sorted;
  sorted.reserve(order.size());
  for (const size_t i : order) sorted.push_back(values[i]);
  return sorted;
}

// The first values.size() / keys facts are the asked key's, the very first of them at the asked depth.
Sample BuildNeedle(const TaskOptions& options, uint64_t sentences) {
  Random random(options.seed);
  const std::vector<std::string> keys = DrawKeys(options.keys, &random);
  const std::vector<std::string> values = DrawValues(options.keys * options.values, options.values, &random);
  std::vector<PlacedFact> facts;
  for (size_t i = 0; i < values.size(); ++i) {
    // Drawn as a share of the text, so that a longer text has the same facts in the same order.
    const double share = static_cast<double>(random.Below(1U << 20)) / (1U << 20);
    const size_t place = PlaceAt(i == 0 ? options.depth : share, sentences);
    facts.push_back({place, NeedleFact(keys[i / options.values], values[i]).fact});
  }
  Sample sample;
  sample.text = Haystack(sentences, ProseSeed(options.seed), facts);
  if (options.values == 1) {
    AskOne(NeedleFact(keys[0], values[0]), values[0], &sample);
    return sample;
  }
  sample.question = ManyNeedlesQuestion(keys[0]);
  sample.prefix = ManyNeedlesPrefix(keys[0]);
  sample.expected = InOrderOfPlace(facts, values, options.values);
  sample.answer = sample.prefix + " " + Enumerate(sample.expected) + ".\n";
  sample.metric = Metric::kAllSubstrings;
  return sample;
}

Sample BuildVt(const TaskOptions& options, uint64_t sentences) {
  Random random(options.seed);
  const uint64_t length = options.hops + 1;
  const std::vector<std::string> names = DrawNames(options.chains * length, &random);
  const std::vector<std::string> values = DrawValues(options.chains, 1, &random);
  std::vector<PlacedFact> facts;
  for (uint64_t chain = 0; chain < options.chains; ++chain) {
    std::vector<uint64_t> shares(length);
    for (uint64_t& share : shares) share = random.Below(1U << 20);
    std::sort(shares.begin(), shares.end());
    for (uint64_t i = 0; i < length; ++i) {
      const size_t name = chain * length + i;
      const size_t place = PlaceAt(static_cast<double>(shares[i]) / (1U << 20), sentences);
      facts.push_back({place, i == 0 ? AssignValue(names[name], values[chain]) : AssignName(names[name], names[name - 1])});
    }
  }
  Sample sample;
  sample.text = Haystack(sentences, ProseSeed(options.seed), facts);
  sample.question = ChainQuestion(values[0]);
  sample.expected.assign(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(length));
  sample.answer = Enumerate(sample.expected) + "\n";
  sample.metric = Metric::kAllSubstrings;
  return sample;
}

}  // namespace

Result<Sample> MakePasskey(const TaskOptions& options, const CountTokens& count) {
  return FitSample(options.tokens, {}, count, [&](uint64_t sentences) { return BuildPasskey(options, sentences); });
}

Result<Sample> MakeNeedle(const TaskOptions& options, const CountTokens& count) {
  return FitSample(options.tokens, {}, count, [&](uint64_t sentences) { return BuildNeedle(options, sentences); });
}

Result<Sample> MakeVt(const TaskOptions& options, const CountTokens& count) {
  return FitSample(options.tokens, {}, count, [&](uint64_t sentences) { return BuildVt(options, sentences); });
}

}  // namespace damask::texts
