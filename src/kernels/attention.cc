// Which body runs: the one table of attention.
#include "kernels/attention.h"

#include "kernels/attention_steps.h"

namespace damask::kernels {
namespace {

// `many`, or where there are few lanes the body for them and the pages.
const AttentionBody& BodyForLanes(const AttentionShape& shape, const QueryBlock& block, const AttentionBody& many,
                                  const AttentionBody& few, const AttentionBody& few_q8) {
  if (block.rows * shape.group > kFewLanes) return many;
  return shape.kv == KvType::kQ8 ? few_q8 : few;
}

void RunAvx2(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
             AttentionScratch* scratch) {
  const AttentionBody& body = BodyForLanes(shape, block, Avx2Body(), FewLanesAvx2Body(), FewLanesQ8Avx2Body());
  RunPlan(body, shape, block, plan, pages, scratch);
}

void RunAvx512(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
               AttentionScratch* scratch) {
  const AttentionBody& body = BodyForLanes(shape, block, Avx512Body(), FewLanesAvx2Body(), FewLanesQ8Avx2Body());
  RunPlan(body, shape, block, plan, pages, scratch);
}

void RunAvx512Bf16(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
                   AttentionScratch* scratch) {
  const AttentionBody& body = BodyForLanes(shape, block, Avx512Bf16Body(), FewLanesBody(), FewLanesQ8Body());
  RunPlan(body, shape, block, plan, pages, scratch);
}

void RunAmx(const AttentionShape& shape, const QueryBlock& block, const Plan& plan, const std::byte* const* pages,
            AttentionScratch* scratch) {
  const AttentionBody& body = BodyForLanes(shape, block, AmxBody(), FewLanesBody(), FewLanesQ8Body());
  RunPlan(body, shape, block, plan, pages, scratch);
}

struct Choice {
  Target target;
  AttentionFn run;
  const char* name;
  bool fills_tiles;
};

// The plainest first; the last one that the target includes runs.
constexpr Choice kChoices[] = {
    {Target::kScalar, AttentionReference, "scalar", false},
    {Target::kAvx2, RunAvx2, "avx2 int16", false},
    {Target::kAvx512, RunAvx512, "avx512 float32", false},
    {Target::kAvx512Bf16, RunAvx512Bf16, "avx512bf16", false},
    {Target::kAmx, RunAmx, "amx bf16", true},
};

const Choice& Choose(Target target, const AttentionShape& shape) {
  const Choice* best = &kChoices[0];
  if (shape.kv == KvType::kF32) return *best;
  for (const Choice& choice : kChoices) {
    if (choice.target <= target) best = &choice;
  }
  return *best;
}

}  // namespace

AttentionScratch::AttentionScratch() : buffers_(std::make_unique<Buffers>()) {}
AttentionScratch::~AttentionScratch() = default;
AttentionScratch::AttentionScratch(AttentionScratch&&) noexcept = default;
AttentionScratch& AttentionScratch::operator=(AttentionScratch&&) noexcept = default;

AttentionFn FindAttention(Target target, const AttentionShape& shape) { return Choose(target, shape).run; }

bool FillsTiles(Target target, const AttentionShape& shape, const QueryBlock& block) {
  // Sixteen rows of one head then lie side by side in a lane block, as in a tile.
  return Choose(target, shape).fills_tiles && block.sinks == nullptr && shape.head_dim % 32 == 0 &&
         block.rows % kTileColumns == 0 && block.tiles_row % kTileColumns == 0 && block.rows * shape.group > kFewLanes;
}

std::string AttentionName(Target target, const AttentionShape& shape) { return Choose(target, shape).name; }

}  // namespace damask::kernels
