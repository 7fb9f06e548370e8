// Which model a mask was made for. A mask belongs to an architecture, a shape and a tokenizer; other weights of the same shape
// (another quantisation) are tolerated with a warning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/status.h"
#include "masks/hash.h"

namespace damask::masks {

// 0 and "" mean unknown (maps captured elsewhere tell little) and agree with everything; layers and heads are always known.
struct Fingerprint {
  std::string architecture;  // "llama", at most kMaxNameBytes
  std::string model;         // the model's name, for messages only
  uint32_t layers = 0;
  uint32_t heads = 0;  // query heads
  uint32_t kv_heads = 0;
  uint32_t head_dim = 0;
  uint64_t vocab = 0;
  uint64_t tokenizer_hash = 0;
  uint64_t weights_hash = 0;

  bool operator==(const Fingerprint&) const = default;
};
inline constexpr size_t kMaxNameBytes = 255;

// "llama, 32 layers of 24 heads (8 KV heads, head_dim 128)", for messages.
std::string Describe(const Fingerprint& fingerprint);

// InvalidArgument naming both where the mask is of another model. Otherwise the warning to show, empty where there is none.
Result<std::string> CompareFingerprints(const Fingerprint& mask, const Fingerprint& model);

// Hashes a tokenizer: the pieces in the order of their ids.
class TokenizerHasher {
 public:
  void AddPiece(std::string_view piece) { hasher_.AddText(piece); }
  uint64_t value() const { return NeverZero(hasher_.value()); }
  static uint64_t NeverZero(uint64_t hash) { return hash == 0 ? 1 : hash; }

 private:
  Hasher hasher_;
};

// Hashes weights by samples: of every tensor its name, type and size, and the first, the middle and the last kSampleBytes, so
// that a file of any size costs a few megabytes of reading. Which tensors, in which order and under which names:
// engine::FingerprintOf and docs/mask-format.md.
class WeightsHasher {
 public:
  static constexpr size_t kSampleBytes = 4096;

  void AddTensor(std::string_view name, std::string_view type, std::span<const std::byte> bytes);
  uint64_t value() const { return TokenizerHasher::NeverZero(hasher_.value()); }

 private:
  Hasher hasher_;
};

}  // namespace damask::masks
