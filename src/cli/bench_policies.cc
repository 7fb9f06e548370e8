// damask bench policies: what the choice of keys costs as a text grows.
#include <cmath>
#include <optional>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "base/timer.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/text_input.h"
#include "policies/bench.h"
#include "report/machine.h"
#include "report/progress.h"
#include "report/table.h"

namespace damask::cli {
namespace {

// Every policy that makes its choice from shapes or from keys and queries, with about a thousand keys.
constexpr const char* kPolicies[] = {
    "full",
    "streaming:window=1024",
    "a-shape:window=1024,decode=sparse",
    "spans:span=1024",
    "masformer:span=1024,full=0",
    "duo:heads=0,full=0,recent=1024",
    "content-heads:rank=16",
    "content-heads:rank=32",
    "hip:budget=1024,skip=0",
    "quest:budget=1024,skip=0,prefill=sparse",
    "infllm2:budget=1024,dense=0",
    "xattention:budget=1024,threshold=1,decode=sparse",
    "psa:budget=1024,similar=none,decode=sparse",
    "flexprefill:budget=1024,gamma=1,decode=sparse",
    "vertical-slash:budget=1024,decode=sparse",
    "h2o:budget=1024",
    "snapkv:cap=1024,prefill=sparse",
    "pyramidkv:cap=1024,prefill=sparse",
    "citrus:keep=1024,cache=standard",
    "tca",
};

struct Line {
  std::string spec;
  std::vector<policies::PolicyBenchResult> results;

  // The power of the context with which a time grows, from the first context to the last: 0 flat, 1 in proportion.
  // Nothing where there is one context.
  std::optional<double> Growth(double policies::PolicyBenchResult::*seconds) const {
    const policies::PolicyBenchResult& first = results.front();
    const policies::PolicyBenchResult& last = results.back();
    if (results.size() < 2) return std::nullopt;
    return std::log(last.*seconds / first.*seconds) /
           std::log(static_cast<double>(last.context) / static_cast<double>(first.context));
  }
};

class BenchPolicies : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Measurement");
    flags->Text("--policies", "SPEC;SPEC", &policies_,
                "the policies (default: one SPEC of each with about a thousand keys); content-heads:rank=R,rows=N are dam's "
                "heads that choose, by N rows of a query block (64)");
    flags->Uints("-c,--context", 1024, limits::kMaxContext, &options_.contexts, "keys, ascending (default: 8192,32768,131072)");
    flags->Uint("--head-dim", 1, limits::kMaxWidth, &head_dim_, "length of a head (default: 64)");
    flags->Uint("--group", 1, limits::kMaxHeads, &group_, "query heads that share the KV head (default: 4)");
    options_.contexts.clear();
  }

  Result<int> Run(const CommonFlags& common) override {
    if (options_.contexts.empty()) options_.contexts = {8192, 32768, 131072};
    options_.head_dim = head_dim_;
    options_.group = group_;
    DAMASK_ASSIGN_OR_RETURN(options_.target, PrepareTarget(common.target));
    std::vector<std::string> specs(std::begin(kPolicies), std::end(kPolicies));
    if (policies_) {
      specs.clear();
      for (const std::string_view spec : Split(*policies_, ';')) specs.emplace_back(WithoutSpaces(spec));
    }
    for (const std::string& spec : specs) DAMASK_RETURN_IF_ERROR(policies::CheckPolicyBench(spec, options_));
    const CancelScope cancel;
    report::ProgressLine progress(!common.quiet && StderrIsTerminal(), "steps");
    const Timer timer;
    std::vector<Line> lines;
    for (const std::string& spec : specs) {
      Result<std::vector<policies::PolicyBenchResult>> results = policies::BenchPolicy(spec, options_, cancel.flag());
      if (results.status().code() == StatusCode::kCancelled) break;
      if (!results.ok()) return results.status();
      lines.push_back({spec, *std::move(results)});
      progress.Update(lines.size(), specs.size(), timer.Seconds());
    }
    progress.Clear();
    if (common.json) {
      WriteJson(ToJson(lines));
    } else {
      Write(ToText(lines));
    }
    return cancel.cancelled() ? kExitInterrupted : kExitDone;
  }

 private:
  report::Json ToJson(const std::vector<Line>& lines) const {
    report::Json results = report::Json::array();
    for (const Line& line : lines) {
      for (const policies::PolicyBenchResult& result : line.results) {
        results.push_back({{"policy", line.spec},
                           {"context", result.context},
                           {"prefill_s", result.prefill_seconds},
                           {"decode_s", result.decode_seconds},
                           {"planned_keys", result.planned_keys}});
      }
    }
    return {
        {"target", TargetName(options_.target)}, {"head_dim", head_dim_}, {"group", group_}, {"results", std::move(results)}};
  }

  std::string ToText(const std::vector<Line>& lines) const {
    std::vector<std::string> header = {"policy"};
    for (const char* phase : {"prefill", "decode"}) {
      for (const uint64_t context : options_.contexts) header.push_back(fmt::format("{} us {}", phase, context));
      header.emplace_back("growth");
    }
    header.emplace_back("keys");
    report::Table table(std::move(header));
    for (const Line& line : lines) {
      std::vector<std::string> row = {line.spec};
      for (const auto seconds : {&policies::PolicyBenchResult::prefill_seconds, &policies::PolicyBenchResult::decode_seconds}) {
        for (const policies::PolicyBenchResult& result : line.results) row.push_back(FourDigits(1e6 * (result.*seconds)));
        const std::optional<double> growth = line.Growth(seconds);
        row.push_back(growth ? fmt::format("{:.2f}", *growth) : "-");
      }
      row.push_back(fmt::format("{:.0f}", line.results.back().planned_keys));
      table.Add(std::move(row));
    }
    return table.ToString();
  }

  std::optional<std::string> policies_;
  uint64_t head_dim_ = 64;
  uint64_t group_ = 4;
  policies::PolicyBenchOptions options_;
};

}  // namespace

std::unique_ptr<Command> MakeBenchPolicies() { return std::make_unique<BenchPolicies>(); }

}  // namespace damask::cli
