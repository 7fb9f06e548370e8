#include "kernels/gemm_amx-inl.h"

namespace damask::kernels::amx {

void MultiplyBf16(const Product& product, const Part& part, Scratch* scratch) {
  MultiplyAmx<HardwareTiles>(product, part, scratch);
}

void MultiplyGated(const Product& gate, const Product& up, const Part& part, Scratch* scratch, Activations::Forms* out) {
  MultiplyGatedAmx<HardwareTiles>(gate, up, part, scratch, out);
}

size_t PanelBytes(const WeightView& w) { return AmxPanelBytes(w.k, kTilePanelRows); }

void PackPanel(const WeightView& w, size_t n_begin, size_t n_end, Scratch* scratch, std::byte* out) {
  UnpackAmxPanel(w, n_begin, n_end, scratch, reinterpret_cast<uint16_t*>(out));
}

}  // namespace damask::kernels::amx
