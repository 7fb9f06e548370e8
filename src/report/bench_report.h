// The figures of `damask bench`, beside what the machine can do.
#pragma once

#include <string>

#include "engine/bench.h"
#include "report/machine.h"
#include "report/run_json.h"

namespace damask::report {

// `peak_rss_bytes` is of the runs, before the machine was measured.
Json BenchJson(const engine::Engine& engine, const Machine& machine, const engine::BenchResult& result,
               uint64_t peak_rss_bytes);
std::string BenchText(const engine::Engine& engine, const Machine& machine, const engine::BenchResult& result);

}  // namespace damask::report
