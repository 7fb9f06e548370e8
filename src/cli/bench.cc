// damask bench: how fast a model reads and answers, beside what the machine can do.
#include "engine/bench.h"

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "report/bench_report.h"
#include "report/process.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

class Bench : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Measurement");
    flags->Uints("-p,--prompt", 1, limits::kMaxContext, &options_.prompts, "prompt lengths to read (default: 512)");
    flags->Uints("-d,--depth", 0, limits::kMaxContext, &options_.depths,
                 "positions in the cache before answering (default: 0)");
    flags->Uint("-n,--gen", 0, limits::kMaxContext, &options_.generate,
                "tokens to answer with, 0 measures no answers (default: 32)");
    flags->Uint("-r,--repeat", 1, 1000, &options_.repeat, "repetitions, of which the median counts (default: 3)");
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(const engine::BenchResult result,
                            engine::RunBench(engine.get(), options_, progress, cancel.flag()));
    line.Clear();
    const uint64_t peak_rss_bytes = report::PeakResidentBytes();
    const report::Machine machine = report::MeasureMachine(engine->target(), &engine->pool());
    if (common.json) {
      WriteJson(report::BenchJson(*engine, machine, result, peak_rss_bytes));
    } else {
      Write(report::BenchText(*engine, machine, result));
    }
    return kExitDone;
  }

 private:
  engine::BenchOptions options_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeBench() { return std::make_unique<Bench>(); }

}  // namespace damask::cli
