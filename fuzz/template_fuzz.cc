// Chat templates and answers: which family a template is of, a conversation in its form, and thoughts told apart from answers
// that arrive in pieces. The input is described in template_fault.h.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "tests/tokenizer/template_fault.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = damask::tokenizer::ReadTemplateInput({reinterpret_cast<const char*>(data), size});
  if (!input) return 0;
  const std::string fault = damask::tokenizer::FaultOfTemplate(*input);
  if (!fault.empty()) {
    std::fprintf(stderr, "%s\n", fault.c_str());
    std::abort();
  }
  return 0;
}
