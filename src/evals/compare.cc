#include "evals/compare.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "base/timer.h"
#include "evals/windows.h"
#include "policies/density.h"
#include "policies/registry.h"

namespace damask::evals {
namespace {

constexpr std::string_view kPerplexity = "perplexity";

// A policy as one column of the comparison: as given, or set to a density.
struct Variant {
  std::string policy;
  std::optional<double> density;
};

Result<TaskRun> TaskRunOf(const CompareRun& run, const std::string& name) {
  const texts::TaskInfo* info = texts::FindTask(name);
  if (info == nullptr) {
    std::string known;
    for (const texts::TaskInfo& task : texts::AllTasks()) known += std::string(task.name) + ", ";
    return InvalidArgument(fmt::format("--tasks: found {}, expected {}perplexity", Quote(name), known));
  }
  TaskRun task;
  task.task = info->task;
  task.samples = run.samples;
  task.seed = run.seed;
  task.form = run.form;
  return task;
}

Status Validate(const engine::Engine& engine, const CompareRun& run) {
  if (run.policies.empty() || run.tasks.empty() || run.contexts.empty()) {
    return InvalidArgument("a comparison wants a policy, a task and a context at least");
  }
  for (const std::string& policy : run.policies) {
    const auto made = policies::Create(policy, engine.shape());
    if (!made.ok()) return made.status().At("--policies");
  }
  for (const std::string& task : run.tasks) {
    if (task != kPerplexity) DAMASK_RETURN_IF_ERROR(TaskRunOf(run, task).status());
  }
  for (const uint64_t context : run.contexts) {
    if (context > engine.context()) {
      return InvalidArgument(fmt::format("--context is {}, the model's context is {}", context, engine.context()));
    }
  }
  return {};
}

std::string NameOf(const std::string& spec) { return spec.substr(0, spec.find(':')); }

std::vector<Variant> VariantsOf(const CompareRun& run, std::vector<std::string>* notes) {
  std::vector<Variant> variants;
  for (const std::string& policy : run.policies) {
    const policies::PolicyInfo* info = policies::FindPolicy(NameOf(policy));
    const bool adjustable = info != nullptr && !info->density_option.empty();
    if (run.densities.empty() || !adjustable) variants.push_back({policy, std::nullopt});
    if (!run.densities.empty() && !adjustable) {
      notes->push_back(fmt::format("{} has no option that sets its density: it runs as it is", policy));
    }
    for (const double density : run.densities) {
      if (adjustable) variants.push_back({policy, density});
    }
  }
  return variants;
}

class Comparison {
 public:
  Comparison(engine::Engine* engine, const CompareRun& run, CellStore* store, const EvalProgress& progress,
             const std::atomic<bool>* cancel)
      : engine_(engine), run_(run), store_(store), progress_(progress), cancel_(cancel) {}

  Result<CompareResult> Run() {
    const std::vector<Variant> variants = VariantsOf(run_, &result_.notes);
    for (const uint64_t context : run_.contexts) total_ += context * run_.samples * run_.tasks.size() * variants.size();
    for (const Variant& variant : variants) {
      for (const uint64_t context : run_.contexts) {
        const Status status = RunContext(variant, context);
        result_.cancelled = status.code() == StatusCode::kCancelled;
        if (result_.cancelled) return Sorted();
        DAMASK_RETURN_IF_ERROR(status);
      }
    }
    return Sorted();
  }

 private:
  Status RunContext(const Variant& variant, uint64_t context) {
    Cell cell;
    cell.policy = variant.policy;
    cell.density_target = variant.density;
    cell.context = context;
    const std::optional<std::string> spec = SpecOf(variant, context);
    if (!spec) {
      done_ += context * run_.samples * run_.tasks.size();
      return {};
    }
    DAMASK_RETURN_IF_ERROR(engine_->SetPolicy(*spec));
    const bool full = policies::FindPolicy(NameOf(*spec))->name == "full";
    engine_->SetAudit(full ? model::AuditOptions{} : run_.audit);  // there is nothing to find out of full attention
    cell.spec = engine_->policy().Spec();
    for (const std::string& task : run_.tasks) {
      cell.task = task;
      const uint64_t before = done_;
      DAMASK_ASSIGN_OR_RETURN(Cell finished, FindOrRun(cell));
      done_ = before + context * run_.samples;
      Report(0);
      AddRow(std::move(finished));
    }
    return {};
  }

  // Absent where the policy cannot keep within the density.
  std::optional<std::string> SpecOf(const Variant& variant, uint64_t context) {
    if (!variant.density) return variant.policy;
    Result<std::string> spec = policies::SpecForDensity(variant.policy, *variant.density, context, engine_->shape());
    if (spec.ok()) return *std::move(spec);
    result_.notes.push_back(
        fmt::format("density {} at {} tokens: {}; left out", *variant.density, context, spec.status().ToString()));
    return std::nullopt;
  }

  Result<Cell> FindOrRun(const Cell& wanted) {
    if (store_ != nullptr) {
      if (std::optional<Cell> stored = store_->Find(wanted)) return *std::move(stored);
    }
    DAMASK_ASSIGN_OR_RETURN(Cell cell, wanted.task == kPerplexity ? RunPerplexity(wanted) : RunOneTask(wanted));
    if (store_ != nullptr) DAMASK_RETURN_IF_ERROR(store_->Add(cell));
    return cell;
  }

  Result<Cell> RunPerplexity(Cell cell) {
    const uint64_t before = done_;
    uint64_t windows = 0;
    const auto window_done = [&] { Report(++windows * cell.context); };
    DAMASK_ASSIGN_OR_RETURN(WindowsResult windows_result, PerplexityOfWindows(engine_, run_.text, cell.context, run_.samples,
                                                                              run_.seed, window_done, cancel_));
    done_ = before;
    cell.scores = std::move(windows_result.nll);
    cell.summary = windows_result.summary;
    double sum = 0;
    for (const double nll : cell.scores) sum += nll;
    cell.nll = sum / static_cast<double>(cell.scores.size());
    return cell;
  }

  Result<Cell> RunOneTask(Cell cell) {
    DAMASK_ASSIGN_OR_RETURN(TaskRun task, TaskRunOf(run_, cell.task));
    task.contexts = {cell.context};
    const auto progress = [&](uint64_t done, uint64_t, double) { Report(done); };
    DAMASK_ASSIGN_OR_RETURN(const TaskResult result, RunTask(engine_, task, progress, cancel_));
    if (result.cancelled) return Cancelled();
    const ContextResult& context = result.contexts.front();
    cell.summary = context.summary;
    for (const AskedSample& sample : context.samples) cell.scores.push_back(sample.answered.score);
    return cell;
  }

  // Policies stand together where they answered the same samples.
  CompareResult Sorted() {
    const auto place = [&](const CompareRow& row) {
      const auto task = std::find(run_.tasks.begin(), run_.tasks.end(), row.cell.task) - run_.tasks.begin();
      const auto context = std::find(run_.contexts.begin(), run_.contexts.end(), row.cell.context) - run_.contexts.begin();
      return std::pair(task, context);
    };
    std::stable_sort(result_.rows.begin(), result_.rows.end(),
                     [&](const CompareRow& a, const CompareRow& b) { return place(a) < place(b); });
    return std::move(result_);
  }

  // `more`: tokens of the cell that runs now.
  void Report(uint64_t more) const {
    if (progress_) progress_(done_ + more, total_, timer_.Seconds());
  }

  void AddRow(Cell cell) {
    // The first policy's first variant is the first with its task and context.
    const auto first = std::find_if(result_.rows.begin(), result_.rows.end(), [&](const CompareRow& row) {
      return row.cell.task == cell.task && row.cell.context == cell.context;
    });
    CompareRow row;
    if (first != result_.rows.end() && first->cell.scores.size() == cell.scores.size()) {
      const std::vector<double>& reference = first->cell.scores;
      row.difference = cell.nll ? PairedValues(reference, cell.scores) : PairedScores(reference, cell.scores);
    }
    row.cell = std::move(cell);
    result_.rows.push_back(std::move(row));
  }

  engine::Engine* engine_;
  const CompareRun& run_;
  CellStore* store_;
  const EvalProgress& progress_;
  const std::atomic<bool>* cancel_;
  Timer timer_;
  uint64_t done_ = 0;
  uint64_t total_ = 0;
  CompareResult result_;
};

}  // namespace

Result<CompareResult> RunCompare(engine::Engine* engine, const CompareRun& run, CellStore* store, const EvalProgress& progress,
                                 const std::atomic<bool>* cancel) {
  DAMASK_RETURN_IF_ERROR(Validate(*engine, run));
  return Comparison(engine, run, store, progress, cancel).Run();
}

}  // namespace damask::evals
