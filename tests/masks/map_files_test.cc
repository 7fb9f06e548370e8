#include "masks/map_files.h"

#include <cstring>

#include <gtest/gtest.h>

#include "tests/temp_dir.h"

namespace damask::masks {
namespace {

std::string Message(std::string_view text) {
  const Result<AttentionMap> map = ParseTextMap(text);
  EXPECT_FALSE(map.ok()) << text;
  return map.status().ToString();
}

TEST(TextMap, ReadsTrianglesAndSquaresAlike) {
  const Result<AttentionMap> triangle = ParseTextMap("1\n0.25 0.75\n0.5 0.125 0.375\n");
  ASSERT_TRUE(triangle.ok()) << triangle.status().ToString();
  EXPECT_EQ(triangle->length, 3u);
  EXPECT_EQ(triangle->cells, (std::vector<float>{1, 0.25, 0.75, 0.5, 0.125, 0.375}));
  const Result<AttentionMap> square = ParseTextMap("1,0,0\r\n0.25,0.75,0\r\n0.5,\t0.125 0.375");
  ASSERT_TRUE(square.ok()) << square.status().ToString();
  EXPECT_EQ(square->cells, triangle->cells);
}

TEST(TextMap, TakesMeansThatAreTooSmallForAFloat) {
  const Result<AttentionMap> map = ParseTextMap("1\n0.5 0.5\n1e-50 5e-324 1\n");
  ASSERT_TRUE(map.ok()) << map.status().ToString();
  EXPECT_EQ(map->cells, (std::vector<float>{1, 0.5, 0.5, 0, 0, 1}));
}

TEST(TextMap, ReadsThePublishedMaps) {
  for (const char* name : {"average_layer_10_head_1.txt", "average_layer_14_head_9.txt"}) {
    const Result<AttentionMap> map = ReadMapFile(std::string(DAMASK_SOURCE_DIR) + "/tests/masks/data/" + name);
    ASSERT_TRUE(map.ok()) << map.status().ToString();
    EXPECT_EQ(map->length, 32u);
    EXPECT_EQ(map->cells.size(), 528u);
  }
}

TEST(TextMap, HostileTextsAreRefusedNamingTheLine) {
  EXPECT_EQ(Message(""), "the map is empty");
  EXPECT_EQ(Message("\n\n"), "the map is empty");
  EXPECT_EQ(Message("1\nx 1\n"), "line 2: found 'x' where a number was expected");
  EXPECT_EQ(Message("1\n0.5z 0.5\n"), "line 2: found '0.5z' where a number was expected");
  EXPECT_EQ(Message("1\n\n0.5 0.5\n"), "line 2: an empty line inside the map");
  EXPECT_EQ(Message("1\n0.5 0.4 0.1\n"), "line 2: 3 values, expected 2");
  EXPECT_EQ(Message("1 0\n0.5\n"), "line 2: 1 values, expected 2");
  EXPECT_EQ(Message("1 0\n0.5 0.5\n0.5 0.5\n"), "line 3: 2 values, expected 0");
  EXPECT_EQ(Message("1 0 0\n0.5 0.5 0\n"), "2 rows of 3 values each");
  EXPECT_EQ(Message("nan\n"), "row 0 key 0 is nan, expected a probability");
  EXPECT_EQ(Message("inf\n"), "row 0 key 0 is inf, expected a probability");
  EXPECT_EQ(Message("-1\n"), "row 0 key 0 is -1, expected a probability");
  EXPECT_EQ(Message("149.95\n"), "row 0 key 0 is 149.95, expected a probability");
  EXPECT_EQ(Message("1\n0.5 0.3\n"), "row 1 sums to 0.8000, expected 1 (mean probabilities, not amplified values)");
  EXPECT_EQ(Message("0.9 0.1\n0.5 0.5\n"), "row 0 key 1 is 0.1, expected 0 above the diagonal");
  EXPECT_EQ(Message(std::string(1, '\0')), "line 1: found '\\x00' where a number was expected");
  std::string wide;
  for (size_t i = 0; i < 5000; ++i) wide += "0 ";
  EXPECT_EQ(Message(wide), "line 1: a row of more than 4096 values");
}

TEST(TextMap, AmplifiedMapsAreNoMeanMaps) {
  EXPECT_FALSE(ReadMapFile(std::string(DAMASK_SOURCE_DIR) + "/tests/masks/data/sqrt_layer_10_head_1.txt").ok());
}

std::string Npy(std::string_view header, std::string_view data, char major = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += major;
  bytes += '\0';
  std::string text(header);
  text += '\n';
  bytes += static_cast<char>(text.size() & 0xff);
  bytes += static_cast<char>(text.size() >> 8);
  if (major > 1) bytes += std::string(2, '\0');
  return bytes + text + std::string(data);
}

template <typename T>
std::string Numbers(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

Result<AttentionMap> ParseNpy(const std::string& bytes) { return ParseNpyMap(std::as_bytes(std::span(bytes))); }

const std::string kHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";

TEST(NpyMap, ReadsFloatsAndDoublesOfEveryFormatVersion) {
  const std::string floats = Numbers<float>({1, 0, 0.25, 0.75});
  for (const char major : {1, 2, 3}) {
    const Result<AttentionMap> map = ParseNpy(Npy(kHeader, floats, major));
    ASSERT_TRUE(map.ok()) << map.status().ToString();
    EXPECT_EQ(map->cells, (std::vector<float>{1, 0.25, 0.75}));
  }
  const Result<AttentionMap> doubles =
      ParseNpy(Npy("{'shape': (2,2),'descr': \"<f8\", 'fortran_order': False}", Numbers<double>({1, 0, 0.25, 0.75})));
  ASSERT_TRUE(doubles.ok()) << doubles.status().ToString();
  EXPECT_EQ(doubles->cells, (std::vector<float>{1, 0.25, 0.75}));
}

TEST(NpyMap, IsFoundByItsNamesEnding) {
  const test::TempDir dir;
  EXPECT_TRUE(ReadMapFile(dir.Write("a.npy", Npy(kHeader, Numbers<float>({1, 0, 0.5, 0.5})))).ok());
  const Result<AttentionMap> text = ReadMapFile(dir.Write("b.npy", "1\n"));
  EXPECT_EQ(text.status().message(), "not a NumPy array file");
}

TEST(NpyMap, HostileFilesAreRefused) {
  const std::string data = Numbers<float>({1, 0, 0.25, 0.75});
  const auto message = [](const std::string& bytes) {
    const Result<AttentionMap> map = ParseNpy(bytes);
    EXPECT_FALSE(map.ok());
    return map.status().message();
  };
  EXPECT_EQ(message(""), "not a NumPy array file");
  EXPECT_EQ(message(Npy(kHeader, data, 9)), "NumPy format version 9.0, expected 1 to 3");
  EXPECT_EQ(message(Npy(kHeader, data.substr(1))), "15 bytes of data, expected 16");
  EXPECT_EQ(message(Npy(kHeader, data + "x")), "17 bytes of data, expected 16");
  EXPECT_EQ(message(Npy("{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2)}", data)),
            "the array has numbers of type '<f2', expected little-endian float32 ('<f4')");
  EXPECT_EQ(message(Npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 2)}", data)),
            "the array has records, expected float32");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", data)),
            "the array is in Fortran order, expected C order");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4,)}", data)),
            "the array has one dimension, expected two");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 1)}", data)),
            "the array has more than two dimensions, expected two");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4, 1)}", data)),
            "shape (4, 1), expected a square map");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 0)}", "")), "the map is empty");
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}", data)),
            "4294967296 rows, expected at most 4096");
  EXPECT_FALSE(ParseNpy(Npy("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2)}", data)).ok());
  EXPECT_EQ(message(Npy("{'descr': '<f4', 'fortran_order': False}", data)), "the header lacks descr, fortran_order or shape");
  EXPECT_FALSE(ParseNpy(Npy("{'descr': '<f4', 'evil': 1}", data)).ok());
  EXPECT_FALSE(ParseNpy(Npy("{'descr': '<f4", data)).ok());
}

TEST(NpyMap, AFileCutAnywhereIsRefused) {
  const std::string bytes = Npy(kHeader, Numbers<float>({1, 0, 0.25, 0.75}));
  for (size_t size = 0; size < bytes.size(); ++size) ASSERT_FALSE(ParseNpy(bytes.substr(0, size)).ok()) << size;
}

TEST(MapFolder, NumbersCountFromZeroOrFromOne) {
  for (const int base : {0, 1}) {
    const test::TempDir dir;
    for (int layer = 0; layer < 2; ++layer) {
      for (int head = 0; head < 3; ++head) {
        dir.Write("layer_" + std::to_string(layer + base) + "_head_" + std::to_string(head + base) + ".txt", "1\n");
      }
    }
    const Result<MapFolder> folder = ListMapFolder(dir.path());
    ASSERT_TRUE(folder.ok()) << folder.status().ToString();
    EXPECT_EQ(folder->layers, 2u);
    EXPECT_EQ(folder->heads, 3u);
    EXPECT_TRUE(folder->files[5].ends_with("layer_" + std::to_string(1 + base) + "_head_" + std::to_string(2 + base) + ".txt"));
  }
}

TEST(MapFolder, WrongFoldersAreRefused) {
  const test::TempDir dir;
  EXPECT_EQ(ListMapFolder(dir.File("none")).status().code(), StatusCode::kIo);
  EXPECT_EQ(ListMapFolder(dir.path()).status().code(), StatusCode::kNotFound);
  dir.Write("layer_0_head_0.txt", "1\n");
  dir.Write("layer_00_head_0.npy", "");
  EXPECT_EQ(ListMapFolder(dir.path()).status().message(), "layer 0 head 0 comes twice");
  const test::TempDir huge;
  huge.Write("layer_18446744073709551615_head_0.txt", "1\n");
  EXPECT_EQ(ListMapFolder(huge.path()).status().code(), StatusCode::kTooLarge);
}

}  // namespace
}  // namespace damask::masks
