#include "policies/head_table.h"

#include <charconv>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "policies/table_text.h"

namespace damask::policies {
namespace {

constexpr std::string_view kNone = "none";

Result<float> ParseValue(std::string_view word) {
  const std::optional<float> value = ParseNumber<float>(word);
  if (!value || !std::isfinite(*value)) return InvalidArgument(fmt::format("{} is not a number", Quote(word)));
  return *value;
}

Status ReadHash(std::string_view word, uint64_t* hash) {
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), *hash, 16);
  if (error == std::errc() && end == word.data() + word.size()) return {};
  return InvalidArgument(fmt::format("{} is not a hash of weights (16 hexadecimal digits)", Quote(word)));
}

Status ReadLine(std::string_view line, const ModelShape& shape, HeadTable* table) {
  const std::vector<std::string_view> words = LineWords(line);
  if (words.empty()) return {};
  if (words.size() == 2 && words[0] == "weights") return ReadHash(words[1], &table->weights_hash);
  if (words.size() == 2 && words[0] == "for") {
    table->policy = words[1];
    return {};
  }
  if (words.size() != shape.kv_heads) {
    return InvalidArgument(fmt::format("found {} numbers; a layer has {} KV heads", words.size(), shape.kv_heads));
  }
  if (table->values.size() == shape.layers * shape.kv_heads) {
    return InvalidArgument(fmt::format("found another layer; the model has {}", shape.layers));
  }
  for (const std::string_view word : words) {
    DAMASK_ASSIGN_OR_RETURN(const float value, ParseValue(word));
    table->values.push_back(value);
  }
  return {};
}

}  // namespace

Result<HeadTable> ParseHeadTable(std::string_view text, const ModelShape& shape) {
  HeadTable table;
  size_t number = 0;
  for (const std::string_view line : Split(text, '\n')) {
    ++number;
    const Status status = ReadLine(line, shape, &table);
    if (!status.ok()) return status.At(fmt::format("line {}", number));
  }
  if (table.values.size() != shape.layers * shape.kv_heads) {
    return InvalidArgument(
        fmt::format("found {} layers; the model has {}", table.values.size() / shape.kv_heads, shape.layers));
  }
  return table;
}

std::string HeadTableText(const HeadTable& table, const ModelShape& shape) {
  std::string text;
  if (table.weights_hash != 0) text += fmt::format("weights {:016x}\n", table.weights_hash);
  if (!table.policy.empty()) text += fmt::format("for {}\n", table.policy);
  for (size_t i = 0; i < table.values.size(); ++i) {
    text += fmt::format("{:g}{}", table.values[i], (i + 1) % shape.kv_heads == 0 ? '\n' : '\t');
  }
  return text;
}

Result<HeadTable> ParseHeadList(std::string_view text, const ModelShape& shape) {
  HeadTable table;
  for (const std::string_view item : Split(text, '/')) {
    DAMASK_ASSIGN_OR_RETURN(const float value, ParseValue(item));
    table.values.push_back(value);
  }
  const size_t all = shape.layers * shape.kv_heads;
  if (table.values.size() != shape.kv_heads && table.values.size() != all) {
    return InvalidArgument(
        fmt::format("heads lists {} numbers; a layer has {} KV heads, the model {}", table.values.size(), shape.kv_heads, all));
  }
  for (size_t i = table.values.size(); i < all; ++i) table.values.push_back(table.values[i - shape.kv_heads]);
  return table;
}

Result<HeadTable> ReadHeadTable(const Options& options, std::string_view policy, const ModelShape& shape) {
  const std::string& list = options.Text("heads");
  const std::string& file = options.Text("file");
  if (list != kNone && file != kNone) {
    return InvalidArgument(fmt::format("policy {}: heads and file cannot be given together", policy));
  }
  if (list != kNone) {
    Result<HeadTable> table = ParseHeadList(list, shape);
    if (!table.ok()) return table.status().At(fmt::format("policy {}", policy));
    return table;
  }
  if (file == kNone) return HeadTable();
  DAMASK_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(file, limits::kMaxTextFileBytes));
  Result<HeadTable> table = ParseHeadTable(text, shape);
  if (!table.ok()) return table.status().At(Quote(file, 300));
  if (!table->policy.empty() && table->policy != policy) {
    return InvalidArgument(fmt::format("the table is for policy {}, expected one for {}", Quote(table->policy), policy))
        .At(Quote(file, 300));
  }
  if (table->weights_hash != 0 && shape.fingerprint && shape.fingerprint().weights_hash != table->weights_hash) {
    LogWarning(fmt::format("{}: the table was made for other weights than these", Quote(file, 300)));
  }
  return table;
}

}  // namespace damask::policies
