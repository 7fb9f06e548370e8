// Attention on AMX tiles, over a tile backend: S^T = K Q^T with key rows as they lie in the page (A), packed query pairs (B);
// O^T = V^T P^T with the page's V^T tiles (A) and the bf16 pairs that leave the exponentials (B). Nothing is repacked on the
// way.
//
// Unit by unit of 64 keys, one unit ahead: the scores of the next unit run between this unit's exponentials, and this unit's
// values between the next unit's maxima. What shaped it, measured on a Xeon with AMX (docs/engineering-notes.md):
//   - a tile is stored half a set of products after its last one: stored at once it stalls the next products (1.4 against 1.05
//     times their own time). So two pairs of accumulators take turns;
//   - while tiles multiply, 512-bit float products, conversions and maxima run at half their rate, additions and integer
//     operations at full: the exponential is one multiply-add and then integers;
//   - every store of a tile costs 15 cycles in which nothing else is issued.
#pragma once

#include "kernels/amx/tiles.h"
#include "kernels/attention_bf16-inl.h"
#include "kernels/bf16_exp2-inl.h"
#include "kernels/page_fetch-inl.h"

namespace damask::kernels {
namespace {

struct OnesTile {
  uint16_t numbers[512];
  constexpr OnesTile() : numbers() {
    for (uint16_t& number : numbers) number = 0x3f80;
  }
};
alignas(64) inline constexpr OnesTile kOnesTile{};

template <class Tiles>
struct AmxSteps {
  static constexpr size_t kRunKeys = 32;
  static constexpr size_t kUnitKeys = 2 * kRunKeys;
  static constexpr size_t kSetKeys = 16;  // keys of one set of score products
  static constexpr size_t kSets = kUnitKeys / kSetKeys;
  static constexpr size_t kRow = 32;                        // lanes of a block: scores, weights, queries and O^T stay in L1
  static constexpr size_t kLaneRow = kRow * sizeof(float);  // bytes; a pair of bf16 is as wide
  static constexpr size_t kUnitFloats = kUnitKeys * kRow;
  static constexpr size_t kSumRows = 16;  // rows of O^T behind the dimensions: sums of weights, all alike

  // Two runs; a last one without partner comes with itself and counts once.
  struct Unit {
    const KeyRun* runs[2];
    bool single;
    bool masked() const { return runs[0]->masks != nullptr || (!single && runs[1]->masks != nullptr); }
  };
  static Unit UnitOf(const KeyRun* runs, size_t count, size_t unit) {
    const bool single = 2 * unit + 1 == count;
    return {{runs + 2 * unit, runs + 2 * unit + (single ? 0 : 1)}, single};
  }

  // One lane block's way through the runs of a step.
  struct Walk {
    size_t head_dim;
    LaneBlock* block;
    float* scores[2];   // [kUnitKeys][kRow]: of this unit and of the next
    float* sink;        // [16][kRow]: takes stores that nobody wants
    uint32_t* weights;  // [kUnitKeys / 2][kRow] pairs
    float* pending;     // where the pair of accumulators that is not in use belongs
    PageFetch* fetch;
    Bf16Exp2 exp2[2];  // of the lower and the upper 16 lanes
    __m512 max[2][2];  // of the next unit's scores, [lanes][even and odd keys]
  };

  template <int kPair>
  [[gnu::always_inline]] static inline void StorePair(float* to) {
    Tiles::template Store<kPair>(to, kLaneRow);
    Tiles::template Store<kPair + 1>(to + 16, kLaneRow);
  }

  // S^T of 16 keys into pair kPair. Dimensions beyond head_dim (a multiple of 16) meet zero queries.
  template <int kPair>
  [[gnu::always_inline]] static inline void ScoreSet(const bf16* keys, float* scores, Walk* walk) {
    const auto* q = static_cast<const uint32_t*>(walk->block->q);
    const size_t key_row = walk->head_dim * sizeof(bf16);
    Tiles::template Zero<kPair>();
    Tiles::template Zero<kPair + 1>();
    for (size_t d = 0; d < walk->head_dim; d += 32, q += 16 * kRow) {
      Tiles::template StreamLoad<4>(keys + d, key_row);
      Tiles::template Load<6>(q, kLaneRow);
      Tiles::template DotBf16<kPair, 4, 6>();
      Tiles::template Load<7>(q + 16, kLaneRow);
      Tiles::template DotBf16<kPair + 1, 4, 7>();
      if (d == 0) StorePair<2 - kPair>(walk->pending);
    }
    walk->pending = scores;
    FetchPortion(walk->fetch);
  }

  // O^T of 16 dimensions += V^T P^T of the unit's two runs, in pair kPair.
  template <int kPair>
  [[gnu::always_inline]] static inline void ValueSet(const bf16* first, const bf16* second, float* out, Walk* walk) {
    constexpr size_t kLineBytes = kValueLine * sizeof(bf16);
    const uint32_t* const w = walk->weights;
    Tiles::template Load<kPair>(out, kLaneRow);
    Tiles::template Load<kPair + 1>(out + 16, kLaneRow);
    Tiles::template StreamLoad<4>(first, kLineBytes);
    Tiles::template Load<6>(w, kLaneRow);
    Tiles::template DotBf16<kPair, 4, 6>();
    Tiles::template Load<7>(w + 16, kLaneRow);
    Tiles::template DotBf16<kPair + 1, 4, 7>();
    StorePair<2 - kPair>(walk->pending);
    Tiles::template StreamLoad<5>(second, kLineBytes);
    Tiles::template Load<6>(w + 16 * kRow, kLaneRow);
    Tiles::template DotBf16<kPair, 5, 6>();
    Tiles::template Load<7>(w + 16 * kRow + 16, kLaneRow);
    Tiles::template DotBf16<kPair + 1, 5, 7>();
    walk->pending = out;
    FetchPortion(walk->fetch);
  }

  // Weights of 16 keys. The unit's other set of scores is still being made.
  [[gnu::always_inline]] static inline void Exponentials(const float* scores, size_t set, Walk* walk) {
    const float* s = scores + set * kSetKeys * kRow;
    uint32_t* w = walk->weights + set * kSetKeys / 2 * kRow;
#pragma GCC unroll 2
    for (size_t pair = 0; pair < kSetKeys / 2; ++pair, s += 2 * kRow, w += kRow) {
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        const __m512 even = _mm512_load_ps(s + half * 16);
        const __m512 odd = _mm512_load_ps(s + kRow + half * 16);
        _mm512_store_si512(w + half * 16, walk->exp2[half].Pairs(even, odd));
      }
    }
  }

  [[gnu::always_inline]] static inline void ClearMaxima(Walk* walk) {
    const __m512 none = Bf16Ops::Set(-__builtin_inff());
    walk->max[0][0] = walk->max[0][1] = walk->max[1][0] = walk->max[1][1] = none;
  }
  [[gnu::always_inline]] static inline void Maxima(const float* scores, size_t set, Walk* walk) {
    const float* s = scores + set * kSetKeys * kRow;
#pragma GCC unroll 16
    for (size_t key = 0; key < kSetKeys; ++key, s += kRow) {
      walk->max[0][key % 2] = _mm512_max_ps(walk->max[0][key % 2], _mm512_load_ps(s));
      walk->max[1][key % 2] = _mm512_max_ps(walk->max[1][key % 2], _mm512_load_ps(s + 16));
    }
  }

  // Scores of the next unit, with this unit's exponentials in between; either may be absent.
  template <int kPair>
  static void ScorePhase(const Unit* next, bool now, Walk* walk) {
    const float* const scores = walk->scores[0];
    for (size_t set = 0; set < kSets; set += 2) {
      if (next != nullptr) {
        const size_t half = set / 2;
        const auto* const keys = static_cast<const bf16*>(next->runs[half]->keys);
        float* const to = walk->scores[1] + set * kSetKeys * kRow;
        ScoreSet<kPair>(keys, to, walk);
        if (now) Exponentials(scores, set, walk);
        ScoreSet<2 - kPair>(keys + kSetKeys * walk->head_dim, to + kSetKeys * kRow, walk);
        if (now) Exponentials(scores, set + 1, walk);
      } else {
        Exponentials(scores, set, walk);
        Exponentials(scores, set + 1, walk);
      }
    }
  }

  // Values of this unit, with the next unit's maxima in between (`maxima`). Sums of weights come last, from a tile of ones.
  template <int kPair>
  static void ValuePhase(const Unit& unit, bool maxima, Walk* walk) {
    const auto* first = static_cast<const bf16*>(unit.runs[0]->values);
    const auto* second = static_cast<const bf16*>(unit.runs[1]->values);
    const size_t tiles = walk->head_dim / 16;
    const float* const scores = walk->scores[1];
    float* out = walk->block->out;
    size_t tile = 0;
    for (; tile + 2 <= tiles; tile += 2, out += 32 * kRow) {
      ValueSet<kPair>(first + tile * 512, second + tile * 512, out, walk);
      if (maxima && tile < kSets) Maxima(scores, tile, walk);
      ValueSet<2 - kPair>(first + tile * 512 + 512, second + tile * 512 + 512, out + 16 * kRow, walk);
      if (maxima && tile < kSets) Maxima(scores, tile + 1, walk);
    }
    const auto* const ones = reinterpret_cast<const bf16*>(kOnesTile.numbers);
    if (tile < tiles) {
      ValueSet<kPair>(first + tile * 512, second + tile * 512, out, walk);
      ValueSet<2 - kPair>(ones, ones, out + 16 * kRow, walk);
    } else {
      ValueSet<kPair>(ones, ones, out, walk);
    }
    for (tile = tile < kSets ? tile : kSets; maxima && tile < kSets; ++tile) Maxima(scores, tile, walk);
  }

  // Stores the accumulators that are still in tiles. What they hold is stale for whoever writes that memory then, so the store
  // that is still to come goes nowhere.
  static void Flush(bool first_pair, Walk* walk) {
    if (first_pair) {
      StorePair<0>(walk->pending);
    } else {
      StorePair<2>(walk->pending);
    }
    walk->pending = walk->sink;
  }

  // Takes out the scores of keys that a lane may not use.
  static void MaskScores(const Unit& unit, const LaneBlock& block, float* scores) {
    for (size_t half = 0; half < 2; ++half, scores += kRunKeys * kRow) {
      const KeyMask* const masks = unit.runs[half]->masks;
      const bool absent = half == 1 && unit.single;
      if (masks == nullptr && !absent) continue;
      for (size_t key = 0; key < kRunKeys; ++key) {
        for (size_t lane = 0; lane < kRow; lane += 16) {
          float* const at = scores + key * kRow + lane;
          const __m512 none = Bf16Ops::Set(-__builtin_inff());
          const __m512 score =
              absent ? none : Bf16Ops::Masked(Bf16Ops::Load(at), masks[key], block.row + lane, block.head_bit + lane);
          Bf16Ops::Store(score, at);
        }
      }
    }
  }

  // Raises the references of lanes whose maximum grew by more than weights can show well, and rescales what those lanes have
  // accumulated: seldom after the first unit. Returns false where nothing is to be rescaled.
  static bool RaiseReferences(float log2_scale, Walk* walk) {
    bool raised = false;
    for (size_t half = 0; half < 2; ++half) {
      const __m512 max = _mm512_max_ps(walk->max[half][0], walk->max[half][1]);
      raised = walk->exp2[half].Raise(max, log2_scale, walk->block->max + half * 16) || raised;
    }
    return raised;
  }
  static void Rescale(Walk* walk) {
    for (size_t half = 0; half < 2; ++half) {
      const __m512 factor = walk->exp2[half].factor;
      float* out = walk->block->out + half * 16;
      for (size_t row = 0; row < walk->head_dim + kSumRows; ++row, out += kRow) {
        Bf16Ops::Store(Bf16Ops::Mul(Bf16Ops::Load(out), factor), out);
      }
    }
  }

  // Ends a unit: the next unit's scores become this unit's, with references that hold them.
  static void Turn(const Unit& next, bool first_pair, bool maxima, float log2_scale, Walk* walk) {
    if (!maxima) {
      Flush(first_pair, walk);
      MaskScores(next, *walk->block, walk->scores[1]);
      for (size_t set = 0; set < kSets; ++set) Maxima(walk->scores[1], set, walk);
    }
    if (RaiseReferences(log2_scale, walk)) {
      if (maxima) Flush(first_pair, walk);
      Rescale(walk);
    }
    float* const scores = walk->scores[0];
    walk->scores[0] = walk->scores[1];
    walk->scores[1] = scores;
  }

  static void Step(const KeyRun* runs, size_t count, size_t head_dim, float log2_scale, const StepScratch& scratch,
                   LaneBlock* block) {
    Walk walk;
    walk.head_dim = head_dim;
    walk.block = block;
    walk.scores[0] = scratch.scores;
    walk.scores[1] = scratch.scores + kUnitFloats;
    walk.sink = scratch.scores + 2 * kUnitFloats;
    walk.weights = static_cast<uint32_t*>(scratch.weights);
    walk.pending = walk.sink;
    walk.fetch = scratch.fetch;
    for (size_t half = 0; half < 2; ++half) walk.exp2[half].Begin(block->max + half * 16, log2_scale);
    const size_t units = (count + 1) / 2;
    // Pair 0 holds what is pending when a phase begins with pair 2, and the other way round.
    bool first = true;
    Unit next = UnitOf(runs, count, 0);
    ScorePhase<0>(&next, false, &walk);
    ClearMaxima(&walk);
    Turn(next, false, false, log2_scale, &walk);
    for (size_t i = 0; i < units; ++i) {
      const Unit unit = next;
      const bool last = i + 1 == units;
      if (!last) next = UnitOf(runs, count, i + 1);
      const bool maxima = !last && !next.masked() && !next.single;
      ClearMaxima(&walk);
      if (first) {
        ScorePhase<0>(last ? nullptr : &next, true, &walk);
        ValuePhase<0>(unit, maxima, &walk);
      } else {
        ScorePhase<2>(last ? nullptr : &next, true, &walk);
        ValuePhase<2>(unit, maxima, &walk);
      }
      // An odd number of value sets (the dimensions' and the sums') ends on the pair that it began with.
      const bool odd = head_dim / 16 % 2 == 0;
      const bool ends_on_first = first == odd;
      if (!last)
        Turn(next, ends_on_first, maxima, log2_scale, &walk);
      else
        Flush(ends_on_first, &walk);
      first = first != odd;
    }
  }

  static void Pack(const float* const* queries, size_t head_dim, float sign, LaneBlock* block) {
    PackPairs<kRow>(queries, head_dim, sign, block);
    for (size_t i = 0; i < kSumRows * kRow; ++i) block->out[head_dim * kRow + i] = 0.0f;
  }
  // Sums of weights lie behind the dimensions.
  static void TakeSums(LaneBlock* block, size_t head_dim) {
    for (size_t lane = 0; lane < kRow; ++lane) block->sum[lane] = block->out[head_dim * kRow + lane];
  }
  static void Finish(LaneBlock* block, size_t head_dim, float* const* outs) {
    TakeSums(block, head_dim);
    FinishRows<kRow>(block, head_dim, outs);
  }
  // O^T already has the order of the tiles: two dimensions of sixteen rows are a line.
  static void FinishTiles(LaneBlock* block, size_t head_dim, uint16_t* const* lines) {
    TakeSums(block, head_dim);
    for (size_t lane = 0; lane < block->lanes; lane += 16) {
      const __m512 inverse = InverseSums(block->sum + lane);
      const float* out = block->out + lane;
      auto* line = reinterpret_cast<uint32_t*>(lines[lane / 16]);
      for (size_t d = 0; d < head_dim; d += 2, out += 2 * kRow, line += 16) {
        const __m512 even = _mm512_mul_ps(_mm512_load_ps(out), inverse);
        const __m512 odd = _mm512_mul_ps(_mm512_load_ps(out + kRow), inverse);
        Bf16Ops::StoreWeights<16>(even, odd, line, 0);
      }
    }
  }
  static void Enter() { Tiles::Configure(amx::FullTiles()); }
  static void Leave() { Tiles::Release(); }
};

template <class Tiles>
constexpr AttentionBody MakeAmxBody(const char* name) {
  using Steps = AmxSteps<Tiles>;
  return {name,        Steps::kRow,   Steps::kRunKeys, kMaxStepKeys, Steps::kRow * sizeof(bf16), Steps::Pack,       nullptr,
          Steps::Step, Steps::Finish, Steps::Enter,    Steps::Leave, ExpandAvx512Bf16,           Steps::FinishTiles};
}

}  // namespace
}  // namespace damask::kernels
