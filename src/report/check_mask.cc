// `damask check` of mask files.
#include <span>

#include "base/text.h"
#include "masks/mask_file.h"
#include "report/check_file.h"

namespace damask::report {

FileKind KindOfFile(const std::string& path) {
  const auto file = FileBytes::Open(path, LoadMode::kMap);
  return file.ok() && masks::IsMask((*file)->bytes()) ? FileKind::kMask : FileKind::kModel;
}

Result<CheckResult> CheckMaskFile(const std::string& path) {
  DAMASK_ASSIGN_OR_RETURN(const std::string bytes, ReadTextFile(path, masks::kMaxMaskFileBytes));
  DAMASK_ASSIGN_OR_RETURN(const std::vector<formats::Fault> found, masks::FindMaskFaults(std::as_bytes(std::span(bytes))));
  CheckResult result;
  for (const formats::Fault& fault : found)
    result.faults.push_back({Quote(path) + (fault.where.empty() ? "" : ": " + fault.where), fault.what});
  result.loads = result.faults.empty();
  return result;
}

}  // namespace damask::report
