// BAD_INPUT G11, G12: hyper-parameters that cannot be, each refused with a sentence naming the key.
#include "model/config.h"

#include <cmath>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <variant>

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "model/rope.h"
#include "tests/model/config_fault.h"
#include "tests/temp_dir.h"

namespace damask::model {
namespace {

using Value = std::variant<std::monostate, bool, uint32_t, float, std::string, std::vector<uint32_t>,
                           std::vector<bool>>;  // monostate: leave the key out

// The keys of a small llama; single ones are changed by the tests.
std::map<std::string, Value> GoodKeys() {
  return {{"general.architecture", std::string("llama")},    {"llama.block_count", uint32_t{2}},
          {"llama.embedding_length", uint32_t{256}},         {"llama.feed_forward_length", uint32_t{512}},
          {"llama.attention.head_count", uint32_t{4}},       {"llama.attention.head_count_kv", uint32_t{2}},
          {"llama.context_length", uint32_t{2048}},          {"llama.vocab_size", uint32_t{300}},
          {"llama.attention.layer_norm_rms_epsilon", 1e-5f}, {"llama.rope.freq_base", 10000.0f},
          {"llama.rope.dimension_count", uint32_t{64}}};
}

Result<ModelConfig> Read(const std::map<std::string, Value>& keys) {
  const test::TempDir folder;
  const std::string path = folder.path() + "/keys.gguf";
  formats::GgufWriter writer;
  for (const auto& [key, value] : keys) {
    if (const auto* flag = std::get_if<bool>(&value)) writer.Add(key, *flag);
    if (const auto* number = std::get_if<uint32_t>(&value)) writer.Add(key, *number);
    if (const auto* real = std::get_if<float>(&value)) writer.Add(key, *real);
    if (const auto* text = std::get_if<std::string>(&value)) writer.Add(key, std::string_view(*text));
    if (const auto* flags = std::get_if<std::vector<bool>>(&value)) writer.AddArray(key, *flags);
    if (const auto* list = std::get_if<std::vector<uint32_t>>(&value)) writer.AddArray(key, std::span<const uint32_t>(*list));
  }
  const Status written = writer.Write(path, [](size_t, const formats::GgufWriter::Sink&) { return Status(); });
  EXPECT_TRUE(written.ok()) << written.ToString();
  DAMASK_ASSIGN_OR_RETURN(auto file, formats::GgufFile::Open(path, {.require_tensor_data = false}));
  return ConfigFromGguf(*file);
}

Result<ModelConfig> ReadWith(const std::string& key, Value value) {
  std::map<std::string, Value> keys = GoodKeys();
  keys[key] = std::move(value);
  return Read(keys);
}

// The error of a changed key; its text must name `named`.
void ExpectError(const std::string& key, Value value, StatusCode code, const std::string& named) {
  const Result<ModelConfig> config = ReadWith(key, std::move(value));
  ASSERT_FALSE(config.ok()) << key;
  EXPECT_EQ(config.status().code(), code) << config.status().ToString();
  EXPECT_NE(config.status().ToString().find(named), std::string::npos) << config.status().ToString();
}

void ExpectBadFormat(const std::string& key, Value value) { ExpectError(key, std::move(value), StatusCode::kBadFormat, key); }

TEST(ConfigFromGguf, ReadsASmallLlama) {
  const Result<ModelConfig> config = Read(GoodKeys());
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->layers, 2u);
  EXPECT_EQ(config->head_dim, 64u);
  EXPECT_EQ(config->group(), 2u);
  EXPECT_EQ(config->vocab, 300u);
  EXPECT_EQ(config->rope.kind, kernels::RopeKind::kAdjacent);
  EXPECT_TRUE(config->windows.empty());
}

TEST(ConfigFromGguf, G12RefusesImpossibleCounts) {
  ExpectBadFormat("llama.block_count", uint32_t{0});
  ExpectBadFormat("llama.block_count", uint32_t{1} << 31);
  ExpectBadFormat("llama.embedding_length", uint32_t{0});
  ExpectBadFormat("llama.embedding_length", uint32_t{255});
  ExpectBadFormat("llama.attention.head_count", uint32_t{0});
  ExpectBadFormat("llama.attention.head_count_kv", uint32_t{0});
  ExpectBadFormat("llama.attention.head_count_kv", uint32_t{3});
  ExpectBadFormat("llama.feed_forward_length", uint32_t{0});
  ExpectBadFormat("llama.context_length", uint32_t{0});
  ExpectBadFormat("llama.context_length", std::numeric_limits<uint32_t>::max());
}

TEST(ConfigFromGguf, G12RefusesImpossibleRopeNumbers) {
  ExpectBadFormat("llama.rope.dimension_count", uint32_t{66});
  ExpectBadFormat("llama.rope.dimension_count", uint32_t{63});
  ExpectBadFormat("llama.rope.dimension_count", uint32_t{0});
  ExpectBadFormat("llama.rope.freq_base", std::numeric_limits<float>::quiet_NaN());
  ExpectBadFormat("llama.rope.freq_base", 0.0f);
  ExpectBadFormat("llama.rope.freq_base", -1.0f);
  ExpectBadFormat("llama.attention.layer_norm_rms_epsilon", std::numeric_limits<float>::quiet_NaN());
  ExpectBadFormat("llama.attention.layer_norm_rms_epsilon", -1.0f);
}

TEST(ConfigFromGguf, G12RefusesHeadSizesTheKernelsDoNotRun) {
  ExpectError("llama.attention.key_length", uint32_t{63}, StatusCode::kUnsupported, "key_length");
  std::map<std::string, Value> keys = GoodKeys();
  keys["llama.attention.key_length"] = uint32_t{63};
  keys["llama.attention.value_length"] = uint32_t{63};
  EXPECT_EQ(Read(keys).status().code(), StatusCode::kUnsupported);
}

TEST(ConfigFromGguf, G12RefusesAVocabularyThatContradictsTheTokens) {
  ExpectError("llama.vocab_size", uint32_t{0}, StatusCode::kBadFormat, "tokenizer.ggml.tokens");
}

TEST(ConfigFromGguf, G12NamesWhatIsWrongWithExperts) {
  ExpectError("llama.expert_count", uint32_t{8}, StatusCode::kBadFormat, "expert_used_count is missing");
  std::map<std::string, Value> keys = GoodKeys();
  keys["llama.expert_count"] = uint32_t{8};
  keys["llama.expert_used_count"] = uint32_t{2};
  EXPECT_EQ(Read(keys).value().experts_used, 2u);
  keys["llama.expert_gating_func"] = uint32_t{2};
  EXPECT_NE(Read(keys).status().ToString().find("expert_gating_func is 2, only 1 is supported for llama"), std::string::npos);
  ExpectError("llama.expert_count", uint32_t{5000}, StatusCode::kBadFormat, "expert_count is 5000, expected 1 to 1024");
}

TEST(ConfigFromGguf, G11NamesKeysOfTheWrongType) {
  ExpectBadFormat("llama.block_count", 2.0f);
  ExpectBadFormat("llama.attention.head_count", std::string("four"));
  ExpectBadFormat("llama.rope.freq_base", std::string("x"));
  ExpectBadFormat("general.architecture", uint32_t{1});
}

TEST(ConfigFromGguf, G11NamesMissingKeys) {
  for (const char* key : {"general.architecture", "llama.block_count", "llama.embedding_length", "llama.context_length"}) {
    ExpectBadFormat(key, std::monostate{});
  }
}

TEST(ConfigFromGguf, G11TakesHeadCountsAsScalarOrPerLayer) {
  const Result<ModelConfig> same = ReadWith("llama.attention.head_count_kv", std::vector<uint32_t>{2, 2});
  ASSERT_TRUE(same.ok()) << same.status().ToString();
  EXPECT_EQ(same->kv_heads, 2u);
  ExpectError("llama.attention.head_count_kv", std::vector<uint32_t>{2, 4}, StatusCode::kUnsupported, "head_count_kv");
}

TEST(ConfigFromGguf, NamesAnUnknownArchitecture) {
  ExpectError("general.architecture", std::string("mamba"), StatusCode::kUnsupported, "mamba");
}

TEST(ConfigFromGguf, NamesAnUnknownRopeScaling) {
  ExpectError("llama.rope.scaling.type", std::string("longrope"), StatusCode::kUnsupported, "longrope");
}

TEST(ConfigFromGguf, AttentionInBothDirectionsIsRefused) {
  ExpectError("llama.attention.causal", false, StatusCode::kUnsupported, "attention.causal is false");
  EXPECT_TRUE(ReadWith("llama.attention.causal", true).ok());
}

TEST(ConfigFromGguf, ReadsASlidingWindow) {
  const Result<ModelConfig> config = ReadWith("llama.attention.sliding_window", uint32_t{128});
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->window(0), 128u);
  EXPECT_EQ(config->window(1), 128u);
}

TEST(ConfigFromHuggingFace, ReadsQwen2WithItsWindowLayers) {
  const auto json =
      formats::ParseJson(R"({"model_type": "qwen2", "num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 4096, "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0, "sliding_window": 1024, "use_sliding_window": true, "max_window_layers": 3, "hidden_act": "silu"})");
  ASSERT_TRUE(json.ok()) << json.status().ToString();
  const Result<ModelConfig> config = ConfigFromHuggingFace(*json);
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->rope.kind, kernels::RopeKind::kHalves);
  EXPECT_EQ(config->window(2), 0u);
  EXPECT_EQ(config->window(3), 1024u);
}

TEST(ConfigFromHuggingFace, ReadsLlama3Scaling) {
  const auto json =
      formats::ParseJson(R"({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 256, "num_attention_heads": 4,
    "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 131072, "rope_scaling": {"rope_type": "llama3",
    "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}})");
  ASSERT_TRUE(json.ok());
  const Result<ModelConfig> config = ConfigFromHuggingFace(*json);
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLlama3);
  EXPECT_EQ(config->rope.original_context, 8192u);
  EXPECT_EQ(config->kv_heads, 4u);
}

// `members` of a config.json beside the shape of a small model.
Result<ModelConfig> ReadFolder(const std::string& members) {
  const auto json = formats::ParseJson(
      R"({"num_hidden_layers": 4, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512, "vocab_size": 300,
    "max_position_embeddings": 4096, )" +
      members + "}");
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return ConfigFromHuggingFace(*json);
}

TEST(ConfigFromHuggingFace, WindowsAreWhereTheListOfTypesSaysOrFromALayerOn) {
  const auto windows = [](const std::string& members) {
    return ReadFolder(R"("model_type": "qwen3", "sliding_window": 64, "use_sliding_window": true)" + members);
  };
  const std::string full = R"("full_attention", )", sliding = R"("sliding_attention", )";
  EXPECT_EQ(windows(R"(, "max_window_layers": 2)").value().windows, std::vector<uint32_t>({0, 0, 64, 64}));
  EXPECT_EQ(windows("").value().windows, std::vector<uint32_t>({0, 0, 0, 0})) << "28 is transformers' default";
  EXPECT_EQ(windows(R"(, "max_window_layers": 2, "layer_types": [)" + sliding + full + full + R"("sliding_attention"])")
                .value()
                .windows,
            std::vector<uint32_t>({64, 0, 0, 64}));
  EXPECT_EQ(windows(R"(, "layer_types": ["full_attention"])").status().ToString(),
            "layer_types is no array of 4 types, one for each layer");
  EXPECT_EQ(windows(R"(, "layer_types": [)" + full + full + full + R"("linear_attention"])").status().ToString(),
            "layer_types: layer 3 is 'linear_attention', only full_attention and sliding_attention are supported");
  EXPECT_EQ(windows(R"(, "layer_types": [)" + full + full + full + "7]").status().code(), StatusCode::kUnsupported);
}

// As transformers 5 writes it, beside fields of earlier ones.
TEST(ConfigFromHuggingFace, WhatRopeParametersLeaveOutStandsOutsideOfThem) {
  const auto rope = [](const std::string& members) { return ReadFolder(R"("model_type": "phi3", )" + members).value().rope; };
  RopeConfig read = rope(R"("rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.75})");
  EXPECT_EQ(read.base, 5e5);
  EXPECT_EQ(read.dims, 48u);
  read = rope(R"("rope_parameters": {"rope_type": "default"}, "rope_theta": 2e5, "partial_rotary_factor": 0.5)");
  EXPECT_EQ(read.base, 2e5);
  EXPECT_EQ(read.dims, 32u);
  read = rope(R"("rope_parameters": {"rope_type": "default", "rope_theta": 5e5, "partial_rotary_factor": 0.75},
                 "rope_theta": 2e5, "partial_rotary_factor": 0.5)");
  EXPECT_EQ(read.base, 5e5);
  EXPECT_EQ(read.dims, 48u);
  read = rope(R"("rope_parameters": {"rope_type": "longrope", "partial_rotary_factor": 0.125, "short_factor": [1, 1, 1, 2],
                 "long_factor": [1, 2, 4, 8]}, "original_max_position_embeddings": 512)");
  EXPECT_EQ(read.dims, 8u);
  EXPECT_EQ(read.base, 10000.0);
  EXPECT_EQ(read.long_factors, std::vector<float>({1, 2, 4, 8}));
  EXPECT_EQ(ReadFolder(R"("model_type": "llama", "rope_parameters": 3)").status().ToString(),
            "the field rope_parameters is not an object");
}

TEST(ConfigFromHuggingFace, AYarnWithoutAFactorReachesAsFarAsTheContext) {
  const auto yarn = [](const std::string& members) {
    return ReadFolder(R"("model_type": "qwen2", "rope_scaling": {"rope_type": "yarn")" + members + "}");
  };
  EXPECT_EQ(yarn(R"(, "original_max_position_embeddings": 1024)").value().rope.factor, 4.0);
  EXPECT_EQ(yarn(R"(, "original_max_position_embeddings": 1024, "factor": 2.0)").value().rope.factor, 2.0);
  for (const char* members : {"", R"(, "factor": null)", R"(, "original_max_position_embeddings": 4096)",
                              R"(, "original_max_position_embeddings": 0)"}) {
    EXPECT_EQ(yarn(members).status().ToString(), "the yarn rope scaling has no factor") << members;
  }
}

Result<ModelConfig> ReadYarn(const std::string& members) {
  const auto json =
      formats::ParseJson(R"({"model_type": "qwen2", "num_hidden_layers": 1, "hidden_size": 256, "num_attention_heads": 4,
    "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 32768, "rope_scaling": {"rope_type": "yarn",
    "factor": 4.0)" + members +
                         "}}");
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return ConfigFromHuggingFace(*json);
}

// transformers: attention_factor takes the place of 0.1 ln(factor) + 1.
TEST(ConfigFromHuggingFace, AYarnAttentionFactorIsTheWholeMagnitude) {
  const auto magnitude = [](const std::string& members) {
    const Result<ModelConfig> config = ReadYarn(members);
    EXPECT_TRUE(config.ok()) << config.status().ToString();
    std::vector<float> cos_sin(config->head_dim);
    RopeTable(config->rope, {}).Fill(0, cos_sin.data());
    return static_cast<double>(cos_sin[0]);
  };
  EXPECT_NEAR(magnitude(""), 1.0 + 0.1 * std::log(4.0), 1e-6);
  EXPECT_NEAR(magnitude(R"(, "attention_factor": null, "mscale": 0, "mscale_all_dim": 0.0)"), 1.0 + 0.1 * std::log(4.0), 1e-6);
  EXPECT_NEAR(magnitude(R"(, "attention_factor": 1.0)"), 1.0, 1e-6);
  EXPECT_NEAR(magnitude(R"(, "attention_factor": 0.5)"), 0.5, 1e-6);
  EXPECT_EQ(ReadYarn(R"(, "attention_factor": -1.0)").status().code(), StatusCode::kBadFormat);
}

TEST(ConfigFromHuggingFace, OtherYarnTemperaturesAreRefused) {
  for (const char* key : {"mscale", "mscale_all_dim"}) {
    const Status status = ReadYarn(", \"" + std::string(key) + "\": 0.707").status();
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << status.ToString();
    EXPECT_NE(status.ToString().find(std::string(key) + " 0.707"), std::string::npos) << status.ToString();
  }
}

Result<ModelConfig> ReadPhi3(const std::string& scaling, const std::string& members = "") {
  const auto json =
      formats::ParseJson(R"({"model_type": "phi3", "num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 4,
    "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 4096, "sliding_window": 2047, "partial_rotary_factor": 0.5)" +
                         members + R"(, "rope_scaling": {"type": "longrope")" + scaling + "}}");
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return ConfigFromHuggingFace(*json);
}

TEST(ConfigFromHuggingFace, ReadsPhi3WithLongRope) {
  const std::string factors = R"(, "short_factor": [1, 1, 1.5, 2], "long_factor": [1, 2, 4, 8.5])";
  Result<ModelConfig> config = ReadPhi3(factors, R"(, "original_max_position_embeddings": 512)");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->architecture, Architecture::kPhi3);
  EXPECT_EQ(config->rope.dims, 8u);
  EXPECT_EQ(config->rope.original_context, 512u);
  EXPECT_EQ(config->window(0), 2047u);
  EXPECT_NEAR(config->rope.attention_factor, std::sqrt(1.0 + std::log(8.0) / std::log(512.0)), 1e-12);
  ChooseLongRope(512, &*config);
  EXPECT_EQ(config->rope.factors(), std::vector<float>({1.0f, 1.0f, 1.5f, 2.0f}));
  const std::string shorter = config->rope.ToString();
  ChooseLongRope(513, &*config);
  EXPECT_EQ(config->rope.factors(), std::vector<float>({1.0f, 2.0f, 4.0f, 8.5f}));
  EXPECT_NE(config->rope.ToString(), shorter) << "results are bound to what was chosen";
  ChooseLongRope(0, &*config);
  EXPECT_TRUE(config->rope.takes_long);
  config = ReadPhi3(factors + R"(, "attention_factor": 1.25, "original_max_position_embeddings": 512)");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->rope.attention_factor, 1.25);
}

TEST(ConfigFromHuggingFace, LongRopeWithoutItsNumbersIsRefused) {
  const std::string original = R"(, "original_max_position_embeddings": 512)";
  const std::pair<std::string, std::string> cases[] = {
      {R"(, "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 4, 8])", "original_max_position_embeddings"},
      {original + R"(, "short_factor": [1, 1, 1, 1])", "long_factor"},
      {original + R"(, "short_factor": [1, 1, 1], "long_factor": [1, 2, 4, 8])", "short_factor with 4 numbers"},
      {original + R"(, "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 0, 8])", "long_factor that is no positive"},
      {original + R"(, "short_factor": [1, 1e-60, 1, 1], "long_factor": [1, 2, 4, 8])", "short_factor that is no positive"},
      {original + R"(, "short_factor": [1, 1e60, 1, 1], "long_factor": [1, 2, 4, 8])", "short_factor that is no positive"},
      {original + R"(, "short_factor": [1, 1, 1, "1"], "long_factor": [1, 2, 4, 8])", "short_factor that is no positive"},
      {R"(, "original_max_position_embeddings": 1, "short_factor": [1, 1, 1, 1], "long_factor": [1, 2, 4, 8])", "2 or more"}};
  for (const auto& [scaling, named] : cases) {
    const Status status = ReadPhi3(scaling).status();
    EXPECT_EQ(status.code(), StatusCode::kBadFormat) << scaling;
    EXPECT_NE(status.ToString().find(named), std::string::npos) << status.ToString();
  }
}

TEST(ConfigFromHuggingFace, ReadsWhichLayersOfSmolLm3DoNotRotate) {
  const auto read = [](const std::string& members) {
    const auto json = formats::ParseJson(
        R"({"model_type": "smollm3", "num_hidden_layers": 5, "hidden_size": 256, "num_attention_heads": 4,
    "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 128)" +
        members + "}");
    return ConfigFromHuggingFace(json.value());
  };
  const auto rotated = [](const ModelConfig& config) {
    std::string layers;
    for (size_t layer = 0; layer < config.layers; ++layer) layers += config.rotates(layer) ? '1' : '0';
    return layers;
  };
  EXPECT_EQ(rotated(read("").value()), "11101");
  EXPECT_EQ(rotated(read(R"(, "no_rope_layers": [1, 1, 1, 0, 1])").value()), "11101");
  EXPECT_EQ(rotated(read(R"(, "no_rope_layer_interval": 2, "no_rope_layers": [1, 0, 1, 0, 1])").value()), "10101");
  for (const char* list : {"[1, 1, 1, 1, 1]", "[1, 1, 1, 0]", "3", R"(["1", 1, 1, 0, 1])"}) {
    const Status status = read(R"(, "no_rope_layers": )" + std::string(list)).status();
    EXPECT_EQ(status.code(), StatusCode::kUnsupported) << list;
    EXPECT_NE(status.ToString().find("no_rope_layers"), std::string::npos) << status.ToString();
  }
}

TEST(ConfigFromHuggingFace, APartOfAHeadMayBeRotated) {
  const auto read = [](const char* factor) {
    const auto json = formats::ParseJson(
        R"({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512,
    "vocab_size": 300, "max_position_embeddings": 128, "partial_rotary_factor": )" +
        std::string(factor) + "}");
    return ConfigFromHuggingFace(json.value());
  };
  EXPECT_EQ(read("0.75").value().rope.dims, 48u);
  EXPECT_EQ(read("1").value().rope.dims, 64u);
  for (const char* factor : {"0", "-0.5", "1.5", "0.01"})
    EXPECT_EQ(read(factor).status().code(), StatusCode::kBadFormat) << factor;
  EXPECT_EQ(read("0.01").status().ToString(),
            "head_dim x partial_rotary_factor is 0, expected an even number up to the head size 64");
}

// GoodKeys() of another architecture.
std::map<std::string, Value> KeysOf(const std::string& architecture) {
  std::map<std::string, Value> keys;
  for (const auto& [key, value] : GoodKeys()) keys[key.starts_with("llama.") ? architecture + key.substr(5) : key] = value;
  keys["general.architecture"] = architecture;
  return keys;
}

TEST(ConfigFromGguf, GranitesScales) {
  std::map<std::string, Value> keys = KeysOf("granite");
  EXPECT_EQ(Read(keys).value().query_scale, 1.0f) << "a file may be silent";
  keys["granite.attention.scale"] = 0.015625f;
  keys["granite.embedding_scale"] = 12.0f;
  keys["granite.residual_scale"] = 0.22f;
  keys["granite.logit_scale"] = 8.0f;
  const ModelConfig config = Read(keys).value();
  EXPECT_EQ(config.rope.kind, kernels::RopeKind::kAdjacent);
  EXPECT_FLOAT_EQ(config.query_scale, 0.125f);  // 1/64 where 1/sqrt(64) is usual
  EXPECT_EQ(config.embedding_scale, 12.0f);
  EXPECT_EQ(config.residual_scale, 0.22f);
  EXPECT_EQ(config.logit_scale, 0.125f);
  for (const float bad : {-1.0f, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    keys["granite.residual_scale"] = bad;
    EXPECT_EQ(Read(keys).status().code(), StatusCode::kBadFormat) << bad;
  }
}

TEST(ConfigFromGguf, GraniteMayNotRotateAtAll) {
  std::map<std::string, Value> keys = KeysOf("granite");
  EXPECT_TRUE(Read(keys).value().rotates(0));
  keys["granite.rope.scaling.finetuned"] = true;
  EXPECT_TRUE(Read(keys).value().rotates(0));
  keys["granite.rope.scaling.finetuned"] = false;
  const ModelConfig config = Read(keys).value();
  for (size_t layer = 0; layer < config.layers; ++layer) EXPECT_FALSE(config.rotates(layer)) << layer;
  keys = KeysOf("llama");
  keys["llama.rope.scaling.finetuned"] = false;  // says something else there
  EXPECT_TRUE(Read(keys).value().rotates(0));
}

TEST(ConfigFromGguf, GptOssHasWindowsInEverySecondLayerAndExperts) {
  std::map<std::string, Value> keys = KeysOf("gpt-oss");
  EXPECT_EQ(Read(keys).status().ToString(), "the key gpt-oss.expert_count is missing");
  keys["gpt-oss.expert_count"] = uint32_t{8};
  keys["gpt-oss.expert_used_count"] = uint32_t{2};
  keys["gpt-oss.expert_feed_forward_length"] = uint32_t{96};
  EXPECT_EQ(Read(keys).status().ToString(), "the key gpt-oss.attention.sliding_window is missing");
  keys["gpt-oss.attention.sliding_window"] = uint32_t{128};
  const ModelConfig config = Read(keys).value();
  EXPECT_EQ(config.rope.kind, kernels::RopeKind::kHalves);
  EXPECT_EQ(config.gate, kernels::GateFunction::kClamped);
  EXPECT_TRUE(config.has_sinks());
  EXPECT_TRUE(config.shares_sum_to_one);
  EXPECT_EQ(config.ffn, 96u);
  for (size_t layer = 0; layer < config.layers; ++layer) EXPECT_EQ(config.window(layer), layer % 2 == 0 ? 128u : 0u);
  keys["gpt-oss.expert_gating_func"] = uint32_t{2};
  EXPECT_NE(Read(keys).status().ToString().find("gpt-oss.expert_gating_func is 2"), std::string::npos);
}

TEST(ConfigFromGguf, Glm4MoesExpertsHaveDenseLayersBeforeAndASharedOneBesideThem) {
  std::map<std::string, Value> keys = KeysOf("glm4moe");
  keys["glm4moe.block_count"] = uint32_t{5};
  keys["glm4moe.feed_forward_length"] = uint32_t{512};
  keys["glm4moe.expert_count"] = uint32_t{8};
  keys["glm4moe.expert_used_count"] = uint32_t{2};
  keys["glm4moe.expert_feed_forward_length"] = uint32_t{96};
  keys["glm4moe.expert_shared_count"] = uint32_t{2};
  keys["glm4moe.leading_dense_block_count"] = uint32_t{1};
  keys["glm4moe.expert_weights_scale"] = 1.5f;
  keys["glm4moe.expert_weights_norm"] = true;
  keys["glm4moe.nextn_predict_layers"] = uint32_t{1};
  ASSERT_TRUE(Read(keys).ok()) << Read(keys).status().ToString();
  const ModelConfig config = Read(keys).value();
  EXPECT_EQ(config.layers, 4u);
  EXPECT_EQ(config.guessing_layers, 1u);
  EXPECT_EQ(config.gating, Gating::kSigmoid);
  EXPECT_EQ(config.expert_scale, 1.5f);
  EXPECT_TRUE(config.shares_sum_to_one);
  EXPECT_EQ(config.ffn, 96u);
  EXPECT_EQ(config.shared_ffn, 192u);
  EXPECT_EQ(config.dense_ffn, 512u);
  EXPECT_FALSE(config.has_experts(0));
  EXPECT_TRUE(config.has_experts(1));
  const auto expect_bad = [&](const std::string& key, const Value& value, const char* part) {
    std::map<std::string, Value> bad = keys;
    bad["glm4moe." + key] = value;
    EXPECT_NE(Read(bad).status().ToString().find(part), std::string::npos) << Read(bad).status().ToString();
  };
  expect_bad("nextn_predict_layers", uint32_t{5}, "glm4moe.nextn_predict_layers is 5, expected 0 to 4");
  expect_bad("leading_dense_block_count", uint32_t{4}, "glm4moe.leading_dense_block_count is 4, expected 0 to 3");
  expect_bad("expert_group_count", uint32_t{4}, "glm4moe.expert_group_count is 4, which is not supported");
  expect_bad("expert_shared_count", uint32_t{4000000000}, "glm4moe.expert_shared_count is 4000000000");
  expect_bad("expert_gating_func", uint32_t{1}, "glm4moe.expert_gating_func is 1, only 2 is supported for glm4moe");
  expect_bad("expert_weights_scale", -1.0f, "glm4moe.expert_weights_scale is -1");
  expect_bad("interleave_moe_layer_step", uint32_t{2}, "glm4moe.interleave_moe_layer_step is 2, which is not supported");
}

TEST(ConfigFromGguf, Glm4sThatReadImagesHoldHalvesAndGuessAhead) {
  std::map<std::string, Value> keys = KeysOf("glm4");
  EXPECT_EQ(Read(keys).value().rope.kind, kernels::RopeKind::kAdjacent);
  keys["glm4.rope.dimension_sections"] = std::vector<uint32_t>{8, 12, 12, 0};
  keys["glm4.nextn_predict_layers"] = uint32_t{1};
  EXPECT_EQ(Read(keys).value().rope.kind, kernels::RopeKind::kHalves);
  EXPECT_EQ(Read(keys).value().layers, 1u);
  keys = KeysOf("qwen3");
  keys["qwen3.nextn_predict_layers"] = uint32_t{1};
  EXPECT_NE(Read(keys).status().ToString().find("qwen3.nextn_predict_layers is 1, which is not supported"), std::string::npos);
}

TEST(ConfigFromGguf, ASharedExpertIsRefusedWhereTheArchitectureHasNone) {
  std::map<std::string, Value> keys = KeysOf("qwen3moe");
  keys["qwen3moe.expert_count"] = uint32_t{8};
  keys["qwen3moe.expert_used_count"] = uint32_t{2};
  EXPECT_TRUE(Read(keys).ok()) << Read(keys).status().ToString();
  keys["qwen3moe.expert_shared_count"] = uint32_t{1};
  EXPECT_NE(Read(keys).status().ToString().find("qwen3moe.expert_shared_count is 1, which is not supported"),
            std::string::npos);
}

TEST(ConfigFromGguf, Mistral3sQueriesGrowWithTheirPositionAndYarnsTemperatureIsTakenBack) {
  std::map<std::string, Value> keys = KeysOf("mistral3");
  EXPECT_EQ(Read(keys).value().query_scale_at(100000), 1.0f) << "a file may be silent";
  keys["mistral3.attention.temperature_scale"] = 0.1f;
  keys["mistral3.rope.scaling.type"] = std::string("yarn");
  keys["mistral3.rope.scaling.factor"] = 16.0f;
  keys["mistral3.rope.scaling.original_context_length"] = uint32_t{64};
  keys["mistral3.rope.scaling.yarn_log_multiplier"] = 1.0f;
  const ModelConfig config = Read(keys).value();
  EXPECT_EQ(config.query_scale_at(63), 1.0f);
  EXPECT_FLOAT_EQ(config.query_scale_at(64), 1.0f + 0.1f * std::log(2.0f));
  EXPECT_FLOAT_EQ(config.query_scale_at(64 * 7 + 63), 1.0f + 0.1f * std::log(8.0f));
  const auto magnitude = [](const RopeConfig& rope) {
    std::vector<float> cos_sin(rope.dims);
    RopeTable(rope, {}).Fill(0, cos_sin.data());
    return cos_sin[0];
  };
  EXPECT_FLOAT_EQ(magnitude(config.rope), 1.0f);
  ModelConfig further = config;
  ASSERT_TRUE(ApplyRopeOverrides({.factor = 32}, 0, &further).ok());
  EXPECT_FLOAT_EQ(magnitude(further.rope), 1.0f) << "whatever the factor";
  keys["mistral3.rope.scaling.original_context_length"] = uint32_t{0};
  EXPECT_EQ(Read(keys).status().code(), StatusCode::kBadFormat);
}

TEST(ConfigFromGguf, ThreeOfOlmo3sFourLayersHaveAWindowAndRotationsOfTheirOwn) {
  std::map<std::string, Value> keys = KeysOf("olmo2");
  EXPECT_TRUE(Read(keys).value().windows.empty());
  EXPECT_EQ(Read(keys).value().window_rope_base, 0.0);
  keys["olmo2.block_count"] = uint32_t{5};
  keys["olmo2.attention.sliding_window"] = uint32_t{32};
  const ModelConfig config = Read(keys).value();
  for (size_t layer = 0; layer < 5; ++layer) EXPECT_EQ(config.window(layer), layer == 3 ? 0u : 32u) << layer;
  EXPECT_EQ(config.window_rope_base, config.rope.base);
  EXPECT_FALSE(config.has_norms_before());
  EXPECT_TRUE(config.has_norms_behind());
  keys["olmo2.attention.sliding_window_pattern"] = std::vector<bool>{true, false, true, true, false};
  EXPECT_EQ(Read(keys).value().windows, (std::vector<uint32_t>{32, 0, 32, 32, 0}));
  keys["olmo2.attention.sliding_window_pattern"] = std::vector<bool>{true, false};
  EXPECT_NE(Read(keys).status().ToString().find("the length of olmo2.attention.sliding_window_pattern is 2, expected 5"),
            std::string::npos)
      << Read(keys).status().ToString();
}

TEST(ConfigFromGguf, TheTemperatureInOlmo3sFilesIsTheWhole) {
  std::map<std::string, Value> keys = KeysOf("olmo2");
  keys["olmo2.rope.scaling.type"] = std::string("yarn");
  keys["olmo2.rope.scaling.factor"] = 8.0f;
  EXPECT_EQ(Read(keys).value().rope.attention_factor, 1.0);
  keys["olmo2.rope.scaling.attn_factor"] = static_cast<float>(YarnTemperature(8));
  EXPECT_NEAR(Read(keys).value().rope.attention_factor, 1.0, 1e-6);
}

TEST(ConfigFromHuggingFace, FoldersOfGptOssAreRefused) {
  const auto json = formats::ParseJson(R"({"model_type": "gpt_oss"})");
  EXPECT_NE(ConfigFromHuggingFace(json.value()).status().ToString().find("use a GGUF file"), std::string::npos);
}

Result<ModelConfig> ReadExperts(const std::string& members) {
  const auto json = formats::ParseJson(R"({"num_hidden_layers": 2, "hidden_size": 256, "num_attention_heads": 4,
    "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 128, )" +
                                       members + "}");
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return ConfigFromHuggingFace(*json);
}

TEST(ConfigFromHuggingFace, ReadsTheExpertsOfQwen3AndMixtral) {
  const std::string qwen =
      R"("model_type": "qwen3_moe", "num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 96)";
  Result<ModelConfig> config =
      ReadExperts(qwen + R"(, "norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [])");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->architecture, Architecture::kQwen3Moe);
  EXPECT_EQ(config->experts, 16u);
  EXPECT_EQ(config->experts_used, 4u);
  EXPECT_EQ(config->ffn, 96u);
  EXPECT_TRUE(config->shares_sum_to_one);
  EXPECT_EQ(config->traits().qk_norm, QkNorm::kHeads);
  EXPECT_FALSE(ReadExperts(qwen).value().shares_sum_to_one) << "transformers' default";
  config = ReadExperts(R"("model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2)");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->experts, 8u);
  EXPECT_EQ(config->ffn, 512u);
  EXPECT_TRUE(config->shares_sum_to_one);
  EXPECT_EQ(config->traits().qk_norm, QkNorm::kNone);
  EXPECT_TRUE(config->windows.empty());
  config = ReadExperts(R"("model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 64)");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->windows, std::vector<uint32_t>(config->layers, 64));
}

// What results and kept prompts are bound to.
TEST(Config, EveryNumberThatResultsDependOnIsInItsText) {
  const ModelConfig plain = Read(GoodKeys()).value();
  std::set<std::string> texts = {SettingsText(plain)};
  const auto other = [&](const std::function<void(ModelConfig*)>& change) {
    ModelConfig config = plain;
    change(&config);
    EXPECT_TRUE(texts.insert(SettingsText(config)).second) << SettingsText(config);
  };
  other([](ModelConfig* c) { c->rope.base = 5000; });
  other([](ModelConfig* c) { c->window_rope_base = 5000; });
  other([](ModelConfig* c) { c->rope.log_multiplier = 1; });
  other([](ModelConfig* c) { c->rope.file_factors = {1, 2}; });
  other([](ModelConfig* c) { c->gating = Gating::kSigmoid; });
  other([](ModelConfig* c) { c->expert_scale = 1.5f; });
  other([](ModelConfig* c) { c->dense_layers = 1; });
  other([](ModelConfig* c) {
    c->position_scale = 0.1f;
    c->position_scale_length = 64;
  });
  other([](ModelConfig* c) { c->rms_epsilon = 1e-6f; });
  other([](ModelConfig* c) { c->windows = {16, 0}; });
  other([](ModelConfig* c) { c->experts = 8, c->experts_used = 2; });
  other([](ModelConfig* c) { c->experts = 8, c->experts_used = 1; });
  other([](ModelConfig* c) { c->experts = 8, c->experts_used = 2, c->shares_sum_to_one = false; });
  other([](ModelConfig* c) { c->query_scale = 2; });
  other([](ModelConfig* c) { c->embedding_scale = 2; });
  other([](ModelConfig* c) { c->residual_scale = 2; });
  other([](ModelConfig* c) { c->logit_scale = 2; });
  other([](ModelConfig* c) { c->unrotated_every = 4; });
}

TEST(ConfigFromHuggingFace, ExpertsThatCannotBeAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"("model_type": "qwen3_moe")", "the field num_experts is missing"},
      {R"("model_type": "mixtral", "num_experts_per_tok": 2)", "the field num_local_experts is missing"},
      {R"("model_type": "llama", "num_local_experts": 8)", "num_local_experts is 8: experts are supported for mixtral"},
      {R"("model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 0)",
       "moe_intermediate_size is 0, expected 1 to"},
      {R"("model_type": "mixtral", "num_local_experts": 5000, "num_experts_per_tok": 2)", "num_local_experts is 5000"},
      {R"("model_type": "mixtral", "num_local_experts": 8)", "num_experts_per_tok is missing"},
      {R"("model_type": "mixtral", "num_local_experts": 8, "num_experts_per_tok": 9)",
       "num_experts_per_tok is 9, expected 1 to 8"},
      {R"("model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2)", "moe_intermediate_size is missing"},
      {R"("model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "mlp_only_layers": [0])",
       "mlp_only_layers"},
      {R"("model_type": "qwen3_moe", "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "decoder_sparse_step": 2)",
       "decoder_sparse_step"}};
  for (const auto& [members, named] : cases) {
    const std::string error = ReadExperts(members).status().ToString();
    EXPECT_NE(error.find(named), std::string::npos) << members << ": " << error;
  }
}

TEST(ConfigFromHuggingFace, SaysWhetherTheModelIsTied) {
  const auto tied = [](const std::string& member) {
    const auto json =
        formats::ParseJson(R"({"model_type": "llama", "num_hidden_layers": 1, "hidden_size": 256, "num_attention_heads": 4,
      "intermediate_size": 512, "vocab_size": 300, "max_position_embeddings": 128)" +
                           member + "}");
    return ConfigFromHuggingFace(json.value()).value().tied;
  };
  EXPECT_EQ(tied(""), std::nullopt);
  EXPECT_EQ(tied(R"(, "tie_word_embeddings": true)"), std::optional(true));
  EXPECT_EQ(tied(R"(, "tie_word_embeddings": false)"), std::optional(false));
}

TEST(ConfigFromHuggingFace, RefusesWhatItCannotRun) {
  const std::string base = R"("num_hidden_layers": 1, "hidden_size": 256, "num_attention_heads": 4, "intermediate_size": 512,
    "vocab_size": 300, "max_position_embeddings": 128)";
  for (const std::string& extra :
       {std::string(R"("model_type": "gemma")"), std::string(R"("model_type": "llama", "hidden_act": "gelu")"),
        std::string(R"("model_type": "llama", "quantization_config": {"bits": 4})"),
        std::string(R"("model_type": "qwen2", "is_causal": false)"),
        std::string(R"("model_type": "qwen3", "use_bidirectional_attention": true)"),
        std::string(R"("model_type": "llama", "rope_scaling": {"rope_type": "dynamic", "factor": 2.0})")}) {
    const auto json = formats::ParseJson("{" + base + "," + extra + "}");
    ASSERT_TRUE(json.ok());
    EXPECT_EQ(ConfigFromHuggingFace(*json).status().code(), StatusCode::kUnsupported) << extra;
  }
}

TEST(RopeOverrides, AFactorFollowsFromTheWantedContext) {
  ModelConfig config = *Read(GoodKeys());
  ASSERT_TRUE(ApplyRopeOverrides({.scaling = "yarn"}, 8192, &config).ok());
  EXPECT_EQ(config.rope.scaling, RopeScaling::kYarn);
  EXPECT_DOUBLE_EQ(config.rope.factor, 4.0);
  EXPECT_EQ(config.rope.original_context, 2048u);
  EXPECT_EQ(config.context, 8192u);
}

TEST(RopeOverrides, TheFactorIsOfTheTrainedLengthAndNotOfWhatTheFileReaches) {
  ModelConfig config = *Read(GoodKeys());
  ASSERT_TRUE(ApplyRopeOverrides({.scaling = "yarn", .original_context = 1024}, 8192, &config).ok());
  EXPECT_DOUBLE_EQ(config.rope.factor, 8.0);
  EXPECT_EQ(config.context, 8192u);
  // A file that reads on by a scaling of its own, which gives way to another.
  ModelConfig scaled = *Read(GoodKeys());
  scaled.rope.scaling = RopeScaling::kLinear;
  scaled.rope.factor = 4.0;
  scaled.rope.original_context = 512;
  ASSERT_TRUE(ApplyRopeOverrides({.scaling = "yarn"}, 0, &scaled).ok());
  EXPECT_DOUBLE_EQ(scaled.rope.factor, 4.0);
  EXPECT_EQ(scaled.context, 2048u);
}

TEST(RopeOverrides, AnotherScalingHasNoneOfTheFilesFactors) {
  ModelConfig config = *ReadYarn(R"(, "attention_factor": 0.5)");
  ASSERT_TRUE(ApplyRopeOverrides({.scaling = "linear", .factor = 2.0}, 0, &config).ok());
  EXPECT_DOUBLE_EQ(config.rope.factor, 2.0);
  EXPECT_DOUBLE_EQ(config.rope.attention_factor, 1.0);
}

// The seeds of the fuzz target and every input it once broke on (BAD_INPUT R6).
TEST(Config, TheFuzzCorpusIsReadOrRefused) {
  size_t read = 0;
  size_t refused = 0;
  for (const auto& entry : std::filesystem::directory_iterator(DAMASK_SOURCE_DIR "/tests/corpus/config")) {
    const std::string bytes = test::ReadBytes(entry.path());
    EXPECT_EQ(FaultOfConfigBytes(bytes), "") << entry.path();
    ++(ConfigOfBytes(bytes).ok() ? read : refused);
  }
  EXPECT_GE(read, 12u);
  EXPECT_GE(refused, 3u);
}

TEST(RopeOverrides, RefuseNonsense) {
  ModelConfig config = *Read(GoodKeys());
  EXPECT_EQ(ApplyRopeOverrides({.scaling = "cubic"}, 0, &config).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(ApplyRopeOverrides({.factor = -1.0}, 0, &config).code(), StatusCode::kInvalidArgument);
  for (const double base : {0.5, 1e-320, -1.0, 1e13, std::numeric_limits<double>::infinity(), std::nan("")}) {
    EXPECT_EQ(ApplyRopeOverrides({.base = base}, 0, &config).code(), StatusCode::kInvalidArgument) << base;
  }
}

}  // namespace
}  // namespace damask::model
