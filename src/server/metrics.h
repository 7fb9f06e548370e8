// The figures of a running server in Prometheus' text format (exposition format 0.0.4).
#pragma once

#include <string>

#include "batching/scheduler.h"

namespace damask::server {

inline constexpr char kMetricsContentType[] = "text/plain; version=0.0.4; charset=utf-8";

std::string MetricsText(const batching::SchedulerStats& stats);

}  // namespace damask::server
