// Mask files: what is read is used for plans in both modes and must survive being written and read again. The same bytes behind
// a right size and checksum get past the header; map files are read from them, too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "masks/compile.h"
#include "masks/extend.h"
#include "masks/hash.h"
#include "masks/map_files.h"
#include "masks/mask_file.h"
#include "masks/mask_layout.h"

namespace {

namespace masks = damask::masks;

volatile uint64_t touched;

void Use(const masks::Mask& mask) {
  masks::CompileScratch scratch;
  damask::kernels::Plan plan;
  const size_t count = mask.heads.size() < 4 ? mask.heads.size() : 4;
  const masks::GroupMask group(std::span(mask.heads).first(count), mask.parameters);
  for (const uint64_t first : {uint64_t{0}, uint64_t{mask.parameters.capture_length} / 64 * 64, uint64_t{1} << 14}) {
    for (const masks::PlanMode mode : {masks::PlanMode::kBlocks, masks::PlanMode::kExact}) {
      group.MakePlan({first, 64, 0}, mode, &scratch, &plan);
      if (damask::kernels::PlannedPairs(plan, first, 64, count) < 64 * count) std::abort();  // the diagonal
    }
  }
  touched = masks::KeptPairs(mask.heads[0], mask.parameters, 5000);
}

void Parse(std::span<const std::byte> bytes) {
  const auto mask = masks::ParseMask(bytes);
  const auto faults = masks::FindMaskFaults(bytes);
  if (faults.ok() && faults->empty() != mask.ok()) std::abort();
  if (!mask.ok()) return;
  Use(*mask);
  const auto written = masks::SerializeMask(*mask);
  if (!written.ok()) std::abort();
  const auto again = masks::ParseMask(std::as_bytes(std::span(*written)));
  if (!again.ok() || again->heads.size() != mask->heads.size()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto input = std::as_bytes(std::span(data, size));
  Parse(input);
  touched = masks::ParseTextMap({reinterpret_cast<const char*>(data), size}).ok();
  touched = masks::ParseNpyMap(input).ok();
  if (size < masks::layout::kHeaderBytes) return 0;
  std::string sealed(reinterpret_cast<const char*>(data), size);
  sealed.replace(0, masks::layout::kMagic.size(), masks::layout::kMagic);
  const uint64_t length = size;
  std::memcpy(&sealed[masks::layout::kChecksumOffset - sizeof(length)], &length, sizeof(length));
  masks::Hasher hasher;
  const auto bytes = std::as_bytes(std::span(sealed));
  hasher.Add(bytes.first(masks::layout::kChecksumOffset));
  hasher.Add(bytes.subspan(masks::layout::kHeaderBytes));
  const uint64_t checksum = hasher.value();
  std::memcpy(&sealed[masks::layout::kChecksumOffset], &checksum, sizeof(checksum));
  Parse(bytes);
  return 0;
}
