// A comparison of policies as JSON, as a table and as a page.
#pragma once

#include <string>

#include "evals/compare.h"
#include "report/run_json.h"

namespace damask::report {

enum class Scores { kNone, kKeep };  // of every sample

Json CompareJson(const engine::Engine& engine, const evals::CompareRun& run, const evals::CompareResult& result, Scores scores);
// The table, and what is to be known of it.
std::string CompareText(const evals::CompareRun& run, const evals::CompareResult& result);

// Whether the times of sparse policies have an audit in them, and which, as a sentence.
std::string AuditSentence(const evals::CompareRun& run);

// What the perplexity windows are made of, as a sentence; empty where none were asked.
std::string ProseSentence(const evals::CompareRun& run);

// "-0.100 (-0.180 to -0.020)"; the mean alone where there is no interval.
std::string DifferenceText(const evals::PairedDifference& difference);

// One HTML page that needs nothing else: the table, and for every task and context pictures of accuracy (or perplexity),
// recall, strong keys and time against density.
std::string ComparePage(const engine::Engine& engine, const evals::CompareRun& run, const evals::CompareResult& result);

}  // namespace damask::report
