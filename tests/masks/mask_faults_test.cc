// What `damask check` says about mask files: every fault, not the first one alone.
#include <limits>

#include <gtest/gtest.h>

#include "tests/masks/mask_bytes.h"
#include "tests/masks/mask_cases.h"

namespace damask::masks {
namespace {

constexpr size_t kHeadTreatment = 8;  // in a head's payload
constexpr size_t kHeadMass = 20;

std::vector<formats::Fault> Faults(const std::string& bytes) {
  const auto faults = FindMaskFaults(std::as_bytes(std::span(bytes)));
  EXPECT_TRUE(faults.ok());
  return faults.ok() ? *faults : std::vector<formats::Fault>();
}

bool Names(const formats::Fault& fault, const std::string& where, const std::string& what) {
  return fault.where.find(where) != std::string::npos && fault.what.find(what) != std::string::npos;
}

TEST(FindMaskFaults, FindsNothingInASoundFile) { EXPECT_TRUE(Faults(Bytes(RandomMask(2, 3, 20, 1))).empty()); }

TEST(FindMaskFaults, NamesEveryBadHeadAndReadsOn) {
  std::string bytes = Bytes(RandomMask(2, 3, 20, 1));
  bytes = With(bytes, Find(bytes, Section::kHead, 1).payload + kHeadTreatment, uint8_t{9});
  bytes = With(bytes, Find(bytes, Section::kHead, 4).payload + kHeadMass, 7.5f);
  const std::vector<formats::Fault> faults = Faults(bytes);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_TRUE(Names(faults[0], "layer 0 head 1", "treatment is 9")) << faults[0].where << ": " << faults[0].what;
  EXPECT_TRUE(Names(faults[1], "layer 1 head 1", "mass is 7.5")) << faults[1].where << ": " << faults[1].what;
}

TEST(FindMaskFaults, NamesBadDirectionsBesideBadHeads) {
  const Mask mask = ContentMask({"llama", "tiny", 2, 4, 2, 64, 1000, 77, 88}, 4);
  constexpr size_t kError = 16;  // in the payload of key directions
  std::string bytes = Bytes(mask);
  for (const size_t index : {0, 3}) {
    bytes = With(bytes, Find(bytes, Section::kKeyDirections, index).payload + kError, std::numeric_limits<float>::quiet_NaN());
  }
  bytes = With(bytes, Find(bytes, Section::kHead, 4).payload + kHeadMass, 7.5f);
  const std::vector<formats::Fault> faults = Faults(bytes);
  ASSERT_EQ(faults.size(), 3u);
  EXPECT_TRUE(Names(faults[0], "layer 1 head 0", "mass is 7.5")) << faults[0].where << ": " << faults[0].what;
  EXPECT_TRUE(Names(faults[1], "key directions of layer 0 KV head 0", "not finite")) << faults[1].where;
  EXPECT_TRUE(Names(faults[2], "key directions of layer 1 KV head 1", "not finite")) << faults[2].where;
}

TEST(FindMaskFaults, AWrongChecksumIsNotTheEnd) {
  std::string bytes = Bytes(RandomMask(2, 3, 20, 1));
  bytes[Find(bytes, Section::kHead, 5).payload + kHeadTreatment] = 3;
  const std::vector<formats::Fault> faults = Faults(bytes);
  ASSERT_EQ(faults.size(), 2u);
  EXPECT_TRUE(Names(faults[0], "", "checksum"));
  EXPECT_TRUE(Names(faults[1], "layer 1 head 2", "treatment is 3"));
}

TEST(FindMaskFaults, ACutFileLacksItsEndAndTheHeadsThatStoodThere) {
  const std::string bytes = Bytes(RandomMask(1, 4, 20, 1));
  const std::vector<formats::Fault> faults = Faults(bytes.substr(0, Find(bytes, Section::kHead, 2).offset));
  ASSERT_EQ(faults.size(), 4u);
  EXPECT_TRUE(Names(faults[0], "", "were written"));
  EXPECT_TRUE(Names(faults[1], "", "checksum"));
  EXPECT_TRUE(Names(faults[2], "layer 0 head 2", "missing"));
  EXPECT_TRUE(Names(faults[3], "layer 0 head 3", "missing"));
}

TEST(FindMaskFaults, BadParametersEndTheReadingSinceHeadsDependOnThem) {
  std::string bytes = Bytes(RandomMask(1, 2, 20, 1));
  bytes = With(bytes, Find(bytes, Section::kParameters).payload, uint32_t{0});
  const std::vector<formats::Fault> faults = Faults(bytes);
  ASSERT_EQ(faults.size(), 1u);
  EXPECT_TRUE(Names(faults[0], "section 2", "capture length is 0")) << faults[0].where << ": " << faults[0].what;
}

TEST(FindMaskFaults, FindsSomethingExactlyWhereTheReaderRefuses) {
  const std::string bytes = Bytes(RandomMask(1, 2, 12, 3));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (const uint8_t value : {uint8_t{0}, uint8_t{1}, uint8_t{0xff}}) {
      const std::string changed = at >= 16 && at < 32 ? bytes : With(bytes, at, value);
      ASSERT_EQ(Parse(changed).ok(), Faults(changed).empty()) << "byte " << at << " = " << int{value};
    }
  }
}

TEST(IsMask, LooksAtTheMagicAlone) {
  const std::string bytes = Bytes(RandomMask(1, 1, 4, 1));
  EXPECT_TRUE(IsMask(std::as_bytes(std::span(bytes))));
  EXPECT_TRUE(IsMask(std::as_bytes(std::span(bytes).first(8))));
  EXPECT_FALSE(IsMask(std::as_bytes(std::span(bytes).first(7))));
  EXPECT_FALSE(IsMask(std::as_bytes(std::span(bytes).subspan(1))));
}

}  // namespace
}  // namespace damask::masks
