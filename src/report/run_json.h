// The figures of a run as JSON: the same keys wherever they are printed (docs/cli.md lists them).
#pragma once

#include <optional>
#include <string>

#include <nlohmann/json.hpp>

#include "engine/engine.h"
#include "engine/evaluate.h"
#include "engine/generate.h"

namespace damask::report {

// Keys stay in the order in which they are put in.
using Json = nlohmann::ordered_json;

// The path given, or the embedded model's name.
std::string ModelName(const engine::Engine& engine);

// {"prefill_product": "...", ...}
Json KernelsJson(const engine::Engine& engine);

// {"peak_rss_bytes", "kv_bytes", "repacked_bytes"}
Json MemoryJson(const engine::Engine& engine, uint64_t kv_bytes);

// {"policy", "density_prefill", "density_decode", ...}; a density is null where nothing was read or decoded, and what only an
// audit can know where none ran: rows_audited is then 0.
Json AttentionJson(const engine::Engine& engine, const model::AuditReport& audit, std::optional<double> density_prefill,
                   std::optional<double> density_decode);

// One line of what an audit found; empty where it looked at nothing.
std::string AuditText(const model::AuditReport& audit);

Json GenerationJson(const engine::Engine& engine, const engine::GenerateResult& result, uint64_t kv_bytes);

Json PerplexityJson(const engine::Engine& engine, const engine::PerplexityResult& result);

}  // namespace damask::report
