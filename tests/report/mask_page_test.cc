#include "report/mask_page.h"

#include <cctype>
#include <set>

#include <gtest/gtest.h>

#include "masks/calibrate.h"
#include "report/html.h"
#include "report/mask_sprites.h"
#include "tests/masks/mask_cases.h"
#include "tests/report/read_png.h"

namespace damask::report {
namespace {

using masks::Mask;

Mask MadeFromMaps(size_t layers, size_t heads, size_t length) {
  const Result<Mask> mask = masks::CalibrateFromMaps(layers, heads,
                                                     [&](size_t layer, size_t head) -> Result<masks::AttentionMap> {
                                                       const masks::HeadStatistics statistics = masks::RandomStatistics(
                                                           length, 1, static_cast<uint32_t>(layer * heads + head));
                                                       masks::AttentionMap map{length, {}};
                                                       for (const double sum : statistics.sums())
                                                         map.cells.push_back(static_cast<float>(sum));
                                                       return map;
                                                     },
                                                     {});
  EXPECT_TRUE(mask.ok()) << mask.status().ToString();
  Mask made = *mask;
  for (size_t i = 0; i < made.heads.size(); ++i) made.heads[i].treatment = static_cast<masks::Treatment>(i % 3);
  return made;
}

std::string Page(const Mask& mask) {
  ThreadPool pool(2);
  const Result<std::string> page = MaskPage(mask, MeasureMask(mask, {4096, 1024}, &pool), &pool);
  EXPECT_TRUE(page.ok()) << page.status().ToString();
  return page.ok() ? *page : std::string();
}

size_t CountOf(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

// What is wrong with a page that should be well-formed as XML but for the texts of <style> and <script>; "" for nothing.
std::string FaultOf(const std::string& page) {
  std::vector<std::string> open;
  size_t at = page.find('\n');  // behind the doctype
  while (true) {
    const size_t tag = page.find('<', at);
    const std::string text = page.substr(at, tag - at);
    for (size_t i = text.find('&'); i != std::string::npos; i = text.find('&', i + 1)) {
      if (text.find(';', i) > i + 8) return "a bare & in: " + text;
    }
    if (tag == std::string::npos) break;
    // The end of the tag: a > outside of quotes.
    size_t end = tag + 1;
    for (bool quoted = false; end < page.size() && (quoted || page[end] != '>'); ++end) {
      if (page[end] == '"') quoted = !quoted;
      if (page[end] == '<') return "a < within a tag: " + page.substr(tag, 80);
    }
    if (end >= page.size()) return "a tag without end: " + page.substr(tag, 80);
    const bool closing = page[tag + 1] == '/';
    size_t name_end = tag + 1 + (closing ? 1 : 0);
    const size_t name_begin = name_end;
    while (std::isalnum(static_cast<unsigned char>(page[name_end])) != 0) ++name_end;
    const std::string name = page.substr(name_begin, name_end - name_begin);
    at = end + 1;
    if (closing) {
      if (open.empty() || open.back() != name) return "</" + name + "> does not close what is open";
      open.pop_back();
    } else if (page[end - 1] != '/') {
      open.push_back(name);
      if (name == "style" || name == "script") at = page.find("</" + name, at);
    }
  }
  return open.empty() ? "" : "<" + open.back() + "> stays open";
}

TEST(MaskPage, HoldsEveryHeadInGridAndTable) {
  const std::string page = Page(MadeFromMaps(3, 4, 48));
  EXPECT_EQ(CountOf(page, "<tr data-treatment="), 12u);
  EXPECT_EQ(CountOf(page, "class=\"cell "), 12u);
  for (size_t layer = 0; layer < 3; ++layer) {
    for (size_t head = 0; head < 4; ++head) {
      const std::string name = std::to_string(layer) + "." + std::to_string(head);
      EXPECT_NE(page.find("<button type=\"button\">" + name + "</button>"), std::string::npos) << name;
    }
    for (const char* view : {"mean", "amplified", "true", "extended"}) {
      EXPECT_EQ(CountOf(page, "." + std::string(view) + " .l" + std::to_string(layer) + " {"), 1u) << view << layer;
    }
  }
}

TEST(MaskPage, OnlyStaticHeadsHaveAMassAndTheLegendSaysSo) {
  Mask mask = MadeFromMaps(1, 3, 24);  // static, content, dense
  for (masks::HeadMask& head : mask.heads) {
    head.form = masks::StaticForm::kPatterns;
    head.mass = 0.625f;
    head.strong_key_hit = 0.875f;
  }
  const std::string page = Page(mask);
  EXPECT_EQ(CountOf(page, "<td data-v=\"0.625\">0.625</td><td data-v=\"0.875\">0.875</td>"), 1u);
  for (const char* treatment : {"content", "dense"}) {
    const std::string cells = std::string(treatment) + "</td><td data-v=\"\">-</td><td data-v=\"\">-</td>";
    EXPECT_EQ(CountOf(page, cells), 1u) << treatment;
  }
  EXPECT_NE(page.find("<b>0.875</b><span>mean mass"), std::string::npos);  // 0.625, 1 and 1
  EXPECT_NE(page.find("in mean and smallest mass they count as 1"), std::string::npos);
}

TEST(MaskPage, IsWellFormed) {
  EXPECT_EQ(FaultOf(Page(MadeFromMaps(1, 1, 5))), "");
  EXPECT_EQ(FaultOf(Page(MadeFromMaps(2, 33, 20))), "");
  Mask mask = masks::RandomMask(2, 3, 16, 9);  // without pictures of the maps
  mask.heads[3].form = masks::StaticForm::kWindow;
  mask.heads[3].window = 5;
  mask.parameters.joint_effect = 0.1;
  EXPECT_EQ(FaultOf(Page(mask)), "");
}

TEST(MaskPage, TheCheckOfWellFormednessFindsFaults) {
  EXPECT_NE(FaultOf("<!DOCTYPE html>\n<p>a & b</p>"), "");
  EXPECT_NE(FaultOf("<!DOCTYPE html>\n<p><b></p></b>"), "");
  EXPECT_NE(FaultOf("<!DOCTYPE html>\n<p title=\"<\"></p>"), "");
  EXPECT_NE(FaultOf("<!DOCTYPE html>\n<p>"), "");
}

TEST(MaskPage, NamesOfTheFileAreTextAndNothingElse) {
  Mask mask = MadeFromMaps(1, 2, 16);
  mask.fingerprint.model = "<script>alert('m')</script>";
  mask.fingerprint.architecture = "\"><img src=x onerror=alert(1)>&";
  const std::string page = Page(mask);
  EXPECT_EQ(FaultOf(page), "");
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("<img"), std::string::npos);
  EXPECT_GE(CountOf(page, "&lt;script&gt;alert("), 3u);  // title, heading, description
  EXPECT_EQ(CountOf(page, "<script>"), 1u);
}

TEST(MaskPage, FetchesNothing) {
  const std::string page = Page(MadeFromMaps(1, 2, 16));
  for (const char* part : {"http:", "https:", "src=", "@import", "<link", "fetch(", "XMLHttpRequest"}) {
    EXPECT_EQ(page.find(part), std::string::npos) << part;
  }
  // Pictures in the page itself, and a gradient of the legend.
  EXPECT_EQ(CountOf(page, "url("), CountOf(page, "url(data:image/png;base64,") + CountOf(page, "url(#"));
}

TEST(MaskPage, PicturesAreTheHeadsOwn) {
  const Mask mask = MadeFromMaps(1, 3, 40);
  ThreadPool pool(1);
  const Result<Sprites> sprites = DrawSprites(mask, &pool);
  ASSERT_TRUE(sprites.ok());
  EXPECT_EQ(sprites->columns, 3u);
  EXPECT_EQ(sprites->rows, 1u);
  const std::string page = Page(mask);
  for (size_t view = 0; view < kViews.size(); ++view) {
    const std::string& png = sprites->layers[0][view];
    EXPECT_NE(page.find(Base64(png)), std::string::npos);
    const test::ReadPicture read = test::ReadPng(png);
    for (size_t head = 0; head < 3; ++head) {
      const Picture own = DrawView(kViews[view], mask.heads[head], mask.parameters, 128);
      ASSERT_EQ(read.width, 3 * own.width);
      ASSERT_EQ(read.height, own.height);
      for (size_t y = 0; y < own.height; ++y) {
        for (size_t x = 0; x < own.width; ++x) {
          const Colour expected = PaletteOf(kViews[view])[own.at(y, x)];
          ASSERT_EQ(read.at(y, head * own.width + x).alpha, expected.alpha);
          if (expected.alpha != 0) {
            ASSERT_EQ(read.at(y, head * own.width + x), expected);
          }
        }
      }
    }
  }
}

TEST(MaskPage, ManyHeadsOfALayerStandInSeveralRowsOfTiles) {
  ThreadPool pool(2);
  const Mask mask = MadeFromMaps(1, 40, 8);
  const Result<Sprites> sprites = DrawSprites(mask, &pool);
  ASSERT_TRUE(sprites.ok());
  EXPECT_EQ(sprites->columns, 32u);
  EXPECT_EQ(sprites->rows, 2u);
  EXPECT_NE(Page(mask).find("<i class=\"pic l0 x7 y1\"></i>"), std::string::npos);
}

TEST(MaskPage, AThousandHeadsAreAFewMegabytes) {
  const std::string page = Page(MadeFromMaps(32, 32, 32));
  EXPECT_EQ(CountOf(page, "class=\"cell "), 1024u);
  EXPECT_LT(page.size(), 4u << 20);
}

TEST(MaskPage, MoreHeadsThanAPageShowsAreRefused) {
  Mask mask;
  mask.fingerprint.layers = 1024;
  mask.fingerprint.heads = 17;
  mask.parameters.capture_length = 1;
  mask.heads.resize(1024 * 17);
  ThreadPool pool(1);
  const Result<std::string> page = MaskPage(mask, {}, &pool);
  EXPECT_EQ(page.status().code(), StatusCode::kTooLarge);
}

}  // namespace
}  // namespace damask::report
