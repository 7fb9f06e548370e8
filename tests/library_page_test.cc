// What docs/library.md shows is compiled: every line of its C++ stands, in the same order, in examples/tour.cc.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

// Without the spaces that lines begin with, and without empty ones.
std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const size_t begin = line.find_first_not_of(' ');
    if (begin != std::string::npos) lines.push_back(line.substr(begin));
  }
  return lines;
}

std::vector<std::vector<std::string>> Snippets(const std::vector<std::string>& page) {
  std::vector<std::vector<std::string>> snippets;
  bool inside = false;
  for (const std::string& line : page) {
    if (line == "```cpp") snippets.emplace_back();
    if (inside && line != "```") snippets.back().push_back(line);
    inside = line == "```cpp" || (inside && line != "```");
  }
  return snippets;
}

TEST(LibraryPage, EverySnippetIsCompiled) {
  const std::vector<std::string> tour = Lines(test::ReadBytes(DAMASK_SOURCE_DIR "/examples/tour.cc"));
  const auto snippets = Snippets(Lines(test::ReadBytes(DAMASK_SOURCE_DIR "/docs/library.md")));
  EXPECT_GT(snippets.size(), 5u);
  for (const std::vector<std::string>& snippet : snippets) {
    ASSERT_FALSE(snippet.empty());
    EXPECT_NE(std::search(tour.begin(), tour.end(), snippet.begin(), snippet.end()), tour.end()) << snippet.front();
  }
}

}  // namespace
}  // namespace damask
