#include "engine/layer_pass.h"

#include <algorithm>
#include <new>
#include <optional>

#include <fmt/format.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"

namespace damask::engine {

Status CheckHiddenStatesFit(const Engine& engine, uint64_t texts, uint64_t length, std::string_view flag, uint64_t beside) {
  const std::optional<uint64_t> own = CheckedMul(texts, length);
  const std::optional<uint64_t> tokens = own ? CheckedAdd(*own, beside) : std::nullopt;
  if (!tokens) return OutOfMemory(fmt::format("{}: {} texts of {} tokens are no number of tokens", flag, texts, length));
  const uint64_t left = AvailableMemory();
  const std::optional<uint64_t> wanted = CheckedMul(*tokens, engine.model().config().width * sizeof(float) + sizeof(TokenId));
  if (wanted && *wanted <= left) return {};
  return OutOfMemory(fmt::format("{}: hidden states of {} tokens want {} of memory, {} are left", flag, *tokens,
                                 wanted ? FormatBytes(*wanted) : "more than there are bytes", FormatBytes(left)));
}

LayerPass::LayerPass(Engine* engine, const std::vector<std::vector<TokenId>>* texts)
    : engine_(engine), texts_(texts), cache_(std::make_unique<model::KvCache>(engine->model().config(), engine->page_pool())) {
  for (const std::vector<TokenId>& text : *texts) tokens_ += text.size();
}

Status LayerPass::Begin(const std::atomic<bool>* cancel) {
  const size_t width = engine_->model().config().width;
  try {
    streams_.clear();
    for (const std::vector<TokenId>& text : *texts_) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled();
      streams_.emplace_back(text.size() * width);
      engine_->forward().Embed(text, streams_.back().data());
    }
  } catch (const std::bad_alloc&) {
    return OutOfMemory(fmt::format("no memory for the hidden states of {} tokens", tokens_));
  }
  return {};
}

Status LayerPass::Run(size_t layer, size_t text, const model::Forward::LayerObserver& observer,
                      const std::atomic<bool>* cancel) {
  const size_t width = engine_->model().config().width;
  std::vector<float>& stream = streams_[text];
  const size_t tokens = (*texts_)[text].size();
  for (size_t first = 0; first < tokens; first += model::kChunkTokens) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) return Cancelled();
    const size_t rows = std::min(model::kChunkTokens, tokens - first);
    const std::span<float> x(stream.data() + first * width, rows * width);
    DAMASK_RETURN_IF_ERROR(engine_->forward().RunLayer(layer, cache_.get(), first, x, observer));
  }
  return {};
}

}  // namespace damask::engine
