// Configurations of models, from the keys of GGUF files and from config.json.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/log.h"
#include "tests/model/config_fault.h"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  damask::SetLogSink({});
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string fault = damask::model::FaultOfConfigBytes({reinterpret_cast<const char*>(data), size});
  if (!fault.empty()) {
    std::fprintf(stderr, "a fault in %s\n", fault.c_str());
    std::abort();
  }
  return 0;
}
