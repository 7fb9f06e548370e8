#include "masks/mask.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"

namespace damask::masks {
namespace {

constexpr double kMaxLambda = 10.0;
constexpr uint32_t kMaxSamples = 1u << 24;

template <typename T>
Status InRange(std::string_view name, T value, T min, T max) {
  if (value >= min && value <= max) return {};  // not so for NaN
  return InvalidArgument(fmt::format("{} is {}, expected {} to {}", name, value, min, max));
}

Status Goal(std::string_view name, double value, double max) {
  if (value == kNoGoal) return {};
  return InRange(name, value, 0.0, max);
}

Status Share(std::string_view name, float value) {
  if (value == kNotMeasured || (value >= 0.0f && value <= 1.0001f)) return {};
  return BadFormat(fmt::format("{} is {}, expected 0 to 1, or -1 where it was not measured", name, value));
}

Status CheckDiagonals(const std::vector<DiagonalInterval>& diagonals, uint32_t capture_length) {
  if (diagonals.empty() || diagonals.front().begin != 0) {
    return BadFormat("the main diagonal (offset 0) is not among the kept diagonals: rows would have no key");
  }
  uint32_t free = 0;
  for (const DiagonalInterval& interval : diagonals) {
    if (interval.begin >= interval.end || interval.end > capture_length) {
      return BadFormat(fmt::format("diagonals {} to {} are kept, expected ascending offsets below the capture length {}",
                                   interval.begin, interval.end, capture_length));
    }
    if (interval.begin < free) {
      return BadFormat(fmt::format("diagonal {} is out of order: intervals are ascending and apart", interval.begin));
    }
    free = interval.end + 1;
    DAMASK_RETURN_IF_ERROR(Share("gamma of a diagonal", interval.gamma));
  }
  return {};
}

Status CheckVerticals(const std::vector<Vertical>& verticals, uint32_t capture_length) {
  uint32_t next = 0;
  for (const Vertical& vertical : verticals) {
    if (vertical.column >= capture_length) {
      return BadFormat(
          fmt::format("column {} is kept, expected columns below the capture length {}", vertical.column, capture_length));
    }
    if (vertical.column < next) return BadFormat(fmt::format("column {} is out of order or kept twice", vertical.column));
    next = vertical.column + 1;
    DAMASK_RETURN_IF_ERROR(Share("gamma of a vertical", vertical.gamma));
  }
  return {};
}

Status CheckTrueMask(const TrueMask& mask, uint32_t capture_length) {
  if (mask.length() != capture_length) {
    return BadFormat(fmt::format("the true mask has {} rows, expected the capture length {}", mask.length(), capture_length));
  }
  for (size_t row = 0; row < mask.length(); ++row) {
    size_t free = 0;
    for (const KeyRange& run : mask.row(row)) {
      if (run.begin >= run.end || run.end > row + 1 || run.begin < free) {
        return BadFormat(
            fmt::format("row {} of the true mask keeps keys {} to {}, expected ascending runs up to the row itself", row,
                        run.begin, run.end));
      }
      free = size_t{run.end} + 1;
    }
  }
  return {};
}

Status CheckShape(const Fingerprint& f) {
  DAMASK_RETURN_IF_ERROR(InRange<uint64_t>("the number of layers", f.layers, 1, limits::kMaxLayers));
  DAMASK_RETURN_IF_ERROR(InRange<uint64_t>("the number of heads", f.heads, 1, limits::kMaxHeads));
  if (f.kv_heads != 0 && (f.kv_heads > f.heads || f.heads % f.kv_heads != 0)) {
    return InvalidArgument(fmt::format("{} heads cannot share {} KV heads", f.heads, f.kv_heads));
  }
  DAMASK_RETURN_IF_ERROR(InRange<uint64_t>("head_dim", f.head_dim, 0, 65536));
  if (f.architecture.size() > kMaxNameBytes || f.model.size() > kMaxNameBytes) {
    return InvalidArgument(fmt::format("a name of the model is longer than {} bytes", kMaxNameBytes));
  }
  if (!IsValidUtf8(f.architecture) || !IsValidUtf8(f.model)) return InvalidArgument("a name of the model is not UTF-8");
  return {};
}

}  // namespace

std::string_view TreatmentName(Treatment treatment) {
  switch (treatment) {
    case Treatment::kStatic: return "static";
    case Treatment::kContent: return "content";
    case Treatment::kDense: break;
  }
  return "dense";
}

Status CheckParameters(const Parameters& p) {
  DAMASK_RETURN_IF_ERROR(InRange<uint32_t>("the capture length", p.capture_length, 1, kMaxCaptureLength));
  DAMASK_RETURN_IF_ERROR(InRange<uint32_t>("the number of samples", p.samples, 0, kMaxSamples));
  DAMASK_RETURN_IF_ERROR(InRange("lambda", p.amplify.lambda, -kMaxLambda, kMaxLambda));
  DAMASK_RETURN_IF_ERROR(InRange("epsilon", p.amplify.epsilon, 1e-30, 1.0));
  if (p.tau_is_percentile) {
    DAMASK_RETURN_IF_ERROR(InRange("the percentile of tau", p.tau, 0.0, 100.0));
  } else if (!std::isfinite(p.tau)) {
    return InvalidArgument(fmt::format("tau is {}, expected a finite number", p.tau));
  }
  DAMASK_RETURN_IF_ERROR(InRange("mu", p.match.mu, 0.0, 1.0));
  DAMASK_RETURN_IF_ERROR(InRange<uint32_t>("min-cells", p.match.min_cells, 1, kMaxCaptureLength));
  DAMASK_RETURN_IF_ERROR(InRange<uint32_t>("the number of sink keys", p.sink_keys, 1, kMaxCaptureLength));
  DAMASK_RETURN_IF_ERROR(InRange<uint64_t>("the window", p.window, 0, limits::kMaxContext));
  DAMASK_RETURN_IF_ERROR(InRange<uint64_t>("the effect length", p.effect_length, 0, limits::kMaxContext));
  DAMASK_RETURN_IF_ERROR(Goal("max-kl", p.max_kl, 1e6));
  DAMASK_RETURN_IF_ERROR(Goal("the target recall", p.target_recall, 1.0));
  DAMASK_RETURN_IF_ERROR(Goal("the budget", p.budget, 1.0));
  DAMASK_RETURN_IF_ERROR(InRange<uint32_t>("the blocks of content heads", p.content_blocks, 0, kMaxContentBlocks));
  return Goal("the joint effect", p.joint_effect, 1e6);
}

Status CheckDirections(const KeyDirections& directions, const Fingerprint& f) {
  const uint32_t kv_heads = f.kv_heads != 0 ? f.kv_heads : f.heads;
  if (directions.layer >= f.layers || directions.kv_head >= kv_heads) return BadFormat("of a KV head that the model lacks");
  if (directions.rank == 0 || directions.rank > directions.head_dim || (f.head_dim != 0 && directions.head_dim != f.head_dim) ||
      directions.values.size() != size_t{directions.rank} * directions.head_dim) {
    return BadFormat(fmt::format("rank {} of head_dim {} does not fit", directions.rank, directions.head_dim));
  }
  const bool finite = std::all_of(directions.values.begin(), directions.values.end(), [](float x) { return std::isfinite(x); });
  return finite && std::isfinite(directions.error) ? Status() : BadFormat("a number is not finite");
}

std::string DirectionsName(const KeyDirections& directions) {
  return fmt::format("key directions of layer {} KV head {}", directions.layer, directions.kv_head);
}

Status CheckHead(const HeadMask& head, uint32_t capture_length) {
  if (head.form == StaticForm::kWindow) {
    const bool fits = head.window >= 1 && head.window <= limits::kMaxContext && head.window_sinks <= limits::kMaxContext;
    if (!fits)
      return BadFormat(fmt::format("a window of {} keys with {} sinks is out of range", head.window, head.window_sinks));
  }
  DAMASK_RETURN_IF_ERROR(CheckTrueMask(head.true_mask, capture_length));
  DAMASK_RETURN_IF_ERROR(CheckDiagonals(head.patterns.diagonals, capture_length));
  DAMASK_RETURN_IF_ERROR(CheckVerticals(head.patterns.verticals, capture_length));
  DAMASK_RETURN_IF_ERROR(Share("the mass", head.mass));
  DAMASK_RETURN_IF_ERROR(Share("the mass of the true mask", head.mass_true_mask));
  DAMASK_RETURN_IF_ERROR(Share("the mass of the window", head.mass_window));
  DAMASK_RETURN_IF_ERROR(Share("the strong-key hit", head.strong_key_hit));
  if (head.effect != kNotMeasured && !(head.effect >= 0.0f && std::isfinite(head.effect))) {
    return BadFormat(fmt::format("the effect is {}, expected 0 or more, or -1 where it was not measured", head.effect));
  }
  if (head.thumbnail_side > kMaxThumbnailSide || head.thumbnail.size() != size_t{head.thumbnail_side} * head.thumbnail_side) {
    return BadFormat(fmt::format("the picture has {} bytes, expected a square of at most {} a side", head.thumbnail.size(),
                                 kMaxThumbnailSide));
  }
  return {};
}

bool HasContentHeads(const Mask& mask) {
  return std::any_of(mask.heads.begin(), mask.heads.end(),
                     [](const HeadMask& head) { return head.treatment == Treatment::kContent; });
}

Status CheckMask(const Mask& mask) {
  // The same words for a caller's mask and for a file's: both are a mask that breaks the format.
  const Status shape = CheckShape(mask.fingerprint);
  if (!shape.ok()) return BadFormat(shape.message()).At("fingerprint");
  const Status parameters = CheckParameters(mask.parameters);
  if (!parameters.ok()) return BadFormat(parameters.message()).At("parameters");
  const size_t expected = size_t{mask.fingerprint.layers} * mask.fingerprint.heads;
  if (mask.heads.size() != expected) {
    return BadFormat(fmt::format("the mask has {} heads, expected {}", mask.heads.size(), expected));
  }
  for (size_t i = 0; i < mask.heads.size(); ++i) {
    const Status head = CheckHead(mask.heads[i], mask.parameters.capture_length);
    if (!head.ok()) return head.At(fmt::format("layer {} head {}", i / mask.fingerprint.heads, i % mask.fingerprint.heads));
  }
  for (const KeyDirections& directions : mask.key_directions) {
    const Status status = CheckDirections(directions, mask.fingerprint);
    if (!status.ok()) return status.At(DirectionsName(directions));
  }
  return {};
}

std::vector<float> HalvesFromStored(const std::vector<float>& values, size_t head_dim) {
  std::vector<float> halves(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t d = i % head_dim;
    halves[i - d + d / 2 + d % 2 * (head_dim / 2)] = values[i];
  }
  return halves;
}

std::vector<float> StoredFromHalves(const std::vector<float>& values, size_t head_dim) {
  std::vector<float> stored(values.size());
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t d = i % head_dim;
    stored[i] = values[i - d + d / 2 + d % 2 * (head_dim / 2)];
  }
  return stored;
}

}  // namespace damask::masks
