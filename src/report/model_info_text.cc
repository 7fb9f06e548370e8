// `damask info` for people.
#include <algorithm>
#include <map>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.h"
#include "report/model_info.h"
#include "report/table.h"

namespace damask::report {
namespace {

class Lines {
 public:
  void Add(std::string_view key, const std::string& value) { text_ += fmt::format("{:<17}{}\n", key, value); }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

std::string FormatCount(uint64_t count) {
  const auto value = static_cast<double>(count);
  if (count >= 1'000'000'000) return fmt::format("{:.2f} billion", value / 1e9);
  if (count >= 1'000'000) return fmt::format("{:.1f} million", value / 1e6);
  return fmt::format("{}", count);
}

std::string RopeText(const model::RopeConfig& rope) {
  std::string text = fmt::format("base {:g} over {} dimensions", rope.base, rope.dims);
  if (!rope.factors().empty()) {
    text += fmt::format(", longrope for contexts {} {} tokens", rope.takes_long ? "above" : "up to", rope.original_context);
  }
  if (rope.scaling == model::RopeScaling::kNone) return text;
  text += fmt::format(", {} scaling by {:g}", model::RopeScalingName(rope.scaling), rope.factor);
  if (rope.original_context != 0) text += fmt::format(" from {} tokens", rope.original_context);
  return text;
}

std::string WindowText(const std::vector<uint32_t>& windows) {
  const auto limited = static_cast<size_t>(std::count_if(windows.begin(), windows.end(), [](uint32_t w) { return w != 0; }));
  if (limited == 0) return "none";
  return fmt::format("{} tokens in {} of {} layers", *std::max_element(windows.begin(), windows.end()), limited,
                     windows.size());
}

std::string TokenizerText(const TokenizerInfo& tokenizer) {
  std::string text = fmt::format("{}, {} tokens", tokenizer.description, tokenizer.vocab);
  if (tokenizer.special.bos)
    text += fmt::format(", BOS {}{}", *tokenizer.special.bos, tokenizer.special.add_bos ? " (put in front)" : "");
  if (tokenizer.special.eos) text += fmt::format(", EOS {}", *tokenizer.special.eos);
  return text;
}

void AddConfigLines(const model::ModelConfig& config, Lines* lines) {
  std::string layers = fmt::format("{}, width {}, feed-forward {}", config.layers, config.width, config.ffn);
  if (config.experts != 0) layers += fmt::format(" of {} experts, {} for each token", config.experts, config.experts_used);
  if (config.shared_ffn != 0) layers += fmt::format(", {} beside them for all", config.shared_ffn);
  if (config.dense_layers != 0)
    layers += fmt::format("; the first {} without experts, {}", config.dense_layers, config.dense_ffn);
  if (config.guessing_layers != 0) layers += fmt::format("; {} more guess ahead and do not run", config.guessing_layers);
  lines->Add("layers", layers);
  lines->Add("heads", fmt::format("{} of {} dimensions, {} KV heads", config.heads, config.head_dim, config.kv_heads));
  lines->Add("context", fmt::format("{} tokens", config.context));
  std::string rope = RopeText(config.rope);
  if (config.window_rope_base != 0.0) rope += fmt::format("; base {:g} in layers with a window", config.window_rope_base);
  lines->Add("rope", rope);
  lines->Add("sliding window", WindowText(config.windows));
  if (config.has_sinks()) lines->Add("attention sinks", "one for each head");
}

std::string TensorText(const std::vector<model::TensorSummary>& tensors, TensorList list) {
  if (tensors.empty()) return "no tensors\n";
  if (list == TensorList::kFull) {
    Table table({"tensor", "type", "shape", "bytes"});
    for (const model::TensorSummary& tensor : tensors) {
      const std::string name = Quote(tensor.name);
      table.Add({name.substr(1, name.size() - 2), tensor.type, fmt::format("[{}]", fmt::join(tensor.shape, ", ")),
                 fmt::format("{}", tensor.bytes)});
    }
    return table.ToString();
  }
  std::map<std::string, std::pair<size_t, uint64_t>> by_type;
  for (const model::TensorSummary& tensor : tensors) {
    by_type[tensor.type].first += 1;
    by_type[tensor.type].second += tensor.bytes;
  }
  Table table({"type", "tensors", "size"});
  for (const auto& [type, sum] : by_type) table.Add({type, fmt::format("{}", sum.first), FormatBytes(sum.second)});
  return table.ToString();
}

}  // namespace

std::string InfoText(const ModelInfo& info, TensorList list) {
  Lines lines;
  lines.Add("model", Quote(info.path, 300));
  lines.Add("format", fmt::format("{}, {}", info.format, FormatBytes(info.file_bytes)));
  lines.Add("architecture", info.architecture.empty() ? "not named" : Escape(info.architecture));
  if (info.unrunnable) lines.Add("does not run", *info.unrunnable);
  lines.Add("parameters", FormatCount(info.parameters) + (info.dominant_type.empty() ? "" : ", mostly " + info.dominant_type));
  if (info.config) AddConfigLines(*info.config, &lines);
  if (info.tokenizer) {
    lines.Add("tokenizer", TokenizerText(*info.tokenizer));
    lines.Add("chat template",
              info.tokenizer->chat_family.value_or(info.tokenizer->has_chat_template ? "of no known family" : "none"));
  }
  if (info.kv_bytes_per_token != 0) {
    lines.Add("KV cache", fmt::format("{}, {} a token, {} for {} tokens", kernels::KvTypeName(info.kv_type),
                                      FormatBytes(info.kv_bytes_per_token), FormatBytes(info.kv_bytes), info.run_context));
    const std::string repacked = info.repacked_bytes == 0 ? "" : " and " + FormatBytes(info.repacked_bytes) + " repacked";
    lines.Add("memory", fmt::format("{} with the file{}", FormatBytes(info.memory_bytes), repacked));
  }
  lines.Add("machine",
            fmt::format("{}, target {}, {}", CpuModelName(), TargetName(info.target), Counted(info.threads, "thread")));
  for (const auto& [step, body] : info.kernels) lines.Add(step, body);
  return lines.text() + "\n" + TensorText(info.tensors, list);
}

}  // namespace damask::report
