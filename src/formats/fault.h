// What is wrong with a file, collected instead of returned: `damask check` lists every fault it can read past.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"

namespace damask::formats {

struct Fault {
  std::string where;  // file, tensor, key or byte offset; never empty
  std::string what;   // one sentence
};

// Collects at most kMaxFaults faults; the rest is counted only, so that a hostile file cannot fill memory with complaints.
class FaultList {
 public:
  static constexpr size_t kMaxFaults = 1000;

  void Add(const std::string& where, std::string what) {
    ++seen_;
    if (faults_.size() < kMaxFaults) faults_.push_back({where, std::move(what)});
  }
  void Add(const Status& status) { Add(status.where(), status.message()); }

  size_t seen() const { return seen_; }
  // The faults, and one more line about those that found no room.
  std::vector<Fault> Take(const std::string& where) && {
    if (seen_ > faults_.size())
      faults_.push_back({where, std::to_string(seen_ - faults_.size()) + " more faults are not listed"});
    return std::move(faults_);
  }

 private:
  std::vector<Fault> faults_;
  size_t seen_ = 0;
};

// How a reader deals with a fault it could read past: without a list the fault ends the reading, with one it is noted.
inline Status Report(FaultList* faults, Status fault) {
  if (faults == nullptr || fault.ok()) return fault;
  faults->Add(fault);
  return {};
}

}  // namespace damask::formats
