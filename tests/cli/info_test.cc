// damask info, check and policies.
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <limits>

#include <gtest/gtest.h>

#include "base/thread_pool.h"
#include "formats/gguf.h"
#include "formats/gguf_writer.h"
#include "tests/cli/cli_test.h"
#include "tests/formats/safetensors_builder.h"
#include "tools/make_model/make_model.h"

namespace damask::test {
namespace {

// A copy of TinyModel() with `value` put into the values [first, first + count) of a float tensor.
std::string WithValues(const TempDir& dir, const std::string& tensor, size_t first, size_t count, float value) {
  std::string bytes = ReadBytes(TinyModel());
  const auto file = formats::GgufFile::Open(TinyModel(), {});
  const formats::TensorInfo* found = file.value()->FindTensor(tensor);
  // Where the tensor lies: its bytes are found again in the file's.
  const std::string_view data(reinterpret_cast<const char*>(found->data), found->bytes);
  const size_t at = bytes.find(data);
  for (size_t i = 0; i < count; ++i) std::memcpy(&bytes[at + (first + i) * sizeof(float)], &value, sizeof(float));
  return dir.Write("values.gguf", bytes);
}

TEST(Info, JsonHasTheKeysOfTheContract) {
  const Json object = DamaskJson({"info", "-m", TinyModel("llama", "Q8_0")});
  EXPECT_EQ(object["architecture"], "llama");
  EXPECT_EQ(object["runnable"], true);
  EXPECT_EQ(object["layers"], 2);
  EXPECT_EQ(object["heads"], 4);
  EXPECT_EQ(object["kv_heads"], 2);
  EXPECT_EQ(object["head_dim"], 64);
  EXPECT_EQ(object["context"], 2048);
  EXPECT_EQ(object["type"], "Q8_0");
  EXPECT_GT(object["parameters"], 1'000'000);
  // Keys and values, bf16 or f32, of 2 layers with 2 heads of 64.
  const uint64_t per_token = object["kv_bytes_per_token"];
  EXPECT_TRUE(per_token == 2 * 2 * 2 * 64 * 2 || per_token == 2 * 2 * 2 * 64 * 4) << per_token;
  EXPECT_EQ(object["kv_bytes"], per_token * 2048);
  uint64_t parameters = 0;
  for (const Json& tensor : object["tensors"]) {
    for (const char* key : {"name", "type", "shape", "bytes"}) EXPECT_TRUE(tensor.contains(key)) << key;
    uint64_t values = 1;
    for (const Json& dim : tensor["shape"]) values *= dim.get<uint64_t>();
    parameters += values;
  }
  EXPECT_EQ(object["parameters"], parameters);
  EXPECT_TRUE(object["kernels"].contains("attention"));
  EXPECT_EQ(object["tokenizer"]["vocab"], 512);
}

TEST(Info, TakesTheFileWithoutAFlagToo) {
  EXPECT_EQ(DamaskJson({"info", TinyModel("llama", "Q8_0")}), DamaskJson({"info", "-m", TinyModel("llama", "Q8_0")}));
  const ProgramResult both = Damask({"info", TinyModel(), "-m", TinyModel()});
  EXPECT_EQ(both.exit_code, 2);
  EXPECT_NE(both.err.find("give one of them"), std::string::npos) << both.err;
}

TEST(Info, TheContextFlagSetsWhatTheCacheCosts) {
  const Json object = DamaskJson({"info", "-m", TinyModel(), "-c", "100"});
  EXPECT_EQ(object["run_context"], 100);
  EXPECT_EQ(object["kv_bytes"], object["kv_bytes_per_token"].get<uint64_t>() * 100);
}

TEST(Info, RepackedWeightsAreCounted) {
  const Json plain = DamaskJson({"info", "-m", TinyModel()});
  EXPECT_EQ(plain["repacked_bytes"], 0);
  const ProgramResult run = Damask({"info", "-m", TinyModel(), "--repack", "--json"});
  const Json object = JsonOf(run);
  const bool packs = object["target"] != "scalar";  // which has no other form
  EXPECT_EQ(object["repacked_bytes"] > 0, packs);
  EXPECT_EQ(
      object["memory_bytes"].get<uint64_t>(),
      object["repacked_bytes"].get<uint64_t>() + object["file_bytes"].get<uint64_t>() + object["kv_bytes"].get<uint64_t>());
  const std::string text = Damask({"info", "-m", TinyModel(), "--repack"}).out;
  EXPECT_EQ(text.find(" repacked") != std::string::npos, packs) << text;
}

TEST(Info, AnEightBitCacheCostsWhatItsNumbersAndScalesTake) {
  const Json object = DamaskJson({"info", "-m", TinyModel(), "--kv", "q8"});
  EXPECT_EQ(object["kv_type"], "q8");
  EXPECT_EQ(object["kv_bytes_per_token"], 2 * 2 * 2 * (64 + 2 * 2));
}

TEST(Info, SinksOfHeadsAreNamed) {
  EXPECT_EQ(DamaskJson({"info", "-m", TinyModel()})["attention_sinks"], false);
  EXPECT_EQ(DamaskJson({"info", "-m", TinyModel("gpt-oss")})["attention_sinks"], true);
}

TEST(Info, TextNamesTheSameThings) {
  const ProgramResult result = Damask({"info", "-m", TinyModel("qwen3"), "--tensors"});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* part : {"qwen3", "KV cache", "blk.1.attn_q_norm.weight", "tokenizer", "machine"}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << " in " << result.out;
  }
}

TEST(Info, OneThreadIsOneThread) {
  EXPECT_NE(Damask({"info", "-m", TinyModel(), "-t", "1"}).out.find(", 1 thread\n"), std::string::npos);
  EXPECT_NE(Damask({"info", "-m", TinyModel(), "-t", "2"}).out.find(", 2 threads\n"), std::string::npos);
}

TEST(Info, TheContextChoosesTheFactorsOfLongRope) {
  const TempDir dir;
  ThreadPool pool(1);
  const make_model::ModelSpec spec{
      .arch = make_model::Arch::kPhi3, .rope_scaling = make_model::RopeScaling::kLongRope, .rope_original_context = 512};
  const std::string path = dir.File("phi.gguf");
  ASSERT_TRUE(make_model::WriteGgufModel(spec, path, &pool).ok());
  EXPECT_EQ(DamaskJson({"info", "-m", path})["rope"]["longrope"], "long");
  EXPECT_EQ(DamaskJson({"info", "-m", path, "-c", "512"})["rope"]["longrope"], "short");
  EXPECT_EQ(DamaskJson({"info", "-m", TinyModel()})["rope"].at("longrope"), nullptr);
  const std::string text = Damask({"info", "-m", path}).out;
  EXPECT_NE(text.find("longrope for contexts above 512 tokens"), std::string::npos) << text;
}

TEST(Info, AHuggingFaceFolderIsDescribedToo) {
  const Json object = DamaskJson({"info", "-m", TinyFolder()});
  EXPECT_EQ(object["layers"], 2);
  EXPECT_EQ(object["parameters"], DamaskJson({"info", "-m", TinyModel()})["parameters"]);
}

TEST(Info, WhatDoesNotRunIsShownWithTheReason) {
  const TempDir dir;
  formats::GgufWriter writer;
  writer.Add("general.architecture", "mamba");
  writer.AddTensor("some.weight", formats::TensorType::kF32, {2, 3});
  const std::string path = dir.File("mamba.gguf");
  const Status written = writer.Write(path, [](size_t, const formats::GgufWriter::Sink& sink) {
    const std::vector<std::byte> zeros(24);
    return sink(zeros);
  });
  ASSERT_TRUE(written.ok()) << written.ToString();
  const Json object = DamaskJson({"info", "-m", path});
  EXPECT_EQ(object["architecture"], "mamba");
  EXPECT_EQ(object["runnable"], false);
  EXPECT_NE(object["reason"].get<std::string>().find("mamba"), std::string::npos);
  EXPECT_EQ(object["tensors"][0]["name"], "some.weight");
  EXPECT_EQ(object["parameters"], 6);
  EXPECT_NE(Damask({"info", "-m", path}).out.find("does not run"), std::string::npos);
}

// The model does run: what was asked beside it is wrong.
TEST(Info, AWrongFlagIsNoFaultOfTheModel) {
  ExpectRefused(Damask({"info", "-m", TinyModel(), "--policy", "nosuch"}), "unknown policy 'nosuch'");
  ExpectRefused(Damask({"info", "-m", TinyModel(), "--mask", "/no/such.mask"}), "/no/such.mask");
  ExpectRefused(Damask({"info", "-m", TinyModel(), "--rope-scaling", "spiral"}), "'spiral'");
}

TEST(Info, AFolderThatDoesNotRunIsShownWithTheReason) {
  const TempDir dir;
  for (const auto& entry : std::filesystem::directory_iterator(TinyFolder())) {
    std::filesystem::copy(entry.path(), dir.path() + "/" + entry.path().filename().string());
  }
  Json config = Json::parse(ReadBytes(dir.File("config.json")));
  config["model_type"] = "mamba";
  config["architectures"] = {"MambaForCausalLM"};
  dir.Write("config.json", config.dump());
  const Json object = DamaskJson({"info", "-m", dir.path()});
  const Json good = DamaskJson({"info", "-m", TinyFolder()});
  EXPECT_EQ(object["architecture"], "mamba");
  EXPECT_EQ(object["runnable"], false);
  EXPECT_NE(object["reason"].get<std::string>().find("mamba"), std::string::npos);
  for (const char* key : {"format", "file_bytes", "tensors", "parameters", "tokenizer"}) EXPECT_EQ(object[key], good[key]);
  EXPECT_NE(Damask({"info", "-m", dir.path()}).out.find("does not run"), std::string::npos);
}

TEST(Info, AFileOfAFolderPointsToTheFolder) {
  ExpectRefused(Damask({"info", "-m", TinyFolder() + "/model.safetensors"}), "expected the folder that it lies in");
}

TEST(Check, AGoodModelHasNoFaults) {
  const Json object = DamaskJson({"check", TinyModel("llama", "Q4_K")});
  EXPECT_EQ(object["faults"].size(), 0u);
  EXPECT_EQ(object["loads"], true);
  EXPECT_GT(object["values"], 1'000'000);
}

TEST(Check, TheEmbeddedModelHasNoFaults) { EXPECT_EQ(DamaskJson({"check"})["faults"].size(), 0u); }

TEST(Check, AFolderIsReadWhole) { EXPECT_EQ(DamaskJson({"check", TinyFolder()})["faults"].size(), 0u); }

TEST(Check, G19NanAndInfinityAreCountedPerTensor) {
  const TempDir dir;
  const std::string nan = WithValues(dir, "blk.1.ffn_up.weight", 300, 3, std::numeric_limits<float>::quiet_NaN());
  const ProgramResult result = Damask({"check", nan, "--json"});
  EXPECT_EQ(result.exit_code, 1) << result.err;
  const Json object = JsonOf(result);
  ASSERT_EQ(object["faults"].size(), 1u);
  EXPECT_EQ(object["faults"][0]["where"], "'blk.1.ffn_up.weight'");
  // Rows of 256 values.
  EXPECT_NE(object["faults"][0]["what"].get<std::string>().find("3 NaN"), std::string::npos) << object;
  EXPECT_NE(object["faults"][0]["what"].get<std::string>().find("row 1, column 44"), std::string::npos) << object;
  const std::string infinite = WithValues(dir, "output_norm.weight", 0, 2, std::numeric_limits<float>::infinity());
  EXPECT_NE(Damask({"check", infinite}).out.find("2 infinite"), std::string::npos);
}

TEST(Check, G19NanLogitsAreAnErrorNotText) {
  const TempDir dir;
  const std::string path = WithValues(dir, "output_norm.weight", 0, 1, std::numeric_limits<float>::quiet_NaN());
  ExpectRefused(Damask({"generate", "-m", path, "-p", "x", "-n", "4"}), "NaN");
}

TEST(Check, AFileThatDoesNotLoadIsAFaultAndExitCodeTwo) {
  const TempDir dir;
  const std::string path = dir.Write("cut.gguf", ReadBytes(TinyModel()).substr(0, 3000));
  const ProgramResult result = Damask({"check", path, "--json"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(JsonOf(result)["loads"], false);
  EXPECT_EQ(JsonOf(result)["faults"].size(), 1u);
  EXPECT_EQ(result.err.rfind("damask: error: ", 0), 0u);
}

TEST(Check, EveryFaultOfAFileThatDoesNotLoadIsNamedOnce) {
  using formats::test::GgufBuilder;
  const TempDir dir;
  GgufBuilder builder;
  builder.U8("twin", 1).U8("twin", 1).Bool("flag", 7);
  builder.Describe("odd", 8, {33}, 0).Describe("huge", 0, {uint64_t{1} << 40}, 64).Data(std::string(64, 'x'));
  const std::string path = dir.Write("faults.gguf", builder.Build());
  for (const char* mode : {"--quiet", "--no-mmap"}) {
    const ProgramResult result = Damask({"check", path, "--json", mode});
    EXPECT_EQ(result.exit_code, 2);
    const Json object = JsonOf(result);
    EXPECT_EQ(object["loads"], false);
    ASSERT_EQ(object["faults"].size(), 4u) << object;
    const char* const places[] = {"key 'twin'", "key 'flag'", "tensor 'odd'", "tensor 'huge'"};
    for (size_t i = 0; i < 4; ++i) {
      EXPECT_NE(object["faults"][i]["where"].get<std::string>().find(places[i]), std::string::npos) << object;
    }
    // The first of them is the error.
    EXPECT_EQ(result.err.rfind("damask: error: ", 0), 0u) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_NE(result.err.find("key 'twin'"), std::string::npos) << result.err;
  }
}

TEST(Check, EveryFaultOfAFolderThatDoesNotLoadIsNamedOnce) {
  using formats::test::EntryText;
  const TempDir dir;
  const std::string header =
      "{" + EntryText("a", "F32", "[3]", "[0, 8]") + "," + EntryText("b", "F32", "[1]", "[12, 16]") + "}";
  dir.Write("model.safetensors", formats::test::SafetensorsFile(header, std::string(16, '\0')));
  const ProgramResult result = Damask({"check", dir.path(), "--json"});
  EXPECT_EQ(result.exit_code, 2);
  const Json object = JsonOf(result);
  ASSERT_EQ(object["faults"].size(), 2u) << object;
  EXPECT_NE(object["faults"][0]["where"].get<std::string>().find("tensor 'a'"), std::string::npos) << object;
  EXPECT_NE(object["faults"][1]["where"].get<std::string>().find("tensor 'b'"), std::string::npos) << object;
}

TEST(Check, AFolderOfSomethingElseIsToldAsEverywhere) {
  const TempDir dir;
  const ProgramResult check = Damask({"check", dir.path()});
  ExpectRefused(check, "is a folder without config.json");
  EXPECT_EQ(check.err, Damask({"info", dir.path()}).err);
}

TEST(Check, AMissingFileIsNoFinding) { ExpectRefused(Damask({"check", "/no/such/file"}), "/no/such/file"); }

TEST(Policies, AreListedWithOptionsAndSource) {
  const Json object = DamaskJson({"policies"});
  ASSERT_FALSE(object["policies"].empty());
  bool full = false;
  for (const Json& policy : object["policies"]) {
    for (const char* key : {"name", "options", "source"}) EXPECT_TRUE(policy.contains(key)) << key;
    full = full || policy["name"] == "full";
  }
  EXPECT_TRUE(full);
  EXPECT_NE(Damask({"policies"}).out.find("full"), std::string::npos);
}

}  // namespace
}  // namespace damask::test
