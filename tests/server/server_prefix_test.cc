// BAD_INPUT.md section 8 and L07 from end to end: the same text, however much of its prompt was at hand.
#include <filesystem>
#include <fstream>
#include <thread>

#include "engine/fingerprint.h"
#include "masks/mask_file.h"
#include "server/prefix_binding.h"
#include "tests/masks/mask_cases.h"
#include "tests/model/tiny_model.h"
#include "tests/server/server_fixture.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = uint64_t{1} << 20;

class ServerPrefixTest : public ServerFixture {
 protected:
  ServerOptions Options(uint64_t memory, bool disk, const std::string& policy = "full") const {
    ServerOptions options = TinyServer();
    options.model.engine.policy = policy;
    options.model.prefixes.memory_bytes = memory;
    options.model.prefixes.disk_bytes = 256 * kMiB;
    if (disk) options.model.prefixes.directory = dir_.File("prefixes");
    return options;
  }
  std::vector<fs::path> Files() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::recursive_directory_iterator(dir_.File("prefixes"))) {
      if (entry.is_regular_file() && entry.file_size() > 0) files.push_back(entry.path());
    }
    return files;
  }

  test::TempDir dir_;
};

const Json kAsk = Greedy(PromptIds(1000), 30);
constexpr uint64_t kWholePages = 960;  // of 1000

class ServerSameTextTest : public ServerPrefixTest, public ::testing::WithParamInterface<const char*> {};

TEST_P(ServerSameTextTest, L07ColdCachedRestoredAndBesideOthers) {
  Start(Options(0, false, GetParam()));
  const Reply cold = Post("/v1/completions", kAsk);
  EXPECT_EQ(CachedTokens(cold), 0u);
  const std::string expected = TextOf(cold);
  const auto expect_same = [&](uint64_t cached) {
    const Reply reply = Post("/v1/completions", kAsk);
    EXPECT_EQ(TextOf(reply), expected);
    EXPECT_EQ(CachedTokens(reply), cached);
    SseClient stream(port(), "/v1/completions", kAsk);
    stream.ReadAll();
    EXPECT_EQ(stream.text(), expected);
  };
  expect_same(0);  // P03: without a cache nothing is kept

  Start(Options(64 * kMiB, true, GetParam()));
  EXPECT_EQ(TextOf(Post("/v1/completions", kAsk)), expected);
  expect_same(kWholePages);  // memory

  Start(Options(0, true, GetParam()));  // P04: another server, the same folder
  expect_same(kWholePages);
  EXPECT_GE(Metric("prefix_tokens_from_disk_total"), kWholePages);

  Start(Options(64 * kMiB, false, GetParam()));
  std::vector<std::thread> others;
  for (size_t i = 0; i < 5; ++i) {
    others.emplace_back([&, i] { EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(300 + 90 * i, 41), 60)).status, 200); });
  }
  EXPECT_EQ(TextOf(Post("/v1/completions", kAsk)), expected);
  expect_same(kWholePages);
  for (std::thread& other : others) other.join();
  ExpectWell();
}

INSTANTIATE_TEST_SUITE_P(Policies, ServerSameTextTest,
                         ::testing::Values("full", "streaming:sinks=4,window=256", "a-shape:sinks=64,window=256"));

TEST_F(ServerPrefixTest, P01TheBudgetHoldsWhateverIsRead) {
  // A page of every layer and head: 64 positions.
  Start(Options(2 * kMiB, false));
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(1500, 37 + 2 * i), 2)).status, 200);
    EXPECT_LE(Metric("prefix_memory_bytes"), 2 * kMiB);
    EXPECT_TRUE(WaitForIdle());
    EXPECT_LE(Metric("kv_bytes"), 2 * kMiB);
  }
  EXPECT_GT(Metric("prefix_memory_bytes"), 0);
  EXPECT_EQ(Metric("prefix_memory_limit_bytes"), 2 * kMiB);  // P02
  EXPECT_EQ(Get("/props").json["memory"]["prefix_bytes_limit"], 2 * kMiB);
}

TEST_F(ServerPrefixTest, P05DamagedFilesAreNeverUsed) {
  Start(Options(0, true));
  const std::string expected = TextOf(Post("/v1/completions", kAsk));
  server_.reset();
  const std::vector<fs::path> files = Files();
  ASSERT_FALSE(files.empty());
  for (const fs::path& path : files) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(fs::file_size(path) / 2));
    const int byte = file.get();
    file.seekp(static_cast<std::streamoff>(fs::file_size(path) / 2));
    file.put(static_cast<char>(byte ^ 1));
  }
  Start(Options(0, true));
  const Reply again = Post("/v1/completions", kAsk);
  EXPECT_EQ(TextOf(again), expected);
  EXPECT_LT(CachedTokens(again), kWholePages);
  EXPECT_GT(Metric("prefix_bad_files_total"), 0);
  EXPECT_EQ(TextOf(Post("/v1/completions", kAsk)), expected);
  ExpectWell();
}

TEST_F(ServerPrefixTest, P06AnotherModelOrPolicyDoesNotUseTheFiles) {
  Start(Options(0, true));
  ASSERT_EQ(Post("/v1/completions", kAsk).status, 200);
  ServerOptions other = Options(0, true);
  other.model.engine.model_path = TinyChatModel(2);
  Start(other);
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  Start(Options(0, true, "streaming:sinks=4,window=256"));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  ServerOptions stretched = Options(0, true);
  stretched.model.engine.rope.base = 50000;
  Start(stretched);
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  Start(Options(0, true));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
}

// Tensors of the same sizes and names, other weights: sizes alone would not tell.
TEST_F(ServerPrefixTest, P06AnotherQuantisationDoesNotUseTheFiles) {
  const auto options = [&](const TinyModelFile& file) {
    ServerOptions with = Options(0, true);
    with.model.engine.model_path = file.path();
    return with;
  };
  const TinyModelFile q8(make_model::ModelSpec{.type = "Q8_0"});
  const TinyModelFile q4(make_model::ModelSpec{.type = "Q4_0"});
  Start(options(q8));
  ASSERT_EQ(Post("/v1/completions", kAsk).status, 200);
  Start(options(q4));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  Start(options(q8));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
}

// Restored 8-bit pages are those that were written.
TEST_F(ServerPrefixTest, L07EightBitPagesFromMemoryAndFromDisk) {
  const auto options = [&](uint64_t memory, bool disk) {
    ServerOptions with = Options(memory, disk);
    with.model.engine.kv = kernels::KvType::kQ8;
    return with;
  };
  Start(options(0, false));
  const std::string expected = TextOf(Post("/v1/completions", kAsk));
  Start(options(64 * kMiB, true));
  EXPECT_EQ(TextOf(Post("/v1/completions", kAsk)), expected);
  const Reply cached = Post("/v1/completions", kAsk);
  EXPECT_EQ(TextOf(cached), expected);
  EXPECT_EQ(CachedTokens(cached), kWholePages);
  Start(options(0, true));
  const Reply restored = Post("/v1/completions", kAsk);
  EXPECT_EQ(TextOf(restored), expected);
  EXPECT_EQ(CachedTokens(restored), kWholePages);
  EXPECT_GE(Metric("prefix_tokens_from_disk_total"), kWholePages);
}

TEST_F(ServerPrefixTest, P06FilesOfBf16AndOfEightBitPagesStandSideBySide) {
  ServerOptions q8 = Options(0, true);
  q8.model.engine.kv = kernels::KvType::kQ8;
  Start(Options(0, true));
  ASSERT_EQ(Post("/v1/completions", kAsk).status, 200);
  Start(q8);
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  Start(q8);  // a server that ends has written what it keeps; before, its files may be on their way
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
  EXPECT_EQ(Metric("prefix_bad_files_total"), 0);
  Start(Options(0, true));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
}

// Scalar arithmetic keeps keys and values as float32, all others as bf16.
TEST_F(ServerPrefixTest, P06AnotherTypeOfPagesDoesNotUseTheFiles) {
  ServerOptions scalar = Options(0, true);
  scalar.model.engine.target = "scalar";
  Start(Options(0, true));
  if (server_->model().engine().kv_type() == kernels::KvType::kF32) GTEST_SKIP() << "only scalar here";
  ASSERT_EQ(Post("/v1/completions", kAsk).status, 200);
  Start(scalar);
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), 0u);
  Start(scalar);  // a server that ends has written what it keeps; before, its files may be on their way
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
  Start(Options(0, true));
  EXPECT_EQ(CachedTokens(Post("/v1/completions", kAsk)), kWholePages);
}

// The policy's SPEC only names the mask's file: that its contents have changed must show all the same.
TEST_F(ServerPrefixTest, P06P11APrefixReadUnderAMaskNeverServesAnother) {
  Start();
  const masks::Fingerprint model = engine::FingerprintOf(server_->model().engine().model());
  const std::string path = dir_.File("heads.mask");
  const auto write = [&](uint32_t seed) {
    masks::Mask mask = masks::RandomMask(model.layers, model.heads, 100, seed);
    mask.fingerprint = model;
    ASSERT_TRUE(masks::WriteMaskFile(mask, path).ok());
  };
  const auto start = [&](const std::string& folder) {
    ServerOptions options = Options(16 * kMiB, true, "dam:mask=" + path + ",mode=exact");
    options.model.prefixes.directory = dir_.File(folder);
    Start(options);
  };
  write(1);
  start("prefixes");
  const std::string under_first = TextOf(Post("/v1/completions", kAsk));
  write(2);
  start("elsewhere");
  const std::string under_second = TextOf(Post("/v1/completions", kAsk));
  EXPECT_NE(under_second, under_first);  // else the rest would prove little
  start("prefixes");
  const Reply reply = Post("/v1/completions", kAsk);
  EXPECT_EQ(CachedTokens(reply), 0u);
  EXPECT_EQ(TextOf(reply), under_second);
  write(1);
  start("prefixes");
  const Reply again = Post("/v1/completions", kAsk);
  EXPECT_EQ(CachedTokens(again), kWholePages);
  EXPECT_EQ(TextOf(again), under_first);
}

// The version of the program is no option: what a server hands to the store is made here with two of them.
TEST_F(ServerPrefixTest, P06AnotherVersionOfTheProgramDoesNotUseTheFiles) {
  const TinyModelFile file(make_model::ModelSpec{});
  const auto engine = LoadTiny(file);
  const model::ModelConfig& config = engine->model().config();
  const std::vector<tokenizer::TokenId> prompt = engine::SomeIds(300);
  const auto open = [&](const std::string& binding) {
    auto store = batching::PrefixStore::Open({.memory_bytes = 0, .directory = dir_.File("prefixes")},
                                             {binding, config.layers, config.kv_heads, config.vocab}, engine->page_pool());
    EXPECT_TRUE(store.ok()) << store.status().ToString();
    return *std::move(store);
  };
  {
    const auto store = open(PrefixBinding(*engine, "1.2.3+abc"));
    engine::Session session(engine.get());
    ASSERT_TRUE(session.Append(prompt, nullptr, nullptr).ok());
    store->Keep(prompt, session.cache(), session.length());
    store->Flush();
  }
  EXPECT_EQ(open(PrefixBinding(*engine, "1.2.3+abd"))->Longest(prompt), 0u);
  EXPECT_EQ(open(PrefixBinding(*engine))->Longest(prompt), 0u);
  EXPECT_EQ(open(PrefixBinding(*engine, "1.2.3+abc"))->Longest(prompt), 256u);
  EXPECT_NE(PrefixBinding(*engine).find(VersionString()), std::string::npos);
}

TEST_F(ServerPrefixTest, P10ManyRestoresOfOnePrefixAtOnce) {
  Start(Options(0, true));
  const std::string expected = TextOf(Post("/v1/completions", kAsk));
  Start(Options(0, true));
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 6; ++i) {
    clients.emplace_back([&] {
      const Reply reply = Post("/v1/completions", kAsk);
      EXPECT_EQ(TextOf(reply), expected);
      EXPECT_EQ(CachedTokens(reply), kWholePages);
    });
  }
  for (std::thread& client : clients) client.join();
  ExpectWell();
}

TEST_F(ServerPrefixTest, P11AMatchIsOfTokenIdsAndEndsAtWholePages) {
  Start(Options(64 * kMiB, false));
  ASSERT_EQ(Post("/v1/completions", kAsk).status, 200);
  Json prompt = PromptIds(1000);
  const auto cached_with = [&](size_t changed) {
    Json other = prompt;
    other[changed] = (other[changed].get<int>() + 1) % 256 + 3;
    return CachedTokens(Post("/v1/completions", Greedy(other, 1)));
  };
  EXPECT_EQ(cached_with(0), 0u);
  EXPECT_EQ(cached_with(63), 0u);
  EXPECT_EQ(cached_with(64), 64u);
  EXPECT_EQ(cached_with(700), 640u);
  EXPECT_EQ(CachedTokens(Post("/v1/completions", Greedy(PromptIds(kWholePages), 1))), kWholePages - 64);
}

TEST_F(ServerPrefixTest, AConversationThatGoesOnIsNotReadAgain) {
  Start(Options(64 * kMiB, false));
  std::string text;
  for (int i = 0; i < 200; ++i) text += "tene rona " + std::to_string(i) + " ";
  Json body = GreedyChat(text, 8);
  const Reply first = Post("/v1/chat/completions", body);
  ASSERT_EQ(first.status, 200) << first.raw.body;
  body["messages"].push_back(first.json["choices"][0]["message"]);
  body["messages"].push_back({{"role", "user"}, {"content", "go on"}});
  const uint64_t prompt = first.json["usage"]["prompt_tokens"];
  EXPECT_GE(CachedTokens(Post("/v1/chat/completions", body)), prompt - 128);
}

}  // namespace
}  // namespace damask::server
