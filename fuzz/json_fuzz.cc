// JSON texts: what is read must survive being written and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "formats/json.h"

namespace {

volatile bool touched;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using damask::formats::ParseJson;
  const auto document = ParseJson(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!document.ok()) return 0;
  const auto again = ParseJson(document->dump());
  if (!again.ok() || *again != *document) std::abort();
  if (!document->is_object()) return 0;
  for (const auto& member : document->items()) {
    touched = damask::formats::JsonUint(*document, member.key()).ok();
    touched = damask::formats::JsonNumber(*document, member.key()).ok();
    touched = damask::formats::JsonBool(*document, member.key()).ok();
    touched = damask::formats::JsonString(*document, member.key()).ok();
  }
  return 0;
}
