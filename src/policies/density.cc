#include "policies/density.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/text.h"
#include "policies/registry.h"

namespace damask::policies {
namespace {

using kernels::kQueryBlockRows;

// Query blocks that stand for all: fewer of each head where there are many heads.
uint64_t SampledBlocks(const ModelShape& shape, uint64_t blocks) {
  return std::min(blocks, std::clamp<uint64_t>(4096 / (shape.layers * shape.kv_heads), 16, 64));
}

// The i-th block of the sample lies in the i-th of `sampled` equal parts, each time at another place in it: at the same one
// the sample would keep step with policies that decide chunk by chunk.
uint64_t SampledBlock(uint64_t i, uint64_t sampled, uint64_t blocks) {
  const uint64_t begin = i * blocks / sampled;
  const uint64_t part = (i + 1) * blocks / sampled - begin;
  return begin + (5 * i + part / 2) % part;
}

// name, colon, and the options of `spec` except `removed`; those of `settings` whose keys it lacks stand before them.
std::string WithSettings(std::string_view spec, std::string_view settings, std::string_view removed) {
  const size_t colon = spec.find(':');
  const std::string_view given = colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1);
  const auto key_of = [](std::string_view part) { return part.substr(0, part.find('=')); };
  const std::vector<std::string_view> parts = given.empty() ? std::vector<std::string_view>() : Split(given, ',');
  std::string text(spec.substr(0, colon));
  text += ':';
  for (const std::string_view part : settings.empty() ? std::vector<std::string_view>() : Split(settings, ',')) {
    const bool told = std::any_of(parts.begin(), parts.end(), [&](std::string_view p) { return key_of(p) == key_of(part); });
    if (!told) text += fmt::format("{},", part);
  }
  for (const std::string_view part : parts) {
    if (key_of(part) != removed) text += fmt::format("{},", part);
  }
  return text;
}

}  // namespace

double ShapeDensity(const Policy& policy, const ModelShape& shape, uint64_t context) {
  const uint64_t blocks = (context + kQueryBlockRows - 1) / kQueryBlockRows;
  const uint64_t sampled = SampledBlocks(shape, blocks);
  const size_t group = shape.group();
  // Of the last layer a prefill computes one row (model::Forward), next to nothing of the whole.
  const size_t counted_layers = std::max<size_t>(1, shape.layers - 1);
  kernels::Plan plan;
  double planned = 0;
  double causal = 0;
  for (uint64_t i = 0; i < sampled; ++i) {
    const uint64_t first = SampledBlock(i, sampled, blocks) * kQueryBlockRows;
    const size_t rows = std::min<uint64_t>(kQueryBlockRows, context - first);
    PlanRequest request;
    request.first_position = first;
    request.rows = rows;
    request.context = first + rows;
    for (request.layer = 0; request.layer < counted_layers; ++request.layer) {
      for (request.kv_head = 0; request.kv_head < shape.kv_heads; ++request.kv_head) {
        policy.MakePlan(request, &plan);
        planned += static_cast<double>(kernels::PlannedPairs(plan, first, rows, group));
        causal += static_cast<double>(kernels::CausalPairs(first, rows, group));
      }
    }
  }
  return causal > 0 ? planned / causal : 0.0;
}

Result<std::string> SpecForDensity(std::string_view spec, double density, uint64_t context, const ModelShape& shape) {
  DAMASK_RETURN_IF_ERROR(Create(spec, shape).status());
  const PolicyInfo& info = *PolicyOfSpec(spec);
  if (info.density_option.empty()) {
    return InvalidArgument(fmt::format("policy {} has no option that sets its density", info.name));
  }
  if (!(density > 0 && density <= 1)) {
    return InvalidArgument(fmt::format("a density of {} is not above 0 and at most 1", density));
  }
  const std::string base = WithSettings(spec, info.density_settings, info.density_option);
  const auto spec_of = [&](uint64_t value) { return fmt::format("{}{}={}", base, info.density_option, value); };
  uint64_t low = 1;  // keeps within the density, once it has been tried
  // Options count keys, or thousandths of the text.
  uint64_t high = std::max<uint64_t>(context, 1000) + 1;
  DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> least, Create(spec_of(low), shape));
  const double least_density = ShapeDensity(*least, shape, context);
  if (least_density > density) {
    return InvalidArgument(fmt::format("{} computes {:.4f} of {} tokens with {}=1, more than {}", Quote(spec), least_density,
                                       context, info.density_option, density));
  }
  while (low + 1 < high) {
    const uint64_t middle = low + (high - low) / 2;
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy, Create(spec_of(middle), shape));
    if (ShapeDensity(*policy, shape, context) <= density) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return spec_of(low);
}

}  // namespace damask::policies
