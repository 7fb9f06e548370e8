// The AMX body with tiles in plain C++: for tests, on any CPU that has AVX-512 bf16.
#include "kernels/attention_amx-inl.h"

namespace damask::kernels {

const AttentionBody& AmxEmulatedBody() {
  static constexpr AttentionBody kBody = MakeAmxBody<amx::EmulatedTiles>("amx emulated");
  return kBody;
}

}  // namespace damask::kernels
