#include <fmt/format.h>

#include "base/cpu.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/text.h"
#include "base/version.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/suggest.h"

namespace damask::cli {
namespace {

std::string ProgramHelp() {
  std::string text = "damask: answers from long texts with a local model\n\nUsage: damask COMMAND [flags]\n\nCommands:\n";
  for (const CommandEntry& entry : Commands()) text += fmt::format("  {:<18}{}\n", entry.name, entry.summary);
  return text +
         "\n'damask COMMAND --help' shows a command's flags and an example; 'damask --version' which damask this is.\n"
         "-m takes a GGUF file or a Hugging Face folder; without it commands use the model inside the program.\n"
         "Exit codes: 0 done, 1 failed while running, 2 wrong use or bad input, 130 interrupted.\n";
}

// The commands of two words that begin with `first`.
std::vector<const CommandEntry*> CommandsOf(std::string_view first) {
  std::vector<const CommandEntry*> found;
  for (const CommandEntry& entry : Commands()) {
    if (entry.name.substr(0, first.size() + 1) == std::string(first) + " ") found.push_back(&entry);
  }
  return found;
}

// Of a first word that is no command by itself.
std::string GroupHelp(const std::string& first) {
  std::string text = fmt::format("Usage: damask {} COMMAND [flags]\n\nCommands:\n", first);
  for (const CommandEntry* entry : CommandsOf(first)) text += fmt::format("  {:<18}{}\n", entry->name, entry->summary);
  return text + fmt::format("\n'damask {} COMMAND --help' shows a command's flags and an example.\n", first);
}

std::vector<std::string> CommandNames() {
  std::vector<std::string> names;
  for (const CommandEntry& entry : Commands()) names.emplace_back(entry.name);
  return names;
}

bool HasWord(const std::vector<std::string>& arguments, size_t index) {
  return index < arguments.size() && arguments[index][0] != '-';
}

// "eval" and "bench" take a second word; the longest name that fits wins.
const CommandEntry* FindCommand(const std::vector<std::string>& arguments, size_t* words) {
  for (*words = 2; *words > 0; --*words) {
    if (arguments.size() < *words) continue;
    const std::string name = *words == 2 ? arguments[0] + " " + arguments[1] : arguments[0];
    for (const CommandEntry& entry : Commands()) {
      if (entry.name == name) return &entry;
    }
  }
  return nullptr;
}

Status UnknownFirstWord(const std::string& first) {
  if (first.starts_with('-')) {
    const std::string hint = DidYouMean(first, {"--version", "--help"});
    return InvalidArgument(fmt::format("{} is no command{}", Quote(first),
                                       hint.empty() ? ": begin with a command: damask generate -m MODEL -p TEXT" : hint));
  }
  if (const std::string_view hint = ForeignCommandHint(first); !hint.empty()) {
    return InvalidArgument(fmt::format("there is no command {}: {}", Quote(first), hint));
  }
  const std::string hint = DidYouMean(first, CommandNames());
  return InvalidArgument(
      fmt::format("there is no command {}{}", Quote(first), hint.empty() ? "; 'damask --help' lists the commands" : hint));
}

Status UnknownCommand(const std::vector<std::string>& arguments) {
  const std::string& first = arguments[0];
  std::vector<std::string> second_words;
  for (const CommandEntry* entry : CommandsOf(first)) second_words.emplace_back(entry->name.substr(first.size() + 1));
  if (!second_words.empty()) {
    std::string choices = second_words[0];
    for (size_t i = 1; i < second_words.size(); ++i) choices += ", " + second_words[i];
    if (arguments.size() < 2 || arguments[1].starts_with('-'))
      return InvalidArgument(fmt::format("'damask {}' wants a second word: {}", first, choices));
    return InvalidArgument(fmt::format("'damask {}' knows {}, not {}{}", first, choices, Quote(arguments[1]),
                                       DidYouMean(arguments[1], second_words)));
  }
  return UnknownFirstWord(first);
}

void DeclareCommon(Flags* flags, CommonFlags* common, std::optional<std::string>* target) {
  flags->Group("Of every command");
  flags->Switch("--json", &common->json, "one JSON object on standard output, nothing else there");
  flags->Uint("-t,--threads", 1, limits::kMaxThreads, &common->threads, "threads (default: physical cores)");
  flags->Text("--target", "NAME", target,
              "kernels to use: scalar, avx2, avx512, avx512vnni, avx512bf16, amx (default: the best)");
  flags->Switch("-q,--quiet", &common->quiet, "no notes, progress or summary on standard error");
}

Result<int> RunCommand(const CommandEntry& entry, const std::vector<std::string>& arguments) {
  const std::unique_ptr<Command> command = entry.make();
  CommonFlags common;
  std::optional<std::string> target;
  Flags flags(entry.name, entry.summary, entry.example);
  command->Declare(&flags);
  DeclareCommon(&flags, &common, &target);
  DAMASK_ASSIGN_OR_RETURN(const Flags::Parsed parsed, flags.Parse(arguments));
  if (parsed.help_wanted) {
    Write(flags.Help());
    return kExitDone;
  }
  common.target = target.value_or("");
  if (const Result<Target> checked = ParseTarget(common.target); !checked.ok()) return checked.status().At("--target");
  SetQuiet(common.quiet);
  return command->Run(common);
}

Result<int> Dispatch(std::vector<std::string> arguments) {
  if (arguments.empty()) return InvalidArgument("a command is missing; 'damask --help' lists the commands");
  const std::string first = arguments[0];
  if (first == "--version" || first == "version") {
    const bool json = arguments.size() > 1 && arguments[1] == "--json";
    if (arguments.size() > (json ? 2U : 1U)) {
      return InvalidArgument(
          fmt::format("'damask {}' does not know what to do with {}", first, Quote(arguments[json ? 2 : 1])));
    }
    if (json) {
      WriteJson({{"version", VersionString()}});
    } else {
      Write(fmt::format("damask {}\n", VersionString()));
    }
    return kExitDone;
  }
  if (first == "help" && HasWord(arguments, 1)) {
    arguments.erase(arguments.begin());
    arguments.emplace_back("--help");
  } else if (first == "--help" || first == "-h" || first == "help") {
    Write(ProgramHelp());
    return kExitDone;
  }
  size_t words = 0;
  const CommandEntry* entry = FindCommand(arguments, &words);
  if (entry == nullptr && arguments.size() == 2 && (arguments[1] == "--help" || arguments[1] == "-h") &&
      !CommandsOf(arguments[0]).empty()) {
    Write(GroupHelp(arguments[0]));
    return kExitDone;
  }
  if (entry == nullptr) return UnknownCommand(arguments);
  // "bench mat" is a misspelt "bench matmul", not bench with a stray word.
  const bool misspelt = words == 1 && HasWord(arguments, 1) && !CommandsOf(entry->name).empty();
  if (misspelt && !LooksLikeAPath(arguments[1])) return UnknownCommand(arguments);
  return RunCommand(*entry, {arguments.begin() + static_cast<ptrdiff_t>(words), arguments.end()});
}

template <texts::Task task>
std::unique_ptr<Command> MakeTask() {
  return MakeEvalTask(task);
}

}  // namespace

const std::vector<CommandEntry>& Commands() {
  static const std::vector<CommandEntry> kCommands = {
      {"generate", "one answer to a prompt", "damask generate -m model.gguf -f report.txt -p 'What was decided?' -n 200",
       MakeGenerate},
      {"chat", "a conversation in the terminal", "damask chat -m model.gguf -f report.txt", MakeChat},
      {"tokenize", "the token ids of a text", "damask tokenize -m model.gguf -p 'Hello world'", MakeTokenize},
      {"detokenize", "the text of token ids", "damask detokenize -m model.gguf --tokens 1,15043,3186", MakeDetokenize},
      {"info", "what is in a model file and what it will cost", "damask info -m model.gguf -c 32768", MakeInfo},
      {"check", "reads a model or mask file whole and names every fault", "damask check model.gguf", MakeCheck},
      {"serve", "an OpenAI-compatible server and its page", "damask serve -m model.gguf --port 8080", MakeServe},
      {"calibrate", "learns a model's attention patterns and writes a mask file",
       "damask calibrate -m model.gguf -o model.mask", MakeCalibrate},
      {"calibrate heads", "a number for each KV head, for the policies tca and duo",
       "damask calibrate heads -m model.gguf --for duo -o gates.txt", MakeCalibrateHeads},
      {"inspect", "pictures and figures of a mask file", "damask inspect model.mask -o report.html", MakeInspect},
      {"eval logits", "the model's scores for the next token",
       "damask eval logits -m model.gguf --tokens 1,2,3 --out logits.f32", MakeEvalLogits},
      {"eval perplexity", "how well the model predicts a text", "damask eval perplexity -m model.gguf -f wiki.txt -c 512",
       MakeEvalPerplexity},
      {"eval lines", "one line among many, by its key", "damask eval lines -m model.gguf --context 1024,4096 --samples 100",
       MakeTask<texts::Task::kLines>},
      {"eval passkey", "a pass key hidden in prose", "damask eval passkey -m model.gguf --context 8192 --depths 0,0.5,1",
       MakeTask<texts::Task::kPasskey>},
      {"eval needle", "numbers of keys hidden in prose", "damask eval needle -m model.gguf --context 4096 --keys 4 --values 2",
       MakeTask<texts::Task::kNeedle>},
      {"eval kv", "the value of one key among many", "damask eval kv -m model.gguf --context 4096 --samples 100",
       MakeTask<texts::Task::kKv>},
      {"eval vt", "chains of variables hidden in prose", "damask eval vt -m model.gguf --context 4096 --chains 2 --hops 3",
       MakeTask<texts::Task::kVt>},
      {"eval cwe", "the most common words of a list", "damask eval cwe -m model.gguf --context 4096 --words 10",
       MakeTask<texts::Task::kCwe>},
      {"eval fwe", "the three most frequent words of a list", "damask eval fwe -m model.gguf --context 4096",
       MakeTask<texts::Task::kFwe>},
      {"eval jsonl", "questions of a file, scored", "damask eval jsonl -m model.gguf -f hotpotqa.jsonl --metric f1",
       MakeEvalJsonl},
      {"eval compare", "policies side by side on the same samples",
       "damask eval compare -m model.gguf --policies 'full;streaming' --tasks lines,perplexity --context 2048,4096 --density "
       "0.1",
       MakeEvalCompare},
      {"bench", "speed of reading and of answering", "damask bench -m model.gguf --prompt 512,2048 --depth 0,4096 --gen 32",
       MakeBench},
      {"bench attention", "the attention kernel alone",
       "damask bench attention --head-dim 128 --heads 32 --kv-heads 8 --context 16384 --density 1,0.1", MakeBenchAttention},
      {"bench matmul", "the matrix product alone", "damask bench matmul --m 512 --n 8192 --k 2048", MakeBenchMatmul},
      {"bench policies", "what the choice of keys costs as a text grows", "damask bench policies --context 8192,32768,131072",
       MakeBenchPolicies},
      {"policies", "the attention policies and their options", "damask policies", MakePolicies},
  };
  return kCommands;
}

int RunProgram(const std::vector<std::string>& arguments) {
  const Result<int> result = Dispatch(arguments);
  if (result.ok()) return *result;
  if (result.status().code() != StatusCode::kCancelled) PrintError(result.status());
  return ExitCode(result.status());
}

}  // namespace damask::cli
