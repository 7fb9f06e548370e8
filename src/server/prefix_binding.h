// What the pages of a kept prefix depend on, the tokens aside.
#pragma once

#include <string>
#include <string_view>

#include "base/version.h"
#include "engine/engine.h"

namespace damask::server {

// PrefixShape::binding: version, model with its weights' types and samples of them, policy with its mask's contents, arithmetic
// and type of the pages, rope. Where one of these differs, so does the text.
std::string PrefixBinding(const engine::Engine& engine, std::string_view version = VersionString());

}  // namespace damask::server
