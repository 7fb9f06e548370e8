// Mask files: what is written is read again; rows M01 to M06 of the catalogue of bad input.
#include "masks/mask_file.h"

#include <cmath>
#include <cstring>
#include <filesystem>
#include <functional>
#include <limits>

#include <gtest/gtest.h>

#include "tests/masks/mask_bytes.h"
#include "tests/masks/mask_cases.h"
#include "tests/temp_dir.h"

namespace damask::masks {
namespace {

std::string SectionBytes(uint32_t kind, uint32_t flags, const std::string& payload) {
  std::string bytes(16, '\0');
  const uint64_t size = payload.size();
  std::memcpy(&bytes[0], &kind, 4);
  std::memcpy(&bytes[4], &flags, 4);
  std::memcpy(&bytes[8], &size, 8);
  return bytes + payload;
}

// A file that breaks what CheckMask asks for can only be made by hand; this is the mask of the tests after `change`, and the
// error.
Status CheckChanged(const std::function<void(Mask*)>& change) {
  Mask mask = RandomMask(2, 4, 20, 1);
  change(&mask);
  const Result<std::string> bytes = SerializeMask(mask);
  EXPECT_FALSE(bytes.ok()) << "a broken mask was written";
  return CheckMask(mask);
}

Mask FullMask() {
  Mask mask = RandomMask(2, 4, 20, 1);
  mask.heads[3].form = StaticForm::kWindow;
  mask.heads[3].window = 64;
  mask.heads[3].window_sinks = 4;
  mask.heads[3].effect = 0.25f;
  mask.heads[3].strong_key_hit = 0.75f;
  mask.heads[2].thumbnail_side = 2;
  mask.heads[2].thumbnail = {0, 255, 7, 9};
  mask.parameters.amplify.transform = Transform::kArcsinh;
  mask.parameters.tau_is_percentile = true;
  mask.parameters.tau = 50.0;
  mask.parameters.max_kl = 0.05;
  mask.key_directions.push_back({1, 1, 2, 64, 0.1f, std::vector<float>(128, 0.5f)});
  return mask;
}

TEST(MaskFile, WhatIsWrittenIsReadAgain) {
  const Mask mask = FullMask();
  const std::string bytes = Bytes(mask);
  const Result<Mask> read = Parse(bytes);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->fingerprint, mask.fingerprint);
  EXPECT_EQ(read->parameters.tau, 50.0);
  EXPECT_TRUE(read->parameters.tau_is_percentile);
  EXPECT_EQ(read->parameters.amplify.transform, Transform::kArcsinh);
  EXPECT_EQ(read->parameters.max_kl, 0.05);
  EXPECT_EQ(read->parameters.budget, kNoGoal);
  ASSERT_EQ(read->heads.size(), mask.heads.size());
  for (size_t i = 0; i < mask.heads.size(); ++i) {
    EXPECT_EQ(read->heads[i].true_mask, mask.heads[i].true_mask);
    EXPECT_EQ(read->heads[i].patterns.diagonals, mask.heads[i].patterns.diagonals);
    EXPECT_EQ(read->heads[i].patterns.verticals, mask.heads[i].patterns.verticals);
    EXPECT_EQ(read->heads[i].treatment, mask.heads[i].treatment);
    EXPECT_EQ(read->heads[i].mass, 0.5f);
  }
  EXPECT_EQ(read->heads[3].window, 64u);
  EXPECT_EQ(read->heads[3].effect, 0.25f);
  EXPECT_EQ(read->heads[2].thumbnail, mask.heads[2].thumbnail);
  ASSERT_EQ(read->key_directions.size(), 1u);
  EXPECT_EQ(read->key_directions[0].values, mask.key_directions[0].values);
  EXPECT_EQ(Bytes(*read), bytes) << "the same mask, the same bytes";
}

TEST(MaskFile, IsWrittenAndReadByName) {
  const test::TempDir dir;
  ASSERT_TRUE(WriteMaskFile(FullMask(), dir.File("m")).ok());
  EXPECT_TRUE(ReadMaskFile(dir.File("m")).ok());
  const std::string broken = dir.Write("broken", "DAMASKMK");
  const Result<Mask> read = ReadMaskFile(broken);
  ASSERT_FALSE(read.ok());
  EXPECT_NE(read.status().where().find("broken"), std::string::npos) << read.status().where();
}

TEST(MaskFile, ABrokenMaskLeavesTheOldFileAsItWas) {
  const test::TempDir dir;
  const std::string path = dir.Write("m", "old");
  Mask mask = FullMask();
  mask.heads.pop_back();
  EXPECT_FALSE(WriteMaskFile(mask, path).ok());
  EXPECT_EQ(test::ReadBytes(path), "old");
}

TEST(MaskFile, UnknownOptionalSectionsAreSkippedAndRequiredOnesRefused) {
  const std::string bytes = Bytes(FullMask());
  EXPECT_TRUE(Parse(Sealed(bytes + SectionBytes(900, 0, "anything"))).ok());
  const Result<Mask> read = Parse(Sealed(bytes + SectionBytes(900, 1, "anything")));
  EXPECT_EQ(read.status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(read.status().message(), "a required section of a kind that this damask does not know: the file is newer");
}

TEST(MaskFile, ANewerMinorVersionMayAddFieldsToASection) {
  std::string bytes = Bytes(FullMask());
  const SectionPlace place = Find(bytes, Section::kParameters);
  bytes.insert(place.end, "new field");
  const uint64_t size = place.end - place.payload + 9;
  std::memcpy(&bytes[place.offset + 8], &size, sizeof(size));
  EXPECT_EQ(Parse(Sealed(bytes)).status().message(), "9 bytes too many");
  bytes.insert(place.end, std::string("\x0a\0\0\0", 4));  // what 1.1 adds
  const uint64_t newer_size = size + 4;
  std::memcpy(&bytes[place.offset + 8], &newer_size, sizeof(newer_size));
  EXPECT_EQ(Parse(With(bytes, 14, uint16_t{1})).status().message(), "9 bytes too many");
  EXPECT_TRUE(Parse(With(bytes, 14, uint16_t{2})).ok());
}

TEST(MaskFile, M01_WrongMagicVersionByteOrderAndChecksum) {
  const std::string bytes = Bytes(FullMask());
  EXPECT_EQ(Parse("").status().message(), "not a damask mask file: it does not begin with DAMASKMK");
  EXPECT_EQ(Parse(With(bytes, 0, 'X')).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(Parse(With(bytes, 8, uint32_t{0x0d0c0b0a})).status().message(),
            "the mask file has the wrong byte order: it must be little-endian");
  EXPECT_EQ(Parse(With(bytes, 8, uint32_t{1})).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(Parse(With(bytes, 12, uint16_t{2})).status().message(),
            "the mask file has version 2.0, this damask reads up to 1.x");
  EXPECT_EQ(Parse(With(bytes, 12, uint16_t{2})).status().code(), StatusCode::kUnsupported);
  EXPECT_EQ(Parse(With(bytes, 12, uint16_t{0})).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(Parse(bytes + "x").status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(Parse(bytes.substr(0, bytes.size() - 1)).status().code(), StatusCode::kTruncated);
}

TEST(MaskFile, M01_EveryFlippedBitIsNoticed) {
  Mask mask = RandomMask(1, 1, 4, 1);
  const std::string bytes = Bytes(mask);
  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ 1 << bit % 8);
    if (bit / 8 == 14 || bit / 8 == 15) continue;  // the minor version: below
    ASSERT_FALSE(Parse(damaged).ok()) << "bit " << bit;
  }
  std::string damaged = bytes;
  damaged[14] = 1;
  EXPECT_EQ(Parse(damaged).status().message(), "the mask file is damaged: its checksum does not match its content");
}

TEST(MaskFile, M01_AFileCutAnywhereIsRefusedEvenWithARightChecksum) {
  const std::string bytes = Bytes(RandomMask(1, 2, 6, 1));
  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(Parse(bytes.substr(0, size)).ok()) << size;
    if (size >= 32) {
      ASSERT_FALSE(Parse(Sealed(bytes.substr(0, size))).ok()) << size;
    }
  }
}

TEST(MaskFile, M02_AnotherModelIsRefusedAnotherQuantisationWarned) {
  const Fingerprint mask = FullMask().fingerprint;
  EXPECT_EQ(*CompareFingerprints(mask, mask), "");
  Fingerprint other = mask;
  other.weights_hash = 5;
  EXPECT_EQ(*CompareFingerprints(mask, other),
            "the mask was made with other weights of this shape (another quantisation or another training of it)");
  other = mask;
  other.tokenizer_hash = 5;
  const Result<std::string> tokenizer = CompareFingerprints(mask, other);
  EXPECT_EQ(
      tokenizer.status().message(),
      "the mask was made for another model (tokenizer): 'llama', 'tiny', 2 layers of 4 heads, 2 KV heads, head_dim 64, 1000 "
      "tokens; the model is 'llama', 'tiny', 2 layers of 4 heads, 2 KV heads, head_dim 64, 1000 tokens");
  for (const auto& change : std::vector<std::function<void(Fingerprint*)>>{
           [](Fingerprint* f) { f->architecture = "qwen2"; }, [](Fingerprint* f) { f->layers = 3; },
           [](Fingerprint* f) { f->heads = 8; }, [](Fingerprint* f) { f->kv_heads = 4; },
           [](Fingerprint* f) { f->head_dim = 65; }, [](Fingerprint* f) { f->vocab = 9; }}) {
    other = mask;
    change(&other);
    EXPECT_EQ(CompareFingerprints(mask, other).status().code(), StatusCode::kInvalidArgument);
  }
  Fingerprint maps;  // what maps captured elsewhere tell
  maps.layers = 2;
  maps.heads = 4;
  EXPECT_EQ(*CompareFingerprints(maps, mask), "");
}

TEST(MaskFile, M03_AHeadThatIsMissingOrComesTwice) {
  const std::string bytes = Bytes(RandomMask(2, 2, 6, 1));
  const SectionPlace second = Find(bytes, Section::kHead, 1);
  std::string missing = bytes;
  missing.erase(second.offset, second.end - second.offset);
  // What follows fits into the announced number of heads, so the missing one is found at the end.
  EXPECT_EQ(Parse(Sealed(missing)).status().ToString(), "layer 0 head 1: the head is missing");
  const std::string twice = bytes + bytes.substr(second.offset, second.end - second.offset);
  EXPECT_EQ(Parse(Sealed(twice)).status().message(), "the head comes twice");
  EXPECT_EQ(Parse(With(bytes, second.payload, uint32_t{2})).status().message(), "layer 2 head 1 of 2 layers of 2 heads");
  EXPECT_EQ(Parse(With(bytes, second.payload + 4, uint32_t{0xffffffff})).status().code(), StatusCode::kBadFormat);
}

TEST(MaskFile, M03_HeadsMayNotComeBeforeWhatTheyNeed) {
  const std::string bytes = Bytes(RandomMask(1, 1, 6, 1));
  const SectionPlace parameters = Find(bytes, Section::kParameters);
  std::string without = bytes;
  without.erase(parameters.offset, parameters.end - parameters.offset);
  EXPECT_EQ(Parse(Sealed(without)).status().message(), "a head before fingerprint and parameters");
  const std::string again = bytes + bytes.substr(parameters.offset, parameters.end - parameters.offset);
  EXPECT_EQ(Parse(Sealed(again)).status().message(), "a second set of parameters");
  EXPECT_EQ(Parse(Sealed(bytes.substr(0, parameters.offset))).status().code(), StatusCode::kTruncated);
}

TEST(MaskFile, M04_OffsetsAndColumnsOutOfRangeUnsortedOrRepeated) {
  const auto with_diagonals = [](std::vector<DiagonalInterval> diagonals) {
    return CheckChanged([&](Mask* mask) { mask->heads[5].patterns.diagonals = diagonals; });
  };
  EXPECT_EQ(with_diagonals({{0, 1, 1}, {5, 21, 1}}).ToString(),
            "layer 1 head 1: diagonals 5 to 21 are kept, expected ascending offsets below the capture length 20");
  EXPECT_FALSE(with_diagonals({{0, 1, 1}, {5, 5, 1}}).ok());
  EXPECT_EQ(with_diagonals({{0, 1, 1}, {7, 9, 1}, {3, 4, 1}}).message(),
            "diagonal 3 is out of order: intervals are ascending and apart");
  EXPECT_FALSE(with_diagonals({{0, 4, 1}, {3, 5, 1}}).ok());
  EXPECT_FALSE(with_diagonals({{0, 4, 1}, {4, 5, 1}}).ok()) << "one interval in two";
  const auto with_verticals = [](std::vector<Vertical> verticals) {
    return CheckChanged([&](Mask* mask) { mask->heads[0].patterns.verticals = verticals; });
  };
  EXPECT_EQ(with_verticals({{20, 1}}).message(), "column 20 is kept, expected columns below the capture length 20");
  EXPECT_EQ(with_verticals({{3, 1}, {3, 1}}).message(), "column 3 is out of order or kept twice");
  EXPECT_FALSE(with_verticals({{3, 1}, {2, 1}}).ok());
}

TEST(MaskFile, M04_RunsOfTheTrueMaskBeyondTheRowUnsortedOrOverlapping) {
  const auto with_row = [](std::vector<KeyRange> runs) {
    return CheckChanged([&](Mask* mask) {
      TrueMask rows;
      for (size_t row = 0; row < 20; ++row) rows.AppendRow(row == 9 ? runs : std::vector<KeyRange>());
      mask->heads[0].true_mask = rows;
    });
  };
  EXPECT_EQ(with_row({{2, 11}}).message(),
            "row 9 of the true mask keeps keys 2 to 11, expected ascending runs up to the row itself");
  EXPECT_FALSE(with_row({{3, 3}}).ok());
  EXPECT_FALSE(with_row({{5, 7}, {1, 2}}).ok());
  EXPECT_FALSE(with_row({{1, 5}, {4, 6}}).ok());
  EXPECT_FALSE(CheckChanged([](Mask* mask) { mask->heads[0].true_mask.AppendRow({}); }).ok()) << "a row too many";
}

TEST(MaskFile, M05_AFileWithoutTheMainDiagonalIsRefusedAtLoad) {
  Mask mask = RandomMask(1, 1, 6, 1);
  mask.heads[0].patterns.diagonals = {{0, 2, 1.0f}};
  const std::string bytes = Bytes(mask);
  const size_t first_interval = Find(bytes, Section::kHead).payload + layout::kMinHeadBytes;
  const Result<Mask> read = Parse(With(bytes, first_interval, uint32_t{1}));
  EXPECT_EQ(read.status().ToString(),
            "layer 0 head 0: the main diagonal (offset 0) is not among the kept diagonals: rows would have no key");
  EXPECT_FALSE(CheckChanged([](Mask* m) { m->heads[0].patterns.diagonals.clear(); }).ok());
}

// A field of version 1.1, which only masks that need it have: 1.0 stands for the usual number.
TEST(MaskFile, BlocksOfContentHeadsAreKept) {
  Mask mask = FullMask();
  const std::string usual = Bytes(mask);
  EXPECT_EQ(usual[14], 0) << "minor version";
  EXPECT_EQ(Parse(usual)->parameters.content_blocks, kUsualContentBlocks);
  mask.parameters.content_blocks = 40;
  const std::string more = Bytes(mask);
  EXPECT_EQ(more[14], 1);
  EXPECT_EQ(more.size(), usual.size() + 4);
  const Result<Mask> read = Parse(more);
  ASSERT_TRUE(read.ok()) << read.status().ToString();
  EXPECT_EQ(read->parameters.content_blocks, 40u);
  EXPECT_EQ(Bytes(*read), more);
  const size_t at = Find(more, Section::kParameters).end - 4;
  EXPECT_EQ(Parse(With(more, at, uint32_t{0xffffffff})).status().message(),
            "the blocks of content heads is 4294967295, expected 0 to 16777216");
  EXPECT_EQ(Parse(With(usual, 14, uint16_t{1})).status().code(), StatusCode::kTruncated) << "1.1 without its field";
  EXPECT_EQ(Parse(With(more, 14, uint16_t{0})).status().code(), StatusCode::kBadFormat) << "1.0 with four bytes too many";
}

TEST(MaskFile, M06_CaptureLengthZeroOneAndTooLarge) {
  EXPECT_TRUE(Parse(Bytes(RandomMask(1, 2, 1, 1))).ok());
  const std::string bytes = Bytes(FullMask());
  const size_t at = Find(bytes, Section::kParameters).payload;
  for (const uint32_t length : {0u, 1u << 31, 0xffffffffu, 4097u}) {
    const Result<Mask> read = Parse(With(bytes, at, length));
    EXPECT_EQ(read.status().code(), StatusCode::kBadFormat);
    EXPECT_EQ(read.status().message(), "the capture length is " + std::to_string(length) + ", expected 1 to 4096");
  }
  EXPECT_FALSE(Parse(With(bytes, at, uint32_t{4096})).ok()) << "rows that the file does not have";
}

TEST(MaskFile, M06_ParametersOutOfRangeOrNotANumber) {
  const double nan = std::nan("");
  const auto message = [](const std::function<void(Parameters*)>& change) {
    Parameters parameters;
    change(&parameters);
    return CheckParameters(parameters).message();
  };
  EXPECT_EQ(message([](Parameters*) {}), "");
  EXPECT_EQ(message([&](Parameters* p) { p->tau = nan; }), "tau is nan, expected a finite number");
  EXPECT_EQ(message([&](Parameters* p) { p->tau = INFINITY; }), "tau is inf, expected a finite number");
  EXPECT_EQ(message([](Parameters* p) { p->match.mu = 1.5; }), "mu is 1.5, expected 0 to 1");
  EXPECT_EQ(message([](Parameters* p) { p->match.mu = -0.1; }), "mu is -0.1, expected 0 to 1");
  EXPECT_EQ(message([&](Parameters* p) { p->match.mu = nan; }), "mu is nan, expected 0 to 1");
  EXPECT_EQ(message([&](Parameters* p) { p->amplify.lambda = nan; }), "lambda is nan, expected -10 to 10");
  EXPECT_EQ(message([](Parameters* p) { p->amplify.epsilon = 0; }), "epsilon is 0, expected 1e-30 to 1");
  EXPECT_EQ(message([](Parameters* p) { p->target_recall = 1.1; }), "the target recall is 1.1, expected 0 to 1");
  EXPECT_EQ(message([](Parameters* p) { p->budget = -0.5; }), "the budget is -0.5, expected 0 to 1");
  EXPECT_EQ(message([](Parameters* p) { p->match.min_cells = 0; }), "min-cells is 0, expected 1 to 4096");
  EXPECT_EQ(message([](Parameters* p) { p->sink_keys = 0; }), "the number of sink keys is 0, expected 1 to 4096");
  EXPECT_EQ(message([](Parameters* p) {
              p->tau_is_percentile = true;
              p->tau = 101;
            }),
            "the percentile of tau is 101, expected 0 to 100");
  const std::string bytes = Bytes(FullMask());
  EXPECT_FALSE(Parse(With(bytes, Find(bytes, Section::kParameters).payload + 48, nan)).ok()) << "tau of a file";
}

TEST(MaskFile, M06_FiguresOfAHeadOutOfRangeOrNotANumber) {
  const float nan = std::nanf("");
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->heads[1].mass = nan; }).ok());
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->heads[1].effect = nan; }).ok());
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->heads[1].strong_key_hit = 2.0f; }).ok());
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->heads[1].form = StaticForm::kWindow; }).ok()) << "a window of no keys";
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->heads[1].thumbnail_side = 3; }).ok());
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->key_directions.push_back({0, 9, 1, 64, 0.0f, std::vector<float>(64)}); }).ok());
  EXPECT_FALSE(CheckChanged([&](Mask* m) { m->key_directions.push_back({0, 0, 2, 64, 0.0f, std::vector<float>(64)}); }).ok());
  const std::string bytes = Bytes(FullMask());
  const size_t head = Find(bytes, Section::kHead).payload;
  EXPECT_EQ(Parse(With(bytes, head + 8, uint8_t{3})).status().message(), "treatment is 3, expected at most 2");
  EXPECT_EQ(Parse(With(bytes, head + 9, uint8_t{2})).status().message(), "static form is 2, expected at most 1");
}

TEST(MaskFile, NumbersOfAFileSizeNoAllocationBeforeTheyAreChecked) {
  const std::string bytes = Bytes(RandomMask(2, 4, 20, 1));
  const size_t head = Find(bytes, Section::kHead).payload;
  for (const size_t offset : {40, 44, 48}) {  // numbers of diagonals, verticals, runs
    for (const uint32_t count : {0xffffffffu, 0x80000000u, 100000u}) {
      EXPECT_FALSE(Parse(With(bytes, head + offset, count)).ok()) << offset << " " << count;
    }
  }
  const size_t shape = Find(bytes, Section::kFingerprint).payload;
  EXPECT_EQ(Parse(With(bytes, shape, uint32_t{1024})).status().code(), StatusCode::kTruncated);
  EXPECT_EQ(Parse(With(bytes, shape + 4, uint32_t{0xffffffff})).status().code(), StatusCode::kBadFormat);
  EXPECT_EQ(Parse(With(bytes, shape + 40, uint16_t{0xffff})).status().code(), StatusCode::kBadFormat) << "length of a name";
  const SectionPlace first = Find(bytes, Section::kHead);
  EXPECT_EQ(Parse(With(bytes, first.offset + 8, std::numeric_limits<uint64_t>::max())).status().code(), StatusCode::kTruncated);
}

TEST(MaskFile, EveryFileOfTheCorpusIsReadOrRefused) {
  size_t sound = 0;
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(DAMASK_SOURCE_DIR) + "/tests/corpus/mask")) {
    ++files;
    sound += ReadMaskFile(entry.path()).ok() ? 1 : 0;
  }
  EXPECT_GE(sound, 2u);
  EXPECT_LT(sound, files);
}

TEST(Fingerprint, HashesAreThoseOfFnv1a) {
  Hasher hasher;
  hasher.Add(std::as_bytes(std::span("foobar", 6)));
  EXPECT_EQ(hasher.value(), 0x85944171f73967e8u);  // the published test vector
  EXPECT_EQ(Hasher().value(), 0xcbf29ce484222325u);
}

TEST(Fingerprint, WeightsAreHashedBySamplesAndTokenizersByPieces) {
  std::vector<std::byte> large(100000);
  const auto hash = [&] {
    WeightsHasher hasher;
    hasher.AddTensor("a", "F16", large);
    return hasher.value();
  };
  const uint64_t before = hash();
  large[50000] = std::byte{1};
  EXPECT_NE(hash(), before) << "the middle is sampled";
  large[50000] = std::byte{0};
  large[20000] = std::byte{1};
  EXPECT_EQ(hash(), before) << "between samples nothing is read";
  TokenizerHasher a;
  a.AddPiece("ab");
  a.AddPiece("c");
  TokenizerHasher b;
  b.AddPiece("a");
  b.AddPiece("bc");
  EXPECT_NE(a.value(), b.value());
}

}  // namespace
}  // namespace damask::masks
