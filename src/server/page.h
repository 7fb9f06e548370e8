// The page at /: the files of src/server/page as they are, part of the program.
#pragma once

#include <span>
#include <string_view>

namespace damask::server {

struct PageFile {
  std::string_view path;  // as a request has it: "/page.css"
  std::string_view content_type;
  std::string_view content;  // there for the life of the program
};

// Nothing in them needs more than this: no inline script or style, nothing from elsewhere.
inline constexpr std::string_view kPageSecurityPolicy =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

std::span<const PageFile> PageFiles();
// nullptr for any other path.
const PageFile* FindPageFile(std::string_view path);

}  // namespace damask::server
