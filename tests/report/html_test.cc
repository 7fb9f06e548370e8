#include "report/html.h"

#include <gtest/gtest.h>

namespace damask::report {
namespace {

TEST(EscapeHtml, LeavesNothingThatAPageWouldRead) {
  EXPECT_EQ(EscapeHtml("<script>alert(\"a\" & 'b')</script>"),
            "&lt;script&gt;alert(&quot;a&quot; &amp; &#39;b&#39;)&lt;/script&gt;");
  EXPECT_EQ(EscapeHtml("grün 狗"), "grün 狗");
}

TEST(EscapeHtml, ReplacesControlsAndBytesThatAreNotUtf8) {
  EXPECT_EQ(EscapeHtml(std::string_view("a\0b\x1b\x7f\xff\xc2\x85", 8)),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(EscapeHtml("tab\tline\n"), "tab\tline\n");
}

TEST(Base64, HasTheValuesOfRfc4648) {
  EXPECT_EQ(Base64(""), "");
  EXPECT_EQ(Base64("f"), "Zg==");
  EXPECT_EQ(Base64("fo"), "Zm8=");
  EXPECT_EQ(Base64("foo"), "Zm9v");
  EXPECT_EQ(Base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(Base64("\xff\xfe\xfd"), "//79");
}

}  // namespace
}  // namespace damask::report
