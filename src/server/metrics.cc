#include "server/metrics.h"

#include <fmt/format.h>

#include "report/process.h"

namespace damask::server {
namespace {

class Metrics {
 public:
  // A number that only grows.
  void Counter(std::string_view name, double value, std::string_view help) { Add(name, "counter", value, help); }
  void Gauge(std::string_view name, double value, std::string_view help) { Add(name, "gauge", value, help); }
  std::string Take() { return std::move(text_); }

 private:
  void Add(std::string_view name, std::string_view type, double value, std::string_view help) {
    text_ += fmt::format("# HELP damask_{0} {1}\n# TYPE damask_{0} {2}\ndamask_{0} {3}\n", name, help, type, value);
  }

  std::string text_;
};

double Number(uint64_t value) { return static_cast<double>(value); }

double Rate(uint64_t tokens, double seconds) { return seconds > 0 ? Number(tokens) / seconds : 0; }

void AddRequests(const batching::SchedulerStats& s, Metrics* m) {
  m->Gauge("requests_queued", Number(s.queued), "Requests that wait for a place.");
  m->Gauge("requests_reading", Number(s.reading), "Requests whose prompt is being read.");
  m->Gauge("requests_drawing", Number(s.drawing), "Requests whose answer is being written.");
  m->Counter("requests_accepted_total", Number(s.accepted), "Requests taken on.");
  m->Counter("requests_refused_total", Number(s.refused), "Requests refused because the queue was full (429).");
  m->Counter("requests_finished_total", Number(s.finished), "Requests answered to the end.");
  m->Counter("requests_cancelled_total", Number(s.cancelled), "Requests whose client went away.");
  m->Counter("requests_failed_total", Number(s.failed), "Requests that ended with an error.");
}

void AddTokens(const batching::SchedulerStats& s, Metrics* m) {
  m->Counter("prompt_tokens_total", Number(s.prompt_tokens), "Prompt tokens computed.");
  m->Counter("prompt_batches_total", Number(s.prompt_batches), "Batches in which they were computed.");
  m->Counter("cached_tokens_total", Number(s.cached_tokens), "Prompt tokens that came out of the prefix cache.");
  m->Counter("completion_tokens_total", Number(s.drawn_tokens), "Tokens written.");
  m->Counter("prefill_seconds_total", s.prefill_seconds, "Seconds spent reading prompts.");
  m->Counter("decode_seconds_total", s.decode_seconds, "Seconds spent writing answers.");
  m->Gauge("prefill_tokens_per_second", Rate(s.prompt_tokens, s.prefill_seconds), "Mean rate of reading since the start.");
  m->Gauge("decode_tokens_per_second", Rate(s.drawn_tokens, s.decode_seconds),
           "Mean rate of writing since the start, all answers together.");
}

void AddMemory(const batching::SchedulerStats& s, Metrics* m) {
  m->Gauge("kv_bytes", Number(s.kv_bytes), "Key and value pages in use: running requests and kept prefixes.");
  m->Gauge("resident_peak_bytes", Number(report::PeakResidentBytes()), "Peak resident memory of the process.");
  m->Gauge("prefix_memory_bytes", Number(s.prefix.memory_bytes), "Pages of kept prefixes in memory.");
  m->Gauge("prefix_memory_limit_bytes", Number(s.prefix.memory_limit), "What they may take (--prefix-bytes).");
  m->Gauge("prefix_disk_bytes", Number(s.prefix.disk_bytes), "Files of the prefix cache (--prefix-cache).");
  m->Gauge("prefix_disk_limit_bytes", Number(s.prefix.disk_limit), "What they may take (--prefix-disk-bytes).");
  m->Counter("prefix_hits_total", Number(s.prefix.hits), "Prompts of which a beginning was at hand.");
  m->Counter("prefix_misses_total", Number(s.prefix.misses), "Prompts of which nothing was at hand.");
  m->Counter("prefix_tokens_from_memory_total", Number(s.prefix.tokens_from_memory), "Tokens restored from memory.");
  m->Counter("prefix_tokens_from_disk_total", Number(s.prefix.tokens_from_disk), "Tokens restored from disk.");
  m->Counter("prefix_bad_files_total", Number(s.prefix.bad_files), "Damaged prefix files met and not used.");
}

void AddAttention(const batching::SchedulerStats& s, Metrics* m) {
  model::HeadAudit audit = s.prefill.audit;
  audit.Add(s.decode.audit);
  m->Gauge("attention_density_prefill", s.prefill.density(), "Planned over causal key positions while reading.");
  m->Gauge("attention_density_decode", s.decode.density(), "Planned over causal key positions while writing.");
  m->Counter("attention_rows_audited_total", Number(audit.rows), "Rows that were also computed densely.");
  // Without audited rows there is nothing to say; 1 would be a claim.
  if (audit.rows > 0) {
    m->Gauge("attention_recall", audit.recall(), "Mean share of the dense attention that the plans kept, on audited rows.");
  }
}

}  // namespace

std::string MetricsText(const batching::SchedulerStats& stats) {
  Metrics metrics;
  AddRequests(stats, &metrics);
  AddTokens(stats, &metrics);
  AddMemory(stats, &metrics);
  AddAttention(stats, &metrics);
  return metrics.Take();
}

}  // namespace damask::server
