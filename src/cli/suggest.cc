#include "cli/suggest.h"

#include <utility>

namespace damask::cli {
namespace {

constexpr std::string_view kNoGpu = "everything runs on the CPU";
constexpr std::string_view kBlocks = "attention is always computed in blocks";
constexpr std::string_view kCacheType = "the KV cache's type is --kv q8";
constexpr std::string_view kBatches = "prompts are read in chunks of a fixed size";
constexpr std::string_view kMemory = "the system decides what stays in memory; --no-mmap reads the file whole";
constexpr std::string_view kWarmUp = "there is no warm-up";
constexpr std::string_view kVerbose = "notes are shown unless --quiet is given";
constexpr std::string_view kThreads = "-t is for reading and answering";
constexpr std::string_view kTogether = "'damask serve' always draws answers together";
constexpr std::string_view kTemplate = "a model's chat template is used as it is, where damask knows its family";
constexpr std::string_view kGrammar = "answers cannot be bound to a grammar or a schema";
constexpr std::string_view kDownload = "nothing is downloaded: -m names a file or a folder";
constexpr std::string_view kPrefixes = "'damask serve --prefix-cache' keeps what was read";
constexpr std::string_view kNoEcho = "the prompt is never printed";
constexpr std::string_view kQuiet = "--quiet leaves notes away";
constexpr std::string_view kChat = "'damask chat' is the conversation";

constexpr std::pair<std::string_view, std::string_view> kLlamaFlags[] = {{"-ngl", kNoGpu},
                                                                         {"--gpu-layers", kNoGpu},
                                                                         {"--n-gpu-layers", kNoGpu},
                                                                         {"-sm", kNoGpu},
                                                                         {"--split-mode", kNoGpu},
                                                                         {"-mg", kNoGpu},
                                                                         {"--main-gpu", kNoGpu},
                                                                         {"-ts", kNoGpu},
                                                                         {"--tensor-split", kNoGpu},
                                                                         {"-dev", kNoGpu},
                                                                         {"--device", kNoGpu},
                                                                         {"-nkvo", kNoGpu},
                                                                         {"--no-kv-offload", kNoGpu},
                                                                         {"-fa", kBlocks},
                                                                         {"--flash-attn", kBlocks},
                                                                         {"-ctk", kCacheType},
                                                                         {"-ctv", kCacheType},
                                                                         {"--cache-type-k", kCacheType},
                                                                         {"--cache-type-v", kCacheType},
                                                                         {"-b", kBatches},
                                                                         {"--batch-size", kBatches},
                                                                         {"-ub", kBatches},
                                                                         {"--ubatch-size", kBatches},
                                                                         {"--mlock", kMemory},
                                                                         {"--no-warmup", kWarmUp},
                                                                         {"-v", kVerbose},
                                                                         {"--verbose", kVerbose},
                                                                         {"-tb", kThreads},
                                                                         {"--threads-batch", kThreads},
                                                                         {"-cb", kTogether},
                                                                         {"--cont-batching", kTogether},
                                                                         {"--jinja", kTemplate},
                                                                         {"--chat-template", kTemplate},
                                                                         {"--chat-template-file", kTemplate},
                                                                         {"--grammar", kGrammar},
                                                                         {"--grammar-file", kGrammar},
                                                                         {"-j", kGrammar},
                                                                         {"--json-schema", kGrammar},
                                                                         {"-hf", kDownload},
                                                                         {"--hf-repo", kDownload},
                                                                         {"-mu", kDownload},
                                                                         {"--model-url", kDownload},
                                                                         {"--prompt-cache", kPrefixes},
                                                                         {"--no-display-prompt", kNoEcho},
                                                                         {"--log-disable", kQuiet},
                                                                         {"-cnv", kChat},
                                                                         {"--conversation", kChat}};

}  // namespace

std::string_view LlamaFlagHint(std::string_view flag) {
  for (const auto& [name, hint] : kLlamaFlags) {
    if (name == flag) return hint;
  }
  return {};
}

}  // namespace damask::cli
