// damask eval logits: the scores of the next token, as numbers.
#include <algorithm>
#include <bit>
#include <numeric>
#include <span>
#include <string_view>

#include <fmt/format.h>

#include "base/log.h"
#include "base/text.h"
#include "base/write_file.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "cli/token_input.h"
#include "report/progress.h"
#include "report/table.h"

namespace damask::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "--out writes little-endian floats as they lie in memory");

constexpr size_t kTop = 10;

std::string_view BytesOf(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

// The ids of the largest logits, the lower id first on ties.
std::vector<size_t> Top(std::span<const float> logits) {
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), size_t{0});
  const size_t count = std::min(kTop, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(count), order.end(),
                    [&](size_t a, size_t b) { return logits[a] != logits[b] ? logits[a] > logits[b] : a < b; });
  order.resize(count);
  return order;
}

class EvalLogits : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Group("Tokens");
    input_.Declare(flags, "the ids that the model reads; nothing is put in front of them");
    flags->Switch("--all", &all_, "the logits of every position, not of the last one alone");
    flags->Text("-o,--out", "FILE", &out_, "write them as little-endian float32, one position after the other");
    flags->Alias("--output", "--out");
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!input_.tokens && !input_.file) return InvalidArgument("'damask eval logits' wants --tokens or -f FILE");
    DAMASK_ASSIGN_OR_RETURN(const std::string tokens, input_.Read());
    if (out_) {
      std::vector<NamedFile> reads = model_.Reads();
      if (input_.file) reads.push_back({"-f", *input_.file});
      DAMASK_RETURN_IF_ERROR(CheckOutputFile("-o", *out_, reads));
    }
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    WarnOfIdleFlags(model_, *engine);
    WarnOfIdleAudit();
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> ids, input_.Parse(tokens, engine->model().config().vocab));
    if (out_) {
      DAMASK_ASSIGN_OR_RETURN(file_, AtomicFile::Create(*out_));
    }
    CancelScope cancel;  // until the file is in its place: a signal must not leave its temporary
    engine::Session session(engine.get());
    DAMASK_RETURN_IF_ERROR(Compute(&session, ids, common, engine->model().config().vocab, &cancel));
    if (file_ != nullptr && !all_) DAMASK_RETURN_IF_ERROR(file_->Append(BytesOf(session.logits())));
    if (file_ != nullptr) DAMASK_RETURN_IF_ERROR(file_->Commit());
    Print(*engine, session, ids.size(), common);
    return kExitDone;
  }

 private:
  // It has no figures here; the floor goes by it.
  void WarnOfIdleAudit() const {
    const model::AuditOptions unset = ModelFlags().audit;
    if (model_.audit.floor >= 0) return;
    if (model_.audit.prefill_every == unset.prefill_every && model_.audit.decode_every == unset.decode_every) return;
    LogWarning("--audit and --audit-decode change nothing: 'damask eval logits' shows no figures of an audit");
  }

  // With --all the file, if there is one, gets the logits as they come.
  Status Compute(engine::Session* session, const std::vector<engine::TokenId>& ids, const CommonFlags& common, size_t vocab,
                 CancelScope* cancel) const {
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    if (!all_) return session->Append(ids, progress, cancel->flag());
    Status written;
    const auto rows = [&](uint64_t, size_t count, const float* logits) {
      if (file_ != nullptr && written.ok()) written = file_->Append(BytesOf({logits, count * vocab}));
      if (!written.ok()) cancel->Cancel();  // the rest would be for nothing
    };
    const Status status = session->AppendAll(ids, rows, progress, cancel->flag());
    return written.ok() ? status : written;
  }

  void Print(const engine::Engine& engine, const engine::Session& session, size_t positions, const CommonFlags& common) const {
    const std::span<const float> logits = session.logits();
    const std::vector<size_t> top = Top(logits);
    if (common.json) {
      report::Json entries = report::Json::array();
      for (const size_t id : top) entries.push_back({{"id", id}, {"logit", logits[id]}});
      report::Json object = {{"vocab", logits.size()}, {"positions", all_ ? positions : 1}, {"top", entries}};
      object["model"] = report::ModelName(engine);
      object["target"] = TargetName(engine.target());
      object["kv_type"] = kernels::KvTypeName(engine.kv_type());
      object["kernels"] = report::KernelsJson(engine);
      if (out_) object["out"] = SanitizeUtf8(*out_);
      WriteJson(object);
      return;
    }
    report::Table table({"id", "logit", "piece"});
    for (const size_t id : top) {
      table.Add({fmt::format("{}", id), fmt::format("{:.4f}", logits[id]),
                 Quote(engine.tokenizer().Piece(static_cast<engine::TokenId>(id), true))});
    }
    Write(table.ToString());
  }

  TokenInput input_;
  bool all_ = false;
  std::optional<std::string> out_;
  std::unique_ptr<AtomicFile> file_;  // none without -o
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalLogits() { return std::make_unique<EvalLogits>(); }

}  // namespace damask::cli
