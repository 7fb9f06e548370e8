#include "evals/cell_file.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "formats/json.h"

namespace damask::evals {
namespace {

using formats::Json;

Json OrNull(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json ToJson(const std::string& run_key, const Cell& cell) {
  const Summary& summary = cell.summary;
  return {{"run", run_key},
          {"policy", cell.policy},
          {"spec", cell.spec},
          {"density_target", OrNull(cell.density_target)},
          {"task", cell.task},
          {"context", cell.context},
          {"scores", cell.scores},
          {"nll", OrNull(cell.nll)},
          {"samples", summary.samples},
          {"density", summary.density},
          {"density_decode", summary.density_decode},
          {"prompt_tokens", summary.prompt_tokens},
          {"prefill_s", summary.prefill_seconds},
          {"decode_tokens_per_s", summary.decode_tokens_per_second},
          {"kv_bytes", summary.kv_bytes},
          {"recall_mean", OrNull(summary.recall_mean)},
          {"strong_key_hit", OrNull(summary.strong_key_hit)}};
}

Result<std::string> TextOf(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> text, formats::JsonString(object, key));
  if (!text) return BadFormat(fmt::format("\"{}\" is missing", key));
  return *std::move(text);
}

Result<uint64_t> CountOf(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, formats::JsonUint(object, key));
  if (!value) return BadFormat(fmt::format("\"{}\" is missing", key));
  return *value;
}

Result<double> NumberOf(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(const std::optional<double> value, formats::JsonNumber(object, key));
  if (!value) return BadFormat(fmt::format("\"{}\" is missing", key));
  return *value;
}

Result<std::vector<double>> ScoresOf(const Json& object) {
  const auto found = object.find("scores");
  if (found == object.end() || !found->is_array() ||
      !std::all_of(found->begin(), found->end(), [](const Json& score) { return score.is_number(); })) {
    return BadFormat("\"scores\" is no list of numbers");
  }
  return found->get<std::vector<double>>();
}

Result<Summary> SummaryOf(const Json& object, const std::vector<double>& scores, bool has_accuracy) {
  Summary summary;
  DAMASK_ASSIGN_OR_RETURN(summary.samples, CountOf(object, "samples"));
  if (summary.samples != scores.size()) {
    return BadFormat(fmt::format("\"samples\" is {}, \"scores\" has {}", summary.samples, scores.size()));
  }
  DAMASK_ASSIGN_OR_RETURN(summary.density, NumberOf(object, "density"));
  DAMASK_ASSIGN_OR_RETURN(summary.density_decode, NumberOf(object, "density_decode"));
  DAMASK_ASSIGN_OR_RETURN(summary.prompt_tokens, NumberOf(object, "prompt_tokens"));
  DAMASK_ASSIGN_OR_RETURN(summary.prefill_seconds, NumberOf(object, "prefill_s"));
  DAMASK_ASSIGN_OR_RETURN(summary.decode_tokens_per_second, NumberOf(object, "decode_tokens_per_s"));
  DAMASK_ASSIGN_OR_RETURN(summary.kv_bytes, CountOf(object, "kv_bytes"));
  DAMASK_ASSIGN_OR_RETURN(summary.recall_mean, formats::JsonNumber(object, "recall_mean"));
  DAMASK_ASSIGN_OR_RETURN(summary.strong_key_hit, formats::JsonNumber(object, "strong_key_hit"));
  if (!has_accuracy || scores.empty()) return summary;
  double sum = 0;
  for (const double score : scores) sum += score;
  summary.accuracy = sum / static_cast<double>(scores.size());
  summary.interval = WilsonInterval(sum, scores.size());
  return summary;
}

Result<Cell> ParseCell(const Json& object) {
  Cell cell;
  DAMASK_ASSIGN_OR_RETURN(cell.policy, TextOf(object, "policy"));
  DAMASK_ASSIGN_OR_RETURN(cell.spec, TextOf(object, "spec"));
  DAMASK_ASSIGN_OR_RETURN(cell.density_target, formats::JsonNumber(object, "density_target"));
  DAMASK_ASSIGN_OR_RETURN(cell.task, TextOf(object, "task"));
  DAMASK_ASSIGN_OR_RETURN(cell.context, CountOf(object, "context"));
  DAMASK_ASSIGN_OR_RETURN(cell.scores, ScoresOf(object));
  DAMASK_ASSIGN_OR_RETURN(cell.nll, formats::JsonNumber(object, "nll"));
  DAMASK_ASSIGN_OR_RETURN(cell.summary, SummaryOf(object, cell.scores, !cell.nll.has_value()));
  return cell;
}

}  // namespace

Result<std::unique_ptr<CellFile>> CellFile::Open(const std::string& path, const std::string& run_key) {
  std::unique_ptr<CellFile> file(new CellFile(path, run_key));
  if (!FileExists(path)) {
    DAMASK_RETURN_IF_ERROR(WriteFileAtomically(path, ""));
    return file;
  }
  DAMASK_ASSIGN_OR_RETURN(file->lines_, ReadTextFile(path, limits::kMaxTextFileBytes));
  if (!file->lines_.empty() && file->lines_.back() != '\n') file->lines_ += '\n';
  size_t number = 0;
  for (const std::string_view line : Split(file->lines_, '\n')) {
    ++number;
    if (line.empty()) continue;
    const std::string where = fmt::format("{}: line {}", Quote(path), number);
    const Result<Json> object = formats::ParseJson(line);
    if (!object.ok()) return object.status().At(where);
    if (!object->is_object()) return BadFormat("found no JSON object").At(where);
    const Result<std::string> run = TextOf(*object, "run");
    if (!run.ok()) return run.status().At(where);
    if (*run != run_key) continue;
    Result<Cell> cell = ParseCell(*object);
    if (!cell.ok()) return cell.status().At(where);
    file->cells_.push_back(std::move(*cell));
  }
  return file;
}

std::optional<Cell> CellFile::Find(const Cell& wanted) const {
  for (const Cell& cell : cells_) {
    if (cell.policy == wanted.policy && cell.spec == wanted.spec && cell.density_target == wanted.density_target &&
        cell.task == wanted.task && cell.context == wanted.context) {
      return cell;
    }
  }
  return std::nullopt;
}

Status CellFile::Add(const Cell& cell) {
  lines_ += ToJson(run_key_, cell).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  cells_.push_back(cell);
  return WriteFileAtomically(path_, lines_);
}

}  // namespace damask::evals
