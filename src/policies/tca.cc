#include "policies/tca.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "base/limits.h"
#include "masks/hash.h"
#include "policies/head_states.h"
#include "policies/head_table.h"
#include "policies/kept_keys.h"
#include "policies/quarter_plan.h"

namespace damask::policies {
namespace {

using kernels::kPageTokens;

using State = HeadStates<KeptKeys>;

constexpr float kAlways = std::numeric_limits<float>::infinity();
constexpr double kWithoutTable = 0.39;  // the paper's 61 % less cache

struct Settings {
  std::vector<float> shares;  // [layers * kv_heads]
  uint64_t window = 0;
  uint64_t sinks = 0;
  uint64_t rows = 0;
  double lambda = 0;
  bool pages = false;  // whole pages stay or go
  uint64_t chunk = 0;
  std::string spec;
};

struct Scratch {
  KeptAttentionScratch attention;
  std::vector<float> sums;
  std::vector<float> keys;  // of a page [64][head_dim]
  std::vector<uint32_t> core;
  UnitScratch units;
  std::vector<uint32_t> chosen;
};

class TcaPolicy : public Policy {
 public:
  TcaPolicy(Settings settings, const ModelShape& shape) : s_(std::move(settings)), shape_(shape) {}

  std::string Spec() const override { return s_.spec; }
  uint64_t ContentHash() const override {
    masks::Hasher hasher;
    for (const float share : s_.shares) hasher.AddText(fmt::format("{}", share));
    return hasher.value();
  }
  std::unique_ptr<PolicyState> NewState() const override { return std::make_unique<State>(shape_); }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local QuarterChoice choice;
    choice.Reset(request, shape_.group(), shape_.window(request.layer));
    if (request.state != nullptr) {
      static_cast<const State*>(request.state)->at(request.layer, request.kv_head).AddTo(&choice);
    } else {
      const bool all = Share(request.layer, request.kv_head) >= 1;
      const uint64_t border = all ? 0 : Border(request.first_position / s_.chunk * s_.chunk);
      AddShape(KeptBelow(border, Share(request.layer, request.kv_head)), border, &choice);
    }
    choice.MakePlan(plan);
  }

  size_t ChunkRows() const override { return s_.chunk; }
  bool WantsChunks() const override { return true; }
  void ChunkDone(const ChunkRequest& chunk) const override {
    KeptKeys& kept = static_cast<State*>(chunk.state)->at(chunk.layer, chunk.kv_head);
    const double share = Share(chunk.layer, chunk.kv_head);
    if (share >= 1) return;
    kept.BeginChunk(chunk, shape_.group() * shape_.head_dim, s_.rows);
    const uint64_t border = Border(kept.end());
    if (border <= kept.low()) return;
    thread_local Scratch scratch;
    KeptAttention(shape_.target, kept.rows().View(shape_.group() * shape_.head_dim), shape_.group(), chunk.keys, kept.kept(),
                  kept.low(), shape_.window(chunk.layer), kept.end(), &scratch.attention, &scratch.sums);
    if (s_.pages) {
      ChoosePages(kept, border, share, &scratch);
    } else {
      ChooseKeys(chunk.keys, kept, border, share, &scratch);
    }
    kept.Decide(border, scratch.chosen);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* state) const override {
    const KeptKeys* const kept = state == nullptr ? nullptr : &static_cast<const State*>(state)->at(layer, kv_head);
    return MayReleasePage(kept, shape_.window(layer), block, position);
  }

 private:
  double Share(size_t layer, size_t kv_head) const { return static_cast<double>(s_.shares[layer * shape_.kv_heads + kv_head]); }
  // All keys below are decided about when `length` keys have been read: whole pages that have left the window.
  uint64_t Border(uint64_t length) const { return (length - std::min(length, s_.window)) / kPageTokens * kPageTokens; }
  static uint64_t Part(double share, uint64_t of) {
    return std::min(of, static_cast<uint64_t>(std::ceil(share * static_cast<double>(of) - 1e-6)));
  }
  uint64_t SinksFrom(uint64_t begin) const { return std::min<uint64_t>(s_.sinks - std::min(s_.sinks, begin), kPageTokens); }
  // Of the page that begins at `begin`, sinks included.
  uint64_t KeysOfPage(uint64_t begin, double share) const { return std::max(SinksFrom(begin), Part(share, kPageTokens)); }
  uint64_t PagesBelow(uint64_t border, double share) const {
    const uint64_t pages = border / kPageTokens;
    return std::max(Part(share, pages), std::min(pages, (s_.sinks + kPageTokens - 1) / kPageTokens));
  }
  uint64_t KeptBelow(uint64_t border, double share) const {
    if (s_.pages) return PagesBelow(border, share) * kPageTokens;
    uint64_t kept = 0;
    for (uint64_t begin = 0; begin < border; begin += kPageTokens) kept += KeysOfPage(begin, share);
    return kept;
  }

  // What was kept stays; of each page that has left the window its core.
  void ChooseKeys(const KeyPages& keys, const KeptKeys& kept, uint64_t border, double share, Scratch* scratch) const {
    const size_t old = kept.kept().size();
    const size_t dim = shape_.head_dim;
    scratch->chosen.clear();
    for (uint32_t i = 0; i < old; ++i) scratch->chosen.push_back(i);
    for (uint64_t begin = kept.low(); begin < border; begin += kPageTokens) {
      const size_t first = old + (begin - kept.low());
      const std::byte* page = keys.pages[begin / kPageTokens];
      if (page == nullptr) continue;
      scratch->keys.resize(kPageTokens * dim);
      for (size_t slot = 0; slot < kPageTokens; ++slot) {
        kernels::LoadKey(*keys.layout, page, slot, scratch->keys.data() + slot * dim);
      }
      ChooseCore(scratch->keys, dim, {scratch->sums.data() + first, kPageTokens}, s_.lambda, SinksFrom(begin),
                 KeysOfPage(begin, share), &scratch->core);
      for (const uint32_t slot : scratch->core) scratch->chosen.push_back(static_cast<uint32_t>(first + slot));
    }
  }

  // All pages below `border` that are still there compete; a page has what its keys have.
  void ChoosePages(const KeptKeys& kept, uint64_t border, double share, Scratch* scratch) const {
    const std::span<float> sums = {scratch->sums.data(), kept.Candidates(border)};
    for (uint32_t i = 0; i < sums.size() && kept.CandidatePosition(i) < s_.sinks; ++i) sums[i] = kAlways;
    ChooseUnits(kept, sums, kPageTokens, PagesBelow(border, share), &scratch->units, &scratch->chosen);
  }

  Settings s_;
  ModelShape shape_;
};

}  // namespace

PolicyInfo TcaInfo() {
  return {"tca",
          {},
          "TCA-style (our reading): each KV head keeps its share of every 64 keys, what matters and is unlike the rest.",
          "You et al., Training-free Context-adaptive Attention (arXiv 2512.09238), its abstract",
          {{"file", "none", "a table of shares: a line for each layer with a number from 0 to 1 for each KV head"},
           {"heads", "none", "the same in the SPEC: shares of a layer's KV heads, or of all layers, with / between them"},
           {"keep", "0", "the mean of the shares in thousandths, to which they are scaled; 0: as the table says, or 390"},
           {"window", "256", "latest keys about which nothing is decided"},
           {"sinks", "64", "first keys that always stay"},
           {"rows", "64", "latest rows whose attention says what matters"},
           {"lambda", "0.5", "how much likeness to a kept key counts against a key, from 0 to 1"},
           {"form", "keys", "keys: so many of every 64; pages: so many of all 64-key pages (memory goes down to that share)"},
           {"chunk", "512", "rows of a prompt after which is decided: 64, 128, 256 or 512"}},
          "keep",
          "window=32,sinks=16,rows=32,chunk=64"};
}

Result<std::unique_ptr<Policy>> MakeTca(const Options& options, const ModelShape& shape) {
  Settings s;
  DAMASK_ASSIGN_OR_RETURN(HeadTable table, ReadHeadTable(options, "tca", shape));
  // More than 1000 is as 1000: for who looks for the largest value.
  DAMASK_ASSIGN_OR_RETURN(const uint64_t keep, options.Count("keep", 0, 2 * limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(s.window, options.Count("window", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(s.sinks, options.Count("sinks", 0, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(s.rows, options.Count("rows", 1, kLongestChunk));
  DAMASK_ASSIGN_OR_RETURN(s.lambda, options.Number("lambda", 0, 1));
  DAMASK_ASSIGN_OR_RETURN(s.pages, options.Either("form", "keys", "pages"));
  DAMASK_ASSIGN_OR_RETURN(s.chunk, ChunkOption(options, "tca"));
  if (std::any_of(table.values.begin(), table.values.end(), [](float share) { return share < 0 || share > 1; })) {
    return InvalidArgument("policy tca: a share in the table is not between 0 and 1");
  }
  s.shares = std::move(table.values);
  if (s.shares.empty()) s.shares.assign(shape.layers * shape.kv_heads, static_cast<float>(kWithoutTable));
  if (keep > 0) s.shares = ScaleShares(std::move(s.shares), std::min(1.0, static_cast<double>(keep) / 1000));
  s.spec =
      fmt::format("tca:file={},heads={},keep={},window={},sinks={},rows={},lambda={},form={},chunk={}", options.Text("file"),
                  options.Text("heads"), keep, s.window, s.sinks, s.rows, s.lambda, s.pages ? "pages" : "keys", s.chunk);
  return std::unique_ptr<Policy>(std::make_unique<TcaPolicy>(std::move(s), shape));
}

}  // namespace damask::policies
