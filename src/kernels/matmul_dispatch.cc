// The one table: which body multiplies, by target, phase and weight type.
#include "kernels/matmul_bodies.h"
#include "kernels/matmul_targets.h"

namespace damask::kernels {
namespace {

using formats::TensorType;

constexpr Body kScalar = {"scalar float32", kFormFloat, Split::kRowRanges, 1, scalar::Multiply};
#if defined(__x86_64__)
constexpr Body kBf16Panels = {
    "avx512bf16 panels",      kFormBf16, Split::kPanels, kPanelRows, avx512bf16::MultiplyBf16, avx512bf16::Bf16PanelBytes,
    avx512bf16::PackBf16Panel};
constexpr Body kAmxPanels = {"amx bf16 tiles",  kFormTiles,         Split::kPanels, kTilePanelRows,
                             amx::MultiplyBf16, amx::PanelBytes,    amx::PackPanel, kTilePartRows,
                             kTilePanelRows,    amx::MultiplyGated, kFormTiles};
constexpr Body kInt8Panels = {
    "avx512vnni 8-bit panels", kFormWide8, Split::kPanels, kPanelRows, avx512vnni::MultiplyInt8, avx512vnni::Int8PanelBytes,
    avx512vnni::PackInt8Panel};
constexpr Body kVnniDot = {"avx512vnni 8-bit dot", kFormDecode8, Split::kRowRanges, 1, avx512vnni::MultiplyDecode};
constexpr Body kFloatDot = {"avx512 float32 dot", kFormFloat, Split::kRowRanges, 1, avx512::MultiplyFloatDecode};
constexpr Body kInt16Panels = {"avx2 16-bit panels", kFormFixed16,          Split::kPanels,      kNarrowPanelRows,
                               avx2::MultiplyInt16,  avx2::Int16PanelBytes, avx2::PackInt16Panel};
constexpr Body kCodePanels = {"avx2 8-bit panels", kFormFine8,           Split::kPanels,     kNarrowPanelRows,
                              avx2::MultiplyCodes, avx2::CodePanelBytes, avx2::PackCodePanel};
constexpr Body kAvx2Dot8 = {"avx2 8-bit dot", kFormDecode8, Split::kRowRanges, 1, avx2::MultiplyDecode};
constexpr Body kAvx2DotFloat = {"avx2 float32 dot", kFormFloat, Split::kRowRanges, 1, avx2::MultiplyDecode};
#endif

bool IsFloat(TensorType type) { return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16; }

#if defined(__x86_64__)
// Weights of 4 and 5 bits with one scale for at least 32 numbers and even steps, or of MXFP4, whose steps are whole numbers:
// what the 8-bit panels of AVX2 can read.
bool HasCodes(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
    case TensorType::kQ4_1:
    case TensorType::kQ5_0:
    case TensorType::kQ5_1:
    case TensorType::kMXFP4:
    case TensorType::kQ4_K:
    case TensorType::kQ5_K: return true;
    default: return false;
  }
}

const Body& FindPrefill(Target target, TensorType type) {
  switch (target) {
    case Target::kScalar: return kScalar;
    case Target::kAvx2:
    case Target::kAvx512: return HasCodes(type) ? kCodePanels : kInt16Panels;
    case Target::kAvx512Vnni: return IsFloat(type) ? kInt16Panels : kInt8Panels;
    case Target::kAvx512Bf16: return IsFloat(type) ? kBf16Panels : kInt8Panels;
    case Target::kAmx: return kAmxPanels;
  }
  return kScalar;
}

const Body& FindDecode(Target target, TensorType type) {
  switch (target) {
    case Target::kScalar: return kScalar;
    case Target::kAvx2: return IsFloat(type) ? kAvx2DotFloat : kAvx2Dot8;
    case Target::kAvx512: return IsFloat(type) ? kFloatDot : kAvx2Dot8;
    case Target::kAvx512Vnni:
    case Target::kAvx512Bf16:
    case Target::kAmx: return IsFloat(type) ? kFloatDot : kVnniDot;
  }
  return kScalar;
}
#endif

}  // namespace

const Body& FindBody([[maybe_unused]] Target target, [[maybe_unused]] Phase phase, [[maybe_unused]] TensorType type) {
#if defined(__x86_64__)
  return phase == Phase::kPrefill ? FindPrefill(target, type) : FindDecode(target, type);
#else
  return kScalar;
#endif
}

unsigned FormsOf(Target target, Phase phase, std::span<const TensorType> types) {
  static constexpr TensorType kAll[] = {TensorType::kF32,  TensorType::kF16,    TensorType::kBF16,   TensorType::kQ8_0,
                                        TensorType::kQ4_0, TensorType::kQ4_1,   TensorType::kQ5_0,   TensorType::kQ5_1,
                                        TensorType::kQ2_K, TensorType::kQ3_K,   TensorType::kQ4_K,   TensorType::kQ5_K,
                                        TensorType::kQ6_K, TensorType::kIQ4_NL, TensorType::kIQ4_XS, TensorType::kMXFP4};
  unsigned bits = 0;
  for (const TensorType type : types.empty() ? std::span<const TensorType>(kAll) : types)
    bits |= FindBody(target, phase, type).forms;
  return bits;
}

std::vector<const Body*> PrefillBodies([[maybe_unused]] Target target, [[maybe_unused]] TensorType type) {
  std::vector<const Body*> bodies;
#if defined(__x86_64__)
  if (target >= Target::kAmx) bodies.push_back(&kAmxPanels);
  if (target >= Target::kAvx512Vnni && !IsFloat(type)) bodies.push_back(&kInt8Panels);
  if (target >= Target::kAvx512Bf16) {
    bodies.push_back(&kBf16Panels);
  }
  if (target >= Target::kAvx2) {
    if (HasCodes(type)) bodies.push_back(&kCodePanels);
    bodies.push_back(&kInt16Panels);
  }
#endif
  if (target == Target::kScalar) bodies.push_back(&kScalar);
  return bodies;
}

}  // namespace damask::kernels
