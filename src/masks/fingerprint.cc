#include "masks/fingerprint.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"

namespace damask::masks {
namespace {

// Unknown on either side agrees.
template <typename T>
bool Agree(const T& a, const T& b) {
  return a == T() || b == T() || a == b;
}

Status OtherModel(const Fingerprint& mask, const Fingerprint& model, std::string_view difference) {
  return InvalidArgument(fmt::format("the mask was made for another model ({}): {}; the model is {}", difference,
                                     Describe(mask), Describe(model)));
}

}  // namespace

std::string Describe(const Fingerprint& f) {
  std::string text = f.architecture.empty() ? std::string() : Quote(f.architecture, 40) + ", ";
  if (!f.model.empty()) text += Quote(f.model, 60) + ", ";
  text += fmt::format("{} of {}", Counted(f.layers, "layer"), Counted(f.heads, "head"));
  if (f.kv_heads != 0) text += fmt::format(", {}", Counted(f.kv_heads, "KV head"));
  if (f.head_dim != 0) text += fmt::format(", head_dim {}", f.head_dim);
  if (f.vocab != 0) text += fmt::format(", {} tokens", f.vocab);
  return text;
}

Result<std::string> CompareFingerprints(const Fingerprint& mask, const Fingerprint& model) {
  if (!Agree(mask.architecture, model.architecture)) return OtherModel(mask, model, "architecture");
  if (mask.layers != model.layers) return OtherModel(mask, model, "layers");
  if (mask.heads != model.heads || !Agree(mask.kv_heads, model.kv_heads)) return OtherModel(mask, model, "heads");
  if (!Agree(mask.head_dim, model.head_dim)) return OtherModel(mask, model, "head size");
  if (!Agree(mask.vocab, model.vocab) || !Agree(mask.tokenizer_hash, model.tokenizer_hash)) {
    return OtherModel(mask, model, "tokenizer");
  }
  if (!Agree(mask.weights_hash, model.weights_hash)) {
    return std::string("the mask was made with other weights of this shape (another quantisation or another training of it)");
  }
  return std::string();
}

void WeightsHasher::AddTensor(std::string_view name, std::string_view type, std::span<const std::byte> bytes) {
  hasher_.AddText(name);
  hasher_.AddText(type);
  hasher_.AddNumber(bytes.size());
  if (bytes.size() <= 3 * kSampleBytes) {
    hasher_.Add(bytes);
    return;
  }
  for (const size_t offset : {size_t{0}, (bytes.size() - kSampleBytes) / 2, bytes.size() - kSampleBytes}) {
    hasher_.Add(bytes.subspan(offset, kSampleBytes));
  }
}

}  // namespace damask::masks
