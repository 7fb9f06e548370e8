// The keys of a GGUF file that describe its model, and the parts of a configuration that are read from them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/status.h"
#include "formats/gguf.h"
#include "model/config.h"

namespace damask::model {

// Of one architecture: "llama.block_count" and so on.
class GgufKeys {
 public:
  GgufKeys(const formats::GgufFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  std::string Key(std::string_view name) const { return fmt::format("{}.{}", prefix_, name); }

  Result<uint64_t> Uint(std::string_view name) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, file_.GetUint(Key(name)));
    if (!value) return BadFormat(fmt::format("the key {} is missing", Key(name)));
    return *value;
  }
  Result<uint64_t> UintOr(std::string_view name, uint64_t otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<uint64_t> value, file_.GetUint(Key(name)));
    return value.value_or(otherwise);
  }
  Result<double> FloatOr(std::string_view name, double otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<double> value, file_.GetFloat(Key(name)));
    return value.value_or(otherwise);
  }
  Result<bool> BoolOr(std::string_view name, bool otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::optional<bool> value, file_.GetBool(Key(name)));
    return value.value_or(otherwise);
  }
  // Scalars or per-layer arrays whose layers all agree.
  Result<uint64_t> SameInAllLayers(std::string_view name, uint64_t otherwise) const {
    DAMASK_ASSIGN_OR_RETURN(const std::vector<uint64_t> values, file_.GetUintOrArray(Key(name)));
    if (values.empty()) return otherwise;
    if (std::any_of(values.begin(), values.end(), [&](uint64_t v) { return v != values[0]; })) {
      return Unsupported(fmt::format("the key {} differs from layer to layer", Key(name)));
    }
    return values[0];
  }

  const formats::GgufFile& file() const { return file_; }

 private:
  const formats::GgufFile& file_;
  std::string prefix_;
};

// Experts, their router, and what stands before and beside them (config_gguf_experts.cc). Layers must have been read.
Status ReadExperts(const GgufKeys& keys, ModelConfig* config);

// Windows, and what only one architecture has (config_gguf_own.cc). All else must have been read and checked.
Status ReadOwnKeys(const GgufKeys& keys, ModelConfig* config);

}  // namespace damask::model
