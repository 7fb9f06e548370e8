#include "formats/check.h"

#include <limits>
#include <string>

#include <gtest/gtest.h>

#include "tests/formats/safetensors_builder.h"
#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

constexpr uint32_t kTypeF32 = 0, kTypeF16 = 1, kTypeQ8_0 = 8, kTypeQ4_K = 12, kTypeQ6_K = 14, kTypeIQ3_S = 21, kTypeI8 = 24,
                   kTypeMXFP4 = 39, kTypeBF16 = 30;
const std::string kHalfNan = Le<uint16_t>(0x7e00), kHalfInfinity = Le<uint16_t>(0xfc00), kHalfOne = Le<uint16_t>(0x3c00);

std::vector<Fault> Check(const std::string& bytes) {
  const MemoryFile memory(bytes);
  return CheckModelBytes(memory.file());
}

// A fault at a place that holds `where`, whose sentence holds `what`.
void ExpectFault(const std::vector<Fault>& faults, std::string_view where, std::string_view what) {
  std::string all;
  for (const Fault& fault : faults) {
    if (fault.where.find(where) != std::string::npos && fault.what.find(what) != std::string::npos) return;
    all += fault.where + ": " + fault.what + "\n";
  }
  ADD_FAILURE() << "no fault at " << where << " that says " << what << " among:\n" << all;
}

TEST(CheckTest, SoundFilesHaveNoFaults) {
  EXPECT_TRUE(Check(SmallGguf()).empty());
  EXPECT_TRUE(Check(SmallSafetensors()).empty());
}

TEST(CheckTest, G19NanAndInfinityAreCountedInPlainTypes) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  GgufBuilder builder;
  builder.Tensor("f32", kTypeF32, {4}, Le(nan) + Le(1.f) + Le(-infinity) + Le(-nan));
  builder.Tensor("f16", kTypeF16, {4}, kHalfNan + kHalfOne + kHalfInfinity + kHalfInfinity);
  builder.Tensor("bf16", kTypeBF16, {2}, Le<uint16_t>(0xff80) + Le<uint16_t>(0x7f81));
  builder.Tensor("fine", kTypeF32, {2}, Le(std::numeric_limits<float>::max()) + Le(std::numeric_limits<float>::denorm_min()));
  const auto faults = Check(builder.Build());
  ASSERT_EQ(faults.size(), 3u);
  ExpectFault(faults, "'f32'", "2 NaN and 1 infinite values in 4");
  ExpectFault(faults, "'f16'", "1 NaN and 2 infinite values in 4");
  ExpectFault(faults, "'bf16'", "1 NaN and 1 infinite values in 2");
}

TEST(CheckTest, G19NanScalesAreCountedInQuantisedTypes) {
  GgufBuilder builder;
  builder.Tensor("q8", kTypeQ8_0, {64}, kHalfNan + std::string(32, '\xff') + kHalfOne + std::string(32, '\xff'));
  builder.Tensor("q4", kTypeQ4_K, {256}, kHalfOne + kHalfInfinity + std::string(140, '\xff'));
  builder.Tensor("q6", kTypeQ6_K, {256}, std::string(208, '\xff') + kHalfNan);
  builder.Tensor("fine", kTypeQ6_K, {256}, std::string(208, '\xff') + kHalfOne);
  builder.Tensor("fp4", kTypeMXFP4, {64}, '\xff' + std::string(16, 'a') + '\xfe' + std::string(16, 'a'));
  const auto faults = Check(builder.Build());
  ASSERT_EQ(faults.size(), 4u);
  ExpectFault(faults, "'fp4'", "1 NaN and 0 infinite block scales in 2 blocks of MXFP4");
  ExpectFault(faults, "'q8'", "1 NaN and 0 infinite block scales in 2 blocks of Q8_0");
  ExpectFault(faults, "'q4'", "0 NaN and 1 infinite block scales");
  ExpectFault(faults, "'q6'", "1 NaN and 0 infinite block scales");
}

TEST(CheckTest, G19AFileWithNanLoads) {
  const std::string bytes = GgufBuilder().Tensor("t", kTypeF16, {1}, kHalfNan).Build();
  EXPECT_TRUE(ParseGguf(bytes).ok());
}

TEST(CheckTest, TypesWithoutKernelsAreListed) {
  const auto faults = Check(GgufBuilder().Tensor("t", kTypeIQ3_S, {256}, std::string(110, '\0')).Build());
  ASSERT_EQ(faults.size(), 1u);
  ExpectFault(faults, "'t'", "IQ3_S");
}

TEST(CheckTest, EveryFaultThatCanBeReadPastIsListed) {
  GgufBuilder builder;
  builder.U8("twin", 1).U8("twin", 1).Bool("flag", 7).U8("bad\xff", 1);
  builder.Describe("odd", kTypeQ8_0, {33}, 0);
  builder.Describe("unknown", 5, {32}, 0);
  builder.Describe("shifted", kTypeI8, {1}, 7);
  builder.Describe("shifted", kTypeI8, {1}, 32);
  builder.Describe("huge", kTypeI8, {uint64_t{1} << 40}, 64);
  builder.Data(std::string(64, 'x'));
  const auto faults = Check(builder.Build());
  ExpectFault(faults, "'twin'", "twice");
  ExpectFault(faults, "'flag'", "value 7");
  ExpectFault(faults, "byte", "\\xff");
  ExpectFault(faults, "'odd'", "multiple of 32");
  ExpectFault(faults, "'unknown'", "type 5");
  ExpectFault(faults, "'shifted'", "multiple of 32");
  ExpectFault(faults, "'shifted'", "twice");
  ExpectFault(faults, "'huge'", "ends at byte");
  for (const Fault& fault : faults) EXPECT_NE(fault.where.find("'memory'"), std::string::npos) << fault.where;
}

TEST(CheckTest, AFileThatWasCutOffHasOneFaultAndACountOfTheRest) {
  GgufBuilder builder;
  builder.Describe("whole", kTypeF32, {16}, 0);
  builder.Describe("cut", kTypeF32, {16}, 64);
  builder.Describe("missing", kTypeF32, {16}, 128);
  builder.Describe("missing too", kTypeF32, {16}, 192);
  builder.Data(std::string(96, '\0'));
  const auto faults = Check(builder.Build());
  ASSERT_EQ(faults.size(), 2u);
  ExpectFault(faults, "'cut'", "cut off");
  EXPECT_EQ(faults[1].where, "'memory'");
  EXPECT_EQ(faults[1].what,
            "2 more tensors end behind its end: whole it has " + std::to_string(builder.data_begin() + 256) + " bytes or more");
}

TEST(CheckTest, WhatCannotBeReadPastIsTheLastFault) {
  const auto faults = Check(GgufBuilder().U8("a", 1).U8("a", 1).Text("b", "some longer text").NumKeys(4).Build());
  ASSERT_EQ(faults.size(), 2u);
  ExpectFault({faults.back()}, "byte", "the file ends inside");
}

TEST(CheckTest, BytesBehindTheLastTensorAreAFault) {
  ExpectFault(Check(GgufBuilder().Tensor("t", kTypeI8, {1}, "x").Build() + "tail"), "byte", "4 bytes follow");
}

TEST(CheckTest, ThePaddingOfAFileWithoutTensorsIsNoFault) {
  std::string bytes = GgufBuilder().U8("a", 1).Build();
  bytes.resize((bytes.size() + 31) / 32 * 32);
  EXPECT_TRUE(Check(bytes).empty());
  ExpectFault(Check(bytes + "tail"), "byte", "4 bytes follow");
}

TEST(CheckTest, EveryFaultOfASafetensorsFileIsListed) {
  const std::string header = "{" + EntryText("a", "F32", "[2]", "[0, 8]") + "," + EntryText("b", "F32", "[3]", "[8, 16]") +
                             "," + EntryText("c", "F32", "[1]", "[20, 24]") + "," + EntryText("d", "I64", "[1]", "[24, 32]") +
                             "}";
  const auto faults = Check(SafetensorsFile(header, Le(std::numeric_limits<float>::quiet_NaN()) + std::string(30, '\0')));
  ExpectFault(faults, "'a'", "1 NaN");
  ExpectFault(faults, "'b'", "need 12");
  ExpectFault(faults, "'c'", "a hole");
  ExpectFault(faults, "'d'", "dtype 'I64'");
  ExpectFault(faults, "memory", "2 bytes of data belong to no tensor");
}

// Tensors that lie on one another must not multiply the work: 500 tensors of 1 MB each over the same bytes.
TEST(CheckTest, OverlappingTensorsAreNotReadAgainAndAgain) {
  GgufBuilder builder;
  for (int i = 0; i < 500; ++i) builder.Describe("t" + std::to_string(i), kTypeF16, {1 << 19}, 0);
  std::string data;
  for (int i = 0; i < 1 << 19; ++i) data += kHalfNan;
  const auto faults = Check(builder.Data(data).Build());
  size_t counted = 0;
  for (const Fault& fault : faults) counted += fault.what.find("NaN") != std::string::npos ? 1 : 0;
  EXPECT_EQ(faults.size(), 500u);
  EXPECT_EQ(counted, 1u);
}

TEST(CheckTest, ListsOfFaultsAreBounded) {
  GgufBuilder builder;
  for (int i = 0; i < 5000; ++i) builder.Bool("flag" + std::to_string(i), 9);
  const auto faults = Check(builder.Build());
  ASSERT_EQ(faults.size(), FaultList::kMaxFaults + 1);
  EXPECT_EQ(faults.back().what, "4000 more faults are not listed");
}

TEST(CheckTest, FilesAndFoldersAreToldApart) {
  const damask::test::TempDir folder;
  EXPECT_TRUE(CheckModelFile(folder.Write("m.gguf", SmallGguf()))->empty());
  EXPECT_TRUE(CheckModelFile(folder.Write("model.safetensors", SmallSafetensors()))->empty());
  EXPECT_TRUE(CheckModelFile(folder.path())->empty());
  ExpectFault(*CheckModelFile(folder.Write("page.gguf", "<html>")), "page.gguf", "HTML");
  ExpectFault(*CheckModelFile(folder.Write("cut.safetensors", "xyz")), "cut.safetensors", "the file ends inside");
  ExpectFault(*CheckModelFile(folder.Write("empty.gguf", "")), "empty.gguf", "empty");
  ExpectError(CheckModelFile(folder.File("none")).status(), StatusCode::kIo, {"none"});
}

TEST(CheckTest, AllShardsAreRead) {
  const damask::test::TempDir folder;
  for (uint16_t number = 0; number < 2; ++number) {
    GgufBuilder builder;
    builder.U16("split.no", number).U16("split.count", 2).Tensor("t" + std::to_string(number), kTypeF16, {1}, kHalfNan);
    folder.Write("m-0000" + std::to_string(number + 1) + "-of-00002.gguf", builder.Build());
  }
  EXPECT_EQ(CheckModelFile(folder.File("m-00001-of-00002.gguf"))->size(), 2u);
}

}  // namespace
}  // namespace damask::formats::test
