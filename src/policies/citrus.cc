#include "policies/citrus.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "masks/hash.h"
#include "policies/citrus_state.h"
#include "policies/head_states.h"
#include "policies/quarter_plan.h"

namespace damask::policies {
namespace {

constexpr std::string_view kLast = "last";
constexpr std::string_view kNone = "none";
constexpr std::string_view kTurn = "turn";
constexpr size_t kUsualTokens = 32;
// Much more than the tokens that are read of an instruction, and little enough to be encoded before each chunk.
constexpr uint64_t kMaxInstructionBytes = 64 << 10;

struct Settings {
  uint64_t budget = 0;
  uint64_t chunk = 0;
  CitrusCache cache = CitrusCache::kStandard;
  bool own_sets = false;  // each KV head decides for itself
  Instruction instruction;
  std::string spec;
};

using State = HeadStates<CitrusSet>;

class CitrusPolicy : public Policy {
 public:
  CitrusPolicy(Settings settings, const ModelShape& shape) : s_(std::move(settings)), shape_(shape) {}

  std::string Spec() const override { return s_.spec; }
  uint64_t ContentHash() const override {
    masks::Hasher hasher;
    hasher.AddText(s_.instruction.text);
    // Answers are not those of the time when a chunk's border cut it in two.
    if (s_.instruction.given()) hasher.AddText("one chunk");
    return hasher.value();
  }
  std::unique_ptr<PolicyState> NewState() const override {
    return std::make_unique<State>(s_.own_sets ? State::Of::kHead : State::Of::kLayer, shape_,
                                   s_.own_sets ? 1 : shape_.kv_heads, s_.cache);
  }

  void MakePlan(const PlanRequest& request, kernels::Plan* plan) const override {
    thread_local QuarterChoice choice;
    choice.Reset(request, shape_.group(), shape_.window(request.layer));
    if (request.state != nullptr) {
      const CitrusSet& set = static_cast<const State*>(request.state)->at(request.layer, request.kv_head);
      set.kept(request.decode || request.closing).AddTo(&choice);
    } else {
      const uint64_t chunk = request.first_position / s_.chunk;
      AddShape(s_.budget, (chunk - std::min<uint64_t>(chunk, 1)) * s_.chunk, &choice);
    }
    choice.MakePlan(plan);
  }

  size_t ChunkRows() const override { return s_.chunk; }
  Instruction AskedInstruction() const override { return s_.instruction; }
  bool WantsChunks() const override { return true; }
  void ChunkDone(const ChunkRequest& chunk) const override {
    thread_local KeptAttentionScratch scratch;
    const size_t head = s_.own_sets ? 0 : chunk.kv_head;
    static_cast<State*>(chunk.state)
        ->at(chunk.layer, chunk.kv_head)
        .AddChunk(shape_.target, chunk, head, shape_.group(), shape_.window(chunk.layer), s_.budget, &scratch);
  }

  bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* state) const override {
    const CitrusSet* const set = state == nullptr ? nullptr : &static_cast<const State*>(state)->at(layer, kv_head);
    return MayReleasePage(set, shape_.window(layer), block, position);
  }

 private:
  Settings s_;
  ModelShape shape_;
};

Status ReadCache(const std::string& name, CitrusCache* cache) {
  if (name == "standard")
    *cache = CitrusCache::kStandard;
  else if (name == "single")
    *cache = CitrusCache::kSingle;
  else if (name == "double")
    *cache = CitrusCache::kDouble;
  else
    return InvalidArgument(fmt::format("policy citrus: cache={} is not standard, single or double", Quote(name)));
  return {};
}

Status ReadInstruction(const Options& options, Instruction* instruction) {
  const std::string& text = options.Text("instruction");
  const std::string& file = options.Text("file");
  if (text != kLast && file != kNone) {
    return InvalidArgument("policy citrus: instruction and file cannot be given together");
  }
  instruction->turn = options.Text("last") == kTurn;
  instruction->last = kUsualTokens;
  if (!instruction->turn) {
    DAMASK_ASSIGN_OR_RETURN(instruction->last, options.Count("last", 1, kMaxInstructionTokens));
  }
  if (text != kLast) instruction->text = text;
  if (file != kNone) {
    DAMASK_ASSIGN_OR_RETURN(instruction->text, ReadTextFile(file, kMaxInstructionBytes));
    if (instruction->text.empty()) return InvalidArgument(fmt::format("{}: an empty instruction", Quote(file, 300)));
  }
  return {};
}

}  // namespace

PolicyInfo CitrusInfo() {
  return {"citrus",
          {},
          "Chunk by chunk the keys stay that the next chunk, or an instruction, looks at.",
          "Bai et al., CItruS (arXiv 2406.12018)",
          {{"keep", "768", "keys that stay of everything before the latest chunk"},
           {"chunk", "256", "rows of a chunk: 64, 128, 256 or 512"},
           {"cache", "double", "standard: chunks decide; single: the instruction does; double: each has a set of its own"},
           {"instruction", "last",
            "what is asked of the text, without commas (its last 256 tokens are read); last: the prompt's last tokens"},
           {"file", "none", "a file with the instruction, at most 64 KiB"},
           {"last", "turn",
            "how many last tokens of the prompt are the instruction, at most 256; turn: a chat's last turn, else 32"},
           {"heads", "shared", "shared: one set for all heads of a layer; own: one for each KV head"}},
          "keep",
          "chunk=64"};
}

Result<std::unique_ptr<Policy>> MakeCitrus(const Options& options, const ModelShape& shape) {
  Settings s;
  DAMASK_ASSIGN_OR_RETURN(s.budget, options.Count("keep", 1, limits::kMaxContext));
  DAMASK_ASSIGN_OR_RETURN(s.chunk, ChunkOption(options, "citrus"));
  DAMASK_RETURN_IF_ERROR(ReadCache(options.Text("cache"), &s.cache));
  DAMASK_ASSIGN_OR_RETURN(s.own_sets, options.Either("heads", "shared", "own"));
  DAMASK_RETURN_IF_ERROR(ReadInstruction(options, &s.instruction));
  s.spec = fmt::format("citrus:keep={},chunk={},cache={},instruction={},file={},last={},heads={}", s.budget, s.chunk,
                       options.Text("cache"), options.Text("instruction"), options.Text("file"), options.Text("last"),
                       s.own_sets ? "own" : "shared");
  if (s.cache == CitrusCache::kStandard) s.instruction = {};
  return std::unique_ptr<Policy>(std::make_unique<CitrusPolicy>(std::move(s), shape));
}

}  // namespace damask::policies
