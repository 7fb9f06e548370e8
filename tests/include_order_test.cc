// The layers of src/, checked over the text of its files: a folder includes only itself and folders below it, and no two
// headers include each other. Small as it is, it keeps the way of the data a way.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask {
namespace {

namespace fs = std::filesystem;

// From the bottom. Folders of one row stand beside each other and may not include one another.
const std::vector<std::vector<std::string>> kLayers = {{"base"},   {"formats"},  {"tokenizer"}, {"texts"},  {"kernels"},
                                                       {"masks"},  {"policies"}, {"model"},     {"engine"}, {"evals"},
                                                       {"report"}, {"batching"}, {"server"},    {"cli"}};

std::optional<size_t> LayerOf(const std::string& folder) {
  for (size_t layer = 0; layer < kLayers.size(); ++layer) {
    if (std::find(kLayers[layer].begin(), kLayers[layer].end(), folder) != kLayers[layer].end()) return layer;
  }
  return std::nullopt;
}

std::string FolderOf(const std::string& file) { return file.substr(0, file.find('/')); }

// file, as it is included -> what it includes in double quotes, line by line.
using Includes = std::map<std::string, std::vector<std::string>>;

Includes ReadIncludes(const fs::path& root) {
  static const std::set<std::string> kSources = {".h", ".cc", ".inc", ".S"};
  Includes all;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root)) {
    if (!entry.is_regular_file() || kSources.count(entry.path().extension().string()) == 0) continue;
    std::vector<std::string>& targets = all[fs::relative(entry.path(), root).generic_string()];
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) {
      const size_t hash = line.find_first_not_of(" \t");
      if (hash == std::string::npos || line[hash] != '#') continue;
      const size_t word = line.find_first_not_of(" \t", hash + 1);
      if (word == std::string::npos || line.compare(word, 7, "include") != 0) continue;
      const size_t open = line.find('"', word);
      const size_t close = open == std::string::npos ? open : line.find('"', open + 1);
      if (close != std::string::npos) targets.push_back(line.substr(open + 1, close - open - 1));
    }
  }
  return all;
}

// One sentence for each include that breaks the order.
std::vector<std::string> OrderFaults(const Includes& includes) {
  std::vector<std::string> faults;
  for (const auto& [file, targets] : includes) {
    if (file.find('/') == std::string::npos) continue;
    const std::string from = FolderOf(file);
    const std::optional<size_t> layer = LayerOf(from);
    if (!layer) {
      faults.push_back(file + " lies in a folder that has no place in the order of tests/include_order_test.cc");
      continue;
    }
    for (const std::string& target : targets) {
      const std::string to = FolderOf(target);
      const std::optional<size_t> target_layer = LayerOf(to);
      if (!target_layer || to == from) continue;  // include/damask, generated files
      if (*target_layer >= *layer) faults.push_back(file + " includes " + target + ": " + to + " is not below " + from);
    }
  }
  return faults;
}

// The first ring of includes found from `file`, in order, or nothing.
std::vector<std::string> FindRing(const Includes& includes, const std::string& file, std::vector<std::string>& path,
                                  std::set<std::string>& done) {
  const auto seen = std::find(path.begin(), path.end(), file);
  if (seen != path.end()) return {seen, path.end()};
  const auto entry = includes.find(file);
  if (entry == includes.end() || done.count(file) != 0) return {};
  path.push_back(file);
  for (const std::string& target : entry->second) {
    // Highway's way of compiling one file for several targets includes the file from itself, through a header.
    if (target == file) continue;
    std::vector<std::string> ring = FindRing(includes, target, path, done);
    if (!ring.empty()) return ring;
  }
  path.pop_back();
  done.insert(file);
  return {};
}

std::vector<std::string> AnyRing(const Includes& includes) {
  std::set<std::string> done;
  for (const auto& entry : includes) {
    std::vector<std::string> path;
    std::vector<std::string> ring = FindRing(includes, entry.first, path, done);
    if (!ring.empty()) return ring;
  }
  return {};
}

const fs::path kSource = fs::path(DAMASK_SOURCE_DIR) / "src";

TEST(IncludeOrder, NoFolderIncludesOneAboveIt) {
  const Includes includes = ReadIncludes(kSource);
  ASSERT_GT(includes.size(), 10u);
  for (const std::string& fault : OrderFaults(includes)) ADD_FAILURE() << "src/" << fault;
}

TEST(IncludeOrder, NoFilesIncludeEachOther) {
  const std::vector<std::string> ring = AnyRing(ReadIncludes(kSource));
  std::string text;
  for (const std::string& file : ring) text += file + " -> ";
  EXPECT_TRUE(ring.empty()) << text << "the first";
}

TEST(IncludeOrder, PublicHeadersIncludeNothingOfTheSources) {
  for (const auto& [file, targets] : ReadIncludes(fs::path(DAMASK_SOURCE_DIR) / "include")) {
    for (const std::string& target : targets)
      EXPECT_EQ(FolderOf(target), "damask") << "include/" << file << " includes " << target;
  }
}

TEST(IncludeOrder, ABrokenTreeIsFound) {
  const test::TempDir dir;
  for (const char* folder : {"base", "engine", "cli", "server", "attic"}) fs::create_directory(dir.File(folder));
  dir.Write("base/a.h", "#include \"engine/b.h\"\n");
  dir.Write("engine/b.h", "  #  include \"base/a.h\"  // fine but for the ring\n");
  dir.Write("cli/c.cc", "// #include \"server/d.h\"\n#include <fmt/format.h>\n");
  dir.Write("server/d.h", "#include \"cli/e.h\"\n");
  dir.Write("attic/f.h", "");
  const Includes includes = ReadIncludes(dir.path());
  EXPECT_EQ(OrderFaults(includes),
            (std::vector<std::string>{
                "attic/f.h lies in a folder that has no place in the order of tests/include_order_test.cc",
                "base/a.h includes engine/b.h: engine is not below base",
                "server/d.h includes cli/e.h: cli is not below server",
            }));
  EXPECT_EQ(AnyRing(includes), (std::vector<std::string>{"base/a.h", "engine/b.h"}));
}

}  // namespace
}  // namespace damask
