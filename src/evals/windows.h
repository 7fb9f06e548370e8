// Perplexity over windows of a text, one value each.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/engine.h"
#include "evals/summary.h"

namespace damask::evals {

struct WindowsResult {
  std::vector<double> nll;  // nats a token, of each window
  Summary summary;          // without an accuracy
};

// The first `windows` windows of `context` tokens (BOS included) of `text`; without a text of the program's prose, each window
// in an order of its own. Errors: InvalidArgument where the text has no whole window; Cancelled.
Result<WindowsResult> PerplexityOfWindows(engine::Engine* engine, const std::string& text, uint64_t context, uint64_t windows,
                                          uint64_t seed, const std::function<void()>& window_done,
                                          const std::atomic<bool>* cancel);

}  // namespace damask::evals
