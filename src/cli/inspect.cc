// damask inspect: pictures and figures of a mask file.
#include <fmt/format.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/text.h"
#include "base/write_file.h"
#include "cli/command.h"
#include "cli/exit_code.h"
#include "cli/output.h"
#include "cli/output_file.h"
#include "masks/mask_file.h"
#include "report/mask_diff.h"
#include "report/mask_figures.h"
#include "report/mask_page.h"
#include "report/mask_pictures.h"

namespace damask::cli {
namespace {

constexpr size_t kPictureSide = 512;

struct HeadName {
  size_t layer = 0;
  size_t head = 0;
};

// "3.7", a head of this mask.
Result<HeadName> ParseHead(std::string_view text, const masks::Fingerprint& f) {
  const std::vector<std::string_view> parts = Split(text, '.');
  if (parts.size() == 2) {
    const Result<uint64_t> layer = ParseUint(parts[0], 0, f.layers - 1);
    const Result<uint64_t> head = ParseUint(parts[1], 0, f.heads - 1);
    if (layer.ok() && head.ok()) return HeadName{*layer, *head};
  }
  return InvalidArgument(fmt::format("found {}, expected a head of this mask, layer.head: layers 0 to {}, heads 0 to {}",
                                     Quote(text), f.layers - 1, f.heads - 1))
      .At("--png");
}

class Inspect : public Command {
 public:
  void Declare(Flags* flags) override {
    flags->Positional("MASK", &mask_, "the mask file");
    flags->Text("--diff", "MASK", &diff_, "compare with this mask: treatments that changed, kept pairs in common, densities");
    flags->Text("-o,--out", "FILE", &page_, "write a page with pictures of all heads (HTML, one file)");
    flags->Alias("--output", "--out");
    flags->TextPair("--png", "L.H FILE", &png_, "write the pictures of one head, layer L head H, as PNG");
    flags->Uint("--length", 1, limits::kMaxContext, &length_, "tokens of text for which densities are given (default 4096)");
  }

  Result<int> Run(const CommonFlags& common) override {
    if (!mask_ || mask_->empty()) return InvalidArgument("the mask file is missing: damask inspect MASK");
    std::vector<NamedFile> others = {{"MASK", *mask_}};
    if (page_) {
      DAMASK_RETURN_IF_ERROR(CheckOutputFile("-o", *page_, others));
      others.push_back({"-o", *page_});
    }
    if (!png_.empty()) DAMASK_RETURN_IF_ERROR(CheckOutputFile("--png", png_[1], others));
    if (diff_ && diff_->empty()) return InvalidArgument("--diff: the path is empty");
    if (diff_ && (page_ || !png_.empty())) return InvalidArgument("--diff compares figures, and writes neither -o nor --png");
    DAMASK_ASSIGN_OR_RETURN(const masks::Mask mask, masks::ReadMaskFile(*mask_));
    HeadName head;
    if (!png_.empty()) {
      DAMASK_ASSIGN_OR_RETURN(head, ParseHead(png_[0], mask.fingerprint));
    }
    ThreadPool pool(common.threads == 0 ? DefaultThreadCount() : common.threads);
    if (diff_) return Diff(mask, common, &pool);
    if (page_) DAMASK_RETURN_IF_ERROR(WritePage(mask, &pool));
    if (!png_.empty()) DAMASK_RETURN_IF_ERROR(WritePng(mask, head));
    const bool nothing_written = !page_ && png_.empty();
    if (common.json) {
      WriteJson(report::InspectJson(mask, report::MeasureMask(mask, {length_}, &pool)));
    } else if (nothing_written) {
      Write(report::InspectText(mask, report::MeasureMask(mask, {length_}, &pool)));
    }
    return kExitDone;
  }

 private:
  Result<int> Diff(const masks::Mask& mask, const CommonFlags& common, ThreadPool* pool) const {
    DAMASK_ASSIGN_OR_RETURN(const masks::Mask other, masks::ReadMaskFile(*diff_));
    DAMASK_ASSIGN_OR_RETURN(const report::MaskDiff diff, report::DiffMasks(mask, other, length_, pool));
    if (common.json) {
      WriteJson(report::MaskDiffJson(diff));
    } else {
      Write(report::MaskDiffText(diff));
    }
    return kExitDone;
  }

  // The length asked for first, then others to choose from.
  std::vector<uint64_t> PageLengths() const {
    std::vector<uint64_t> lengths = {length_};
    for (const uint64_t other : {uint64_t{1024}, uint64_t{4096}, uint64_t{16384}, uint64_t{65536}, uint64_t{262144}}) {
      if (other != length_) lengths.push_back(other);
    }
    return lengths;
  }

  Status WritePage(const masks::Mask& mask, ThreadPool* pool) const {
    const report::MaskFigures figures = report::MeasureMask(mask, PageLengths(), pool);
    DAMASK_ASSIGN_OR_RETURN(const std::string page, report::MaskPage(mask, figures, pool));
    return WriteFileAtomically(*page_, page);
  }

  Status WritePng(const masks::Mask& mask, const HeadName& name) const {
    const report::HeadPicture drawn = report::DrawHead(mask.head(name.layer, name.head), mask.parameters, kPictureSide);
    DAMASK_ASSIGN_OR_RETURN(const std::string png, report::EncodePng(drawn.picture, drawn.palette));
    return WriteFileAtomically(png_[1], png);
  }

  std::optional<std::string> mask_;
  std::optional<std::string> diff_;
  std::optional<std::string> page_;
  std::vector<std::string> png_;  // head, file
  uint64_t length_ = 4096;
};

}  // namespace

std::unique_ptr<Command> MakeInspect() { return std::make_unique<Inspect>(); }

}  // namespace damask::cli
