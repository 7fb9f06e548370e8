// The seed files of the fuzz targets and every input they once broke on (BAD_INPUT R6): read in each run of the tests.
#include <filesystem>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/check.h"
#include "formats/json.h"
#include "tests/formats/test_files.h"
#include "tests/temp_dir.h"

namespace damask::formats::test {
namespace {

std::vector<std::string> CorpusFiles(const std::string& parser) {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(DAMASK_SOURCE_DIR) + "/tests/corpus/" + parser)) {
    files.push_back(entry.path());
  }
  return files;
}

TEST(CorpusTest, EveryModelFileIsReadOrRefused) {
  for (const char* parser : {"gguf", "safetensors"}) {
    size_t sound = 0;
    const auto files = CorpusFiles(parser);
    for (const std::string& path : files) {
      const std::string bytes = damask::test::ReadBytes(path);
      const MemoryFile memory(bytes);
      const bool fine = CheckModelBytes(memory.file()).empty();
      sound += fine ? 1 : 0;
      // Whatever the checker finds nothing wrong with can be opened.
      EXPECT_TRUE(!fine || ParseGguf(bytes).ok() || ParseSafetensors(bytes).ok()) << path;
    }
    EXPECT_GT(sound, 0u) << "no sound file among the seeds of " << parser;
    EXPECT_LT(sound, files.size()) << "no broken file among the seeds of " << parser;
  }
}

TEST(CorpusTest, EveryJsonTextIsReadOrRefused) {
  size_t sound = 0;
  for (const std::string& path : CorpusFiles("json")) sound += ParseJson(damask::test::ReadBytes(path)).ok() ? 1 : 0;
  EXPECT_GT(sound, 0u);
}

}  // namespace
}  // namespace damask::formats::test
