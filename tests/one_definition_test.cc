// One name in one namespace is one type in the whole program: two definitions of it in two files would link without a word, and
// one file would then work with the other's. Checked over the text of the files, so that also those count that no test includes
// together.
#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

namespace fs = std::filesystem;

// Where the text or number in quotes that begins at `at` ends: behind its closing quote.
size_t EndOfQuoted(std::string_view text, size_t at) {
  if (text[at] == '"' && at > 0 && text[at - 1] == 'R') {
    const size_t open = text.find('(', at);
    const std::string end = ")" + std::string(text.substr(at + 1, open - at - 1)) + "\"";
    return text.find(end, open) + end.size();
  }
  const char quote = text[at];
  for (++at; at < text.size() && text[at] != quote; ++at) {
    if (text[at] == '\\') ++at;
  }
  return at + 1;
}

// C++ without comments, without what stands in quotes, and without lines of the preprocessor.
std::string BareCode(std::string_view text) {
  std::string bare;
  for (size_t at = 0; at < text.size();) {
    const bool line_begins = bare.find_last_not_of(" \t") == std::string::npos || bare[bare.find_last_not_of(" \t")] == '\n';
    const bool in_number = at > 0 && text[at] == '\'' && std::isxdigit(static_cast<unsigned char>(text[at - 1])) != 0;
    if (text.substr(at, 2) == "//") {
      at = std::min(text.find('\n', at), text.size());
    } else if (text.substr(at, 2) == "/*") {
      at = std::min(text.find("*/", at), text.size() - 2) + 2;
    } else if (text[at] == '#' && line_begins) {
      do {
        at = std::min(text.find('\n', at + 1), text.size());
      } while (at < text.size() && text[at - 1] == '\\');
    } else if (text[at] == '"' || (text[at] == '\'' && !in_number)) {
      at = EndOfQuoted(text, at);
      bare += "0";
    } else {
      bare += text[at++];
    }
  }
  return bare;
}

std::string Trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\n");
  return first == std::string::npos ? "" : text.substr(first, text.find_last_not_of(" \t\n") + 1 - first);
}

// Without "template <...>" in front of it.
std::string WithoutTemplate(std::string declaration) {
  while (declaration.starts_with("template")) {
    size_t at = declaration.find('<');
    if (at == std::string::npos) return declaration;
    for (int depth = 0; at < declaration.size(); ++at) {
      depth += declaration[at] == '<' ? 1 : declaration[at] == '>' ? -1 : 0;
      if (depth == 0) break;
    }
    declaration = at == declaration.size() ? "" : Trimmed(declaration.substr(at + 1));
  }
  return declaration;
}

// "" for what defines no type. A specialisation has its arguments in its name.
std::string TypeDefinedBy(const std::string& declaration) {
  static const std::regex kType(
      R"(^(class|struct|union|enum(\s+class|\s+struct)?)\s+((\[\[[\w:]+\]\]|alignas\s*\([^)]*\))\s*)*((::|[^:])*?)(\s+final)?\s*(:[^:](.|\n)*)?$)");
  const std::string bare = WithoutTemplate(declaration);
  std::smatch match;
  return std::regex_match(bare, match, kType) ? Trimmed(match[5]) : "";
}

// The full names of all types that a file defines in namespaces; those without a name have the file's.
std::vector<std::string> TypesOf(std::string_view text, const std::string& file) {
  static const std::regex kNamespace(R"(^(inline\s+)?namespace\s*([\w:]*)$)");
  std::vector<std::string> types;
  std::vector<std::string> scopes;
  std::string declaration;
  size_t inside = 0;  // of braces that are no namespace's
  for (const char c : BareCode(text)) {
    if (inside > 0) {
      inside += c == '{' ? 1 : 0;
      inside -= c == '}' ? 1 : 0;
    } else if (c == ';') {
      declaration.clear();
    } else if (c == '}') {
      if (!scopes.empty()) scopes.pop_back();
      declaration.clear();
    } else if (c != '{') {
      declaration += c;
    } else {
      const std::string opened = Trimmed(std::exchange(declaration, {}));
      std::smatch match;
      if (std::regex_match(opened, match, kNamespace)) {
        scopes.push_back(match[2].length() > 0 ? match[2].str() : "(" + file + ")");
        continue;
      }
      inside = 1;
      std::string name;
      for (const std::string& scope : scopes) name += scope + "::";
      if (const std::string type = TypeDefinedBy(opened); !type.empty()) types.push_back(name + type);
    }
  }
  return types;
}

// Name -> files that define it.
using Definitions = std::map<std::string, std::vector<std::string>>;

Definitions ReadDefinitions(const std::vector<fs::path>& folders) {
  Definitions all;
  for (const fs::path& folder : folders) {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".h" && extension != ".cc")) continue;
      const std::string file = (folder.filename() / fs::relative(entry.path(), folder)).generic_string();
      for (const std::string& type : TypesOf(test::ReadBytes(entry.path()), file)) all[type].push_back(file);
    }
  }
  return all;
}

std::vector<std::string> Doubles(const Definitions& definitions) {
  std::vector<std::string> doubles;
  for (const auto& [type, files] : definitions) {
    if (files.size() < 2) continue;
    std::string text = type + ":";
    for (const std::string& file : std::set<std::string>(files.begin(), files.end())) text += " " + file;
    doubles.push_back(text);
  }
  return doubles;
}

TEST(OneDefinition, EveryTypeOfANamespaceIsDefinedOnce) {
  const fs::path root = DAMASK_SOURCE_DIR;
  const Definitions definitions = ReadDefinitions({root / "src", root / "include"});
  EXPECT_GT(definitions.size(), 400u);
  EXPECT_EQ(definitions.count("damask::Status"), 1u);
  for (const std::string& twice : Doubles(definitions)) ADD_FAILURE() << "is defined more than once: " << twice;
}

TEST(OneDefinition, ASecondDefinitionIsFound) {
  const test::TempDir dir;
  fs::create_directory(dir.File("x"));
  dir.Write(
      "x/a.h",
      "#define OPEN {\n// struct Note {\nnamespace x::y {\nclass Declared;\nstruct Declared;\nenum class Kind : int { kOne };\n"
      "template <typename T, typename U = List<T>>\nclass [[nodiscard]] Twice final : public Base<T> {\n struct Part {};\n};\n"
      "struct Other { int n = 1'000; char c = '{'; const char* s = \"}\"; };\n}  // namespace x::y\n");
  dir.Write(
      "x/b.cc",
      "namespace x {\nnamespace y {\nstruct Twice {\n  struct Part {};\n};\nvoid Kind() {}\nnamespace {\nstruct Other {};\n}\n"
      "constexpr auto kText = R\"(struct Other {)\";\n}\nstruct Other {};\nstruct Note {};\n}\n");
  dir.Write("x/c.txt", "namespace x { struct Other {}; }");
  EXPECT_EQ(Doubles(ReadDefinitions({dir.File("x")})), (std::vector<std::string>{"x::y::Twice: x/a.h x/b.cc"}));
}

}  // namespace
}  // namespace damask
