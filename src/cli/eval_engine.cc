#include "cli/eval_engine.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/log.h"

namespace damask::cli {
namespace {

constexpr uint64_t kDefaultContext = 4096;

}  // namespace

Result<std::unique_ptr<engine::Engine>> LoadEvalEngine(ModelFlags flags, const CommonFlags& common,
                                                       std::vector<uint64_t>* contexts) {
  DAMASK_ASSIGN_OR_RETURN(std::unique_ptr<engine::Engine> engine, LoadEngine(flags, common));
  if (contexts->empty()) contexts->push_back(std::min(kDefaultContext, engine->context()));
  const uint64_t longest = *std::max_element(contexts->begin(), contexts->end());
  if (flags.context != 0 || longest <= engine->context()) return engine;
  flags.context = longest;
  WarnOfLongContext(flags, engine->context());
  engine.reset();  // not two models at once
  DAMASK_ASSIGN_OR_RETURN(const engine::EngineOptions options, flags.Options(common));
  return engine::Engine::Load(options);
}

}  // namespace damask::cli
