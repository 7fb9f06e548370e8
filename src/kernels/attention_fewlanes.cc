// Attention for at most 8 lanes, above all decode: one row of a group of up to 8 query heads. With lanes alone in a vector
// three quarters of it would idle, so a vector holds 4 lanes x 4 partial sums instead: 128-bit group g belongs to lane g, and
// 16 bytes of a key (4 bf16 pairs), repeated in all four groups, meet 4 pairs of each of the 4 queries at once. Four results
// are reduced together by one 4 x 4 transpose within the groups.
//
// Each key and value is read once from memory for all lanes, and fetched ahead: values while the keys of their page are scored,
// the next keys while values are summed. Measured per Zen 4 core at 16K positions, group 4: 17.5 GB/s of the 18.6 GB/s that
// plain reading gives; 10 without fetching ahead, 5 with the body of many lanes.
#include "kernels/attention_fewlanes-inl.h"

namespace damask::kernels {
namespace {

constexpr size_t kChunkUnits = 4;  // bf16 pairs in 16 bytes

__m512i Repeat16Bytes(const void* p) { return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(p))); }

// kVecs vectors of 4 lanes share every load of a key or value.
template <int kVecs>
struct FewLanes {
  static constexpr size_t kRunKeys = 16;
  static constexpr size_t kRow = kVecs * 16;  // floats, or units, of all lanes side by side

  static void Scores(const KeyRun* runs, size_t count, size_t head_dim, const LaneBlock& block, float* scores, __m512* max) {
    const auto* const q = static_cast<const uint32_t*>(block.q);
    for (size_t r = 0; r < count; ++r) {
      const bf16* const keys = static_cast<const bf16*>(runs[r].keys);
      for (size_t key = 0; key < kRunKeys; key += 4) {
        __m512 sums[kVecs][4];
        for (int j = 0; j < kVecs; ++j) {
          for (int i = 0; i < 4; ++i) sums[j][i] = _mm512_setzero_ps();
        }
        for (size_t chunk = 0; chunk < head_dim / 8; ++chunk) {
          __m512i query[kVecs];
          for (int j = 0; j < kVecs; ++j) query[j] = _mm512_load_si512(q + chunk * kRow + j * 16);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) {
            const bf16* const source = keys + (key + i) * head_dim + chunk * 8;
            // The values of a page lie as far behind as its keys are long: each is on its way when its turn comes.
            if (chunk % 4 == 0) _mm_prefetch(reinterpret_cast<const char*>(source + kPageTokens * head_dim), _MM_HINT_T1);
            const __m512i part = Repeat16Bytes(source);
            for (int j = 0; j < kVecs; ++j) sums[j][i] = Dot(sums[j][i], part, query[j]);
          }
        }
        for (int j = 0; j < kVecs; ++j) {
          __m512 four = SumGroups(sums[j]);
          if (runs[r].masks != nullptr) four = MaskFour(four, runs[r].masks + key, block, j * kFew);
          max[j] = _mm512_max_ps(max[j], four);
          _mm512_store_ps(scores + (r * kRunKeys + key) / 4 * kRow + j * 16, four);
        }
      }
    }
  }

  // 8 keys of a lane in its group: what meets 8 keys of a value's line.
  static void StoreWeights(const StepScratch& scratch, int j, size_t key, __m512 low, __m512 high) {
    const __m512i interleave = _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0);
    const __m512i pairs = _mm512_permutexvar_epi64(interleave, (__m512i)_mm512_cvtne2ps_pbh(high, low));
    _mm512_store_si512(static_cast<uint32_t*>(scratch.weights) + key / 8 * kRow + j * 16, pairs);
  }

  static void Values(const KeyRun* runs, size_t count, size_t head_dim, const __m512* factors, const StepScratch& scratch,
                     LaneBlock* block) {
    const auto* const weights = static_cast<const uint32_t*>(scratch.weights);
    const size_t slice = kPageTokens * sizeof(bf16) * 4;  // of the next keys, per 4 of head_dim dimensions
    for (size_t dim = 0; dim < head_dim; dim += 4) {
      for (size_t page = 0; page < scratch.fetch->num_pages; ++page) {
        Prefetch(static_cast<const char*>(scratch.fetch->pages[page]) + dim / 4 * slice, slice);
      }
      __m512 sums[kVecs][4];
      for (int j = 0; j < kVecs; ++j) {
        for (int i = 0; i < 4; ++i) sums[j][i] = _mm512_setzero_ps();
      }
      for (size_t r = 0; r < count; ++r) {
        const bf16* const lines = static_cast<const bf16*>(runs[r].values) + dim * kValueLine;
#pragma GCC unroll 2
        for (size_t half = 0; half < 2; ++half) {
          __m512i w[kVecs];
          for (int j = 0; j < kVecs; ++j) w[j] = _mm512_load_si512(weights + (r * 2 + half) * kRow + j * 16);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) {
            const __m512i part = Repeat16Bytes(lines + i * kValueLine + half * 8);
            for (int j = 0; j < kVecs; ++j) sums[j][i] = Dot(sums[j][i], part, w[j]);
          }
        }
      }
      for (int j = 0; j < kVecs; ++j) {
        float* const out = block->out + dim / 4 * kRow + j * 16;
        _mm512_store_ps(out, _mm512_fmadd_ps(_mm512_load_ps(out), factors[j], SumGroups(sums[j])));
      }
    }
  }
};

// Queries as [head_dim / 8][lane][4 pairs].
void PackFew(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
  ClearFew(head_dim, block);
  const size_t vecs = (block->lanes + kFew - 1) / kFew;
  auto* const q = static_cast<uint32_t*>(block->q);
  for (size_t lane = 0; lane < vecs * kFew; ++lane) {
    uint32_t* const target = q + lane / kFew * 16 + lane % kFew * kChunkUnits;
    for (size_t d = 0; d < head_dim; d += 32) {
      const __m512i pairs =
          queries[lane] == nullptr ? _mm512_setzero_si512() : LoadPairs(queries[lane] + d, head_dim - d, _mm512_set1_ps(sign));
      alignas(64) uint32_t units[16];
      _mm512_store_si512(units, pairs);
      for (size_t i = 0; i < 16; ++i) target[(d / 8 + i / kChunkUnits) * vecs * 16 + i % kChunkUnits] = units[i];
    }
  }
}

}  // namespace

const AttentionBody& FewLanesBody() {
  static constexpr AttentionBody kBody = {
      "avx512bf16 few lanes", 8,         16,      128,     kLanes * sizeof(bf16), PackFew, nullptr,
      StepFew<FewLanes>,      FinishFew, nullptr, nullptr, ExpandAvx512Bf16};
  return kBody;
}

}  // namespace damask::kernels
