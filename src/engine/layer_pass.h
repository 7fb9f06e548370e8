// Goes through a model layer by layer with several texts at once: all texts through layer 0, then all through layer 1, ... What
// is observed of a layer can be worked on before the next one begins, so a calibration holds the maps of one layer only.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"

namespace damask::engine {

// Whether the memory that is left holds `texts` x `length` tokens with their hidden states, which a pass through the layers
// keeps all at once. Asked before any text is made: memory that is not there would be missed only when it is written.
// OutOfMemory names `flag`, which says how many there are.
// `beside`: tokens of other texts that are held at the same time.
Status CheckHiddenStatesFit(const Engine& engine, uint64_t texts, uint64_t length, std::string_view flag, uint64_t beside = 0);

class LayerPass {
 public:
  // `texts` [texts][tokens], each at least one token and at most the engine's context; must outlive the object, as the engine.
  // Uses the engine's policy. Memory: the residual stream of all tokens, and the keys and values of the longest text.
  LayerPass(Engine* engine, const std::vector<std::vector<TokenId>>* texts);

  // Embeds all texts. Errors: OutOfMemory, Cancelled.
  Status Begin(const std::atomic<bool>* cancel);
  // Runs text `text` through layer `layer`, in chunks; the observer sees every chunk before its attention. Layers in order,
  // each text once a layer.
  Status Run(size_t layer, size_t text, const model::Forward::LayerObserver& observer, const std::atomic<bool>* cancel);

 private:
  Engine* engine_;
  const std::vector<std::vector<TokenId>>* texts_;
  uint64_t tokens_ = 0;
  std::vector<std::vector<float>> streams_;  // [texts][tokens, width]
  std::unique_ptr<model::KvCache> cache_;    // of the text at hand: a layer's pages are written anew by every text
};

}  // namespace damask::engine
