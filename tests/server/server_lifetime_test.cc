// BAD_INPUT.md section 7: clients that leave, many at once, and what is left behind.
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <functional>
#include <future>
#include <thread>

#include "formats/safetensors.h"
#include "server/http_answer.h"
#include "tests/server/server_fixture.h"
#include "tests/server/sse_client.h"
#include "texts/facts.h"

namespace damask::server {
namespace {

class ServerLifetimeTest : public ServerFixture {
 protected:
  void StartWithPlaces(size_t parallel, size_t queue = 64) {
    ServerOptions options = TinyServer();
    options.model.scheduler.parallel = parallel;
    options.model.scheduler.queue = queue;
    Start(options);
  }
  // A client that asks and waits for no answer.
  RawClient Send(Json body, bool stream) {
    body["stream"] = stream;
    RawClient client(port());
    EXPECT_TRUE(client.Send(RawClient::Request("POST", "/v1/completions", body.dump())));
    return client;
  }
  bool WaitForCancelled(uint64_t count) {
    return WaitUntil([&] { return Stats().cancelled == count; });
  }
  void ExpectEmpty() {
    EXPECT_TRUE(WaitUntil([&] { return WaitForIdle() && Stats().kv_bytes == 0; }));
    for (const Json& slot : Get("/slots").json) {
      EXPECT_EQ(slot["is_processing"], false);
      EXPECT_EQ(slot["kv_bytes"], 0);
    }
    EXPECT_EQ(Metric("kv_bytes"), 0);
  }
};

TEST_F(ServerLifetimeTest, L01AClientThatLeavesTheQueueIsForgottenAndL02NobodyElseIs) {
  StartWithPlaces(1);
  SseClient running(port(), "/v1/completions", Endless());
  ASSERT_TRUE(running.NextData());
  // Figures may still be those of its own time in the queue; who leaves before he is in it is no cancelled request.
  ASSERT_TRUE(WaitUntil([&] { return Stats().drawing == 1 && Stats().queued == 0; }));
  uint64_t cancelled = 0;
  for (const bool stream : {false, true}) {
    RawClient queued = Send(Greedy(PromptIds(2000), 5), stream);
    ASSERT_TRUE(WaitUntil([&] { return Stats().queued == 1; }));
    queued.Close();
    EXPECT_TRUE(WaitForCancelled(++cancelled));
    EXPECT_EQ(Stats().queued, 0u);
    EXPECT_EQ(Stats().drawing, 1u);
    EXPECT_TRUE(running.NextData());
  }
  running.client().Close();
  EXPECT_TRUE(WaitForCancelled(++cancelled));
  ExpectEmpty();
  ExpectWell();
}

TEST_F(ServerLifetimeTest, L01AClientThatLeavesWhileItsPromptIsReadFreesItsPlace) {
  StartWithPlaces(2);
  uint64_t cancelled = 0;
  for (const bool stream : {false, true}) {
    RawClient client = Send(Greedy(PromptIds(100000), 5), stream);
    ASSERT_TRUE(WaitUntil([&] { return Stats().reading == 1 && Stats().slots[0].usage.read_tokens > 0; }));
    client.Close();
    EXPECT_TRUE(WaitForCancelled(++cancelled));
    ExpectEmpty();
  }
  EXPECT_LT(Stats().prompt_tokens, 200000u);
  ExpectWell();
}

TEST_F(ServerLifetimeTest, L01AClientThatLeavesItsAnswerFreesItsPlace) {
  StartWithPlaces(2);
  uint64_t cancelled = 0;
  for (const bool stream : {false, true}) {
    RawClient client = Send(Endless(), stream);
    ASSERT_TRUE(WaitUntil([&] { return Stats().drawing == 1 && Stats().slots[0].usage.completion_tokens > 3; }));
    client.Reset();
    EXPECT_TRUE(WaitForCancelled(++cancelled));
    ExpectEmpty();
  }
  ExpectWell();
}

class ServerLeakTest : public ServerLifetimeTest, public ::testing::WithParamInterface<uint64_t> {};

TEST_P(ServerLeakTest, L01AHundredClientsKilledMidStreamLeakNothing) {
  ServerOptions options = TinyServer();
  options.model.prefixes.memory_bytes = GetParam();
  Start(options);
  ExpectWell();
  const size_t files = CountOpenFiles();
  for (size_t i = 0; i < 100; ++i) {
    Json body = Endless();
    body["prompt"] = PromptIds(20 + 7 * i, 37 + 2 * (i % 5));
    SseClient stream(port(), "/v1/completions", body);
    ASSERT_EQ(stream.status(), 200);
    ASSERT_TRUE(stream.NextData());
    i % 2 == 0 ? stream.client().Close() : stream.client().Reset();
  }
  EXPECT_TRUE(WaitForIdle());
  EXPECT_EQ(Stats().cancelled + Stats().finished, 101u);
  EXPECT_LE(Stats().kv_bytes, Stats().prefix.memory_bytes);  // 0 where nothing is kept
  EXPECT_LE(Stats().prefix.memory_bytes, GetParam());
  EXPECT_TRUE(WaitUntil([&] { return CountOpenFiles() <= files; }));
  ExpectWell();
}

INSTANTIATE_TEST_SUITE_P(Memory, ServerLeakTest, ::testing::Values(0, uint64_t{1} << 24));

TEST_F(ServerLifetimeTest, L03OneStreamIsAbortedWhileAnotherReadsALongPrompt) {
  StartWithPlaces(4);
  SseClient reading(port(), "/v1/completions", Greedy(PromptIds(100000), 1));
  ASSERT_TRUE(WaitUntil([&] { return Stats().reading == 1; }));
  SseClient aborted(port(), "/v1/completions", Endless());
  SseClient other(port(), "/v1/completions", Greedy(PromptIds(33), 20));
  ASSERT_TRUE(aborted.NextData());
  aborted.client().Reset();
  other.ReadAll();
  EXPECT_TRUE(other.done());
  EXPECT_EQ(Get("/health").status, 200);
  EXPECT_TRUE(WaitForCancelled(1));
  EXPECT_EQ(Stats().reading, 1u);
  // Nobody waits for the rest of the long one: what is under way is cut after the grace.
  EXPECT_FALSE(server_->Drain(0.1));
  reading.ReadAll();
  EXPECT_FALSE(reading.done());
  ASSERT_FALSE(reading.events().empty());
  ExpectError({503, reading.events().back(), RawResponse{.headers = {{"content-type", "application/json"}}}}, 503,
              "server_error", nullptr, nullptr);
}

TEST_F(ServerLifetimeTest, L04ManyFirstRequestsAtOnceAreAllAnswered) {
  StartWithPlaces(4, 8);
  std::vector<std::thread> clients;
  std::vector<int> statuses(24);
  for (size_t i = 0; i < statuses.size(); ++i) {
    clients.emplace_back([&, i] { statuses[i] = Post("/v1/completions", Greedy(PromptIds(100 + i), 10)).status; });
  }
  for (std::thread& client : clients) client.join();
  for (const int status : statuses) EXPECT_TRUE(status == 200 || status == 429) << status;
  EXPECT_GE(std::count(statuses.begin(), statuses.end(), 200), 12);  // places and queue
  ExpectWell();
}

TEST_F(ServerLifetimeTest, L05EveryAcceptedRequestEndsWhateverItsClientDoes) {
  StartWithPlaces(3, 200);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 40; ++i) {
    clients.emplace_back([&, i] {
      if (i % 4 == 0) {
        EXPECT_EQ(Post("/v1/completions", Greedy(PromptIds(10 + 20 * i), 5)).status, 200);
      } else if (i % 4 == 1) {
        Send(Greedy(PromptIds(30 * i), 50), true).Reset();
      } else if (i % 4 == 2) {
        SseClient stream(port(), "/completion", Greedy(PromptIds(10 * i), 200));
        stream.NextData();
      } else {
        SseClient stream(port(), "/v1/completions", Greedy(PromptIds(10 * i), 5));
        stream.ReadAll();
        EXPECT_TRUE(stream.done());
      }
    });
  }
  for (std::thread& client : clients) client.join();
  // A client may leave before its request has been read.
  EXPECT_TRUE(WaitUntil([&] {
    const batching::SchedulerStats stats = Stats();
    return stats.accepted >= 20 && stats.accepted == stats.finished + stats.cancelled + stats.failed;
  }));
  EXPECT_EQ(Stats().failed, 0u);
  ExpectEmpty();
}

TEST_F(ServerLifetimeTest, AServerMayHaveAsManyFilesOpenAsTheSystemLetsIt) {
  rlimit before = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit low = {std::min<rlim_t>(200, before.rlim_max - 1), before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  Listen();
  rlimit after = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  EXPECT_EQ(after.rlim_max, before.rlim_max);
}

std::string Secret(size_t client) { return std::to_string(10000 + 811 * client); }

// Facts that are alike for all clients but for one; the embedded model can look it up.
std::string SecretPrompt(size_t client) {
  const std::string keys[] = {"lumpy-fox", "tangy-river", "quiet-stone", "grey-hill", "bold-lamp", "slow-train", "warm-bread"};
  constexpr size_t kAsked = 3;
  std::string text;
  for (size_t i = 0; i < std::size(keys); ++i) {
    text += texts::LineFact(keys[i], i == kAsked ? Secret(client) : std::to_string(90000 + 7 * i)).fact;
  }
  const texts::FactWords asked = texts::LineFact(keys[kAsked], "");
  return text + asked.question + asked.prefix;
}

TEST_F(ServerLifetimeTest, L06NobodyGetsWhatBelongsToAnother) {
  ServerOptions options = TinyServer();
  options.model.engine.model_path = "";  // the embedded model: it looks things up
  options.model.prefixes.memory_bytes = uint64_t{1} << 26;
  Start(options);
  constexpr size_t kClients = 16;
  std::vector<std::string> alone(kClients);
  for (size_t i = 0; i < kClients; ++i) alone[i] = TextOf(Post("/v1/completions", Greedy(SecretPrompt(i), 12)));
  std::vector<std::string> together(kClients);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < kClients; ++i) {
    clients.emplace_back([&, i] { together[i] = TextOf(Post("/v1/completions", Greedy(SecretPrompt(i), 12))); });
  }
  for (std::thread& client : clients) client.join();
  size_t own = 0;
  for (size_t i = 0; i < kClients; ++i) {
    EXPECT_EQ(together[i], alone[i]);
    own += together[i].find(Secret(i)) != std::string::npos ? 1 : 0;
    for (size_t j = 0; j < kClients; ++j)
      EXPECT_TRUE(j == i || together[i].find(Secret(j)) == std::string::npos) << together[i];
  }
  EXPECT_GT(own, kClients / 2);  // the answers do hold secrets
}

// Overwrites the embedding of one token with NaN: a request that has it fails, as one in which something of ours goes wrong.
std::string PoisonedModel(const test::TempDir& dir, batching::TokenId token) {
  namespace fs = std::filesystem;
  std::string path = dir.File("poisoned");
  fs::copy(TinyChatModel(), path);
  uint64_t offset = 0;
  {
    const auto files = formats::SafetensorsFiles::OpenFolder(path, LoadMode::kMap);
    EXPECT_TRUE(files.ok());
    const auto tensor = (*files)->Find("model.embed_tokens.weight");
    EXPECT_TRUE(tensor.ok());
    const uint64_t row = (*tensor)->bytes / kTinyVocab;
    const std::string bytes(reinterpret_cast<const char*>((*tensor)->data) + token * row, row);
    offset = test::ReadBytes(path + "/model.safetensors").find(bytes);
  }
  std::fstream file(path + "/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(offset));
  file.write("\xff\xff\xff\xff", 4);
  return path;
}

TEST_F(ServerLifetimeTest, H15L09AFaultInsideOneRequestIs500ForThatOneOnly) {
  const test::TempDir dir;
  constexpr batching::TokenId kPoison = 300;
  ServerOptions options = TinyServer();
  options.model.engine.model_path = PoisonedModel(dir, kPoison);
  Start(options);
  const Json good = Greedy(PromptIds(30), 40);
  const std::string expected = TextOf(Post("/v1/completions", good));
  const Json bad = Greedy({5, 6, kPoison, 7}, 10);
  SseClient running(port(), "/v1/completions", good);
  ExpectError(Post("/v1/completions", bad), 500, "server_error", nullptr, nullptr);
  SseClient stream(port(), "/v1/completions", bad);
  stream.ReadAll();
  EXPECT_FALSE(stream.done());
  ASSERT_FALSE(stream.events().empty());
  EXPECT_EQ(stream.events().back()["error"]["type"], "server_error");
  running.ReadAll();
  EXPECT_EQ(running.text(), expected);
  EXPECT_TRUE(WaitForIdle());
  EXPECT_EQ(Stats().failed, 2u);
  EXPECT_EQ(TextOf(Post("/v1/completions", good)), expected);
  ExpectEmpty();
}

// One with many log-probabilities takes its time, and nobody else's.
TEST_F(ServerLifetimeTest, AWholeAnswerIsNotWrittenByTheThreadThatComputesForAll) {
  Start();
  std::promise<void> go;
  server_->model().answer_writer().Post([done = go.get_future().share()] { done.wait(); });
  RawClient whole = Send(Greedy(PromptIds(9), 3), false);
  EXPECT_TRUE(WaitUntil([&] { return Stats().finished == 1; }));
  SseClient other(port(), "/v1/completions", Greedy(PromptIds(33), 20));
  other.ReadAll();
  EXPECT_TRUE(other.done());
  EXPECT_FALSE(whole.Readable(std::chrono::milliseconds(0)));
  go.set_value();
  const std::optional<RawResponse> answer = whole.ReadResponse();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  ExpectWell();
}

TEST_F(ServerLifetimeTest, L01WhoLeavesBeforeAThreadIsFreeIsNotReadAtAll) {
  Start();
  std::function<void()> waiting;
  Router router({}, [&](std::function<void()> work) { waiting = std::move(work); });
  router.SetModel(&server_->model());
  const auto answer = std::make_shared<Answer>(nullptr, 1 << 20);
  HttpRequest request;
  request.method = "POST";
  request.path = "/v1/completions";
  request.body = Greedy(PromptIds(9), 3).dump();
  router.Handle(MakeExchange(answer, std::move(request)));
  ASSERT_TRUE(waiting);
  answer->Gone();
  waiting();
  EXPECT_EQ(Stats().accepted, 0u);
}

}  // namespace
}  // namespace damask::server
