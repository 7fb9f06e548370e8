// damask inspect, and damask check of mask files.
#include <filesystem>

#include <gtest/gtest.h>

#include "masks/calibrate.h"
#include "masks/mask_file.h"
#include "report/mask_pictures.h"
#include "tests/cli/cli_test.h"
#include "tests/masks/mask_cases.h"
#include "tests/report/read_png.h"

namespace damask::test {
namespace {

constexpr size_t kLayers = 2;
constexpr size_t kHeads = 3;

const masks::Mask& SomeMask() {
  static const masks::Mask mask = [] {
    const auto load = [](size_t layer, size_t head) -> Result<masks::AttentionMap> {
      const auto statistics = masks::RandomStatistics(64, 1, static_cast<uint32_t>(10 * layer + head));
      masks::AttentionMap map{64, {}};
      for (const double sum : statistics.sums()) map.cells.push_back(static_cast<float>(sum));
      return map;
    };
    masks::Mask made = masks::CalibrateFromMaps(kLayers, kHeads, load, {}).value();
    made.fingerprint.architecture = "llama";
    made.fingerprint.model = "<script>";
    made.heads[1].treatment = masks::Treatment::kContent;
    made.heads[4].treatment = masks::Treatment::kDense;
    return made;
  }();
  return mask;
}

class Inspect : public ::testing::Test {
 protected:
  void SetUp() override {
    mask_ = dir_.File("some.mask");
    const Status written = masks::WriteMaskFile(SomeMask(), mask_);
    ASSERT_TRUE(written.ok()) << written.ToString();
  }

  // The mask file with one byte of a head changed.
  std::string Damaged() const {
    std::string bytes = ReadBytes(mask_);
    bytes[bytes.size() - 100] = static_cast<char>(bytes[bytes.size() - 100] ^ 0x40);
    return dir_.Write("damaged.mask", bytes);
  }

  TempDir dir_;
  std::string mask_;
};

TEST_F(Inspect, PrintsATableOfTheLayers) {
  const ProgramResult result = Damask({"inspect", mask_});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* part : {"'llama'", "2 layers of 3 heads", "64 tokens", "density at 4096", "\n0 ", "\n1 ", "\nall "}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << " in " << result.out;
  }
}

TEST_F(Inspect, JsonHasTheKeysOfTheContract) {
  const Json object = DamaskJson({"inspect", mask_, "--length", "2000"});
  ASSERT_EQ(object["heads"].size(), kLayers * kHeads);
  const Json& head = object["heads"][4];
  EXPECT_EQ(head["layer"], 1);
  EXPECT_EQ(head["head"], 1);
  EXPECT_EQ(head["treatment"], "dense");
  EXPECT_EQ(head["density"], 1.0);
  EXPECT_TRUE(head["mass"].is_null());
  EXPECT_GT(object["heads"][0]["mass"], 0.0);
  EXPECT_TRUE(head["effect"].is_null());
  EXPECT_TRUE(head["rank"].is_null());
  EXPECT_LT(object["heads"][0]["density"], 1.0);
  EXPECT_EQ(object["density_length"], 2000);
  EXPECT_EQ(object["fingerprint"]["model"], "<script>");
  EXPECT_EQ(object["parameters"]["transform"], "boxcox");
}

TEST_F(Inspect, WritesAPageWithEveryHead) {
  const std::string page_file = dir_.File("report.html");
  const ProgramResult result = Damask({"inspect", mask_, "-o", page_file});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  const std::string page = ReadBytes(page_file);
  EXPECT_EQ(page.rfind("<!DOCTYPE html>", 0), 0u);
  EXPECT_NE(page.find("</html>"), std::string::npos);
  EXPECT_EQ(page.find("mask of <script>"), std::string::npos);
  for (const char* name : {">0.0<", ">0.2<", ">1.1<", ">1.2<"}) EXPECT_NE(page.find(name), std::string::npos) << name;
  // A length of one's own comes first.
  ASSERT_EQ(Damask({"inspect", mask_, "-o", page_file, "--length", "777"}).exit_code, 0);
  EXPECT_NE(ReadBytes(page_file).find("<option>777</option><option>1024</option>"), std::string::npos);
}

TEST_F(Inspect, WritesThePicturesOfOneHead) {
  const std::string file = dir_.File("head.png");
  const Json object = DamaskJson({"inspect", mask_, "--png", "1.1", file});
  EXPECT_EQ(object["heads"].size(), kLayers * kHeads);
  const ReadPicture read = ReadPng(ReadBytes(file));
  ASSERT_EQ(read.height, 512u);
  ASSERT_EQ(read.width, 4u * 512 + 3 * 16);
  const report::HeadPicture drawn = report::DrawHead(SomeMask().head(1, 1), SomeMask().parameters, 512);
  for (size_t i = 0; i < read.pixels.size(); ++i) {
    const report::Colour expected = drawn.palette[drawn.picture.pixels[i]];
    ASSERT_EQ(read.pixels[i].alpha, expected.alpha) << i;
    if (expected.alpha != 0) {
      ASSERT_EQ(read.pixels[i], expected) << i;
    }
  }
  EXPECT_EQ(read.at(511, read.width - 1), report::MaskPalette()[report::kDenseFill]);
}

TEST_F(Inspect, OutputIsAnotherNameOfOut) {
  EXPECT_EQ(Damask({"inspect", mask_, "--output", dir_.File("report.html")}).exit_code, 0);
  EXPECT_EQ(ReadBytes(dir_.File("report.html")).rfind("<!DOCTYPE html>", 0), 0u);
}

TEST_F(Inspect, AHeadThatTheMaskLacksIsOneSentence) {
  const std::string file = dir_.File("head.png");
  for (const char* head : {"9.9", "2.0", "0.3", "1", "", "1.1.1", "-1.0", "1.x", "0.4294967296", "a.b"}) {
    ExpectRefused(Damask({"inspect", mask_, "--png", head, file}),
                  "expected a head of this mask, layer.head: layers 0 to 1, heads 0 to 2");
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  ExpectRefused(Damask({"inspect", mask_, "--png", "1.1"}), "--png wants a value (L.H FILE)");
  ExpectRefused(Damask({"inspect", mask_, "--png"}), "--png wants a value (L.H FILE)");
}

TEST_F(Inspect, FilesThatAreNoMaskAreRefused) {
  ExpectRefused(Damask({"inspect"}), "the mask file is missing");
  ExpectRefused(Damask({"inspect", dir_.File("none.mask")}), "none.mask");
  ExpectRefused(Damask({"inspect", TinyModel()}), "not a damask mask file");
  ExpectRefused(Damask({"inspect", Damaged(), "-o", dir_.File("x.html")}), "checksum");
  ExpectRefused(Damask({"inspect", dir_.Write("cut.mask", ReadBytes(mask_).substr(0, 5000)), "--json"}), "were written");
  ExpectRefused(Damask({"inspect", dir_.Write("empty.mask", "")}), "not a damask mask file");
  EXPECT_FALSE(std::filesystem::exists(dir_.File("x.html")));
}

TEST_F(Inspect, AFileThatCannotBeWrittenIsOneSentence) {
  ExpectRefused(Damask({"inspect", mask_, "-o", dir_.File("no/such/folder.html")}), "-o: there is no folder");
  ExpectRefused(Damask({"inspect", mask_, "--png", "1.1", dir_.path()}), "--png");
  ExpectRefused(Damask({"inspect", mask_, "--length", "0"}), "--length");
}

TEST_F(Inspect, CheckReadsMaskFilesToo) {
  EXPECT_NE(Damask({"check", mask_}).out.find("no faults"), std::string::npos);
  const Json good = DamaskJson({"check", mask_});
  EXPECT_EQ(good["faults"].size(), 0u);
  EXPECT_EQ(good["loads"], true);
  const ProgramResult bad = Damask({"check", Damaged(), "--json"});
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_EQ(JsonOf(bad)["loads"], false);
  EXPECT_NE(JsonOf(bad)["faults"][0]["what"].get<std::string>().find("checksum"), std::string::npos);
  EXPECT_EQ(bad.err.rfind("damask: error: ", 0), 0u);
  EXPECT_NE(bad.err.find("the mask cannot be used"), std::string::npos);
}

TEST_F(Inspect, EveryFaultOfAMaskNamesItsFile) {
  std::string bytes = ReadBytes(mask_);
  bytes[8] = static_cast<char>(bytes[8] ^ 0x40);  // the byte order mark: a fault with a place of its own
  const Json object = JsonOf(Damask({"check", dir_.Write("order.mask", bytes), "--json"}));
  ASSERT_FALSE(object["faults"].empty());
  for (const Json& fault : object["faults"]) {
    EXPECT_NE(fault["where"].get<std::string>().find("order.mask'"), std::string::npos) << object;
  }
}

TEST_F(Inspect, DiffComparesTwoMasks) {
  const Json same = DamaskJson({"inspect", mask_, "--diff", mask_});
  EXPECT_EQ(same["heads_changed"], 0);
  EXPECT_EQ(same["density_before"], same["density_after"]);
  EXPECT_NE(Damask({"inspect", mask_, "--diff", mask_, "--quiet"}).out.find("0 of "), std::string::npos);
  ExpectRefused(Damask({"inspect", mask_, "--diff", mask_, "-o", dir_.File("p.html")}), "--diff compares figures");
  ExpectRefused(Damask({"inspect", mask_, "--diff", Damaged()}), "checksum");
}

TEST_F(Inspect, AMaskIsNoModel) {
  for (const std::string command : {"generate", "tokenize"}) {
    ExpectRefused(Damask({command, "-m", mask_, "-p", "x"}), "some.mask': is a mask file, expected a model: --mask");
  }
}

}  // namespace
}  // namespace damask::test
