#include "server/page.h"

#include <filesystem>
#include <regex>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "base/file.h"

namespace damask::server {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(DAMASK_SOURCE_DIR) / "src/server/page";

std::set<std::string> AllMatches(std::string_view text, const std::string& pattern) {
  const std::regex regex(pattern);
  const std::string copy(text);
  std::set<std::string> found;
  for (std::sregex_iterator at(copy.begin(), copy.end(), regex), end; at != end; ++at) found.insert((*at)[1].str());
  return found;
}

TEST(Page, EveryFileOfTheFolderIsInTheProgramByteForByte) {
  size_t files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    const PageFile* file = FindPageFile(name == "index.html" ? "/" : "/" + name);
    ASSERT_NE(file, nullptr) << name;
    const Result<std::string> bytes = ReadTextFile(entry.path().string(), 1 << 20);
    ASSERT_TRUE(bytes.ok()) << bytes.status().message();
    EXPECT_EQ(file->content, *bytes) << name;
    ++files;
  }
  EXPECT_EQ(files, PageFiles().size());
}

TEST(Page, OtherPathsAreNotFound) {
  for (const char* path : {"", "/index.html", "/page.css/", "page.css", "/../page.css", "/PAGE.CSS", "//", "/page.cs"})
    EXPECT_EQ(FindPageFile(path), nullptr) << path;
}

// What a policy of default-src 'self' would refuse, and what would be missing.
TEST(Page, UsesOnlyItsOwnFilesAndNothingInline) {
  const std::string_view index = FindPageFile("/")->content;
  for (const std::string& target : AllMatches(index, "(?:src|href)=\"([^\"]*)\"")) {
    EXPECT_TRUE(target == "/mask" || FindPageFile(target) != nullptr) << target;
  }
  EXPECT_EQ(AllMatches(index, "(\\s(?:on[a-z]+|style)=)"), std::set<std::string>());
  EXPECT_EQ(AllMatches(index, "(<script(?![^>]*src=)[^>]*>|<style|javascript:)"), std::set<std::string>());
  for (const PageFile& file : PageFiles()) {
    if (file.path.ends_with(".js")) {
      for (const std::string& target : AllMatches(file.content, "from '\\.([^']*)'"))
        EXPECT_NE(FindPageFile(target), nullptr) << file.path << " imports " << target;
      EXPECT_EQ(AllMatches(file.content, "(innerHTML|outerHTML|insertAdjacentHTML|document\\.write|eval\\(|new Function)"),
                std::set<std::string>())
          << file.path;
    }
    // The name of SVG's namespace is not an address that anything asks.
    EXPECT_TRUE(file.path == "/page.svg" || file.content.find("://") == std::string_view::npos) << file.path;
  }
}

// getElementById of what is not there ends in an error only when that line runs.
TEST(Page, ScriptsNameOnlyElementsThatExist) {
  const std::set<std::string> ids = AllMatches(FindPageFile("/")->content, "\\sid=\"([^\"]*)\"");
  ASSERT_GT(ids.size(), 20u);
  for (const PageFile& file : PageFiles()) {
    if (!file.path.ends_with(".js")) continue;
    for (const std::string& id : AllMatches(file.content, "(?:\\$|getElementById)\\('([^']*)'\\)"))
      EXPECT_EQ(ids.count(id), 1u) << file.path << " names " << id;
  }
}

}  // namespace
}  // namespace damask::server
