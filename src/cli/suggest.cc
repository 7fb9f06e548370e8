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

constexpr std::pair<std::string_view, std::string_view> kLlamaFlags[] = {
    {"-ngl", kNoGpu},     {"--gpu-layers", kNoGpu},       {"--n-gpu-layers", kNoGpu},
    {"-fa", kBlocks},     {"--flash-attn", kBlocks},      {"-ctk", kCacheType},
    {"-ctv", kCacheType}, {"--cache-type-k", kCacheType}, {"--cache-type-v", kCacheType},
    {"-b", kBatches},     {"--batch-size", kBatches},     {"-ub", kBatches},
    {"--mlock", kMemory}, {"--ubatch-size", kBatches},    {"--no-warmup", kWarmUp},
    {"-v", kVerbose},     {"--verbose", kVerbose}};

}  // namespace

std::string_view LlamaFlagHint(std::string_view flag) {
  for (const auto& [name, hint] : kLlamaFlags) {
    if (name == flag) return hint;
  }
  return {};
}

}  // namespace damask::cli
