// The small model that is part of the program: what runs when no -m is given, and what tests and the demonstration use.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace damask {

// The bytes of models/reference.gguf, 64-byte aligned, read-only, there for the life of the program.
std::span<const std::byte> EmbeddedModel();

// What messages call it in place of a file name.
std::string_view EmbeddedModelName();

}  // namespace damask
