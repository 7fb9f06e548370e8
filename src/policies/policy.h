// A policy makes plans: which key blocks a query block computes. Command line, benchmarks and the public API find it by name
// (registry.h); the kernels run its plans and know nothing of it.
//
// What the forward pass calls, for every layer, in this order:
//   KeysAppended  once per KV head, when the chunk's keys lie in their pages   (only if WantsKeys)
//   MakePlan      once per query block and KV head
//   ChunkDone     once per KV head, when the chunk's attention is done          (only if WantsChunks)
//   (of guesses behind a drawn token the first two row by row)
//   MayRelease    once per KV head and page after the whole chunk                (only if pages are to be released)
// Calls for different KV heads and query blocks run on all workers at once; the steps do not overlap. A policy itself is
// immutable and shared by sessions. What it remembers of one session is in that session's PolicyState, with a place of its own
// for every (layer, KV head), so that no two workers write to the same.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "kernels/page.h"
#include "kernels/plan.h"
#include "masks/fingerprint.h"
#include "masks/hash.h"

namespace damask::masks {
struct Mask;
}

namespace damask::policies {

// What a policy may know of the model when it is made.
struct ModelShape {
  size_t layers = 0;
  size_t heads = 0;
  size_t kv_heads = 0;
  size_t head_dim = 0;
  std::vector<uint32_t> windows;  // the model's own sliding window per layer; empty or 0: none
  bool rope_halves = false;       // a key's rotated pairs are (0, d / 2), (1, d / 2 + 1), ..., not (0, 1), (2, 3), ...
  Target target = BestTarget();   // of the arithmetic that policies do themselves
  // What masks are bound to; computed only when one is to be used. Empty: only the shape is compared.
  std::function<masks::Fingerprint()> fingerprint;

  size_t group() const { return heads / kv_heads; }
  uint32_t window(size_t layer) const { return windows.empty() ? 0 : windows[layer]; }
};

// What a policy remembers of one session: summaries of keys, kept sets, sums of probabilities.
class PolicyState {
 public:
  virtual ~PolicyState() = default;
  // Forgets positions from `length` on.
  virtual void Truncate(uint64_t length) = 0;
  // The longest length, at most `length`, that Truncate brings back as if nothing had come after it. Shorter than `length` only
  // for states that add up what later rows did; whoever wants the same plans again reads the text anew from there.
  virtual uint64_t ExactLength(uint64_t length) const { return length; }
  virtual uint64_t bytes() const { return 0; }
};

// The keys of one KV head of one layer.
struct KeyPages {
  const std::byte* const* pages = nullptr;  // page of key block b; null where it was released
  const kernels::PageLayout* layout = nullptr;
};

// Rotated queries of consecutive positions of one KV head's group, unscaled (scores are q . k / sqrt(head_dim)).
struct QueryRows {
  const float* q = nullptr;  // [rows, group, head_dim]
  size_t stride = 0;         // floats from row to row
  size_t rows = 0;
  uint64_t first_position = 0;

  const float* row(size_t row, size_t head, size_t head_dim) const { return q + row * stride + head * head_dim; }
};

// One query block of one KV head's group.
struct PlanRequest {
  size_t layer = 0;
  size_t kv_head = 0;
  uint64_t first_position = 0;  // of the block's first row
  size_t rows = 0;              // 1 .. kernels::kQueryBlockRows
  uint64_t context = 0;         // positions in the cache, this block's own included
  bool decode = false;          // a drawn token, or a guess behind one
  bool closing = false;         // of an instruction: see Instruction
  KeyPages keys;                // of `context` positions
  QueryRows queries;            // of this block; q is null where only the shape of a plan is wanted
  PolicyState* state = nullptr;
};

// Keys that became readable: positions [first, end) of one KV head.
struct KeysRequest {
  size_t layer = 0;
  size_t kv_head = 0;
  uint64_t first = 0;
  uint64_t end = 0;
  KeyPages keys;
  PolicyState* state = nullptr;
};

// A chunk whose attention is done.
struct ChunkRequest {
  size_t layer = 0;
  size_t kv_head = 0;
  QueryRows queries;        // the whole chunk
  bool prompt_end = false;  // its last row is the last of the prompt, or a decoded token
  bool closing = false;     // an instruction's rows: see Instruction
  bool aside = false;       // they are forgotten after this
  KeyPages keys;
  PolicyState* state = nullptr;
};

// What is asked of a text, for policies that look at the text with it while they read: before each chunk but the first its rows
// go through the model behind what has been read, and are forgotten again (ChunkRequest::aside).
struct Instruction {
  std::string text;   // read as it is; where it is empty, the prompt's last tokens,
  size_t last = 0;    // at most so many, are the instruction: at the prompt's end they are a chunk of their own
  bool turn = false;  // of a chat its last user turn is, where it is known (engine::Session::SetTurnTokens), instead of `last`

  bool given() const { return !text.empty() || last > 0; }
};
inline constexpr size_t kMaxInstructionTokens = 256;
// The first token that is read of an instruction of so many, where `room` positions are free: what is too long loses its
// beginning, since the question usually stands at the end.
inline size_t FirstInstructionToken(size_t tokens, uint64_t room) {
  return tokens - std::min<uint64_t>({tokens, kMaxInstructionTokens, room});
}

// Policy::ContentHash of plans that were changed: version 2 is what the first change made.
inline uint64_t HashOfVersion(uint64_t version) {
  masks::Hasher hasher;
  hasher.AddText("plans of version");
  hasher.AddNumber(version);
  return hasher.value();
}

class Policy {
 public:
  Policy();
  Policy(const Policy&) = delete;
  Policy& operator=(const Policy&) = delete;
  virtual ~Policy() = default;

  // Never used twice in a process: tells whose a session's state is.
  uint64_t id() const { return id_; }

  // "streaming:sinks=4,window=1024": the SPEC that makes this policy again.
  virtual std::string Spec() const = 0;
  // A hash of what decides about plans and the SPEC does not say: what it only names (a file's contents), and how often the
  // plans of this SPEC were changed (HashOfVersion). 0 where it says everything. Kept answers and kept prompts of another hash
  // are not used, so whoever changes a policy's plans under the same SPEC changes it.
  virtual uint64_t ContentHash() const { return 0; }
  // The masks that the plans follow, for pictures of them; null where there are none.
  virtual const masks::Mask* mask() const { return nullptr; }

  // Overwrites `plan`: causal, sorted, without duplicates, within the model's own window, and never empty for a row (the
  // diagonal is kept). A plan depends on the request and its state alone.
  virtual void MakePlan(const PlanRequest& request, kernels::Plan* plan) const = 0;

  // Null for policies that remember nothing.
  virtual std::unique_ptr<PolicyState> NewState() const { return nullptr; }

  virtual bool WantsKeys() const { return false; }
  virtual void KeysAppended(const KeysRequest&) const {}

  virtual bool WantsChunks() const { return false; }
  virtual void ChunkDone(const ChunkRequest&) const {}
  // For policies that decide chunk by chunk: no chunk goes past a multiple of this, 64, 128, 256 or 512, but for the rows of
  // an instruction at the prompt's end, which are one; 0: it is all the same.
  virtual size_t ChunkRows() const { return 0; }
  virtual Instruction AskedInstruction() const { return {}; }
  // Whether decode with keys that are forgotten again leaves no trace: PolicyState::Truncate brings back what was, whatever
  // plans were made meanwhile: not where MakePlan changes the state. Only then tokens are guessed ahead.
  virtual bool RewindsExactly() const { return !WantsChunks(); }
  // Whether a plan for several rows has for each the entries of a plan for it alone, but for those behind it: every key there
  // is.
  virtual bool SeesEverything() const { return false; }

  // Whether no query at or after `position` of any head of the group can get a plan with this key block.
  virtual bool MayRelease(size_t layer, size_t kv_head, size_t block, uint64_t position, const PolicyState* state) const;

 private:
  uint64_t id_;
};

}  // namespace damask::policies
