// English prose to hide facts in, and to calibrate on: short paragraphs on many subjects, part of the program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace damask::texts {

// ASCII, one paragraph each, sentences one space apart and ended by a full stop, no digits, no line break.
std::span<const std::string_view> ProseParagraphs();

// At least `characters` characters and at most one paragraph more: whole paragraphs, a line each, in an order drawn from
// `seed`. Every paragraph comes once before one comes again, in a new order.
std::string Prose(size_t characters, uint64_t seed);

}  // namespace damask::texts
