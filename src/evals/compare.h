// Policies side by side: every one answers the same samples.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "evals/ask.h"
#include "evals/run.h"
#include "evals/statistics.h"
#include "evals/summary.h"
#include "model/audit.h"

namespace damask::evals {

struct CompareRun {
  std::vector<std::string> policies;  // SPECs; the others are compared with the first
  // TaskSpec::ToString of generated tasks, and "perplexity".
  std::vector<std::string> tasks;
  std::vector<uint64_t> contexts;
  uint64_t samples = 20;  // of each task and context; perplexity: windows
  uint64_t seed = 1;
  // Each policy that has an option for it is run once for each of these, set to keep within it (left out where it cannot, with
  // a note); others run as they are. Empty: all run as they are.
  std::vector<double> densities;
  // For perplexity, cut into windows; empty: prose of the program, each window its paragraphs in another order.
  std::string text;
  PromptForm form = PromptForm::kAuto;
  model::AuditOptions audit;  // of every policy but full attention
};

// One policy on one task at one context.
struct Cell {
  std::string policy;    // the SPEC as given
  std::string spec;      // as it runs
  uint64_t content = 0;  // policies::Policy::ContentHash; of perplexity with its text
  std::optional<double> density_target;
  std::string task;
  uint64_t context = 0;
  std::vector<Answered> answers;  // in the order of the samples; perplexity: a score is nats a token of a window
  Summary summary;                // of the answers
  std::optional<double> nll;      // perplexity alone: mean of the scores

  std::vector<double> scores() const;
};

struct CompareRow {
  Cell cell;
  // To the first policy on the same samples, nats a token for perplexity: to its row that was set to the same density, else to
  // the one that runs as it is. Absent in that policy's own rows, and where neither is there.
  std::optional<PairedDifference> difference;
  std::string difference_to;  // that row's spec
};

struct CompareResult {
  std::vector<CompareRow> rows;    // by task and context, in the order of the run; then by policy
  std::vector<std::string> notes;  // what did not run as it was asked for
  bool cancelled = false;          // what had been answered is there
  Status kept;                     // an error of the store, which ended the run: what had been answered is there
};

// Answers of cells that were given before, and a place to keep new ones.
class CellStore {
 public:
  virtual ~CellStore() = default;
  // The stored answers of the cell with this spec, content, task and context: the first samples, maybe not all.
  virtual std::vector<Answered> Find(const Cell& wanted) const = 0;
  // Has the answers of `cell` in place of those it had. What Put got is safe on disk after Flush, and now and then before.
  virtual Status Put(const Cell& cell) = 0;
  virtual Status Flush() = 0;
};

// Goes on where `store` ends: with a sample, not only with a cell. A sample depends on the seed and its own number, so a store
// of fewer or of more samples serves as well.
//
// Errors: InvalidArgument for a wrong SPEC (before anything runs), an unknown task, a context longer than the engine's or too
// short for a task; those of Ask. The engine keeps the policy and the audit that ran last. `store` may be
// null.
Result<CompareResult> RunCompare(engine::Engine* engine, const CompareRun& run, CellStore* store, const EvalProgress& progress,
                                 const std::atomic<bool>* cancel);

}  // namespace damask::evals
