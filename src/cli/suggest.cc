#include "cli/suggest.h"

#include <algorithm>
#include <utility>

#include "base/text.h"

namespace damask::cli {
namespace {

// Edits (insert, remove, replace, swap neighbours) from `a` to `b`: optimal string alignment.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> rows(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) rows[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replace = rows[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      rows[i][j] = std::min({rows[i - 1][j] + 1, rows[i][j - 1] + 1, replace});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        rows[i][j] = std::min(rows[i][j], rows[i - 2][j - 2] + 1);
      }
    }
  }
  return rows[a.size()][b.size()];
}

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

std::string_view WithoutDashes(std::string_view name) {
  const size_t begin = name.find_first_not_of('-');
  return begin == std::string_view::npos ? std::string_view() : name.substr(begin);
}

}  // namespace

std::string Nearest(std::string_view name, const std::vector<std::string>& known) {
  constexpr size_t kLongestName = 40;  // longer text is no misspelt name
  const std::string_view plain = WithoutDashes(name);
  if (plain.empty() || plain.size() > kLongestName) return {};
  std::string best;
  size_t best_distance = std::max<size_t>(1, (plain.size() + 1) / 3) + 1;
  std::string begun;
  size_t begun_count = 0;
  for (const std::string& candidate : known) {
    const std::string_view other = WithoutDashes(candidate);
    const size_t distance = EditDistance(plain, other);
    // One letter is near every other letter: that is no hint.
    if (distance < best_distance && other.size() > 1) {
      best_distance = distance;
      best = candidate;
    }
    if (plain.size() > 1 && other.substr(0, plain.size()) == plain) {
      begun = candidate;
      ++begun_count;
    }
  }
  return best.empty() && begun_count == 1 ? begun : best;
}

std::string DidYouMean(std::string_view name, const std::vector<std::string>& known) {
  const std::string nearest = Nearest(name, known);
  return nearest.empty() ? std::string() : ": did you mean " + Quote(nearest) + "?";
}

std::string_view LlamaFlagHint(std::string_view flag) {
  for (const auto& [name, hint] : kLlamaFlags) {
    if (name == flag) return hint;
  }
  return {};
}

}  // namespace damask::cli
