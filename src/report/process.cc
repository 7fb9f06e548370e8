#include "report/process.h"

#include <fstream>
#include <string>

namespace damask::report {

uint64_t PeakResidentBytes() {
  // Not getrusage: its figure begins with what the parent process had at the fork.
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    uint64_t kibibytes = 0;
    if (word == "VmHWM:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace damask::report
