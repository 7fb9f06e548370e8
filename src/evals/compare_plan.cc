#include "evals/compare_plan.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/text.h"
#include "evals/task_spec.h"
#include "policies/density.h"
#include "policies/registry.h"

namespace damask::evals {
namespace {

constexpr std::string_view kAll = "all";

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
  DAMASK_RETURN_IF_ERROR(CheckContexts(engine, run.contexts));
  for (const double density : run.densities) {
    if (!(density > 0 && density <= 1)) {
      return InvalidArgument(fmt::format("--density: {} is not above 0 and at most 1", density));
    }
  }
  return {};
}

// A policy as one column of the comparison: as given, or set to a density.
struct Variant {
  std::string policy;
  std::optional<double> density;
};

std::vector<Variant> VariantsOf(const CompareRun& run, const policies::ModelShape& shape, std::vector<std::string>* notes) {
  std::vector<Variant> variants;
  for (const std::string& policy : run.policies) {
    const std::string why = run.densities.empty() ? "" : policies::WhyNoDensity(policy, shape);
    // Full attention is what the others are measured by, and nobody expects a density of it.
    const bool is_full = policies::PolicyOfSpec(policy)->name == "full";
    if (!why.empty() && !is_full) notes->push_back(why + ": it runs as it is");
    if (run.densities.empty() || !why.empty()) {
      variants.push_back({policy, std::nullopt});
      continue;
    }
    for (const double density : run.densities) variants.push_back({policy, density});
  }
  return variants;
}

Status SamePolicy(const std::string& one, const std::string& other) {
  return InvalidArgument(fmt::format("--policies: {} and {} are the same policy", Quote(one), Quote(other)));
}

// What runs as it is given would answer everything twice under another spelling of its SPEC.
Status CheckDistinct(const std::vector<Variant>& variants, const policies::ModelShape& shape) {
  std::map<std::pair<std::string, uint64_t>, std::string> seen;
  for (const Variant& variant : variants) {
    if (variant.density) continue;
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<policies::Policy> policy, policies::Create(variant.policy, shape));
    const auto [same, is_new] = seen.emplace(std::pair(policy->Spec(), policy->ContentHash()), variant.policy);
    if (!is_new) {
      return SamePolicy(same->second, variant.policy);
    }
  }
  return {};
}

class Planner {
 public:
  Planner(const engine::Engine& engine, const CompareRun& run, std::vector<std::string>* notes)
      : shape_(engine.shape()), run_(run), notes_(*notes) {}

  Result<std::vector<Cell>> Plan() {
    const std::vector<Variant> variants = VariantsOf(run_, shape_, &notes_);
    DAMASK_RETURN_IF_ERROR(CheckDistinct(variants, shape_));
    for (const Variant& variant : variants) {
      for (const uint64_t context : run_.contexts) DAMASK_RETURN_IF_ERROR(AddCells(variant, context));
    }
    return std::move(cells_);
  }

 private:
  Status AddCells(const Variant& variant, uint64_t context) {
    std::string spec = variant.policy;
    if (variant.density) {
      Result<std::string> fitting = policies::SpecForDensity(variant.policy, *variant.density, context, shape_);
      if (!fitting.ok()) {
        LeaveOut(variant, context, fitting.status().ToString());
        return {};
      }
      spec = *std::move(fitting);
    }
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<policies::Policy> policy, policies::Create(spec, shape_));
    Cell cell;
    cell.policy = variant.policy;
    cell.spec = policy->Spec();
    cell.content = policy->ContentHash();
    cell.density_target = variant.density;
    cell.context = context;
    const auto same = std::find_if(cells_.begin(), cells_.end(), [&](const Cell& other) {
      const bool one_policy = other.policy == cell.policy || other.density_target == cell.density_target;
      return variant.density && other.density_target && one_policy && other.spec == cell.spec && other.context == context;
    });
    if (same != cells_.end() && same->policy != cell.policy) return SamePolicy(same->policy, cell.policy);
    if (same != cells_.end()) {
      LeaveOut(variant, context, fmt::format("{} comes to the same as at density {}", Quote(spec), *same->density_target));
      return {};
    }
    for (const std::string& task : run_.tasks) {
      cell.task = task;
      cells_.push_back(cell);
      if (task == kPerplexity) cells_.back().content = WithText(cell.content);
    }
    return {};
  }

  // Answers about a text of the user's are not those about the program's, nor are those about windows of it that used to be
  // drawn otherwise: by seed + number, as calibration's texts are.
  uint64_t WithText(uint64_t content) const {
    masks::Hasher hasher;
    hasher.AddNumber(content);
    hasher.AddText(run_.text.empty() ? "windows of the program's prose by mixed seeds" : run_.text);
    return hasher.value();
  }

  void LeaveOut(const Variant& variant, uint64_t context, const std::string& why) {
    notes_.push_back(fmt::format("density {} at {} tokens: {}; left out", *variant.density, context, why));
  }

  policies::ModelShape shape_;
  const CompareRun& run_;
  std::vector<std::string>& notes_;
  std::vector<Cell> cells_;
};

}  // namespace

std::vector<std::string> ExpandAll(const engine::Engine& engine, const std::vector<std::string>& policies,
                                   std::vector<std::string>* notes) {
  std::vector<std::string> expanded;
  const auto is_given = [&](const std::string& name) {
    return std::any_of(policies.begin(), policies.end(), [&](const std::string& given) {
      const policies::PolicyInfo* info = policies::PolicyOfSpec(given);
      return info != nullptr && info->name == name;
    });
  };
  for (const std::string& given : policies) {
    if (given != kAll) {
      expanded.push_back(given);
      continue;
    }
    for (const policies::PolicyInfo& info : policies::AllPolicies()) {
      if (is_given(info.name)) continue;
      const auto made = policies::Create(info.name, engine.shape());
      if (made.ok()) {
        expanded.push_back(info.name);
      } else {
        notes->push_back(fmt::format("{}; left out of 'all'", made.status().ToString()));
      }
    }
  }
  return expanded;
}

Result<TaskRun> TaskRunOf(const CompareRun& run, const std::string& task) {
  const Result<TaskSpec> spec = ParseTaskSpec(task);
  if (!spec.ok()) return spec.status().At("--tasks");
  TaskRun task_run;
  task_run.task = spec->task;
  task_run.options = spec->options;
  task_run.samples = run.samples;
  task_run.seed = run.seed;
  task_run.form = run.form;
  return task_run;
}

Result<std::vector<Cell>> PlanCells(const engine::Engine& engine, const CompareRun& run, std::vector<std::string>* notes) {
  DAMASK_RETURN_IF_ERROR(Validate(engine, run));
  return Planner(engine, run, notes).Plan();
}

}  // namespace damask::evals
