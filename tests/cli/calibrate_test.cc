// damask calibrate and runs with the mask that it wrote.
#include <filesystem>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

// A calibration of the embedded model that takes a moment.
std::vector<std::string> Short(const std::string& mask) {
  return {"calibrate", "-q", "-o", mask, "--samples", "2", "--capture-length", "64", "--effect-length", "512"};
}

std::vector<std::string> With(std::vector<std::string> args, const std::vector<std::string>& more) {
  args.insert(args.end(), more.begin(), more.end());
  return args;
}

TEST(Calibrate, WritesAMaskThatARunUsesAndReportsOn) {
  const TempDir dir;
  const std::string mask = dir.File("reference.mask");
  const Json made = DamaskJson(Short(mask));
  EXPECT_EQ(made["treatments"]["static"].get<int>() + made["treatments"]["content"].get<int>() +
                made["treatments"]["dense"].get<int>(),
            made["layers"].get<int>() * made["heads"].get<int>());
  EXPECT_EQ(made["samples"], 2);
  EXPECT_EQ(made["tokens"], 128);
  EXPECT_LE(made["effect_sum"].get<double>(), 0.05);
  for (const char* key : {"mass_mean", "mass_min", "density", "seconds"}) EXPECT_TRUE(made[key].is_number()) << key;

  std::string prompt;
  for (int i = 0; i < 150; ++i) prompt += "The river rose again in spring and the bridge was closed. ";
  const Json run =
      DamaskJson({"generate", "--mask", mask, "-p", prompt, "-n", "4", "--raw", "--audit", "16", "--audit-decode", "1"});
  const Json& attention = run["attention"];
  EXPECT_EQ(attention["policy"].get<std::string>().find("dam:mask="), 0u);
  EXPECT_LT(attention["density_prefill"].get<double>(), 1.0);
  EXPECT_GT(attention["rows_audited"].get<int>(), 100);
  EXPECT_GT(attention["recall_mean"].get<double>(), 0.0);
  EXPECT_LE(attention["recall_mean"].get<double>(), 1.0);
  EXPECT_EQ(attention["heads"].size(), made["layers"].get<size_t>() * made["heads"].get<size_t>());
}

TEST(Calibrate, AMaskKeepsTheBlocksOfItsContentHeads) {
  const TempDir dir;
  const std::string mask = dir.File("blocks.mask");
  const Json made = DamaskJson(With(Short(mask), {"--content-blocks", "20", "--max-kl", "0.01"}));
  ASSERT_GT(made["treatments"]["content"], 0);
  EXPECT_EQ(made["content_blocks"], 20);
  EXPECT_EQ(DamaskJson({"inspect", mask})["parameters"]["content_blocks"], 20);
  EXPECT_NE(Damask({"inspect", mask}).out.find("at most 20, of 16 keys each"), std::string::npos);
}

TEST(Calibrate, TheShippedMaskIsTheReferenceModels) {
  const std::string mask = std::string(DAMASK_SOURCE_DIR) + "/models/reference.mask";
  const ProgramResult run = Damask({"generate", "--mask", mask, "-p", "hello", "-n", "1", "--raw"});
  EXPECT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.err.find("warning"), std::string::npos) << run.err;
}

TEST(Calibrate, M02AMaskOfAnotherModelIsRefusedAndAnotherQuantisationWarns) {
  const TempDir dir;
  const std::string mask = dir.File("tiny.mask");
  DamaskJson(
      {"calibrate", "-m", TinyModel("llama", "F32"), "-o", mask, "--samples", "2", "--capture-length", "64", "--no-effect"});
  ExpectRefused(Damask({"generate", "--mask", mask, "-p", "x", "-n", "1"}), "tiny.mask");
  const ProgramResult quantised =
      Damask({"generate", "-m", TinyModel("llama", "Q8_0"), "--mask", mask, "-p", "hello", "-n", "1"});
  EXPECT_EQ(quantised.exit_code, 0);
  EXPECT_NE(quantised.err.find("warning"), std::string::npos) << quantised.err;
  const ProgramResult same = Damask({"generate", "-m", TinyModel("llama", "F32"), "--mask", mask, "-p", "hello", "-n", "1"});
  EXPECT_EQ(same.exit_code, 0);
  EXPECT_EQ(same.err.find("warning"), std::string::npos) << same.err;
}

TEST(Calibrate, TakesMeanMapsInsteadOfAModel) {
  const TempDir dir;
  dir.Write("layer_0_head_0.txt", "1\n0.5 0.5\n0.9 0.05 0.05\n");
  dir.Write("layer_0_head_1.txt", "1\n0 1\n0 0 1\n");
  const std::string mask = dir.File("maps.mask");
  const Json made = DamaskJson({"calibrate", "--maps", dir.path(), "-o", mask, "--min-cells", "1"});
  EXPECT_EQ(made["layers"], 1);
  EXPECT_EQ(made["heads"], 2);
  EXPECT_TRUE(made["effect_sum"].is_null());
}

TEST(Calibrate, RefusesWhatCannotBeMeant) {
  const TempDir dir;
  const std::string mask = dir.File("x.mask");
  ExpectRefused(Damask({"calibrate"}), "-o MASK");
  ExpectRefused(Damask({"calibrate", "-o", dir.path()}), "folder");
  ExpectRefused(Damask({"calibrate", "-o", dir.File("none/x.mask")}), "no folder");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--target-recall", "1.5"}), "--target-recall");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--mu", "2"}), "--mu");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--tau", "nan"}), "--tau");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--capture-length", "0"}), "--capture-length");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--capture-length", "2147483648"}), "--capture-length");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--transform", "boxcx"}), "boxcx");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--match", "all"}), "--match");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--budget", "0.1", "--max-kl", "0.1"}), "exclude");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--content-blocks", "0"}), "--content-blocks");
  for (const std::vector<std::string>& other : {std::vector<std::string>{"--no-content"},
                                                {"--budget", "0.1"},
                                                {"--target-recall", "0.9"},
                                                {"--patterns-only"},
                                                {"--maps", dir.path()}}) {
    ExpectRefused(Damask(With({"calibrate", "-o", mask, "--content-blocks", "20"}, other)), "--content-blocks");
  }
  ExpectRefused(Damask({"calibrate", "-o", mask, "--patterns-only", "--no-content"}), "--no-content away");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--transform", "sum", "--lambda", "3"}), "--lambda belongs to");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--transform", "log", "--epsilon", "0.1"}), "--epsilon belongs to");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--maps", ""}), "--maps: the path is empty");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--text", ""}), "--text: the path is empty");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--maps", dir.path()}), "layer_");
  ExpectRefused(Damask({"calibrate", "-o", mask, "--maps", dir.path(), "--text", "a"}), "exclude");
}

TEST(Calibrate, M07RefusesTextsThatAreEmptyShortOrNotUtf8) {
  const TempDir dir;
  const std::string mask = dir.File("x.mask");
  dir.Write("empty.txt", "");
  dir.Write("short.txt", "a few words");
  dir.Write("bytes.txt", "\xff\xfe\xff");
  for (const char* name : {"empty.txt", "short.txt", "bytes.txt", "missing.txt"}) {
    ExpectRefused(Damask(With(Short(mask), {"--text", dir.File(name)})), name);
  }
  EXPECT_FALSE(std::filesystem::exists(mask)) << "a refused calibration wrote a file";
}

TEST(Calibrate, KvReleaseAndAnAuditFloorExcludeEachOther) {
  ExpectRefused(Damask({"generate", "-p", "x", "--policy", "streaming", "--kv-release", "--audit-floor", "0.5"}),
                "--kv-release");
}

}  // namespace
}  // namespace damask::test
