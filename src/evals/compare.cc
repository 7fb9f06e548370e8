#include "evals/compare.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/timer.h"
#include "evals/cell_questions.h"
#include "evals/compare_plan.h"
#include "policies/registry.h"

namespace damask::evals {
namespace {

// A measured density that differs from the wanted one by more than this part of it is said.
constexpr double kFarOff = 0.2;

bool IsFull(const std::string& spec) { return policies::PolicyOfSpec(spec)->name == "full"; }

// The figures of all answers.
void FinishCell(Cell* cell) {
  if (cell->task != kPerplexity) {
    cell->summary = Summarise(cell->answers);
    return;
  }
  double sum = 0;
  std::vector<Answered> without_accuracy = cell->answers;
  for (Answered& answer : without_accuracy) sum += std::exchange(answer.score, 0);
  cell->summary = Summarise(without_accuracy);
  cell->nll = sum / static_cast<double>(cell->answers.size());
}

class Comparison {
 public:
  Comparison(engine::Engine* engine, const CompareRun& run, CellStore* store, const EvalProgress& progress,
             const std::atomic<bool>* cancel)
      : engine_(engine), run_(run), prompts_(engine, run.form), store_(store), progress_(progress), cancel_(cancel) {}

  Result<CompareResult> Run() {
    DAMASK_ASSIGN_OR_RETURN(cells_, PlanCells(*engine_, run_, &result_.notes));
    for (Cell& cell : cells_) {
      TakeStored(&cell);
      total_ += (run_.samples - cell.answers.size()) * cell.context;
    }
    DAMASK_ASSIGN_OR_RETURN(const std::vector<Round> rounds, MakeRounds());
    const Status status = AskAll(rounds);
    const bool lost = !result_.kept.ok();
    // Whatever stopped the run, what it has found out is kept.
    if (store_ != nullptr && !lost) result_.kept = store_->Flush();
    result_.cancelled = !lost && status.code() == StatusCode::kCancelled;
    if (!lost && !result_.cancelled) DAMASK_RETURN_IF_ERROR(status);
    if (result_.cancelled) result_.notes.emplace_back("interrupted: answers are missing");
    for (Cell& cell : cells_) {
      if (cell.answers.empty()) continue;  // never in a run that went to its end
      FinishCell(&cell);
      NoteDensity(cell);
      AddRow(std::move(cell));
    }
    return Sorted();
  }

 private:
  void TakeStored(Cell* cell) const {
    if (store_ == nullptr) return;
    cell->answers = store_->Find(*cell);
    if (cell->answers.size() > run_.samples) cell->answers.resize(run_.samples);
  }

  // The cells of a task and context that lack answers, and what they are asked.
  struct Round {
    std::vector<Cell*> cells;
    CellQuestions questions;
  };

  // What is wrong with a question is to be known before others have been answered for hours.
  Result<std::vector<Round>> MakeRounds() {
    std::vector<Round> rounds;
    for (const uint64_t context : run_.contexts) {
      for (const std::string& task : run_.tasks) {
        std::vector<Cell*> side_by_side;
        for (Cell& cell : cells_) {
          const bool asks = cell.task == task && cell.context == context && cell.answers.size() < run_.samples;
          if (asks) side_by_side.push_back(&cell);
        }
        if (side_by_side.empty()) continue;
        DAMASK_ASSIGN_OR_RETURN(CellQuestions questions, CellQuestions::Make(engine_, run_, prompts_, *side_by_side.front()));
        DAMASK_RETURN_IF_ERROR(questions.Check());
        NoteFewWindows(*side_by_side.front(), questions.size());
        total_ -= (run_.samples - questions.size()) * context * side_by_side.size();
        rounds.push_back({std::move(side_by_side), std::move(questions)});
      }
    }
    return rounds;
  }

  void NoteFewWindows(const Cell& cell, size_t windows) {
    if (windows == run_.samples) return;
    result_.notes.push_back(
        fmt::format("{} at {} tokens: the text has {} windows, fewer than the {} samples that were asked for", cell.task,
                    cell.context, windows, run_.samples));
  }

  Status AskAll(const std::vector<Round>& rounds) {
    for (const Round& round : rounds) DAMASK_RETURN_IF_ERROR(AskInTurn(round));
    return {};
  }

  // A question is put to all policies before the next one is, so that whatever else the machine does slows all of them.
  Status AskInTurn(const Round& round) {
    for (size_t i = 0; i < round.questions.size(); ++i) {
      for (Cell* cell : round.cells) {
        if (cell->answers.size() > i) continue;
        DAMASK_RETURN_IF_ERROR(UsePolicy(cell->spec));
        DAMASK_ASSIGN_OR_RETURN(Answered answered, round.questions.Ask(i, cancel_));
        cell->answers.push_back(std::move(answered));
        if (store_ != nullptr) result_.kept = store_->Put(*cell);
        DAMASK_RETURN_IF_ERROR(result_.kept);
        done_ += cell->context;
        if (progress_) progress_(done_, total_, timer_.Seconds());
      }
    }
    return {};
  }

  // Each is made once. Heads that the audit widened are not so in the next sample: every sample stands for itself.
  Status UsePolicy(const std::string& spec) {
    if (in_use_ != spec) {
      std::unique_ptr<policies::Policy>& policy = policies_[spec];
      if (policy == nullptr) {
        DAMASK_ASSIGN_OR_RETURN(policy, policies::Create(spec, engine_->shape()));
      }
      std::unique_ptr<policies::Policy> before = engine_->ExchangePolicy(std::move(policy));
      policies_[in_use_] = std::move(before);
      in_use_ = spec;
    }
    engine_->SetAudit(IsFull(spec) ? model::AuditOptions{} : run_.audit);  // there is nothing to find out of full attention
    return {};
  }

  // Once for all tasks.
  void NoteDensity(const Cell& cell) {
    if (!cell.density_target || cell.task != run_.tasks.front()) return;
    if (std::abs(cell.summary.density / *cell.density_target - 1) <= kFarOff) return;
    result_.notes.push_back(fmt::format("{} at density {}, {} tokens: {:.4f} was measured", cell.policy, *cell.density_target,
                                        cell.context, cell.summary.density));
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

  // The first policy's cell that `cell` is compared with; null: none. Where a density was left out nothing takes its place:
  // what computes more would win.
  const Cell* ReferenceOf(const Cell& cell) const {
    if (cell.policy == run_.policies.front()) return nullptr;
    const Cell* only = nullptr;
    size_t variants = 0;
    for (const CompareRow& row : result_.rows) {
      const Cell& first = row.cell;
      if (first.policy != run_.policies.front() || first.task != cell.task || first.context != cell.context) continue;
      if (first.density_target == cell.density_target) return &first;
      only = &first;
      ++variants;
    }
    const bool one_runs_as_it_is = only != nullptr && (!only->density_target || !cell.density_target);
    return variants == 1 && one_runs_as_it_is ? only : nullptr;
  }

  void AddRow(Cell cell) {
    CompareRow row;
    if (const Cell* const first = ReferenceOf(cell); first != nullptr) {
      std::vector<double> reference = first->scores();
      std::vector<double> scores = cell.scores();
      const size_t both = std::min(reference.size(), scores.size());  // fewer where a run was cancelled
      reference.resize(both);
      scores.resize(both);
      row.difference = cell.nll ? PairedValues(reference, scores) : PairedScores(reference, scores);
      row.difference_to = first->spec;
    }
    row.cell = std::move(cell);
    result_.rows.push_back(std::move(row));
  }

  engine::Engine* engine_;
  const CompareRun& run_;
  Prompts prompts_;
  CellStore* store_;
  const EvalProgress& progress_;
  const std::atomic<bool>* cancel_;
  std::vector<Cell> cells_;
  std::map<std::string, std::unique_ptr<policies::Policy>> policies_;  // by SPEC, but the one in use
  std::string in_use_;                                                 // empty: the engine's own, not used here
  Timer timer_;
  uint64_t done_ = 0;   // tokens read by this run
  uint64_t total_ = 0;  // tokens that this run has to read
  CompareResult result_;
};

}  // namespace

std::vector<double> Cell::scores() const {
  std::vector<double> scores;
  scores.reserve(answers.size());
  for (const Answered& answer : answers) scores.push_back(answer.score);
  return scores;
}

Result<CompareResult> RunCompare(engine::Engine* engine, const CompareRun& run, CellStore* store, const EvalProgress& progress,
                                 const std::atomic<bool>* cancel) {
  return Comparison(engine, run, store, progress, cancel).Run();
}

}  // namespace damask::evals
