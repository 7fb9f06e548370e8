// Flags, help texts, errors and exit codes: what every command has in common.
#include <algorithm>
#include <filesystem>
#include <iterator>
#include <regex>
#include <set>

#include <gtest/gtest.h>

#include "tests/cli/cli_test.h"

namespace damask::test {
namespace {

std::vector<std::string> Words(const std::string& text) {
  std::vector<std::string> words;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

class EveryCommand : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryCommand, HelpHasTheCommonFlagsAndAnExample) {
  std::vector<std::string> args = Words(GetParam());
  args.emplace_back("--help");
  const ProgramResult result = Damask(args);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.err, "");
  for (const char* part : {"--json", "--threads", "--target", "--quiet", "Example:\n  damask "}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << part << " in " << result.out;
  }
  EXPECT_NE(result.out.find(std::string("damask ") + GetParam()), std::string::npos);
}

TEST_P(EveryCommand, IsListedInTheProgramsHelp) {
  EXPECT_NE(Damask({"--help"}).out.find(std::string("\n  ") + GetParam() + " "), std::string::npos);
}

TEST_P(EveryCommand, AnUnknownFlagIsOneSentence) {
  std::vector<std::string> args = Words(GetParam());
  args.emplace_back("--no-such-thing");
  ExpectRefused(Damask(args), "has no flag '--no-such-thing'");
}

TEST_P(EveryCommand, AMisspeltCommonFlagGetsAHint) {
  std::vector<std::string> args = Words(GetParam());
  args.insert(args.end(), {"--tread", "2"});
  ExpectRefused(Damask(args), "did you mean '--threads'?");
}

TEST_P(EveryCommand, ThreadsAndTargetAreChecked) {
  const std::vector<std::string> words = Words(GetParam());
  const auto with = [&](std::initializer_list<std::string> more) {
    std::vector<std::string> args = words;
    args.insert(args.end(), more);
    return Damask(args);
  };
  ExpectRefused(with({"-t", "0"}), "--threads: found '0', expected a whole number from 1 to 1024");
  ExpectRefused(with({"-t", "100000"}), "--threads: found '100000'");
  ExpectRefused(with({"-t", "two"}), "--threads: found 'two'");
  ExpectRefused(with({"-t"}), "--threads wants a value");
  ExpectRefused(with({"--target", "mmx"}), "--target");
}

constexpr const char* kEveryCommand[] = {
    "generate",        "chat",         "tokenize",       "detokenize",      "info",       "check",        "serve",
    "calibrate",       "inspect",      "eval logits",    "eval perplexity", "eval lines", "eval passkey", "eval needle",
    "eval kv",         "eval vt",      "eval cwe",       "eval fwe",        "eval jsonl", "eval compare", "bench",
    "bench attention", "bench matmul", "bench policies", "calibrate heads", "policies"};

INSTANTIATE_TEST_SUITE_P(Usage, EveryCommand, ::testing::ValuesIn(kEveryCommand));

// A new command cannot be forgotten above: what the program lists is what is tested.
TEST(Usage, EveryCommandIsEveryCommand) {
  const std::string help = Damask({"--help"}).out;
  const std::regex entry("\n  ([a-z]+( [a-z]+)?)  ");
  std::set<std::string> listed;
  for (std::sregex_iterator it(help.begin(), help.end(), entry); it != std::sregex_iterator(); ++it) listed.insert((*it)[1]);
  EXPECT_EQ(listed, std::set<std::string>(std::begin(kEveryCommand), std::end(kEveryCommand)));
}

struct WrongValue {
  std::vector<std::string> args;
  const char* part;
};

class WrongValues : public ::testing::TestWithParam<WrongValue> {};

TEST_P(WrongValues, AreOneSentenceThatNamesTheFlag) { ExpectRefused(Damask(GetParam().args), GetParam().part); }

INSTANTIATE_TEST_SUITE_P(
    Usage, WrongValues,
    ::testing::Values(
        WrongValue{{"generate", "-p", "x", "-n", "-2"}, "--n-predict: found '-2', expected a whole number from 0 to "},
        WrongValue{{"generate", "-p", "x", "-n", "-2"}, ", or -1 for no limit"},
        WrongValue{{"generate", "-p", "x", "-n", "1.5"}, "--n-predict: found '1.5'"},
        WrongValue{{"generate", "-p", "x", "-n", "99999999999999999999"}, "--n-predict: found '99999999999999999999'"},
        WrongValue{{"generate", "-p", "x", "--temp", "abc"}, "found 'abc', expected a number from 0 to 100"},
        WrongValue{{"generate", "-p", "x", "--temp", "-1"}, "found '-1'"},
        WrongValue{{"generate", "-p", "x", "--temp", "nan"}, "found 'nan'"},
        WrongValue{{"generate", "-p", "x", "--top-p", "5"}, "--top-p: found '5', expected a number from 0 to 1"},
        WrongValue{{"generate", "-p", "x", "--top-p=5"}, "--top-p: found '5'"},
        WrongValue{{"generate", "-p", "x", "--min-p", "1.01"}, "--min-p: found '1.01'"},
        WrongValue{{"generate", "-p", "x", "--top-k", "-40"}, "--top-k: found '-40'"},
        WrongValue{{"generate", "-p", "x", "--seed", "-2"}, "--seed: found '-2'"},
        WrongValue{{"generate", "-p", "x", "-c", "-1"}, "--ctx-size: found '-1', expected a whole number from 0"},
        WrongValue{{"generate", "-p", "x", "--stop", ""}, "--stop: the text is empty"},
        WrongValue{{"generate", "-p", "x", "--repeat-penalty", "0"}, "repeat-penalty"},
        WrongValue{{"generate", "-p", "x", "--chat", "--raw"}, "exclude each other"},
        WrongValue{{"generate", "-p", "x", "--raw", "--chat-template", "chatml"},
                   "--raw and --chat-template exclude each other"},
        WrongValue{{"eval", "lines", "--raw", "--chat-template", "chatml"}, "--raw and --chat-template exclude each other"},
        WrongValue{{"chat", "--chat-template", "alpaca"}, "--chat-template is 'alpaca', expected one of llama-2, llama-3, "},
        WrongValue{{"generate", "-p", "x", "--raw=1"}, "--raw takes no value"},
        WrongValue{{"generate", "-p", "x", "stray"}, "does not know what to do with 'stray'"},
        WrongValue{{"generate", "-p", "x", "-m", ""}, "--model: the path is empty"},
        WrongValue{{"generate", "-p", "x", "--rope-scaling", "spiral"}, "'spiral'"},
        WrongValue{{"generate", "-p", "x", "--rope-freq-base", "0"}, "--rope-freq-base: found '0'"},
        WrongValue{{"generate", "-p", "x", "--policy", "no-such-policy"}, "no-such-policy"},
        WrongValue{{"generate", "-p"}, "--prompt wants a value"}, WrongValue{{"generate", "-p", "x", "-x"}, "has no flag '-x'"},
        WrongValue{{"generate", "-p", "x", "--tmep", "1"}, "did you mean '--temp'?"},
        WrongValue{{"generate", "-p", "x", "--mask", "m,n"}, "--mask: a path with a comma"},
        WrongValue{{"generate", "-p", "x", "--mask", ""}, "--mask: the path is empty"},
        WrongValue{{"generate", "-p", "x", "--mask", "m.bin", "--policy", "full"}, "exclude each other"},
        WrongValue{{"generate", "-p", "x", "--audit", "-1"}, "--audit: found '-1'"},
        WrongValue{{"generate", "-p", "x", "--policy", "quest", "--audit", "0", "--audit-decode", "0", "--audit-floor", "0.9"},
                   "--audit-floor goes by the audit"},
        WrongValue{{"generate", "-p", "x", "--yarn-orig-ctx", "2048"}, "does nothing without a scaling"},
        WrongValue{{"generate", "-p", "x", "--reasoning-budget", "0", "--reasoning-effort", "high"}, "exclude each other"},
        WrongValue{{"serve", "--prefix-disk-bytes", "4096"}, "wants it"},
        WrongValue{{"serve", "--prefix-disk-bytes", "4K"}, "wants it"},
        WrongValue{{"serve", "--prefix-bytes", "1T"}, "--prefix-bytes: found '1T', expected a number of bytes from 0 to "},
        WrongValue{{"serve", "--prefix-bytes", "G"}, "with K, M or G behind it for powers of 1024"},
        WrongValue{{"serve", "--prefix-bytes", "1048577G"}, "--prefix-bytes: found '1048577G'"},
        WrongValue{{"serve", "--prefix-bytes", "-1"}, "--prefix-bytes: found '-1'"},
        WrongValue{{"serve", "-a", ""}, "--alias: the name is empty"},
        WrongValue{{"serve", "--temp", "abc"}, "found 'abc', expected a number from 0 to 100"},
        WrongValue{{"serve", "-n", "-2"}, "--n-predict: found '-2'"},
        WrongValue{{"bench", "-q", "-c", "64", "-p", "32", "-d", "64", "-n", "1"}, "is 65 tokens, the context is 64"},
        WrongValue{{"bench", "-q", "-c", "64", "-p", "32,65"}, "a prompt is 65 tokens"},
        WrongValue{{"calibrate", "-o", "x.mask", "--budget", "0.5", "--effect-length", "512"}, "--effect-length belongs to"},
        WrongValue{{"eval", "compare", "-q", "--policies", "full", "--context", "300,300"}, "300 is there twice"},
        WrongValue{{"eval", "compare", "--policies", "full", "--tasks", "lines", "-f", "README.md"}, "not among --tasks"},
        WrongValue{{"generate", "-p", "x", "--kv", "q4"}, "--kv: found 'q4', expected bf16 or q8"},
        WrongValue{{"chat", "--kv", "f32"}, "--kv: found 'f32', expected bf16 or q8"},
        WrongValue{{"eval", "lines", "--kv", ""}, "--kv: found '', expected bf16 or q8"},
        WrongValue{{"bench", "--kv", "Q8"}, "--kv: found 'Q8', expected bf16 or q8"},
        WrongValue{{"bench", "attention", "--kv", "8"}, "--kv: found '8', expected bf16 or q8"},
        WrongValue{{"tokenize", "-p", "x", "--kv", "q8"}, "has no flag '--kv'"},
        WrongValue{{"generate", "-f", ""}, "--file: the path is empty"},
        WrongValue{{"bench", "attention", "--head-dim", "63"}, "--head-dim is 63, expected a multiple of 16"},
        WrongValue{{"bench", "attention", "--heads", "3", "--kv-heads", "2"}, "--heads 3 over --kv-heads 2: expected"},
        WrongValue{{"bench", "policies", "--head-dim", "63"}, "--head-dim is 63, expected a multiple of 16"},
        WrongValue{{"detokenize"}, "standard input has no text"}, WrongValue{{"eval", "logits"}, "wants --tokens or -f FILE"},
        WrongValue{{"eval", "perplexity"}, "wants -f FILE"},
        WrongValue{{"eval", "lines", "--context", "0"}, "--context: found '0'"},
        WrongValue{{"eval", "lines", "--context", "10", "--quiet"}, "--context 10, of which"},
        WrongValue{{"eval", "lines", "--samples", "0"}, "--samples: found '0'"},
        WrongValue{{"eval", "lines", "--depths", "0,1.5"}, "--depths: found '1.5'"},
        WrongValue{{"eval", "lines", "--keys", "2"}, "has no flag '--keys'"},
        WrongValue{{"eval", "needle", "--keys", "100", "--values", "100"}, "keys times values"},
        WrongValue{{"eval", "vt", "--hops", "5"}, "--hops: found '5'"},
        WrongValue{{"eval", "vt", "--depths", "0"}, "has no flag '--depths'"},
        WrongValue{{"eval", "cwe", "--words", "2"}, "--words: found '2'"}, WrongValue{{"eval", "jsonl"}, "wants -f FILE"},
        WrongValue{{"eval", "jsonl", "-f", "q.jsonl"}, "wants --metric"},
        WrongValue{{"eval", "jsonl", "-f", "q.jsonl", "--metric", "rouge"}, "--metric: found 'rouge'"},
        WrongValue{{"eval", "compare"}, "wants --policies"},
        WrongValue{{"eval", "compare", "--policies", "full;"}, "--policies: a part of 'full;' is empty"},
        WrongValue{{"eval", "compare", "--policies", "full;full"}, "'full' is given twice"},
        WrongValue{{"eval", "compare", "--policies", "full;no-such", "--quiet"}, "--policies: unknown policy 'no-such'"},
        WrongValue{{"eval", "compare", "--policies", "full", "--policy", "full"}, "takes the place of --policy"},
        WrongValue{{"eval", "compare", "--policies", "full", "--tasks", "lines,magic", "--quiet"}, "--tasks: found 'magic'"},
        WrongValue{{"eval", "compare", "--policies", "full", "--density", "0"}, "--density: found '0'"},
        WrongValue{{"eval", "compare", "--policies", "full", "--html", ""}, "-o: the path is empty"},
        WrongValue{{"bench", "--prompt", "512,,2"}, "--prompt: found ''"},
        WrongValue{{"bench", "attention", "--density", "1.5"}, "--density: found '1.5'"}));

INSTANTIATE_TEST_SUITE_P(
    LlamaCppFlags, WrongValues,
    ::testing::Values(WrongValue{{"generate", "-ngl", "99"}, "has no flag '-ngl': everything runs on the CPU"},
                      WrongValue{{"serve", "--jinja"}, "has no flag '--jinja': a model's chat template"},
                      WrongValue{{"generate", "--top-p", "1.5"}, "expected a number from 0 to 1"},
                      WrongValue{{"generate", "--repeat-penalty", "0"}, "expected a number from 0.01 to 100"},
                      WrongValue{{"calibrate", "-o", "x", "--sinks", "0"}, "from 1 to"},
                      WrongValue{{"eval", "--json"}, "'damask eval' wants a second word: logits"},
                      WrongValue{{"bench", "--n-gpu-layers=99"}, "has no flag '--n-gpu-layers': everything runs on the CPU"},
                      WrongValue{{"generate", "-ctk", "q8_0"}, "has no flag '-ctk': the KV cache's type is --kv q8"},
                      WrongValue{{"chat", "--cache-type-v", "q8_0"}, "'--cache-type-v': the KV cache's type is --kv q8"},
                      WrongValue{{"generate", "-fa"}, "has no flag '-fa': attention is always computed in blocks"},
                      WrongValue{{"serve", "-b", "512"}, "has no flag '-b': prompts are read in chunks"},
                      WrongValue{{"generate", "--mlock"}, "has no flag '--mlock': the system decides"},
                      WrongValue{{"generate", "--no-warmup"}, "has no flag '--no-warmup': there is no warm-up"},
                      WrongValue{{"generate", "-v"}, "has no flag '-v': notes are shown unless --quiet"},
                      WrongValue{{"generate", "-np", "4"}, "has no flag '-np'\n"},
                      WrongValue{{"generate", "-pps"}, "has no flag '-pps': requests share"},
                      WrongValue{{"generate", "-mmproj", "x"}, "has no flag '-mmproj'"},
                      WrongValue{{"generate", "-mli"}, "has no flag '-mli': 'damask chat' is the conversation"},
                      WrongValue{{"generate", "-fit", "off"}, "has no flag '-fit': everything runs on the CPU"},
                      WrongValue{{"generate", "-md", "x"}, "has no flag '-md': --draft-max guesses"},
                      WrongValue{{"generate", "-ptc", "3"}, "has no flag '-ptc': the summary"},
                      WrongValue{{"generate", "-phello"}, "has no flag '-phello': the value of -p stands behind a space\n"},
                      WrongValue{{"generate", "-st"}, "has no flag '-st': 'damask generate' gives one answer\n"},
                      WrongValue{{"generate", "-co"}, "has no flag '-co': answers have no colours\n"},
                      WrongValue{{"generate", "-qx"}, "has no flag '-qx'\n"},
                      WrongValue{{"chat", "--system-prompt-file", "x"}, "take the text itself, in a shell --system"},
                      WrongValue{{"serve", "--ssl-key-file", "x"}, "the server speaks plain HTTP"},
                      WrongValue{{"generate", "-nx"}, "has no flag '-nx'"}, WrongValue{{"generate", "-n7x"}, "found '7x'"}));

TEST(Usage, AllUnknownFlagsAreNamedAtOnceWithTheirHints) {
  ExpectRefused(
      Damask({"serve", "-m", "x.gguf", "-ngl", "99", "-fa", "on", "-ctk", "q8_0", "-ctv", "q8_0", "--keep", "-1", "--xyzzy",
              "--prot", "8080", "--metrics", "-ngl", "1"}),
      "damask: error: 'damask serve' has no flags '-ngl': everything runs on the CPU; '-fa': attention is always computed in "
      "blocks; '-ctk', '-ctv': the KV cache's type is --kv q8; '--keep': a full context ends an answer: nothing is shifted "
      "out; "
      "'--xyzzy'; '--prot': did you mean '--port'?; '--metrics': 'damask serve' always answers GET /metrics, /slots and "
      "/props\n");
  // What else is wrong comes second: it may be the unknown flag's doing.
  ExpectRefused(Damask({"generate", "--raw=1", "--xyzzy"}), "has no flag '--xyzzy'\n");
  ExpectRefused(Damask({"generate", "--xyzzy", "stray", "-p"}), "has no flag '--xyzzy'\n");
}

TEST(Usage, NumbersMayStandBehindTheirLetterAndTextsBehindAnEqualsSign) {
  const auto text = [](std::vector<std::string> more) {
    more.insert(more.begin(), {"generate", "--temp", "0", "--raw"});
    return DamaskJson(more)["text"];
  };
  const Json expected = text({"-p", "The ", "-n", "4"});
  EXPECT_EQ(text({"-p=The ", "-n4"}), expected);
  EXPECT_EQ(text({"--prompt=The ", "-n=4"}), expected);
}

// Nobody may make a file in /proc. The model does not exist: that this is not what is told shows that nothing was done before.
INSTANTIATE_TEST_SUITE_P(
    UnwritableOutput, WrongValues,
    ::testing::Values(
        WrongValue{{"calibrate", "-m", "/no/model", "-o", "/proc/x"}, "-o: '/proc/x': cannot create"},
        WrongValue{{"calibrate", "-m", "/no/model", "--out", "/no/such/x"}, "-o: there is no folder '/no/such'"},
        WrongValue{{"calibrate", "heads", "--for", "duo", "-m", "/no/model", "-o", "/proc/x"}, "-o: '/proc/x': cannot create"},
        WrongValue{{"calibrate", "heads", "--for", "duo", "--out", "/no/such/x"}, "-o: there is no folder '/no/such'"},
        WrongValue{{"inspect", "/no/mask", "-o", "/proc/x"}, "-o: '/proc/x': cannot create"},
        WrongValue{{"inspect", "/no/mask", "--png", "0.0", "/proc/x"}, "--png: '/proc/x': cannot create"},
        WrongValue{{"eval", "logits", "-m", "/no/model", "--tokens", "1", "-o", "/proc/x"}, "-o: '/proc/x': cannot create"},
        WrongValue{{"eval", "logits", "--tokens", "1", "--output", "/no/such/x"}, "-o: there is no folder '/no/such'"},
        WrongValue{{"eval", "compare", "-m", "/no/model", "--policies", "full", "-o", "/proc/x"}, "-o: '/proc/x': cannot"},
        WrongValue{{"eval", "compare", "--policies", "full", "--out", "/no/such/x"}, "-o: there is no folder '/no/such'"},
        WrongValue{{"eval", "compare", "-m", "/no/model", "--policies", "full", "--resume", "/proc/x"},
                   "--resume: '/proc/x'"}));

// What a calibration does not look at is no flag of it.
INSTANTIATE_TEST_SUITE_P(Calibration, WrongValues,
                         ::testing::Values(WrongValue{{"calibrate", "--policy", "full"}, "has no flag '--policy'"},
                                           WrongValue{{"calibrate", "--mask", "m"}, "has no flag '--mask'"},
                                           WrongValue{{"calibrate", "--audit", "1"}, "has no flag '--audit'"},
                                           WrongValue{{"calibrate", "--audit-decode", "1"}, "has no flag '--audit-decode'"},
                                           WrongValue{{"calibrate", "--audit-floor", "1"}, "has no flag '--audit-floor'"},
                                           WrongValue{{"calibrate", "--kv-release"}, "has no flag '--kv-release'"},
                                           WrongValue{{"calibrate", "heads", "--policy", "full"}, "has no flag '--policy'"},
                                           WrongValue{{"calibrate", "heads", "--kv-release"}, "has no flag '--kv-release'"},
                                           WrongValue{{"calibrate", "-c", "-1"}, "--ctx-size: found '-1'"}));

TEST(Usage, ACalibrationOfAnUnknownKvTypeIsRefused) {
  const TempDir dir;
  ExpectRefused(Damask({"calibrate", "--kv", "q4", "-o", dir.File("x")}), "--kv: found 'q4'");
}

// What is written never takes the place of what is read, nor of what else is written.
TEST(Usage, AnOutputIsNoFileThatIsRead) {
  const TempDir dir;
  const std::string file = dir.Write("r", "kept");
  const std::string link = dir.File("link");
  std::filesystem::create_symlink(file, link);
  const std::string shard = dir.Write("m-00002-of-00002.gguf", "kept");
  std::filesystem::create_directory(dir.File("folder"));
  const std::string weights = dir.Write("folder/model.safetensors", "kept");
  const std::string map = dir.Write("folder/layer_0_head_0.txt", "kept");
  const std::vector<WrongValue> cases = {
      {{"inspect", file, "-o", file}, "-o "},
      {{"inspect", file, "--png", "0.0", link}, "of a file of MASK, expected another name"},
      {{"inspect", file, "-o", dir.File("new"), "--png", "0.0", dir.path() + "/./new"}, "of a file of -o"},
      {{"calibrate", "-m", file, "-o", file}, "of a file of -m"},
      {{"calibrate", "-m", dir.File("m-00001-of-00002.gguf"), "-o", shard}, "of a file of -m"},
      {{"calibrate", "-m", dir.File("folder"), "-o", weights}, "of a file of -m"},
      {{"calibrate", "--maps", dir.File("folder"), "-o", map}, "of a file of --maps"},
      {{"calibrate", "--text", dir.File("x"), "--text", file, "-o", file}, "of a file of --text"},
      {{"calibrate", "heads", "--for", "tca", "-m", link, "-o", file}, "of a file of -m"},
      {{"calibrate", "heads", "--for", "tca", "--text", file, "-o", file}, "of a file of --text"},
      {{"eval", "logits", "--tokens", "1", "-m", file, "-o", file}, "of a file of -m"},
      {{"eval", "logits", "--tokens", "1", "--mask", file, "-o", file}, "of a file of --mask"},
      {{"eval", "logits", "--tokens", "1", "--policy", "duo:full=1,file=" + file, "-o", file}, "of a file of --policy"},
      {{"eval", "logits", "-f", file, "-o", file}, "of a file of -f"},
      {{"eval", "compare", "--policies", "full", "--tasks", "perplexity", "-f", file, "-o", file}, "of a file of -f"},
      {{"eval", "compare", "--policies", "full", "-m", file, "--resume", file}, "of a file of -m"},
      {{"eval", "compare", "--policies", "full;dam:mask=" + file, "-o", file}, "of a file of --policies"},
      {{"eval", "compare", "--policies", "full", "-o", dir.File("new"), "--resume", dir.path() + "/./new"},
       "of a file of --resume"},
  };
  for (const WrongValue& wrong : cases) {
    ExpectRefused(Damask(wrong.args), "would take the place of a file of");
    ExpectRefused(Damask(wrong.args), wrong.part);
  }
  for (const std::string& path : {file, shard, weights, map}) EXPECT_EQ(ReadBytes(path), "kept") << path;
  // A table or a mask may lie in the model's folder, and a device is no place.
  const std::string tokens = dir.Write("tokens", "1 2");
  for (const std::string& out : {TinyFolder() + "/gates.txt", std::string("/dev/null")}) {
    EXPECT_EQ(Damask({"eval", "logits", "-q", "-m", TinyFolder(), "-f", tokens, "-o", out}).exit_code, 0) << out;
    EXPECT_EQ(Damask({"eval", "logits", "-q", "-m", TinyFolder(), "-f", tokens, "-o", out}).exit_code, 0) << out;
  }
}

TEST(Usage, HelpNamesEveryAlias) {
  const auto has = [](std::vector<std::string> command, const std::string& part) {
    command.emplace_back("--help");
    const std::string help = Damask(command).out;
    EXPECT_NE(help.find(part), std::string::npos) << part << " in " << help;
  };
  has({"generate"}, "system message of a chat; also -sys, --system-prompt\n");
  has({"generate"}, "; also --conversation, -cnv\n");
  has({"generate"}, "; also --no-conversation, -no-cnv\n");
  has({"chat"}, "; also -sp\n");
  has({"serve"}, "; also -np\n");
  has({"eval", "compare"}, "; also --html, --out\n");
  has({"calibrate"}, "; also --out\n");
  has({"calibrate", "heads"}, "; also --out\n");
  has({"inspect"}, "; also --output\n");
  has({"eval", "logits"}, "; also --output\n");
}

TEST(Usage, AFlagWithTwoValuesNamesThem) {
  const std::string help = Damask({"inspect", "--help"}).out;
  EXPECT_NE(help.find("  --png L.H FILE  "), std::string::npos) << help;
}

TEST(Usage, HelpOfAWordThatBeginsCommandsListsThem) {
  const ProgramResult result = Damask({"eval", "--help"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out.find("\n  eval passkey "), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("\n  eval compare "), std::string::npos) << result.out;
  EXPECT_EQ(result.out.find("\n  generate "), std::string::npos) << result.out;
  EXPECT_EQ(Damask({"help", "eval"}).out, result.out);
}

TEST(Usage, NoCommandIsWrongUse) { ExpectRefused(Damask({}), "a command is missing"); }
TEST(Usage, AnUnknownCommandGetsTheNearestName) { ExpectRefused(Damask({"generat"}), "did you mean 'generate'?"); }
TEST(Usage, HelpOfAnUnknownCommandIsWrongUse) {
  ExpectRefused(Damask({"generat", "--help"}), "did you mean 'generate'?");
  ExpectRefused(Damask({"help", "xyzzy"}), "there is no command 'xyzzy'");
}
TEST(Usage, ACommandLikeNoOtherGetsNoHint) { ExpectRefused(Damask({"xyzzy"}), "there is no command 'xyzzy'; 'damask --help'"); }
TEST(Usage, CommandsOfOtherProgramsGetAHint) {
  for (const char* name : {"run", "cli"}) ExpectRefused(Damask({name, "-m", "x"}), "'damask generate' gives one answer");
  ExpectRefused(Damask({"perplexity", "-f", "x"}), "'damask eval perplexity'");
  for (const char* name : {"quantize", "convert"}) ExpectRefused(Damask({name, "x"}), "files are read as they are");
  ExpectRefused(Damask({"embedding"}), "it has no embeddings");
}
TEST(Usage, FlagsWithoutACommandAreToldToBeginWithOne) {
  ExpectRefused(Damask({"-m", "x", "-p", "hi"}), "'-m' is no command: begin with a command: damask generate -m");
  ExpectRefused(Damask({"--verison"}), "did you mean '--version'?");
}
TEST(Usage, EvalAloneListsItsCommands) { ExpectRefused(Damask({"eval"}), "wants a second word: logits, perplexity"); }
TEST(Usage, AnUnknownSecondWordGetsTheNearestName) {
  ExpectRefused(Damask({"eval", "logit"}), "did you mean 'logits'?");
  ExpectRefused(Damask({"bench", "matmull"}), "did you mean 'matmul'?");
}
TEST(Usage, ControlCharactersInACommandAreShownEscaped) { ExpectRefused(Damask({"\x1b[2J\n"}), "'\\x1b[2J\\x0a'"); }

TEST(Usage, VersionIsOneLine) {
  const ProgramResult result = Damask({"--version"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out.rfind("damask ", 0), 0u);
  EXPECT_EQ("damask " + JsonOf(Damask({"--version", "--json"}))["version"].get<std::string>() + "\n", result.out);
}

TEST(Usage, TheVersionTakesNothingElse) {
  ExpectRefused(Damask({"--version", "--foo"}), "'--foo'");
  ExpectRefused(Damask({"version", "--json", "foo"}), "'foo'");
}

TEST(Usage, AFileWithoutItsFlagGetsAHint) {
  for (const char* command : {"bench", "calibrate", "generate", "serve"}) {
    ExpectRefused(Damask({command, "some/model.gguf"}), "what to do with 'some/model.gguf': a model is given with -m");
  }
  ExpectRefused(Damask({"bench", "attentio"}), "did you mean 'attention'?");
}

TEST(Usage, AContextOf0IsTheModels) {
  const Json given = DamaskJson({"info", "-m", TinyModel(), "-c", "0"});
  EXPECT_EQ(given["run_context"], DamaskJson({"info", "-m", TinyModel()})["run_context"]);
}

TEST(Usage, TheHintOfAFlagDoesNotNameThatFlag) {
  const ProgramResult result = Damask({"eval", "logits", "--tokens", "1", "--chat-template", "chatml"});
  ExpectRefused(result, "'--chat-template': what it reads is put into no chat template");
  EXPECT_EQ(result.err.find("gives another"), std::string::npos) << result.err;
}

TEST(Usage, BlanksAroundAPolicyOfTheBenchmarkAreNotPartOfIt) {
  const Json object = DamaskJson({"bench", "policies", "-q", "--policies", "full; streaming ", "-c", "1024"});
  ASSERT_EQ(object["results"].size(), 2u);
  EXPECT_EQ(object["results"][1]["policy"], "streaming");
}

TEST(Usage, AShortTimeIsNoZero) {
  const std::string text = Damask({"bench", "matmul", "--m", "1", "--n", "16", "--k", "16", "--type", "BF16"}).out;
  EXPECT_EQ(text.find(" 0.0000 "), std::string::npos) << text;
  EXPECT_EQ(text.find(" 0.00000 "), std::string::npos) << text;
}

TEST(Usage, HelpOfACommandByHelpInFront) { EXPECT_EQ(Damask({"help", "info"}).out, Damask({"info", "--help"}).out); }

TEST(Usage, AFlagInAValueIsAValue) {
  EXPECT_EQ(DamaskJson({"tokenize", "-p", "--help", "--no-bos"})["ids"],
            DamaskJson({"tokenize", "--prompt=--help", "--no-bos"})["ids"]);
}

TEST(Usage, LlamaCppNamesWork) {
  const std::vector<std::string> base = {"generate", "--temp", "0", "-p", "The "};
  const auto text = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return DamaskJson(more)["text"];
  };
  const Json expected = text({"-n", "4", "--raw", "-c", "64", "-t", "1"});
  EXPECT_EQ(text({"--n-predict", "4", "-no-cnv", "--ctx-size", "64", "--threads", "1"}), expected);
  EXPECT_EQ(text({"--predict", "4", "--no-conversation", "-c64", "-t1", "-s", "1"}), expected);
}

TEST(Usage, TheLastOfARepeatedFlagCounts) {
  EXPECT_EQ(DamaskJson({"generate", "-p", "a", "-n", "9", "-n", "2", "--temp", "0", "--raw"})["generated_tokens"], 2);
}

TEST(Usage, WithoutModelTheEmbeddedOneIsNamed) {
  EXPECT_NE(Damask({"tokenize", "-p", "x"}).err.find("no -m given"), std::string::npos);
  EXPECT_EQ(Damask({"tokenize", "-p", "x", "--quiet"}).err, "");
}

TEST(Usage, AClosedOutputIsAFailureNotASignal) {
  const ProgramResult result = RunProgram({"sh", "-c", "\"$0\" tokenize -p x >/dev/full", DAMASK_PROGRAM});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("cannot write to standard output"), std::string::npos) << result.err;
}

}  // namespace
}  // namespace damask::test
