#include "engine/calibration_texts.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "texts/prose.h"
#include "texts/retrieval.h"

namespace damask::engine {
namespace {

size_t BosTokens(const Engine& engine) { return engine.tokenizer().special().puts_bos() ? 1 : 0; }

std::vector<TokenId> WithBos(const Engine& engine, std::vector<TokenId> ids) {
  if (BosTokens(engine) != 0) ids.insert(ids.begin(), *engine.tokenizer().special().bos);
  return ids;
}

bool IsSet(const std::atomic<bool>* cancel) { return cancel != nullptr && cancel->load(std::memory_order_relaxed); }

}  // namespace

Result<std::vector<std::vector<TokenId>>> BuiltInSamples(const Engine& engine, uint64_t samples, uint64_t tokens, uint64_t seed,
                                                         const std::atomic<bool>* cancel) {
  const uint64_t own = tokens - BosTokens(engine);
  std::vector<std::vector<TokenId>> texts;
  for (uint64_t i = 0; i < samples; ++i) {
    if (IsSet(cancel)) return Cancelled();
    if (i % 2 == 0) {
      DAMASK_ASSIGN_OR_RETURN(std::vector<TokenId> prose, texts::ProseTokens(engine.tokenizer(), own, seed + i));
      texts.push_back(WithBos(engine, std::move(prose)));
    } else {
      DAMASK_ASSIGN_OR_RETURN(texts::RetrievalTokens retrieval, texts::RetrievalText(engine.tokenizer(), own, seed + i));
      texts.push_back(WithBos(engine, std::move(retrieval.ids)));
    }
  }
  return texts;
}

Result<std::vector<std::vector<TokenId>>> SamplesOf(const Engine& engine, const std::vector<NamedText>& texts, uint64_t samples,
                                                    uint64_t tokens, const std::atomic<bool>* cancel) {
  const uint64_t own = tokens - BosTokens(engine);
  if (samples < texts.size())
    return InvalidArgument(fmt::format("--samples is {}, fewer than the {} texts of --text", samples, texts.size()));
  std::vector<std::vector<TokenId>> encoded;
  for (const NamedText& text : texts) {
    if (IsSet(cancel)) return Cancelled();
    auto ids = engine.tokenizer().Encode(text.text, tokenizer::Special::kPlain);
    if (!ids.ok()) return ids.status().At(Quote(text.name, 300));
    if (ids->size() < own) {
      return InvalidArgument(fmt::format("{} has {} tokens, a sample of {} wants {} of it at least", Quote(text.name, 300),
                                         ids->size(), tokens, own));
    }
    encoded.push_back(std::move(*ids));
  }
  std::vector<std::vector<TokenId>> cut;
  for (uint64_t i = 0; i < samples; ++i) {
    if (IsSet(cancel)) return Cancelled();
    const std::vector<TokenId>& ids = encoded[i % encoded.size()];
    // The i / texts-th of so many samples of this text, from its beginning to its end.
    const uint64_t of_text = samples / encoded.size() + (i % encoded.size() < samples % encoded.size() ? 1 : 0);
    const uint64_t index = i / encoded.size();
    const uint64_t begin = of_text < 2 ? 0 : (ids.size() - own) * index / (of_text - 1);
    const auto first = ids.begin() + static_cast<std::ptrdiff_t>(begin);
    cut.push_back(WithBos(engine, std::vector<TokenId>(first, first + static_cast<std::ptrdiff_t>(own))));
  }
  return cut;
}

Result<std::vector<EffectText>> EffectTexts(const Engine& engine, uint64_t pairs, uint64_t tokens, uint64_t seed,
                                            const std::atomic<bool>* cancel) {
  const size_t bos = BosTokens(engine);
  const uint64_t own = tokens - bos;
  std::vector<EffectText> effect_texts;
  for (uint64_t i = 0; i < pairs; ++i) {
    if (IsSet(cancel)) return Cancelled();
    EffectText prose{.kind = TextKind::kProse};
    DAMASK_ASSIGN_OR_RETURN(std::vector<TokenId> ids, texts::ProseTokens(engine.tokenizer(), own, seed + 2 * i));
    prose.ids = WithBos(engine, std::move(ids));
    for (uint64_t position = tokens / 4; position + 1 < tokens; ++position)
      prose.scored.push_back(static_cast<uint32_t>(position));
    effect_texts.push_back(std::move(prose));

    EffectText asked{.kind = TextKind::kRetrieval};
    DAMASK_ASSIGN_OR_RETURN(texts::RetrievalTokens retrieval, texts::RetrievalText(engine.tokenizer(), own, seed + 2 * i + 1));
    for (size_t token = 0; token < retrieval.ids.size(); ++token) {
      if (retrieval.is_answer[token] && token + bos > 0) asked.scored.push_back(static_cast<uint32_t>(token + bos - 1));
    }
    asked.ids = WithBos(engine, std::move(retrieval.ids));
    effect_texts.push_back(std::move(asked));
  }
  return effect_texts;
}

bool ScoreAnswers(const std::vector<EffectText>& texts) {
  return std::any_of(texts.begin(), texts.end(),
                     [](const EffectText& text) { return text.kind == TextKind::kRetrieval && !text.scored.empty(); });
}

}  // namespace damask::engine
