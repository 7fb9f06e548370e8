#include "tokenizer/spm_model.h"

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <array>
#include <bit>
#include <string>

namespace damask::tokenizer {
namespace {

// Writes protocol buffers by hand: Debian's package has no generated header for sentencepiece_model.proto, whose field numbers
// and enum values these are.
class ProtoWriter {
 public:
  void PutVarint(int field, uint64_t value) {
    Varint(static_cast<uint64_t>(field) << 3);
    Varint(value);
  }
  void PutFloat(int field, float value) {
    Varint((static_cast<uint64_t>(field) << 3) | 5);
    const auto bits = std::bit_cast<uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) out_.push_back(static_cast<char>(bits >> shift));
  }
  void PutBytes(int field, std::string_view value) {
    Varint((static_cast<uint64_t>(field) << 3) | 2);
    Varint(value.size());
    out_ += value;
  }
  const std::string& bytes() const { return out_; }

 private:
  void Varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_.push_back(static_cast<char>(value | 0x80));
    out_.push_back(static_cast<char>(value));
  }
  std::string out_;
};

// ModelProto, SentencePiece, TrainerSpec, NormalizerSpec.
constexpr int kModelPieces = 1, kModelTrainer = 2, kModelNormalizer = 3;
constexpr int kPieceText = 1, kPieceScore = 2, kPieceType = 3;
constexpr int kTrainerModelType = 3, kTrainerByteFallback = 35;
constexpr int kNormalizerName = 1, kNormalizerDummyPrefix = 3, kNormalizerRemoveExtra = 4, kNormalizerEscape = 5;
constexpr uint64_t kTypeNormal = 1, kTypeUnknown = 2, kTypeControl = 3, kTypeByte = 6;
constexpr uint64_t kModelTypeBpe = 2;

void PutPiece(std::string_view text, float score, uint64_t type, ProtoWriter* model) {
  ProtoWriter piece;
  piece.PutBytes(kPieceText, text);
  piece.PutFloat(kPieceScore, score);
  piece.PutVarint(kPieceType, type);
  model->PutBytes(kModelPieces, piece.bytes());
}

std::string BuildModel(const Vocabulary& vocabulary, const std::vector<bool>& mergeable) {
  ProtoWriter model;
  const std::array<TokenId, 256> byte_tokens = vocabulary.FindByteTokens();
  bool has_unknown = false;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const Token& token = vocabulary.token(id);
    const std::optional<uint8_t> byte = ParseByteToken(token.text);
    if (byte && byte_tokens[*byte] == id) {
      PutPiece(fmt::format("<0x{:02X}>", *byte), 0.0f, kTypeByte, &model);
    } else if (mergeable[i]) {
      PutPiece(token.text, token.score, kTypeNormal, &model);
    } else {
      // U+FFFE is no character, so a name that starts with it is in no vocabulary of words.
      const bool as_unknown = token.kind == TokenKind::kUnknown && !has_unknown;
      has_unknown |= as_unknown;
      PutPiece(fmt::format("\xef\xbf\xbe{}", i), 0.0f, as_unknown ? kTypeUnknown : kTypeControl, &model);
    }
  }
  if (!has_unknown) PutPiece("\xef\xbf\xbeunknown", 0.0f, kTypeUnknown, &model);
  ProtoWriter trainer;
  trainer.PutVarint(kTrainerModelType, kModelTypeBpe);
  trainer.PutVarint(kTrainerByteFallback, 1);
  model.PutBytes(kModelTrainer, trainer.bytes());
  ProtoWriter normalizer;
  normalizer.PutBytes(kNormalizerName, "identity");
  normalizer.PutVarint(kNormalizerDummyPrefix, 0);
  normalizer.PutVarint(kNormalizerRemoveExtra, 0);
  normalizer.PutVarint(kNormalizerEscape, 1);
  model.PutBytes(kModelNormalizer, normalizer.bytes());
  return model.bytes();
}

}  // namespace

SpmModel::SpmModel() : processor_(std::make_unique<sentencepiece::SentencePieceProcessor>()) {}
SpmModel::~SpmModel() = default;

Result<std::unique_ptr<SpmModel>> SpmModel::Create(const Vocabulary& vocabulary, const std::vector<bool>& mergeable) {
  std::unique_ptr<SpmModel> model(new SpmModel());
  const auto status = model->processor_->LoadFromSerializedProto(BuildModel(vocabulary, mergeable));
  if (!status.ok()) return BadFormat(fmt::format("SentencePiece refuses the vocabulary: {}", status.ToString()));
  return model;
}

Status SpmModel::Encode(std::string_view text, std::vector<TokenId>* ids) const {
  std::vector<int> found;
  const auto status = processor_->Encode(text, &found);
  if (!status.ok()) return Internal(fmt::format("SentencePiece failed: {}", status.ToString()));
  ids->insert(ids->end(), found.begin(), found.end());
  return {};
}

}  // namespace damask::tokenizer
