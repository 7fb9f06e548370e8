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

std::string_view KeyOf(std::string_view option) { return option.substr(0, option.find('=')); }

// The options that a SPEC gives, "key=value" each.
std::vector<std::string_view> GivenOptions(std::string_view spec) {
  const size_t colon = spec.find(':');
  const std::string_view given = colon == std::string_view::npos ? std::string_view() : spec.substr(colon + 1);
  return given.empty() ? std::vector<std::string_view>() : Split(given, ',');
}

bool Gives(const std::vector<std::string_view>& options, std::string_view key) {
  return std::any_of(options.begin(), options.end(), [&](std::string_view option) { return KeyOf(option) == key; });
}

// name, colon, and the options of `spec` except `removed`; those of `settings` whose keys it lacks stand before them.
std::string WithSettings(std::string_view spec, std::string_view settings, std::string_view removed) {
  const std::vector<std::string_view> parts = GivenOptions(spec);
  std::string text(spec.substr(0, spec.find(':')));
  text += ':';
  for (const std::string_view part : settings.empty() ? std::vector<std::string_view>() : Split(settings, ',')) {
    if (!Gives(parts, KeyOf(part))) text += fmt::format("{},", part);
  }
  for (const std::string_view part : parts) {
    if (KeyOf(part) != removed) text += fmt::format("{},", part);
  }
  return text;
}

std::string NoDensityOption(const PolicyInfo& info) {
  return fmt::format("policy {} has no option that sets its density", info.name);
}

// Tokens at which an option that does nothing is told from one that does something.
constexpr uint64_t kProbedContext = 4096;

// One warning about a mask of other weights, by who makes the policy, is enough.
ModelShape WithoutFingerprint(ModelShape shape) {
  shape.fingerprint = nullptr;
  return shape;
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

std::string WhyNoDensity(std::string_view spec, const ModelShape& shape) {
  const PolicyInfo* const info = PolicyOfSpec(spec);
  if (info == nullptr) return "";
  const std::string& option = info->density_option;
  if (option.empty()) return NoDensityOption(*info);
  if (Gives(GivenOptions(spec), option)) return fmt::format("{} sets {} itself", Quote(spec), option);
  const std::string base = WithSettings(spec, info->density_settings, option);
  const ModelShape quiet = WithoutFingerprint(shape);
  const auto with = [&](uint64_t value) { return Create(fmt::format("{}{}={}", base, option, value), quiet); };
  const auto one = with(1);
  const auto two = with(2);
  if (!one.ok() || !two.ok()) return "";
  if ((*one)->Spec() != (*two)->Spec()) {
    // It may be overruled by other options all the same.
    const auto most = with(kProbedContext);
    if (!most.ok() || ShapeDensity(**one, quiet, kProbedContext) != ShapeDensity(**most, quiet, kProbedContext)) return "";
  }
  return fmt::format("{} computes the same whatever {} is", Quote(spec), option);
}

Result<std::string> SpecForDensity(std::string_view spec, double density, uint64_t context, const ModelShape& shape) {
  const ModelShape quiet = WithoutFingerprint(shape);
  DAMASK_RETURN_IF_ERROR(Create(spec, quiet).status());
  const PolicyInfo& info = *PolicyOfSpec(spec);
  if (info.density_option.empty()) return InvalidArgument(NoDensityOption(info));
  if (!(density > 0 && density <= 1)) {
    return InvalidArgument(fmt::format("a density of {} is not above 0 and at most 1", density));
  }
  const std::string base = WithSettings(spec, info.density_settings, info.density_option);
  const auto spec_of = [&](uint64_t value) { return fmt::format("{}{}={}", base, info.density_option, value); };
  uint64_t low = 1;  // keeps within the density, once it has been tried
  // Options count keys, blocks of them, or thousandths of the text.
  uint64_t high = std::max<uint64_t>(context, 1000) + 1;
  DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> least, Create(spec_of(low), quiet));
  const double least_density = ShapeDensity(*least, quiet, context);
  if (least_density > density) {
    return InvalidArgument(fmt::format("{} computes {:.4f} of {} tokens with {}=1, more than {}", Quote(spec), least_density,
                                       context, info.density_option, density));
  }
  while (low + 1 < high) {
    const uint64_t middle = low + (high - low) / 2;
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<Policy> policy, Create(spec_of(middle), quiet));
    if (ShapeDensity(*policy, quiet, context) <= density) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return spec_of(low);
}

}  // namespace damask::policies
