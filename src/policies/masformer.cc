#include "policies/masformer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "policies/spans.h"
#include "policies/window_plan.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;
using kernels::kQueryBlockRows;

constexpr Span kFull = {.keys = 0, .share = 1};

struct Settings {
  std::vector<Span> spans;  // [layers]
  uint64_t sinks = 0;
  bool blocks = false;  // a query sees its own block of `span` keys, not the latest `span` keys
  std::string spec;
};

class MasformerPolicy : public Policy {
 public:
  MasformerPolicy(Settings settings, const ModelShape& shape) : s_(std::move(settings)), shape_(shape) {}

  std::string Spec() const override { return s_.spec; }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    plan->Clear();
    AppendSinksAndWindow(request, Rule(request.layer, request.first_position), kernels::kAllHeads, plan);
    if (s_.blocks) DropBefore(request, plan);
  }

  bool MayRelease(size_t layer, size_t /*kv_head*/, size_t block, uint64_t position,
                  const PolicyState* /*state*/) const override {
    const uint64_t next = (position / kQueryBlockRows + 1) * kQueryBlockRows;
    return IsBehindWindow(Rule(layer, position), block, position) && IsBehindWindow(Rule(layer, next), block, next);
  }

 private:
  uint64_t SpanOf(size_t layer, uint64_t position) const {
    return s_.spans[layer].Of((position / kQueryBlockRows + 1) * kQueryBlockRows);
  }
  // Where a block of keys begins that holds `position`; blocks are whole key blocks, so that no query block is in two of them.
  static uint64_t BlockBegin(uint64_t position, uint64_t span) {
    const uint64_t keys = (span + kPageTokens - 1) / kPageTokens * kPageTokens;
    return position / keys * keys;
  }

  // With blocks a window that reaches from the end of the query block to the block's first key.
  SinksAndWindow Rule(size_t layer, uint64_t position) const {
    const uint64_t span = SpanOf(layer, position);
    const uint64_t end = (position / kQueryBlockRows + 1) * kQueryBlockRows;
    return {s_.sinks, s_.blocks ? end - BlockBegin(position, span) : span, shape_.window(layer)};
  }

  // The window would show the first rows of a query block keys before their block.
  void DropBefore(const PlanRequest& request, kernels::Plan* plan) const {
    const uint64_t begin = BlockBegin(request.first_position, SpanOf(request.layer, request.first_position));
    const uint64_t sink_blocks = (s_.sinks + kPageTokens - 1) / kPageTokens;
    for (kernels::PlanEntry& entry : plan->entries) {
      const uint64_t first = uint64_t{entry.block} * kPageTokens;
      if (first >= begin) continue;
      const auto sinks =
          s_.sinks == 0 || entry.block >= sink_blocks ? uint8_t{0} : kernels::QuartersBetween(entry.block, 0, s_.sinks - 1);
      entry.quarters = static_cast<uint8_t>(entry.quarters & sinks);
    }
    std::erase_if(plan->entries, [](const kernels::PlanEntry& entry) { return entry.quarters == 0; });
  }

  Settings s_;
  ModelShape shape_;
};

// Layers are the middles of `count` equal parts, the first or the last ones.
Result<std::vector<size_t>> FullLayers(const std::string& place, size_t count, size_t layers) {
  if (place != "spread" && place != "bottom" && place != "top") {
    return InvalidArgument(fmt::format("policy masformer: place={} is not spread, bottom or top", Quote(place)));
  }
  count = std::min(count, layers);
  std::vector<size_t> full;
  for (size_t i = 0; i < count; ++i) {
    full.push_back(place == "bottom" ? i : place == "top" ? layers - count + i : (2 * i + 1) * layers / (2 * count));
  }
  return full;
}

// "full/256/0.5/...": of every layer.
Result<std::vector<Span>> ParseLayerSpans(const std::string& text, const ModelShape& shape) {
  std::vector<Span> spans;
  for (const std::string_view item : Split(text, '/')) {
    spans.push_back(kFull);
    if (item == "full") continue;
    DAMASK_ASSIGN_OR_RETURN(spans.back(), Span::Parse(item));
  }
  if (spans.size() == shape.layers) return spans;
  return InvalidArgument(
      fmt::format("policy masformer: layers lists {} spans; the model has {} layers", spans.size(), shape.layers));
}

}  // namespace

PolicyInfo MasformerInfo() {
  return {"masformer",
          {},
          "Full attention in a few layers, the first keys and a short span in all others.",
          "Zhang et al., MASFormer (arXiv 2310.12442)",
          {{"span", "1024", "latest keys that a query sees in the other layers, itself included: 256, 0.25 or 256+0.25"},
           {"full", "0.25", "layers with full attention: a number, or a share of all"},
           {"place", "spread", "where they are: spread evenly, at the bottom (the first layers) or at the top"},
           {"layers", "none", "a span for each layer with / between them, full for full attention: instead of full and place"},
           {"local", "window", "window: a query sees the latest keys; block: its own block of keys, up to itself"},
           {"sinks", "4", "first keys that every query sees"}},
          "span",
          "full=1"};
}

Result<std::unique_ptr<Policy>> MakeMasformer(const Options& options, const ModelShape& shape) {
  Settings settings;
  DAMASK_ASSIGN_OR_RETURN(settings.sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(settings.blocks, options.Either("local", "window", "block"));
  DAMASK_ASSIGN_OR_RETURN(const Span span, Span::Parse(options.Text("span")));
  DAMASK_ASSIGN_OR_RETURN(const Amount full, options.KeysOrShare("full"));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<size_t> places,
                          FullLayers(options.Text("place"), full.Of(shape.layers), shape.layers));
  settings.spans.assign(shape.layers, span);
  for (const size_t layer : places) settings.spans[layer] = kFull;
  if (options.Text("layers") != "none") {
    DAMASK_ASSIGN_OR_RETURN(settings.spans, ParseLayerSpans(options.Text("layers"), shape));
  }
  // A block that grew with the text would reach back to where it did not before, and pages may be gone there.
  const bool grows =
      std::any_of(settings.spans.begin(), settings.spans.end(), [](const Span& s) { return s.share > 0 && s.share < 1; });
  if (settings.blocks && grows) return InvalidArgument("policy masformer: local=block wants spans in keys, not in shares");
  settings.spec =
      fmt::format("masformer:span={},full={},place={},layers={},local={},sinks={}", span.ToString(), full.ToString(),
                  options.Text("place"), options.Text("layers"), settings.blocks ? "block" : "window", settings.sinks);
  return std::unique_ptr<Policy>(std::make_unique<MasformerPolicy>(std::move(settings), shape));
}

}  // namespace damask::policies
