#include "engine/fingerprint.h"

#include <string>

#include "base/text.h"

namespace damask::engine {

masks::Fingerprint FingerprintOf(const model::Model& model) {
  const model::ModelConfig& c = model.config();
  masks::TokenizerHasher tokenizer;
  for (size_t id = 0; id < model.tokenizer().vocab_size(); ++id) {
    tokenizer.AddPiece(model.tokenizer().Piece(static_cast<tokenizer::TokenId>(id), true));
  }
  masks::WeightsHasher weights;
  const auto add = [&](std::string_view name, const kernels::WeightView& view) {
    const uint64_t bytes = view.n * formats::RowBytes(view.type, view.k);
    weights.AddTensor(name, formats::GetTensorType(view.type).name, {view.data, bytes});
  };
  add("embedding", model.embedding());
  add("output", model.output());
  for (const model::LayerWeights& layer : model.layers()) {
    add("q", layer.q);
    add("k", layer.k);
    add("v", layer.v);
    add("o", layer.o);
    if (layer.router.data != nullptr) add("router", layer.router);
    for (const model::FeedForwardWeights& feed_forward : layer.feed_forward) {
      add("gate", feed_forward.gate);
      add("up", feed_forward.up);
      add("down", feed_forward.down);
    }
    if (layer.shared.down.data == nullptr) continue;
    add("shared gate", layer.shared.gate);
    add("shared up", layer.shared.up);
    add("shared down", layer.shared.down);
  }
  // The same arithmetic under two names: GGUF files of mistral models call themselves llama.
  const model::Architecture name =
      c.architecture == model::Architecture::kMistral ? model::Architecture::kLlama : c.architecture;
  return {.architecture = std::string(model::ArchitectureName(name)),
          .model = std::string(CutUtf8(c.name, masks::kMaxNameBytes)),
          .layers = static_cast<uint32_t>(c.layers),
          .heads = static_cast<uint32_t>(c.heads),
          .kv_heads = static_cast<uint32_t>(c.kv_heads),
          .head_dim = static_cast<uint32_t>(c.head_dim),
          .vocab = c.vocab,
          .tokenizer_hash = tokenizer.value(),
          .weights_hash = weights.value()};
}

}  // namespace damask::engine
