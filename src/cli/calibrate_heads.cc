// damask calibrate heads: a table with a number for each KV head, for the policies tca and duo.
#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "base/limits.h"
#include "base/text.h"
#include "base/write_file.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/text_input.h"
#include "engine/head_tables.h"
#include "report/progress.h"

namespace damask::cli {
namespace {

class CalibrateHeads : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Table");
    flags->Text("-o,--output", "FILE", &output_, "the table to write");
    flags->Alias("--out", "--output");
    flags->Text("--for", "POLICY", &policy_, "tca: shares of the keys; duo: gates of retrieval");
    flags->Uint("--samples", 1, 1 << 20, &samples_, "texts (default: 8 for tca, 2 for duo)");
    flags->Uint("--length", 1, limits::kMaxContext, &length_,
                "tokens of a text (default: 4096 for tca, 2048 for duo, or the context)");
    flags->Uint("--seed", 0, UINT64_MAX, &seed_, "of the built-in texts (default 1)");
    flags->Group("Shares (tca)");
    flags->Texts("--text", "FILE", &texts_, "text to calibrate on, more than once for more texts (default: the built-in one)");
    flags->Number("--tau", 1e-6, 1, &shares_.tau, "the attention that a share has to hold (default 0.95)");
    flags->Uint("--rows", 1, limits::kMaxContext, &shares_.rows, "last rows of a text that are looked at (default 64)");
    flags->Number("--least", 0, 1, &shares_.least, "no share is smaller (default 0.05)");
    flags->Number("--mean", 0, 1, &shares_.mean, "scale the shares to this mean; 0: as measured (default 0)");
    flags->Group("Gates (duo)");
    flags->Text("--by", "WHAT", &by_,
                "mass: the attention that rows which answer would lose if the KV head streamed, one pass; effect: what the "
                "answers lose when it does, a pass a KV head (default mass)");
    flags->Uint("--sinks", 0, limits::kMaxContext, &gates_.sinks, "first keys that a streaming head sees (default 16)");
    flags->Uint("--recent", 1, limits::kMaxContext, &gates_.recent, "latest keys that it sees (default 64)");
    model_.DeclareReading(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    DAMASK_RETURN_IF_ERROR(CheckFlags());
    for (const std::string& name : texts_) {
      DAMASK_ASSIGN_OR_RETURN(std::string text, ReadDocument(name, "--text"));
      shares_.texts.push_back({name, std::move(text)});
    }
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal(), "steps");
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    DAMASK_ASSIGN_OR_RETURN(engine::HeadTableResult result,
                            is_duo() ? engine::HeadGates(engine.get(), gates_, progress, cancel.flag())
                                     : engine::HeadShares(engine.get(), shares_, progress, cancel.flag()));
    line.Clear();
    result.table.policy = *policy_;
    const policies::ModelShape shape = engine->shape();
    DAMASK_RETURN_IF_ERROR(WriteFileAtomically(*output_, Comment(result) + policies::HeadTableText(result.table, shape)));
    if (common.json) {
      WriteJson(ToJson(result, shape));
    } else {
      Write(Summary(result, shape));
    }
    return kExitDone;
  }

 private:
  bool is_duo() const { return policy_ == "duo"; }

  Status CheckFlags() {
    if (!output_) return InvalidArgument("'damask calibrate heads' wants -o FILE, the table to write");
    if (!policy_) return InvalidArgument("'damask calibrate heads' wants --for tca or --for duo");
    if (!is_duo() && *policy_ != "tca")
      return InvalidArgument(fmt::format("--for is {}, expected tca or duo", Quote(*policy_)));
    if (by_ && *by_ != "mass" && *by_ != "effect") {
      return InvalidArgument(fmt::format("--by is {}, expected mass or effect", Quote(*by_)));
    }
    DAMASK_RETURN_IF_ERROR(CheckOtherTable());
    gates_.by = by_ == "effect" ? engine::GateBy::kEffect : engine::GateBy::kMass;
    if (samples_ != 0) shares_.samples = gates_.samples = samples_;
    shares_.length = gates_.length = length_;
    shares_.seed = gates_.seed = seed_;
    std::vector<NamedFile> reads = model_.Reads();
    for (const std::string& text : texts_) reads.push_back({"--text", text});
    return CheckOutputFile("-o", *output_, reads);
  }

  // Flags of the table that is not asked for.
  Status CheckOtherTable() const {
    const engine::SharesOptions shares;
    const engine::GatesOptions gates;
    if (is_duo() && !texts_.empty()) return InvalidArgument("--text is for tca: gates want questions and their answers");
    if (is_duo() && (shares_.tau != shares.tau || shares_.rows != shares.rows || shares_.least != shares.least ||
                     shares_.mean != shares.mean)) {
      return InvalidArgument("--tau, --rows, --least and --mean are for tca");
    }
    if (!is_duo() && (by_ || gates_.sinks != gates.sinks || gates_.recent != gates.recent)) {
      return InvalidArgument("--by, --sinks and --recent are for duo");
    }
    return {};
  }

  std::string How() const {
    if (!is_duo()) return fmt::format("tau {}, {} rows", shares_.tau, shares_.rows);
    return fmt::format("by {}, sinks {}, recent {}", gates_.by == engine::GateBy::kMass ? "mass" : "effect", gates_.sinks,
                       gates_.recent);
  }

  std::string Comment(const engine::HeadTableResult& result) const {
    return fmt::format("# {} of KV heads, a line a layer: {}, {} of {} tokens, seed {}\n", is_duo() ? "gates" : "shares", How(),
                       Counted(result.texts, "text"), result.length, seed_);
  }

  static double Mean(const std::vector<float>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  }

  std::string Summary(const engine::HeadTableResult& result, const policies::ModelShape& shape) const {
    const std::vector<float>& values = result.table.values;
    const auto [least, most] = std::minmax_element(values.begin(), values.end());
    return fmt::format(
        "{}: {} of {} layers with {} KV heads; mean {:.3f}, from {:.3f} to {:.3f}\n{}, {} texts of {} tokens, {}\n", *output_,
        is_duo() ? "gates" : "shares", shape.layers, shape.kv_heads, Mean(values), *least, *most, How(), result.texts,
        result.length, FormatSeconds(result.seconds));
  }

  report::Json ToJson(const engine::HeadTableResult& result, const policies::ModelShape& shape) const {
    report::Json rows = report::Json::array();
    for (size_t layer = 0; layer < shape.layers; ++layer) {
      report::Json& row = rows.emplace_back(report::Json::array());
      for (size_t head = 0; head < shape.kv_heads; ++head) row.push_back(result.table.at(layer, head, shape));
    }
    return {{"for", *policy_},
            {"layers", shape.layers},
            {"kv_heads", shape.kv_heads},
            {"table", std::move(rows)},
            {"mean", Mean(result.table.values)},
            {"texts", result.texts},
            {"length", result.length},
            {"seconds", result.seconds}};
  }

  std::optional<std::string> output_;
  std::optional<std::string> policy_;
  std::optional<std::string> by_;
  std::vector<std::string> texts_;
  uint64_t samples_ = 0;
  uint64_t length_ = 0;
  uint64_t seed_ = 1;
  engine::SharesOptions shares_;
  engine::GatesOptions gates_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeCalibrateHeads() { return std::make_unique<CalibrateHeads>(); }

}  // namespace damask::cli
