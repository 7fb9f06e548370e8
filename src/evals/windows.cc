#include "evals/windows.h"

#include <algorithm>

#include <fmt/format.h>

#include "engine/evaluate.h"
#include "texts/prose.h"

namespace damask::evals {
namespace {

using engine::TokenId;

Result<std::vector<std::vector<TokenId>>> WindowsOfText(const engine::Engine& engine, const std::string& text, size_t tokens,
                                                        uint64_t windows) {
  DAMASK_ASSIGN_OR_RETURN(const std::vector<TokenId> ids, engine.tokenizer().Encode(text, tokenizer::Special::kPlain));
  std::vector<std::vector<TokenId>> all;
  for (size_t begin = 0; begin + tokens <= ids.size() && all.size() < windows; begin += tokens) {
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    all.emplace_back(first, first + static_cast<std::ptrdiff_t>(tokens));
  }
  if (all.empty()) {
    return InvalidArgument(fmt::format("the text for perplexity has {} tokens, fewer than a window of {}", ids.size(), tokens));
  }
  return all;
}

Result<std::vector<std::vector<TokenId>>> WindowsOfProse(const engine::Engine& engine, size_t tokens, uint64_t windows,
                                                         uint64_t seed) {
  std::vector<std::vector<TokenId>> all;
  for (uint64_t i = 0; i < windows; ++i) {
    DAMASK_ASSIGN_OR_RETURN(std::vector<TokenId> ids, texts::ProseTokens(engine.tokenizer(), tokens, seed + i));
    all.push_back(std::move(ids));
  }
  return all;
}

}  // namespace

Result<WindowsResult> PerplexityOfWindows(engine::Engine* engine, const std::string& text, uint64_t context, uint64_t windows,
                                          uint64_t seed, const std::function<void()>& window_done,
                                          const std::atomic<bool>* cancel) {
  const uint64_t bos = engine->tokenizer().special().puts_bos() ? 1 : 0;
  if (context < 3) return InvalidArgument("a perplexity wants windows of 3 tokens at least");
  const size_t tokens = context - bos;
  DAMASK_ASSIGN_OR_RETURN(const std::vector<std::vector<TokenId>> all, text.empty()
                                                                           ? WindowsOfProse(*engine, tokens, windows, seed)
                                                                           : WindowsOfText(*engine, text, tokens, windows));
  WindowsResult result;
  std::vector<Answered> figures;
  for (const std::vector<TokenId>& ids : all) {
    DAMASK_ASSIGN_OR_RETURN(const engine::PerplexityResult window, engine::Perplexity(engine, ids, context, nullptr, cancel));
    result.nll.push_back(window.nll);
    Answered& figure = figures.emplace_back();
    figure.prompt_tokens = ids.size() + bos;
    figure.prefill_seconds = window.seconds;
    figure.prefill = engine->stats();
    figure.kv_bytes = engine->kv_bytes_per_token() * figure.prompt_tokens;
    figure.audit = window.audit.Total();
    if (window_done) window_done();
  }
  result.summary = Summarise(figures);
  return result;
}

}  // namespace damask::evals
