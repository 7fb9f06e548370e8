// The program `damask serve` itself: what it says, how it ends, and what it does not do.
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <iterator>

#include "tests/run_program.h"
#include "tests/server/server_fixture.h"
#include "tests/server/server_process.h"
#include "tests/server/sse_client.h"

namespace damask::server {
namespace {

std::vector<std::string> TinyArgs() { return {"--port", "0", "-m", TinyChatModel(), "-t", "2"}; }

size_t CountLines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

// A stream that does not end by itself.
std::unique_ptr<SseClient> RunningStream(uint16_t port) {
  auto stream = std::make_unique<SseClient>(port, "/v1/completions", Endless());
  EXPECT_EQ(stream->status(), 200);
  EXPECT_TRUE(stream->NextData());
  return stream;
}

TEST(ServeProgram, L10AfterASignalAnswersEndAndTheProgramDoesWith0) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ServerProcess server(DAMASK_PROGRAM, TinyArgs());
    const std::optional<Json> ready = server.WaitUntilReady();
    ASSERT_TRUE(ready) << server.err();
    const uint16_t port = (*ready)["port"];
    EXPECT_EQ((*ready)["url"], "http://127.0.0.1:" + std::to_string(port));
    EXPECT_EQ(Ask(port, "GET", "/health").status, 200);
    // Enough tokens for the signal to come in between, and not too many for the grace.
    SseClient stream(port, "/v1/completions", Greedy(PromptIds(20), 1000, {{"repeat_penalty", 0.01}}));
    ASSERT_TRUE(stream.NextData());
    server.Signal(signal);
    EXPECT_TRUE(server.WaitForNote("stopping"));
    EXPECT_TRUE(WaitUntil([&] { return !RawClient(port).connected(); }));  // nobody new
    stream.ReadAll();
    EXPECT_TRUE(stream.done()) << stream.broken();
    EXPECT_EQ(server.WaitForExit(), 0) << server.err();
  }
}

TEST(ServeProgram, L10ASecondSignalEndsItAtOnce) {
  ServerProcess server(DAMASK_PROGRAM, TinyArgs());
  const std::optional<Json> ready = server.WaitUntilReady();
  ASSERT_TRUE(ready) << server.err();
  const auto stream = RunningStream((*ready)["port"]);
  server.Signal(SIGTERM);
  ASSERT_TRUE(server.WaitForNote("stopping"));
  server.Signal(SIGTERM);
  EXPECT_EQ(server.WaitForExit(), 130) << server.err();
  stream->ReadAll();
  EXPECT_FALSE(stream->whole());
}

TEST(ServeProgram, L10AClosedConnectionIsNoSigpipe) {
  ServerProcess server(DAMASK_PROGRAM, TinyArgs());
  const std::optional<Json> ready = server.WaitUntilReady();
  ASSERT_TRUE(ready) << server.err();
  for (int i = 0; i < 5; ++i) RunningStream((*ready)["port"])->client().Reset();
  EXPECT_EQ(Ask((*ready)["port"], "GET", "/health").status, 200);
  server.Signal(SIGTERM);
  EXPECT_EQ(server.WaitForExit(), 0) << server.err();
}

TEST(ServeProgram, KeysMayComeThroughAPipeAndALongContextIsSaid) {
  const test::TempDir dir;
  const std::string fifo = dir.File("keys");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  std::vector<std::string> args = TinyArgs();
  args.insert(args.end(), {"--api-key-file", fifo, "-c", std::to_string(kTinyContext + 1)});
  ServerProcess server(DAMASK_PROGRAM, args);
  int fd = -1;
  ASSERT_TRUE(WaitUntil([&] { return (fd = open(fifo.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC)) >= 0; })) << server.err();
  EXPECT_EQ(write(fd, "secret\n", 7), 7);
  close(fd);
  const std::optional<Json> ready = server.WaitUntilReady();
  ASSERT_TRUE(ready) << server.err();
  EXPECT_EQ(Ask((*ready)["port"], "GET", "/v1/models").status, 401);
  EXPECT_EQ(Ask((*ready)["port"], "GET", "/v1/models", "", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_TRUE(server.WaitForNote("131073 tokens are more than the model's context of 131072")) << server.err();
}

TEST(ServeProgram, WarnsOfOtherMachinesOnlyWhereTheyReachIt) {
  for (const auto& [host, warns] : {std::pair("127.0.0.2", false), std::pair("LOCALHOST", false), std::pair("0.0.0.0", true)}) {
    std::vector<std::string> args = TinyArgs();
    args.insert(args.end(), {"--host", host});
    ServerProcess server(DAMASK_PROGRAM, args);
    ASSERT_TRUE(server.WaitUntilReady()) << server.err();
    EXPECT_EQ(server.err().find("other machines") != std::string::npos, warns) << host << ": " << server.err();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.WaitForExit(), 0) << server.err();
  }
}

TEST(ServeProgram, MoreRequestsThanMemoryHoldsAreSaidAtTheStart) {
  for (const bool many : {true, false}) {
    std::vector<std::string> args = TinyArgs();
    args.insert(args.end(), {"-np", many ? "256" : "1", "-c", many ? "16777216" : "256", "--prefix-bytes", "1048576"});
    ServerProcess server(DAMASK_PROGRAM, args);
    ASSERT_TRUE(server.WaitUntilReady()) << server.err();
    const std::string note = "256 requests of 16777216 tokens and the prompts that are kept want ";
    EXPECT_EQ(server.err().find(note) != std::string::npos, many) << server.err();
    EXPECT_EQ(server.err().find("warning") != std::string::npos, many) << server.err();
    server.Signal(SIGTERM);
    EXPECT_EQ(server.WaitForExit(), 0) << server.err();
  }
}

TEST(ServeProgram, L11ATakenPortIsOneLineBeforeAnythingIsLoaded) {
  auto taken = HttpServer::Listen("127.0.0.1", 0, {});
  ASSERT_TRUE(taken.ok());
  const std::string port = std::to_string((*taken)->port());
  // The model does not exist: that this is not what is told shows that nobody looked.
  const test::ProgramResult result = test::RunProgram({DAMASK_PROGRAM, "serve", "--port", port, "-m", "/nowhere/model.gguf"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(CountLines(result.err), 1u) << result.err;
  EXPECT_NE(result.err.find(port), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
}

TEST(ServeProgram, AFolderThatCannotBeMadeIsOneLineBeforeAnythingIsLoaded) {
  const test::ProgramResult result =
      test::RunProgram({DAMASK_PROGRAM, "serve", "--port", "0", "-m", "/nowhere/model.gguf", "--prefix-cache", "/dev/null/kv"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_EQ(CountLines(result.err), 1u) << result.err;
  EXPECT_NE(result.err.find("/dev/null/kv"), std::string::npos) << result.err;
}

// From now on the system refuses every bind of this process, as it does to a port that is not for its user. Real permissions
// would not do: the tests may run as root, and where ports may be taken by everybody.
void RefuseToBind() {
  sock_filter program[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                           BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_bind, 0, 1),
                           BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter = {static_cast<unsigned short>(std::size(program)), program};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) _exit(99);
}

TEST(ServeProgram, L11WithoutPermissionForThePortItIsOneLineBeforeAnythingIsLoaded) {
  const test::ProgramResult result = test::RunProgram(test::ProgramRun{
      .args = {DAMASK_PROGRAM, "serve", "--port", "0", "-m", "/nowhere/model.gguf"}, .in_child = RefuseToBind});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(CountLines(result.err), 1u) << result.err;
  EXPECT_NE(result.err.find("cannot listen"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("ermission denied"), std::string::npos) << result.err;
  EXPECT_EQ(result.out, "");
}

// Root drops the right first, so that this is the system's own answer.
TEST(ServeProgram, L11APortThatIsNotForThisUserIsOneLine) {
  int first_free = 1024;
  std::ifstream("/proc/sys/net/ipv4/ip_unprivileged_port_start") >> first_free;
  if (first_free <= 1) GTEST_SKIP() << "every port is for everybody here";
  const test::ProgramResult result =
      test::RunProgram(test::ProgramRun{.args = {DAMASK_PROGRAM, "serve", "--port", "1", "-m", "/nowhere/model.gguf"},
                                        .in_child = [] { prctl(PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE, 0, 0, 0); }});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(CountLines(result.err), 1u) << result.err;
  EXPECT_NE(result.err.find("ermission denied"), std::string::npos) << result.err;
}

TEST(ServeProgram, L11AddressesAndFlagsThatCannotBe) {
  struct Row {
    std::vector<std::string> args;
    int exit_code;
  };
  const Row rows[] = {{{"--host", "300.1.2.3", "--port", "0"}, 2},
                      {{"--host", "", "--port", "0"}, 2},
                      {{"--host", "203.0.113.1", "--port", "0"}, 1},  // of another machine
                      {{"--port", "70000"}, 2},
                      {{"--parallel", "0"}, 2},
                      {{"--api-key", "", "--port", "0"}, 2},
                      {{"--api-key-file", "/dev/null", "--port", "0"}, 2},
                      {{"--kv-release", "--port", "0"}, 2},
                      {{"--allowed-host", "example.org:8080", "--port", "0"}, 2},
                      {{"--allowed-host", "10.0.0.5", "--port", "0"}, 2},
                      {{"--kv", "q4", "--port", "0"}, 2},
                      {{"--prefix-cache", "", "--port", "0"}, 2},
                      {{"--prefix-cache", "/dev/null", "--port", "0", "-q"}, 2},
                      {{"--port", "0", "-m", "/nowhere/model.gguf", "-q"}, 2}};
  for (const Row& row : rows) {
    std::vector<std::string> args = {DAMASK_PROGRAM, "serve"};
    args.insert(args.end(), row.args.begin(), row.args.end());
    const test::ProgramResult result = test::RunProgram(args);
    EXPECT_EQ(result.exit_code, row.exit_code) << row.args[0] << ": " << result.err;
    EXPECT_EQ(CountLines(result.err), 1u) << row.args[0] << ": " << result.err;
    EXPECT_EQ(result.out, "");
  }
}

TEST(ServeProgram, P02TheCostIsSaidAtTheStart) {
  ServerProcess server(DAMASK_PROGRAM, TinyArgs());
  ASSERT_TRUE(server.WaitUntilReady()) << server.err();
  EXPECT_NE(server.err().find("prompts that have been read are kept: 1.1 GB in memory, none on disk"), std::string::npos)
      << server.err();
  EXPECT_NE(server.err().find("8 requests at once with up to 131072 tokens"), std::string::npos) << server.err();
}

TEST(ServeProgram, P04APromptIsAtHandInTheNextProcess) {
  const test::TempDir dir;
  std::vector<std::string> args = TinyArgs();
  args.insert(args.end(), {"--prefix-cache", dir.File("prefixes"), "--prefix-bytes", "0"});
  const Json ask = Greedy(PromptIds(1000), 20);
  std::string expected;
  for (const uint64_t cached : {0, 960}) {
    ServerProcess server(DAMASK_PROGRAM, args);
    const std::optional<Json> ready = server.WaitUntilReady();
    ASSERT_TRUE(ready) << server.err();
    const Reply reply = Ask((*ready)["port"], "POST", "/v1/completions", ask.dump());
    EXPECT_EQ(CachedTokens(reply), cached);
    if (expected.empty()) expected = TextOf(reply);
    EXPECT_EQ(TextOf(reply), expected);
    server.Signal(SIGTERM);
    EXPECT_EQ(server.WaitForExit(), 0);
  }
}

TEST(ServeProgram, H09KeysComeFromFlagFileAndEnvironment) {
  const test::TempDir dir;
  std::vector<std::string> args = TinyArgs();
  args.insert(args.end(), {"--api-key", "one", "--api-key-file", dir.Write("keys", "two\r\n\n"), "--api-key-file",
                           dir.Write("more", "three\n")});
  setenv("DAMASK_API_KEY", "four", 1);
  ServerProcess server(DAMASK_PROGRAM, args);
  unsetenv("DAMASK_API_KEY");
  const std::optional<Json> ready = server.WaitUntilReady();
  ASSERT_TRUE(ready) << server.err();
  const auto status = [&](const std::string& key) {
    return Ask((*ready)["port"], "GET", "/v1/models", {}, "Authorization: Bearer " + key + "\r\n").status;
  };
  for (const char* key : {"one", "two", "three", "four"}) EXPECT_EQ(status(key), 200) << key;
  for (const char* key : {"five", "two\r\n\nthree", ""}) EXPECT_NE(status(key), 200) << key;
}

}  // namespace
}  // namespace damask::server
