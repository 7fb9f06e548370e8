// The same files through llama.cpp: tests/golden/README.md says how the numbers were made. Every case is a parameter of the
// test, so that a failure names architecture, type and target.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <sstream>

#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/evaluate.h"
#include "engine/sampler.h"
#include "formats/json.h"
#include "tests/run_program.h"
#include "tests/temp_dir.h"

namespace damask::engine {
namespace {

using formats::Json;

Json ReadGolden(const std::string& name) {
  const auto json = formats::ReadJsonFile(std::string(DAMASK_SOURCE_DIR) + "/tests/golden/" + name);
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return json.ok() ? *json : Json();
}

const Json& Golden() {
  static const Json golden = ReadGolden("golden.json");
  return golden;
}

// Makes the model of a case and loads it.
std::unique_ptr<Engine> MakeAndLoad(const Json& golden_case, const std::string& type, const std::string& target,
                                    const test::TempDir& folder) {
  const std::string path = folder.File("model.gguf");
  std::vector<std::string> args = {DAMASK_MAKE_MODEL};
  for (const Json& argument : golden_case["make_model"]) args.push_back(argument);
  for (const std::string& argument : {std::string("--type"), type, std::string("-o"), path}) args.push_back(argument);
  const test::ProgramResult made = test::RunProgram(args);
  EXPECT_EQ(made.exit_code, 0) << made.err;
  auto engine = Engine::Load({.model_path = path, .threads = 2, .target = target});
  EXPECT_TRUE(engine.ok()) << engine.status().ToString();
  return engine.ok() ? *std::move(engine) : nullptr;
}

// Logits are defined up to a constant: both sides are centred, then the squared error is divided by the reference's square.
double CentredNmse(std::vector<double> ours, std::vector<double> reference) {
  const auto centre = [](std::vector<double>& values) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    for (double& value : values) value -= mean;
  };
  centre(ours);
  centre(reference);
  double error = 0;
  double norm = 0;
  for (size_t i = 0; i < reference.size(); ++i) {
    error += (ours[i] - reference[i]) * (ours[i] - reference[i]);
    norm += reference[i] * reference[i];
  }
  return error / norm;
}

// Float weights: only bf16 rounding of activations and cache stands between the two. Quantised ones: both sides round
// activations to 8 bits, each in its own way, which alone moves llama.cpp itself by up to 3e-3 (tests/golden/README.md).
double Bound(const std::string& type) { return type == "F32" || type == "BF16" ? 1e-3 : 1e-2; }

class GoldenLogits : public testing::TestWithParam<std::tuple<size_t, std::string>> {};

TEST_P(GoldenLogits, AgreeWithLlamaCppOnEveryTarget) {
  const Json& golden_case = Golden()["cases"][std::get<0>(GetParam())];
  const std::string& type = std::get<1>(GetParam());
  const std::vector<double> reference = golden_case["log_probs"][type];
  const std::vector<TokenId> tokens = Golden()["tokens"];
  const test::TempDir folder;
  for (const Target target : AllTargets()) {
    if (!TargetSupported(target)) continue;
    const auto engine = MakeAndLoad(golden_case, type, std::string(TargetName(target)), folder);
    ASSERT_NE(engine, nullptr);
    Session session(engine.get());
    ASSERT_TRUE(session.Append(tokens, nullptr, nullptr).ok());
    const double nmse = CentredNmse({session.logits().begin(), session.logits().end()}, reference);
    EXPECT_LE(nmse, Bound(type)) << golden_case["name"] << " " << type << " " << TargetName(target);
    RecordProperty(std::string(TargetName(target)), std::to_string(nmse));
    // Float arithmetic throughout on both sides: six significant digits of the file are what is left. But for gelu: llama.cpp
    // looks it up in a table of half-precision numbers (tests/golden/README.md).
    const bool gelu = golden_case["name"] == "gemma3";
    if (type == "F32" && target == Target::kScalar) {
      EXPECT_LE(nmse, gelu ? 1e-6 : 1e-8) << golden_case["name"];
    }
  }
}

std::string CaseName(const testing::TestParamInfo<std::tuple<size_t, std::string>>& info) {
  return Golden()["cases"][std::get<0>(info.param)]["name"].get<std::string>() + "_" + std::get<1>(info.param);
}

std::vector<std::tuple<size_t, std::string>> AllCases() {
  std::vector<std::tuple<size_t, std::string>> all;
  const Json& cases = Golden()["cases"];
  for (size_t i = 0; i < cases.size(); ++i) {
    for (const auto& [type, log_probs] : cases[i]["log_probs"].items()) all.emplace_back(i, type);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(LlamaCpp, GoldenLogits, testing::ValuesIn(AllCases()), CaseName);

TEST(GoldenGreedy, ThirtyTwoTokensAreTheSameInF32) {
  const std::vector<TokenId> prompt = Golden()["tokens"];
  for (const Json& golden_case : Golden()["cases"]) {
    const test::TempDir folder;
    const auto engine = MakeAndLoad(golden_case, "F32", "scalar", folder);
    ASSERT_NE(engine, nullptr);
    const std::vector<TokenId> expected = golden_case["greedy"]["ids"];
    ASSERT_EQ(expected.size(), 32u);
    Session session(engine.get());
    ASSERT_TRUE(session.Append(prompt, nullptr, nullptr).ok());
    std::vector<TokenId> ids;
    while (ids.size() < expected.size()) {
      ids.push_back(Argmax(session.logits()));
      ASSERT_TRUE(session.Decode(ids.back(), nullptr).ok());
    }
    EXPECT_EQ(ids, expected) << golden_case["name"];
  }
}

TEST(GoldenReference, TheEmbeddedModelTokenizesAnswersAndPredictsAsInLlamaCpp) {
  const Json reference = ReadGolden("reference.json");
  const auto engine = Engine::Load({.threads = 2});
  ASSERT_TRUE(engine.ok()) << engine.status().ToString();
  for (const Json& prompt : reference["prompts"]) {
    const std::vector<TokenId> tokens = prompt["tokens"];
    const auto encoded =
        tokenizer::EncodePrompt((*engine)->tokenizer(), prompt["text"].get<std::string>(), tokenizer::Special::kParse);
    ASSERT_TRUE(encoded.ok());
    EXPECT_EQ(*encoded, tokens) << prompt["name"];

    Session session(engine->get());
    ASSERT_TRUE(session.Append(tokens, nullptr, nullptr).ok());
    const std::vector<TokenId> expected = prompt["greedy"]["ids"];
    std::vector<TokenId> ids;
    while (ids.size() < expected.size()) {
      ids.push_back(Argmax(session.logits()));
      ASSERT_TRUE(session.Decode(ids.back(), nullptr).ok());
    }
    EXPECT_EQ(ids, expected) << prompt["name"];

    // Scored as there: all tokens but the first, which is the BOS.
    double sum = 0;
    Session scored(engine->get());
    const size_t vocab = (*engine)->model().config().vocab;
    ASSERT_TRUE(scored
                    .AppendAll(
                        tokens,
                        [&](uint64_t first, size_t rows, const float* logits) {
                          for (size_t r = 0; r < rows && first + r + 1 < tokens.size(); ++r) {
                            const float* row = logits + r * vocab;
                            double total = 0;
                            for (size_t i = 0; i < vocab; ++i) total += std::exp(static_cast<double>(row[i]));
                            sum += std::log(total) - static_cast<double>(row[tokens[first + r + 1]]);
                          }
                        },
                        nullptr, nullptr)
                    .ok());
    const double nll = prompt["nll"];
    EXPECT_NEAR(sum / static_cast<double>(tokens.size() - 1), nll, 0.01) << prompt["name"];
  }
}

}  // namespace
}  // namespace damask::engine
