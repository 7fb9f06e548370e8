// What Gemma 3 sets apart, from both kinds of files.
#include <cmath>
#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "formats/gguf_writer.h"
#include "formats/json.h"
#include "model/config.h"
#include "tests/temp_dir.h"

namespace damask::model {
namespace {

using formats::GgufWriter;

// `last` may add keys, or give one that is there another value.
Result<ModelConfig> ReadGguf(uint32_t layers, uint32_t window, const std::function<void(GgufWriter*)>& last = nullptr) {
  const test::TempDir folder;
  const std::string path = folder.File("keys.gguf");
  GgufWriter writer;
  writer.Add("general.architecture", "gemma3");
  writer.Add("gemma3.block_count", layers);
  writer.Add("gemma3.embedding_length", uint32_t{5376});
  writer.Add("gemma3.feed_forward_length", uint32_t{512});
  writer.Add("gemma3.attention.head_count", uint32_t{32});
  writer.Add("gemma3.attention.head_count_kv", uint32_t{16});
  writer.Add("gemma3.attention.key_length", uint32_t{128});
  writer.Add("gemma3.attention.value_length", uint32_t{128});
  writer.Add("gemma3.context_length", uint32_t{131072});
  writer.Add("gemma3.vocab_size", uint32_t{300});
  writer.Add("gemma3.rope.freq_base", 1e6f);
  if (window != 0) writer.Add("gemma3.attention.sliding_window", window);
  if (last) last(&writer);
  const Status written = writer.Write(path, nullptr);
  EXPECT_TRUE(written.ok()) << written.ToString();
  DAMASK_ASSIGN_OR_RETURN(auto file, formats::GgufFile::Open(path, {.require_tensor_data = false}));
  return ConfigFromGguf(*file);
}

std::string Windowed(const ModelConfig& config) {
  std::string layers;
  for (size_t layer = 0; layer < config.layers; ++layer) layers += config.window(layer) != 0 ? 'w' : '-';
  return layers;
}

TEST(Gemma3Config, OfAGgufFile) {
  const Result<ModelConfig> config = ReadGguf(13, 1024);
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(Windowed(*config), "wwwww-wwwww-w");
  EXPECT_EQ(config->window(0), 1024u);
  EXPECT_EQ(config->rope.kind, kernels::RopeKind::kHalves);
  EXPECT_EQ(config->rope.dims, 128u);
  EXPECT_EQ(config->rope.base, 1e6);
  EXPECT_EQ(config->window_rope_base, 1e4);
  EXPECT_TRUE(config->has_window_rope(0));
  EXPECT_FALSE(config->has_window_rope(5));
  EXPECT_EQ(config->gate, kernels::GateFunction::kGelu);
  EXPECT_TRUE(config->has_norms_behind());
  EXPECT_FALSE(config->norms_less_one);
  EXPECT_FLOAT_EQ(config->embedding_scale, std::sqrt(5376.0f));
  EXPECT_EQ(config->query_scale, 1.0f);
}

// A window as long as the context still says which layers rotate by the smaller base.
TEST(Gemma3Config, ALongWindowStays) { EXPECT_EQ(Windowed(ReadGguf(7, 200000).value()), "wwwww-w"); }

TEST(Gemma3Config, AFileMaySayTheBaseOfItsWindows) {
  const auto with_base = [](float base) {
    return ReadGguf(7, 64, [base](GgufWriter* writer) { writer->Add("gemma3.rope.freq_base_swa", base); });
  };
  EXPECT_EQ(with_base(500.0f).value().window_rope_base, 500.0);
  EXPECT_NE(with_base(0.0f).status().ToString().find("gemma3.rope.freq_base_swa is 0, expected 1 to 1e12"), std::string::npos);
}

TEST(Gemma3Config, TheLargestDividesScoresByWidthOverHeads) {
  EXPECT_FLOAT_EQ(ReadGguf(62, 1024).value().query_scale, std::sqrt(128.0f / 168.0f));
}

TEST(Gemma3Config, WhatAGgufFileLacksOrAddsIsNamed) {
  const auto error = [](uint32_t window, const std::function<void(GgufWriter*)>& last) {
    return ReadGguf(7, window, last).status().ToString();
  };
  EXPECT_EQ(error(0, nullptr), "gemma3 without sliding windows, whose logits are soft-capped, is not supported");
  EXPECT_NE(error(1u << 25, nullptr).find("gemma3.attention.sliding_window is 33554432, expected 1 to"), std::string::npos);
  const auto pattern = [](GgufWriter* writer) { writer->Add("gemma3.attention.sliding_window_pattern", uint32_t{0}); };
  EXPECT_NE(error(16, pattern).find("sliding_window_pattern is 0, expected 1 to"), std::string::npos);
  const auto cap = [](GgufWriter* writer) { writer->Add("gemma3.final_logit_softcapping", 30.0f); };
  EXPECT_NE(error(16, cap).find("gemma3.final_logit_softcapping is 30, which is not supported"), std::string::npos);
}

Result<ModelConfig> ReadJson(const std::string& text) {
  const auto json = formats::ParseJson(text);
  EXPECT_TRUE(json.ok()) << json.status().ToString();
  return ConfigFromHuggingFace(*json);
}

// As the folder of the model with 4 billion parameters has it: most fields are the library's defaults.
TEST(Gemma3Config, OfAFolderThatReadsImagesToo) {
  const Result<ModelConfig> config = ReadJson(R"({"architectures": ["Gemma3ForConditionalGeneration"], "model_type": "gemma3",
      "text_config": {"hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text", "num_hidden_layers": 34,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}, "sliding_window": 1024}, "vision_config": {"hidden_size": 1152}})");
  ASSERT_TRUE(config.ok()) << config.status().ToString();
  EXPECT_EQ(config->architecture, Architecture::kGemma3);
  EXPECT_EQ(config->layers, 34u);
  EXPECT_EQ(config->width, 2560u);
  EXPECT_EQ(config->heads, 8u);
  EXPECT_EQ(config->kv_heads, 4u);
  EXPECT_EQ(config->head_dim, 256u);
  EXPECT_EQ(config->context, 131072u);
  EXPECT_EQ(config->vocab, 262208u);
  EXPECT_EQ(config->window(4), 1024u);
  EXPECT_EQ(config->window(5), 0u);
  EXPECT_EQ(config->rope.base, 1e6);
  EXPECT_EQ(config->rope.scaling, RopeScaling::kLinear);
  EXPECT_EQ(config->rope.factor, 8.0);
  EXPECT_EQ(config->window_rope_base, 1e4);
  EXPECT_EQ(config->query_scale, 1.0f);
  EXPECT_TRUE(config->norms_less_one);
  EXPECT_EQ(config->tied, std::optional(true));
}

constexpr const char* kText =
    R"("model_type": "gemma3_text", "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 1, "vocab_size": 300)";

Result<ModelConfig> ReadText(const std::string& members) { return ReadJson("{" + std::string(kText) + members + "}"); }

TEST(Gemma3Config, OfATextModelsFolder) {
  EXPECT_EQ(Windowed(ReadText("").value()), "wwwww-");
  EXPECT_EQ(Windowed(ReadText(R"(, "_sliding_window_pattern": 3)").value()), "ww-ww-");
  EXPECT_EQ(ReadText(R"(, "rope_local_base_freq": 5000)").value().window_rope_base, 5000.0);
  EXPECT_FLOAT_EQ(ReadText(R"(, "query_pre_attn_scalar": 64)").value().query_scale, 2.0f);
  EXPECT_TRUE(ReadText(R"(, "hidden_activation": "gelu_pytorch_tanh", "final_logit_softcapping": null)").ok());
  EXPECT_EQ(Windowed(ReadText(R"(, "layer_types": ["sliding_attention", "sliding_attention", "sliding_attention",
      "sliding_attention", "sliding_attention", "full_attention"])")
                         .value()),
            "wwwww-");
  EXPECT_EQ(Windowed(ReadText(R"(, "sliding_window_pattern": 6, "layer_types": ["sliding_attention", "full_attention",
      "sliding_attention", "sliding_attention", "sliding_attention", "full_attention"])")
                         .value()),
            "w-www-");
}

// transformers 5 keeps what each kind of layer rotates by in an object of its own.
TEST(Gemma3Config, RopeParametersOfBothKindsOfLayers) {
  const ModelConfig config =
      ReadText(R"(, "rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 20000.0},
      "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 500000.0}})")
          .value();
  EXPECT_EQ(config.rope.base, 5e5);
  EXPECT_EQ(config.rope.factor, 8.0);
  EXPECT_EQ(config.window_rope_base, 2e4);
}

TEST(Gemma3Config, WhatAFolderHasThatIsNotComputedIsNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {R"(, "hidden_activation": "silu")", "only gelu_pytorch_tanh is supported for gemma3"},
      {R"(, "final_logit_softcapping": 30.0)", "final_logit_softcapping is 30"},
      {R"(, "attn_logit_softcapping": 50.0)", "attn_logit_softcapping is 50"},
      {R"(, "use_bidirectional_attention": true)", "only causal attention"},
      {R"(, "layer_types": ["full_attention"])", "layer_types is no array of 6 types"},
      {R"(, "sliding_window_pattern": 0)", "sliding_window_pattern is 0"},
      {R"(, "sliding_window": 0)", "sliding_window is 0"},
      {R"(, "query_pre_attn_scalar": -1)", "query_pre_attn_scalar"},
      {R"(, "rope_local_base_freq": 0)", "rope_local_base_freq is 0"}};
  for (const auto& [members, named] : cases) {
    const std::string error = ReadText(members).status().ToString();
    EXPECT_NE(error.find(named), std::string::npos) << members << ": " << error;
  }
  EXPECT_NE(ReadJson(R"({"model_type": "gemma3", "text_config": 3})").status().ToString().find("text_config"),
            std::string::npos);
}

}  // namespace
}  // namespace damask::model
