#include "policies/spans.h"

#include <bit>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "masks/hash.h"
#include "policies/window_plan.h"

namespace damask::policies {
namespace {

using kernels::kQueryBlockRows;

constexpr std::string_view kNone = "none";

class SpansPolicy : public Policy {
 public:
  SpansPolicy(uint64_t sinks, std::vector<Span> spans, std::string spec, const ModelShape& shape)
      : sinks_(sinks), spans_(std::move(spans)), spec_(std::move(spec)), shape_(shape) {}

  std::string Spec() const override { return spec_; }

  uint64_t ContentHash() const override {
    masks::Hasher hasher;
    for (const Span& span : spans_) hasher.AddText(span.ToString());
    return hasher.value();
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    plan->Clear();
    const size_t group = shape_.group();
    const uint64_t query_block = request.first_position / kQueryBlockRows;
    uint32_t done = 0;
    for (size_t g = 0; g < group; ++g) {
      if ((done >> g & 1) != 0) continue;
      const SinksAndWindow rule = Rule(request.layer, request.kv_head * group + g, query_block);
      uint32_t heads = 0;
      for (size_t other = g; other < group; ++other) {
        const bool same = Rule(request.layer, request.kv_head * group + other, query_block).window == rule.window;
        if (same) heads |= 1u << other;
      }
      // Bits past the group mean nothing: a plan for all heads says so.
      AppendSinksAndWindow(request, rule, std::popcount(heads) == static_cast<int>(group) ? kernels::kAllHeads : heads, plan);
      done |= heads;
    }
    kernels::SortEntries(&plan->entries);
    kernels::SortColumns(&plan->columns);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* /*state*/) const override {
    const size_t group = shape_.group();
    const uint64_t query_block = position / kQueryBlockRows;
    for (size_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
      // A growing span reaches back where the next query block begins, less than a key block; after that it only moves on.
      const uint64_t next = (query_block + 1) * kQueryBlockRows;
      if (!IsBehindWindow(Rule(layer, head, query_block), block, position)) return false;
      if (!IsBehindWindow(Rule(layer, head, query_block + 1), block, next)) return false;
    }
    return true;
  }

 private:
  SinksAndWindow Rule(size_t layer, size_t head, uint64_t query_block) const {
    const Span& span = spans_[layer * shape_.heads + head];
    return {sinks_, span.Of((query_block + 1) * kQueryBlockRows), shape_.window(layer)};
  }

  uint64_t sinks_;
  std::vector<Span> spans_;  // [layers * heads]
  std::string spec_;
  ModelShape shape_;
};

// "256/0.5/...": of every head of a layer, the same for all layers, or of all layers one after another.
Result<std::vector<Span>> ParseSpanList(const std::string& text, const ModelShape& shape) {
  std::vector<Span> spans;
  for (const std::string_view item : Split(text, '/')) {
    DAMASK_ASSIGN_OR_RETURN(const Span span, Span::Parse(item));
    spans.push_back(span);
  }
  const size_t all = shape.layers * shape.heads;
  if (spans.size() != shape.heads && spans.size() != all) {
    return InvalidArgument(
        fmt::format("policy spans: heads lists {} spans; a layer has {} heads, the model {}", spans.size(), shape.heads, all));
  }
  for (size_t i = spans.size(); i < all; ++i) spans.push_back(spans[i - shape.heads]);
  return spans;
}

}  // namespace

PolicyInfo SpansInfo() {
  return {"spans",
          {},
          "Sinks and a sliding window of each head's own length, which may grow with the text.",
          "Fu et al., MoA: Mixture of Sparse Attention (arXiv 2406.14909)",
          {{"span", "1024", "latest keys that a query sees, itself included: 256, 0.25 (of the text so far) or 256+0.25"},
           {"heads", "none", "a span for each head of a layer, or of all layers one after another, with / between them"},
           {"file", "none", "a file with lines LAYER HEAD SPAN (* for all); heads that it does not name get span"},
           {"sinks", "64", "first keys that every query sees"}},
          "span",
          ""};
}

Result<std::unique_ptr<Policy>> MakeSpans(const Options& options, const ModelShape& shape) {
  DAMASK_ASSIGN_OR_RETURN(const uint64_t sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(const Span span, Span::Parse(options.Text("span")));
  const std::string& list = options.Text("heads");
  const std::string& file = options.Text("file");
  if (list != kNone && file != kNone) return InvalidArgument("policy spans: heads and file cannot be given together");
  std::vector<Span> spans(shape.layers * shape.heads, span);
  if (list != kNone) {
    DAMASK_ASSIGN_OR_RETURN(spans, ParseSpanList(list, shape));
  }
  if (file != kNone) {
    DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, limits::kMaxTextFileBytes));
    Result<std::vector<Span>> read = ParseSpanFile(text, shape, span);
    if (!read.ok()) return read.status().At(Quote(file, 300));
    spans = *std::move(read);
  }
  std::string spec = fmt::format("spans:span={},heads={},file={},sinks={}", span.ToString(), list, file, sinks);
  return std::unique_ptr<Policy>(std::make_unique<SpansPolicy>(sinks, std::move(spans), std::move(spec), shape));
}

}  // namespace damask::policies
