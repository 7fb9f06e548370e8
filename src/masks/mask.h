// A calibrated mask: for every layer and head what was found and how the head is to be treated. The content of a mask file
// (mask_file.h); plans are made from it by compile.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "masks/amplify.h"
#include "masks/fingerprint.h"
#include "masks/match.h"
#include "masks/true_mask.h"

namespace damask::masks {

enum class Treatment : uint8_t {
  kStatic = 0,   // the head's fixed pattern
  kContent = 1,  // key blocks chosen at run time from the keys
  kDense = 2,    // every key
};
std::string_view TreatmentName(Treatment treatment);

enum class StaticForm : uint8_t {
  kPatterns = 0,  // true mask in the first L rows, kept diagonals and verticals beyond
  kWindow = 1,    // the first window_sinks keys and the last `window` ones: a cheaper form
};

inline constexpr float kNotMeasured = -1.0f;

struct HeadMask {
  Treatment treatment = Treatment::kStatic;
  StaticForm form = StaticForm::kPatterns;
  uint32_t window_sinks = 0;  // of the window form, also where the head does not use it
  uint32_t window = 0;        // at least 1 for kWindow, the query itself included

  TrueMask true_mask;  // [L] rows, as the threshold left it: without the diagonal and sinks that plans always add
  Patterns patterns;

  // Shares in 0 .. 1, or kNotMeasured.
  float mass = kNotMeasured;            // of the calibration's attention: held by the kept patterns, diagonal and sinks
  float mass_true_mask = kNotMeasured;  // held by the true mask
  float mass_window = kNotMeasured;     // held by the window form
  float strong_key_hit = kNotMeasured;
  float effect = kNotMeasured;  // nats; see docs/cli.md

  // A small picture of the mean map, [thumbnail_side, thumbnail_side] row by row, empty or at most kMaxThumbnailSide: the
  // largest mean of a cell as round(255 * sqrt(mean)).
  uint32_t thumbnail_side = 0;
  std::vector<uint8_t> thumbnail;
};
inline constexpr uint32_t kMaxThumbnailSide = 64;

// Principal directions of one KV head's rotated keys, for content heads.
struct KeyDirections {
  uint32_t layer = 0;
  uint32_t kv_head = 0;
  uint32_t rank = 0;
  uint32_t head_dim = 0;
  float error = kNotMeasured;  // of the scores they give, relative
  std::vector<float> values;   // [rank, head_dim], of keys in the stored order
};

// Model files lay a key's rotated pairs side by side, (0, 1), (2, 3), ... (llama in GGUF), or as halves, (0, d / 2), (1, d / 2
// + 1), ... (Hugging Face; qwen). Masks store the first, so that one serves both files of a model. Of a multiple of head_dim
// values.
std::vector<float> HalvesFromStored(const std::vector<float>& values, size_t head_dim);
std::vector<float> StoredFromHalves(const std::vector<float>& values, size_t head_dim);

// Everything that decided about the masks. Unmeasured goals are kNoGoal.
inline constexpr double kNoGoal = -1.0;
inline constexpr uint32_t kUsualContentBlocks = 10;
inline constexpr uint32_t kMaxContentBlocks = limits::kMaxContext;
struct Parameters {
  uint32_t capture_length = 256;  // L
  uint32_t samples = 0;
  uint64_t tokens = 0;  // of all samples
  AmplifyOptions amplify;
  bool tau_is_percentile = false;
  double tau = 0.1;  // threshold on the amplified map, or the percentile of its causal cells that is the threshold
  MatchOptions match;
  uint32_t sink_keys = 64;  // first keys that every static head keeps: the first key block
  uint32_t window = 64;     // of the cheaper form that static heads may get instead; 0: none was tried
  uint64_t effect_length = 0;
  double max_kl = kNoGoal;         // the limits that chose the treatments
  double target_recall = kNoGoal;  //
  double budget = kNoGoal;         //
  double joint_effect = kNoGoal;   // measured: nats with all masks together
  // Most blocks of 16 keys that a query block of a content head chooses, sinks and local keys aside.
  uint32_t content_blocks = kUsualContentBlocks;
};

// InvalidArgument naming the first parameter out of its range (not a number included) and the range.
Status CheckParameters(const Parameters& parameters);

struct Mask {
  Fingerprint fingerprint;
  Parameters parameters;
  std::vector<HeadMask> heads;  // [layers * heads]: layer by layer
  std::vector<KeyDirections> key_directions;

  const HeadMask& head(size_t layer, size_t head) const { return heads[layer * fingerprint.heads + head]; }
  HeadMask& head(size_t layer, size_t head) { return heads[layer * fingerprint.heads + head]; }
};

// Whether some head chooses its keys at run time.
bool HasContentHeads(const Mask& mask);

// What a mask must be before it is used or written: everything in range and sorted, the diagonal kept. BadFormat naming the
// place and what was expected.
Status CheckHead(const HeadMask& head, uint32_t capture_length);
Status CheckDirections(const KeyDirections& directions, const Fingerprint& fingerprint);
// "key directions of layer 3 KV head 1".
std::string DirectionsName(const KeyDirections& directions);
Status CheckMask(const Mask& mask);

}  // namespace damask::masks
