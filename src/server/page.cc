#include "server/page.h"

#include <cstddef>

// Set by page.S.
#define DAMASK_PAGE_BYTES(name)                                                 \
  [[gnu::visibility("hidden")]] extern const char damask_page_##name##_begin[]; \
  [[gnu::visibility("hidden")]] extern const char damask_page_##name##_end[]
extern "C" {
DAMASK_PAGE_BYTES(index);
DAMASK_PAGE_BYTES(style);
DAMASK_PAGE_BYTES(icon);
DAMASK_PAGE_BYTES(script);
DAMASK_PAGE_BYTES(card);
DAMASK_PAGE_BYTES(completion);
DAMASK_PAGE_BYTES(document);
DAMASK_PAGE_BYTES(figures);
DAMASK_PAGE_BYTES(input);
DAMASK_PAGE_BYTES(reading);
DAMASK_PAGE_BYTES(server);
DAMASK_PAGE_BYTES(settings);
DAMASK_PAGE_BYTES(turn);
DAMASK_PAGE_BYTES(watch);
}
#undef DAMASK_PAGE_BYTES

namespace damask::server {
namespace {

constexpr std::string_view kHtml = "text/html; charset=utf-8";
constexpr std::string_view kCss = "text/css; charset=utf-8";
constexpr std::string_view kJavaScript = "text/javascript; charset=utf-8";
constexpr std::string_view kSvg = "image/svg+xml";

std::string_view Between(const char* begin, const char* end) { return {begin, static_cast<size_t>(end - begin)}; }

}  // namespace

std::span<const PageFile> PageFiles() {
  static const PageFile kFiles[] = {
      {"/", kHtml, Between(damask_page_index_begin, damask_page_index_end)},
      {"/page.css", kCss, Between(damask_page_style_begin, damask_page_style_end)},
      {"/page.svg", kSvg, Between(damask_page_icon_begin, damask_page_icon_end)},
      {"/page.js", kJavaScript, Between(damask_page_script_begin, damask_page_script_end)},
      {"/page_card.js", kJavaScript, Between(damask_page_card_begin, damask_page_card_end)},
      {"/page_completion.js", kJavaScript, Between(damask_page_completion_begin, damask_page_completion_end)},
      {"/page_document.js", kJavaScript, Between(damask_page_document_begin, damask_page_document_end)},
      {"/page_figures.js", kJavaScript, Between(damask_page_figures_begin, damask_page_figures_end)},
      {"/page_input.js", kJavaScript, Between(damask_page_input_begin, damask_page_input_end)},
      {"/page_reading.js", kJavaScript, Between(damask_page_reading_begin, damask_page_reading_end)},
      {"/page_server.js", kJavaScript, Between(damask_page_server_begin, damask_page_server_end)},
      {"/page_settings.js", kJavaScript, Between(damask_page_settings_begin, damask_page_settings_end)},
      {"/page_turn.js", kJavaScript, Between(damask_page_turn_begin, damask_page_turn_end)},
      {"/page_watch.js", kJavaScript, Between(damask_page_watch_begin, damask_page_watch_end)},
  };
  return kFiles;
}

const PageFile* FindPageFile(std::string_view path) {
  for (const PageFile& file : PageFiles()) {
    if (file.path == path) return &file;
  }
  return nullptr;
}

}  // namespace damask::server
