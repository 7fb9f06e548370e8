// damask eval logits: the scores of the next token, as numbers.
#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <numeric>

#include <fmt/format.h>

#include "base/text.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"
#include "report/progress.h"
#include "report/table.h"

namespace damask::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "--out writes little-endian floats as they lie in memory");

constexpr size_t kTop = 10;

// The file of --out.
class LogitsFile {
 public:
  Status Open(const std::string& path) {
    path_ = path;
    file_.reset(std::fopen(path.c_str(), "wb"));
    return file_ ? Status() : IoError(fmt::format("cannot write: {}", std::strerror(errno))).At(Quote(path));
  }
  void Add(const float* values, size_t count) {
    if (file_ && std::fwrite(values, sizeof(float), count, file_.get()) != count && error_ == 0) error_ = errno;
  }
  Status Close() {
    if (!file_) return Status();
    if (std::fclose(file_.release()) != 0 && error_ == 0) error_ = errno;
    if (error_ == 0) return Status();
    return Status(StatusCode::kInternal, fmt::format("cannot write: {}", std::strerror(error_)), Quote(path_));
  }

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  std::string path_;
  std::unique_ptr<std::FILE, Closer> file_;
  int error_ = 0;
};

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
    flags->Text("--tokens", "N,N", &tokens_, "the ids that the model reads; nothing is put in front of them");
    flags->Switch("--all", &all_, "the logits of every position, not of the last one alone");
    flags->Text("-o,--out", "FILE", &out_, "write them as little-endian float32, one position after the other");
    model_.DeclareRun(flags);
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!tokens_) return InvalidArgument("'damask eval logits' wants --tokens");
    DAMASK_ASSIGN_OR_RETURN(const std::unique_ptr<engine::Engine> engine, LoadEngine(model_, common));
    DAMASK_ASSIGN_OR_RETURN(const std::vector<engine::TokenId> ids, ParseTokenIds(*tokens_, engine->model().config().vocab));
    LogitsFile file;
    if (out_) DAMASK_RETURN_IF_ERROR(file.Open(*out_));
    engine::Session session(engine.get());
    DAMASK_RETURN_IF_ERROR(Compute(&session, ids, common, engine->model().config().vocab, &file));
    if (!all_) file.Add(session.logits().data(), session.logits().size());
    DAMASK_RETURN_IF_ERROR(file.Close());
    Print(*engine, session, ids.size(), common);
    return kExitDone;
  }

 private:
  Status Compute(engine::Session* session, const std::vector<engine::TokenId>& ids, const CommonFlags& common, size_t vocab,
                 LogitsFile* file) const {
    const CancelScope cancel;
    report::ProgressLine line(!common.quiet && StderrIsTerminal());
    const auto progress = [&](uint64_t done, uint64_t total, double seconds) { line.Update(done, total, seconds); };
    if (!all_) return session->Append(ids, progress, cancel.flag());
    const auto rows = [&](uint64_t, size_t count, const float* logits) { file->Add(logits, count * vocab); };
    return session->AppendAll(ids, rows, progress, cancel.flag());
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

  std::optional<std::string> tokens_;
  bool all_ = false;
  std::optional<std::string> out_;
  ModelFlags model_;
};

}  // namespace

std::unique_ptr<Command> MakeEvalLogits() { return std::make_unique<EvalLogits>(); }

}  // namespace damask::cli
