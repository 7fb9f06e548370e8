#include "report/mask_page.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "report/html.h"
#include "report/mask_sprites.h"

namespace damask::report {
namespace {

using masks::HeadMask;
using masks::Mask;
using masks::Treatment;

// In the order of kViews.
constexpr std::string_view kViewIds[] = {"mean", "amplified", "true", "extended"};
constexpr std::string_view kViewNames[] = {"mean map", "amplified map", "true mask", "extended mask"};
constexpr size_t kFirstView = 3;  // what the heads do is seen at first sight
static_assert(std::size(kViewIds) == kViews.size() && std::size(kViewNames) == kViews.size());

std::string Percent(double share) { return fmt::format("{:.1f}%", 100.0 * share); }

// Content heads choose at run time: what they compute is known only as a bound.
std::string_view AtMost(bool is_bound) { return is_bound ? "\u2264 " : ""; }

std::string SortValue(const std::optional<double>& value) { return value ? fmt::format("{:.6g}", *value) : ""; }

template <typename Number>
std::string Joined(const std::vector<Number>& numbers) {
  std::string text;
  for (const Number& number : numbers) text += fmt::format("{}{:.4g}", text.empty() ? "" : " ", static_cast<double>(number));
  return text;
}

class PageWriter {
 public:
  PageWriter(const Mask& mask, const MaskFigures& figures, const Sprites& sprites)
      : mask_(mask), figures_(figures), sprites_(sprites), totals_(AddUp(figures, 0, figures.heads.size())) {}

  std::string Write() {
    Head();
    Summary();
    page_ += "<main>\n";
    Detail();
    Grid();
    HeadTable();
    page_ += "</main>\n";
    Add("<h2 id=\"legend\">How to read this</h2>\n{}", kMaskPageLegend);
    MadeWith();
    Add("<script>{}</script>\n</body>\n</html>\n", kMaskPageScript);
    return std::move(page_);
  }

 private:
  template <typename... Args>
  void Add(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(page_), format, std::forward<Args>(args)...);
  }

  const masks::Fingerprint& fingerprint() const { return mask_.fingerprint; }

  std::string ModelName() const {
    const std::string& name = fingerprint().model.empty() ? fingerprint().architecture : fingerprint().model;
    return name.empty() ? "a model without a name" : EscapeHtml(name);
  }

  void Head() {
    page_ += "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n";
    // Nothing is fetched from anywhere, whatever a name in the file says.
    page_ +=
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\"/>\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n";
    Add("<title>damask: the mask of {}</title>\n<style>{}", ModelName(), kMaskPageStyle);
    const size_t columns = sprites_.columns;
    const size_t rows = sprites_.rows;
    const size_t tile = columns <= 4 ? 132 : columns <= 8 ? 104 : columns <= 16 ? 64 : 38;
    Add(":root {{ --columns: {}; --rows: {}; --tile: {}px; }}\n", columns, rows, tile);
    for (size_t x = 1; x < columns; ++x) Add(".x{} {{ background-position-x: calc(100% * {} / {}); }}\n", x, x, columns - 1);
    for (size_t y = 1; y < rows; ++y) Add(".y{} {{ background-position-y: calc(100% * {} / {}); }}\n", y, y, rows - 1);
    for (size_t layer = 0; layer < sprites_.layers.size(); ++layer) {
      for (size_t view = 0; view < kViews.size(); ++view) {
        Add(".{} .l{} {{ background-image: url(data:image/png;base64,{}); }}\n", kViewIds[view], layer,
            Base64(sprites_.layers[layer][view]));
      }
    }
    page_ += "</style>\n</head>\n<body>\n";
  }

  void Card(std::string_view value, std::string_view name) {
    Add("<div class=\"card\"><b>{}</b><span>{}</span></div>\n", value, name);
  }

  void Summary() {
    Add("<h1>What the mask of {} keeps</h1>\n", ModelName());
    Add("<p class=\"soft\">{}. Each picture is one attention head; <a href=\"#legend\">how to read them</a> stands "
        "below.</p>\n",
        EscapeHtml(masks::Describe(fingerprint())));
    page_ += "<div class=\"cards\">\n";
    for (const Treatment treatment : {Treatment::kStatic, Treatment::kContent, Treatment::kDense}) {
      const std::string_view name = masks::TreatmentName(treatment);
      Add("<div class=\"card\"><b>{}</b><span><i class=\"swatch {}\"></i>{} heads{}</span></div>\n", Count(treatment), name,
          name, treatment == Treatment::kStatic && totals_.windows != 0 ? fmt::format(" ({} by window)", totals_.windows) : "");
    }
    Add("<div class=\"card\"><b id=\"density\">{}{}</b><span><label>density at <select id=\"length\" data-all=\"{}\">",
        AtMost(Count(Treatment::kContent) != 0), Percent(totals_.planned_density.front()), Joined(totals_.planned_density));
    for (const uint64_t length : figures_.lengths) Add("<option>{}</option>", length);
    page_ += "</select> tokens</label></span></div>\n";
    Card(ShareText(totals_.mass_mean), "mean mass");
    Card(ShareText(totals_.mass_min), "smallest mass");
    const double joint = mask_.parameters.joint_effect;
    if (joint != masks::kNoGoal) Card(EffectText(joint), "joint effect, nats");
    page_ += "</div>\n<div class=\"bar\" aria-hidden=\"true\">";
    for (const Treatment treatment : {Treatment::kStatic, Treatment::kContent, Treatment::kDense}) {
      if (Count(treatment) == 0) continue;
      Add("<i class=\"{}\" style=\"flex: {}\"></i>", masks::TreatmentName(treatment), Count(treatment));
    }
    page_ += "</div>\n";
  }

  uint64_t Count(Treatment treatment) const { return totals_.treatments[static_cast<size_t>(treatment)]; }

  std::string Caption(View view) const {
    const uint64_t length = mask_.parameters.capture_length;
    switch (view) {
      case View::kMean:
        return fmt::format(
            "Where the head looked in calibration, {} tokens: the largest mean of each square, brightness by its square root.",
            length);
      case View::kAmplified:
        return fmt::format(
            "The mask's transform ({}) applied to that small map; the calibration itself used all {} x {} means.",
            masks::TransformName(mask_.parameters.amplify.transform), length, length);
      case View::kTrueMask: return "The pairs that reached the threshold. Diagonals and verticals are found in it.";
      case View::kExtended: break;
    }
    return fmt::format("The pairs that the mask keeps of a text of {} tokens; whole 16-key quarters are computed.",
                       kExtension * length);
  }

  void Detail() {
    page_ += "<h2>One head</h2>\n<section class=\"detail\" aria-live=\"polite\">\n<h3 id=\"which\">Layer 0, head 0</h3>\n";
    page_ += "<div class=\"parts\">\n<div class=\"four\">\n";
    for (size_t view = 0; view < kViews.size(); ++view) {
      Add("<figure class=\"{}\"><i class=\"pic l0 x0 y0\"></i><figcaption><b>{}</b><br/>{}</figcaption></figure>\n",
          kViewIds[view], kViewNames[view], Caption(kViews[view]));
    }
    page_ +=
        "</div>\n<div><dl class=\"figures\" id=\"figures\"></dl>\n<p class=\"kept\" "
        "id=\"kept\"></p></div>\n</div>\n</section>\n";
  }

  void Grid() {
    page_ += "<h2>All heads</h2>\n<fieldset><legend>Show the</legend>\n";
    for (size_t view = 0; view < kViews.size(); ++view) {
      Add("<label><input type=\"radio\" name=\"view\" value=\"{}\"{}/>{}</label>\n", kViewIds[view],
          view == kFirstView ? " checked=\"checked\"" : "", kViewNames[view]);
    }
    page_ += "</fieldset>\n";
    Add("<div class=\"scroll\"><div class=\"grid {}\" id=\"grid\" data-heads=\"{}\" role=\"group\" "
        "aria-label=\"All heads, a row for each layer; the arrow keys move\">\n",
        kViewIds[kFirstView], fingerprint().heads);
    page_ += "<div class=\"row top\" aria-hidden=\"true\"><span class=\"layer\"></span>";
    for (size_t head = 0; head < fingerprint().heads; ++head) Add("<span>{}</span>", head);
    page_ += "</div>\n";
    for (size_t layer = 0; layer < fingerprint().layers; ++layer) {
      Add("<div class=\"row\"><span class=\"layer\" title=\"layer {}\">{}</span>", layer, layer);
      for (size_t head = 0; head < fingerprint().heads; ++head) Cell(layer, head);
      page_ += "</div>\n";
    }
    page_ += "</div></div>\n<p class=\"key\"><span>rows: layers, columns: heads</span>";
    page_ += "<span><i class=\"swatch static\"></i>static, plain border</span>";
    page_ += "<span><i class=\"swatch content\"></i>content, dashed border</span>";
    page_ += "<span><i class=\"swatch dense\"></i>dense, double border</span></p>\n";
  }

  void Cell(size_t layer, size_t head) {
    const std::string_view treatment = masks::TreatmentName(mask_.head(layer, head).treatment);
    Add("<button type=\"button\" class=\"cell {}\" aria-pressed=\"false\" aria-label=\"layer {} head {}, {}\" "
        "title=\"{}.{} {}\"><i class=\"pic l{} x{} y{}\"></i></button>",
        treatment, layer, head, treatment, layer, head, treatment, layer, head % sprites_.columns, head / sprites_.columns);
  }

  void HeadTable() {
    page_ +=
        "<h2>The figures of every head</h2>\n<p class=\"soft\">A click on a heading sorts. - stands for what was not "
        "measured, and for figures of a static form in heads that have none.</p>\n"
        "<div class=\"tall\"><table class=\"heads\">\n<thead><tr>";
    for (const std::string_view heading :
         {"head", "treatment", "mass", "strong-key hit", "effect", "rank", "diagonals", "verticals", "density"}) {
      Add("<th scope=\"col\" aria-sort=\"{}\"><button type=\"button\">{}</button></th>",
          heading == "head" ? "ascending" : "none", heading);
    }
    page_ += "</tr></thead>\n<tbody>\n";
    for (size_t i = 0; i < figures_.heads.size(); ++i) HeadRow(i);
    page_ += "</tbody>\n</table></div>\n";
  }

  void Number(const std::optional<double>& value, std::string_view text) {
    Add("<td data-v=\"{}\">{}</td>", SortValue(value), text);
  }

  void HeadRow(size_t index) {
    const HeadFigures& head = figures_.heads[index];
    const std::string_view treatment = masks::TreatmentName(head.treatment);
    const bool window = head.form == masks::StaticForm::kWindow;
    Add("<tr data-treatment=\"{}\" data-kept=\"{}\"><td data-v=\"{}\"><button type=\"button\">{}.{}</button></td>", treatment,
        Kept(mask_.heads[index]), index, head.layer, head.head);
    Add("<td data-v=\"{}\"><i class=\"swatch {}\"></i>{}{}</td>", static_cast<int>(head.treatment) * 2 + (window ? 1 : 0),
        treatment, treatment, window ? " (window)" : "");
    Number(head.mass, ShareText(head.mass));
    Number(head.strong_key_hit, ShareText(head.strong_key_hit));
    Number(head.effect, EffectText(head.effect));
    const std::optional<double> rank = head.rank ? std::optional<double>(*head.rank) : std::nullopt;
    Number(rank, rank ? fmt::format("{}", *head.rank) : "-");
    Number(static_cast<double>(head.diagonals), fmt::format("{}", head.diagonals));
    Number(static_cast<double>(head.verticals), fmt::format("{}", head.verticals));
    Add("<td data-v=\"{:.4g}\" data-all=\"{}\">{}{}</td></tr>\n", head.planned_density.front(), Joined(head.planned_density),
        AtMost(head.treatment == Treatment::kContent), Percent(head.planned_density.front()));
  }

  // What the static form keeps, the first patterns of it.
  std::string Kept(const HeadMask& head) const {
    constexpr size_t kShown = 12;
    if (head.treatment == Treatment::kDense) return "Everything is computed.";
    if (head.treatment == Treatment::kContent) return "Blocks are chosen from the text as it goes by.";
    if (head.form == masks::StaticForm::kWindow) {
      return fmt::format("Keeps the first {} tokens and the last {}.", head.window_sinks, head.window);
    }
    std::string text = fmt::format("Keeps the first {} tokens, distances ", mask_.parameters.sink_keys);
    const auto& diagonals = head.patterns.diagonals;
    for (size_t i = 0; i < std::min(diagonals.size(), kShown); ++i) {
      const uint32_t last = diagonals[i].end - 1;
      text += fmt::format("{}{}", i == 0 ? "" : ", ", diagonals[i].begin);
      if (last != diagonals[i].begin) text += fmt::format(" to {}", last);
    }
    if (diagonals.size() > kShown) text += fmt::format(" and {} more ranges", diagonals.size() - kShown);
    const auto& verticals = head.patterns.verticals;
    if (verticals.empty()) return text + ".";
    text += "; the tokens at ";
    for (size_t i = 0; i < std::min(verticals.size(), kShown); ++i) {
      text += fmt::format("{}{}", i == 0 ? "" : ", ", verticals[i].column);
    }
    if (verticals.size() > kShown) text += fmt::format(" and {} more", verticals.size() - kShown);
    return text + ".";
  }

  void MadeWith() {
    page_ += "<h2>How it was made</h2>\n<dl class=\"made\">\n";
    const auto line = [&](std::string_view name, std::string_view value) {
      Add("<div><dt>{}</dt><dd>{}</dd></div>\n", name, EscapeHtml(value));
    };
    line("model", fingerprint().model.empty() ? "unknown" : fingerprint().model);
    line("architecture", fingerprint().architecture.empty() ? "unknown" : fingerprint().architecture);
    for (const auto& [name, value] : DescribeParameters(mask_)) line(name, value);
    page_ += "</dl>\n";
  }

  const Mask& mask_;
  const MaskFigures& figures_;
  const Sprites& sprites_;
  const Totals totals_;
  std::string page_;
};

}  // namespace

Result<std::string> MaskPage(const Mask& mask, const MaskFigures& figures, ThreadPool* pool) {
  if (mask.heads.size() > kMaxPageHeads) {
    return TooLarge(fmt::format("the mask has {} heads, a page shows at most {}", mask.heads.size(), kMaxPageHeads));
  }
  DAMASK_ASSIGN_OR_RETURN(const Sprites sprites, DrawSprites(mask, pool));
  return PageWriter(mask, figures, sprites).Write();
}

}  // namespace damask::report
