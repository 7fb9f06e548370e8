#include "kernels/attention_amx-inl.h"

namespace damask::kernels {

const AttentionBody& AmxBody() {
  static constexpr AttentionBody kBody = MakeAmxBody<amx::HardwareTiles>("amx bf16");
  return kBody;
}

}  // namespace damask::kernels
