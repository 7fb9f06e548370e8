#include "evals/cell_file.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <span>

#include <sys/stat.h>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "base/write_file.h"
#include "formats/json.h"
#include "masks/hash.h"

namespace damask::evals {
namespace {

using formats::Json;

constexpr std::string_view kFormat = "damask compare cells";
constexpr uint64_t kVersion = 1;
constexpr double kLargestWhole = 9007199254740992.0;  // 2^53: whole numbers up to here are exact in a JSON number

// An answer as a list of numbers, in this order; what it said is not kept:
//   0 score, 1 prompt tokens, 2 generated tokens, 3 prefill seconds, 4 decode seconds, 5 planned and 6 causal pairs of the
//   prefill, 7 planned and 8 causal pairs of decode, 9 bytes of the KV cache, and of the audit 10 rows, 11 sum of their
//   recalls, 12 least recall, 13 rows with a strong key, 14 those whose strong key was computed, 15 sum of output errors; only
//   where there are some, 16 rows that had been released; and only where decoded tokens were audited (16 is then there, too),
//   of these 17 rows, 18 sum of recalls, 19 rows with a strong key, 20 hits, 21 sum of output errors.
// Of the time before they were told apart numbers 10 to 15 hold decoded tokens as well: by default one row in some hundreds.
constexpr size_t kNumbers = 16;
constexpr size_t kWithReleased = kNumbers + 1;
constexpr size_t kWithDecode = kWithReleased + 5;
std::vector<double> NumbersOf(const Answered& a) {
  const auto number = [](uint64_t value) { return static_cast<double>(value); };
  std::vector<double> numbers = {a.score,
                                 number(a.prompt_tokens),
                                 number(a.generated_tokens),
                                 a.prefill_seconds,
                                 a.decode_seconds,
                                 number(a.prefill.planned_pairs),
                                 number(a.prefill.causal_pairs),
                                 number(a.decode.planned_pairs),
                                 number(a.decode.causal_pairs),
                                 number(a.kv_bytes),
                                 number(a.audit.rows),
                                 a.audit.recall_sum,
                                 a.audit.recall_min,
                                 number(a.audit.strong_rows),
                                 number(a.audit.strong_hits),
                                 a.audit.error_sum};
  if (a.released_rows > 0 || a.audit_decode.rows > 0) numbers.push_back(number(a.released_rows));
  if (a.audit_decode.rows > 0) {
    numbers.insert(numbers.end(), {number(a.audit_decode.rows), a.audit_decode.recall_sum, number(a.audit_decode.strong_rows),
                                   number(a.audit_decode.strong_hits), a.audit_decode.error_sum});
  }
  return numbers;
}

Result<Answered> AnsweredOf(const Json& list) {
  if (!list.is_array() || (list.size() != kNumbers && list.size() != kWithReleased && list.size() != kWithDecode))
    return BadFormat(fmt::format("an answer is no list of {}, {} or {} numbers", kNumbers, kWithReleased, kWithDecode));
  std::array<double, kWithDecode> n = {};
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_number()) return BadFormat("an answer is no list of numbers");
    n[i] = list[i].get<double>();
    if (!(n[i] >= 0 && n[i] <= kLargestWhole)) return BadFormat(fmt::format("{} in an answer is out of range", n[i]));
  }
  size_t next = 0;
  const auto real = [&] { return n[next++]; };
  const auto whole = [&] { return static_cast<uint64_t>(n[next++]); };
  Answered a;
  a.score = real();
  a.prompt_tokens = whole();
  a.generated_tokens = whole();
  a.prefill_seconds = real();
  a.decode_seconds = real();
  a.prefill.planned_pairs = whole();
  a.prefill.causal_pairs = whole();
  a.decode.planned_pairs = whole();
  a.decode.causal_pairs = whole();
  a.kv_bytes = whole();
  a.audit.rows = whole();
  a.audit.recall_sum = real();
  a.audit.recall_min = real();
  a.audit.strong_rows = whole();
  a.audit.strong_hits = whole();
  a.audit.error_sum = real();
  a.released_rows = whole();
  a.audit_decode.rows = whole();
  a.audit_decode.recall_sum = real();
  a.audit_decode.strong_rows = whole();
  a.audit_decode.strong_hits = whole();
  a.audit_decode.error_sum = real();
  return a;
}

std::string Dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"; }

// The cell's identity and its answers; what it was called (policy, density_target) is of the run that asks.
std::string LineOf(const Cell& cell) {
  Json answers = Json::array();
  for (const Answered& answer : cell.answers) answers.push_back(NumbersOf(answer));
  return Dump({{"spec", cell.spec},
               {"content", fmt::format("{:016x}", cell.content)},
               {"task", cell.task},
               {"context", cell.context},
               {"answers", std::move(answers)}});
}

Result<std::string> TextOf(const Json& object, const std::string& key) {
  DAMASK_ASSIGN_OR_RETURN(std::optional<std::string> text, formats::JsonString(object, key));
  if (!text) return BadFormat(fmt::format("\"{}\" is missing", key));
  return *std::move(text);
}

Result<uint64_t> HashOf(const std::string& hex) {
  uint64_t hash = 0;
  const auto [end, error] = std::from_chars(hex.data(), hex.data() + hex.size(), hash, 16);
  if (error == std::errc() && end == hex.data() + hex.size()) return hash;
  return BadFormat(fmt::format("{} is no hash", Quote(hex)));
}

Result<Cell> ParseCell(const Json& object) {
  Cell cell;
  DAMASK_ASSIGN_OR_RETURN(cell.spec, TextOf(object, "spec"));
  DAMASK_ASSIGN_OR_RETURN(const std::string content, TextOf(object, "content"));
  DAMASK_ASSIGN_OR_RETURN(cell.content, HashOf(content));
  DAMASK_ASSIGN_OR_RETURN(cell.task, TextOf(object, "task"));
  DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> context, formats::JsonUint(object, "context"));
  if (!context) return BadFormat("\"context\" is missing");
  cell.context = *context;
  const auto answers = object.find("answers");
  if (answers == object.end() || !answers->is_array()) return BadFormat("\"answers\" is no list");
  for (const Json& list : *answers) {
    DAMASK_ASSIGN_OR_RETURN(Answered answer, AnsweredOf(list));
    cell.answers.push_back(std::move(answer));
  }
  return cell;
}

std::string HeaderOf(const Asked& asked) {
  Json values = Json::object();
  for (const AskedValue& one : asked) values[one.name] = one.value;
  return Dump({{"format", kFormat}, {"version", kVersion}, {"asked", std::move(values)}});
}

std::string ChecksumLine(std::string_view bytes) {
  masks::Hasher hasher;
  hasher.Add(std::as_bytes(std::span(bytes)));
  return Dump({{"checksum", fmt::format("{:016x}", hasher.value())}});
}

constexpr std::string_view kAnd = " and ";

// Of "this and that" both.
std::vector<std::string_view> ValuesOf(std::string_view text) {
  std::vector<std::string_view> values;
  for (size_t end = text.find(kAnd); end != std::string_view::npos; end = text.find(kAnd)) {
    values.push_back(text.substr(0, end));
    text.remove_prefix(end + kAnd.size());
  }
  values.push_back(text);
  return values;
}

// `values` and those of `more` that it lacks.
std::string WithValues(std::string values, std::string_view more) {
  if (values.empty()) return std::string(more);
  for (const std::string_view one : ValuesOf(more)) {
    const std::vector<std::string_view> there = ValuesOf(values);
    if (std::find(there.begin(), there.end(), one) == there.end()) values.append(kAnd).append(one);
  }
  return values;
}

// InvalidArgument naming what is not as in the file's first line. What may differ gets the file's values.
Status TakeHeader(std::string_view line, Asked* asked) {
  const Result<Json> header = formats::ParseJson(line);
  if (!header.ok() || !header->is_object() || header->value("format", Json()) != kFormat) {
    return BadFormat("is no file of 'damask eval compare --resume'");
  }
  if (const Json version = header->value("version", Json()); version != kVersion) {
    return BadFormat(fmt::format("has version {} of the format, expected {}", version.dump(), kVersion));
  }
  const Json values = header->value("asked", Json::object());
  for (AskedValue& now : *asked) {
    const auto found = values.find(now.name);
    const std::string then = found != values.end() && found->is_string() ? found->get<std::string>() : now.unsaid;
    if (now.may_differ) {
      now.value = then;
    } else if (then != now.value && std::find(now.formerly.begin(), now.formerly.end(), then) == now.formerly.end()) {
      return InvalidArgument(
          fmt::format("is of another run, {} was {} and is {} now", now.name, Quote(then), Quote(now.value)));
    }
  }
  return {};
}

// Another one after every write.
std::string StampOf(const struct stat& info) {
  return fmt::format("{} {} {}.{:09}", info.st_ino, info.st_size, info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
}

// Empty: there is no file.
std::string StampOf(const std::string& path) {
  struct stat info = {};
  return stat(path.c_str(), &info) == 0 ? StampOf(info) : std::string();
}

}  // namespace

Result<std::unique_ptr<CellFile>> CellFile::Open(const std::string& path, const Asked& asked) {
  std::unique_ptr<CellFile> file(new CellFile(path, asked));
  DAMASK_RETURN_IF_ERROR(file->TakeOthers());
  for (Asked* const values : {&file->own_, &file->asked_}) {
    for (AskedValue& one : *values) one.may_differ = one.may_differ || one.may_join;
  }
  if (file->stamp_.empty()) {
    file->dirty_ = true;
    DAMASK_RETURN_IF_ERROR(file->Flush());  // before hours of work, not after them
  }
  return file;
}

Status CellFile::Read(const std::string& text) {
  std::vector<std::string_view> lines = Split(text, '\n');
  Asked nothing;
  DAMASK_RETURN_IF_ERROR(TakeHeader(lines.front(), &nothing));
  const size_t last = text.size() < 2 ? std::string::npos : text.rfind('\n', text.size() - 2);
  if (text.back() != '\n' || last == std::string::npos || ChecksumLine({text.data(), last + 1}) != text.substr(last + 1)) {
    return BadFormat("is damaged: its checksum is not that of its contents");
  }
  DAMASK_RETURN_IF_ERROR(TakeHeader(lines.front(), &asked_));
  // The last line is the checksum, and behind it there is nothing.
  for (size_t i = 1; i + 2 < lines.size(); ++i) {
    const std::string where = fmt::format("line {}", i + 1);
    const Result<Json> object = formats::ParseJson(lines[i]);
    if (!object.ok()) return object.status().At(where);
    if (!object->is_object()) return BadFormat("found no JSON object").At(where);
    Result<Cell> cell = ParseCell(*object);
    if (!cell.ok()) return cell.status().At(where);
    lines_.push_back({*std::move(cell), std::string(lines[i]) + "\n"});
  }
  return {};
}

size_t CellFile::IndexOf(const Cell& wanted) const {
  const auto found = std::find_if(lines_.begin(), lines_.end(), [&](const Line& line) {
    const Cell& cell = line.cell;
    return cell.spec == wanted.spec && cell.content == wanted.content && cell.task == wanted.task &&
           cell.context == wanted.context;
  });
  return static_cast<size_t>(found - lines_.begin());
}

std::vector<Answered> CellFile::Find(const Cell& wanted) const {
  const size_t index = IndexOf(wanted);
  return index < lines_.size() ? lines_[index].cell.answers : std::vector<Answered>();
}

Status CellFile::Put(const Cell& cell) {
  const size_t index = IndexOf(cell);
  if (index == lines_.size()) lines_.emplace_back();
  // Another run may have got further with it.
  if (lines_[index].cell.answers.size() > cell.answers.size()) return {};
  lines_[index] = {cell, ""};
  dirty_ = true;
  has_own_answers_ = true;
  NameOwnValues();
  return since_written_.Seconds() < kWriteEverySeconds ? Status() : Flush();
}

void CellFile::NameOwnValues() {
  for (size_t i = 0; i < asked_.size(); ++i) asked_[i].value = WithValues(asked_[i].value, own_[i].value);
}

Status CellFile::TakeOthers() {
  const std::string stamp = StampOf(path_);
  if (stamp.empty() || stamp == stamp_) return {};
  DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path_, limits::kMaxTextFileBytes));
  if (text.empty()) return {};
  CellFile others(path_, own_);
  if (const Status status = others.Read(text); !status.ok()) return status.At(Quote(path_, 300));
  for (Line& line : others.lines_) {
    const size_t index = IndexOf(line.cell);
    if (index == lines_.size()) lines_.emplace_back();
    if (line.cell.answers.size() > lines_[index].cell.answers.size()) lines_[index] = std::move(line);
  }
  asked_ = std::move(others.asked_);
  if (has_own_answers_) NameOwnValues();
  stamp_ = stamp;
  return {};
}

Status CellFile::Flush() {
  if (!dirty_) return {};
  DAMASK_RETURN_IF_ERROR(TakeOthers());
  std::string text = HeaderOf(asked_);
  for (Line& line : lines_) {
    if (line.text.empty()) line.text = LineOf(line.cell);
    text += line.text;
  }
  text += ChecksumLine(text);
  struct stat written = {};
  DAMASK_RETURN_IF_ERROR(WriteFileAtomically(path_, text, &written));
  stamp_ = StampOf(written);
  dirty_ = false;
  since_written_.Restart();
  return {};
}

}  // namespace damask::evals
