// What llama-server's clients ask beside text: /tokenize, /detokenize, /props, /slots.
#pragma once

#include <string>

#include "base/function_ref.h"
#include "server/api_error.h"
#include "server/served_model.h"

namespace damask::server {

// {"content": TEXT, "add_special": false, "parse_special": true, "with_pieces": false} -> {"tokens": [...]}. Where `gone` says
// that nobody waits any more, it ends early with "".
ApiResult<std::string> Tokenize(const ServedModel& model, const std::string& body, FunctionRef<bool()> gone);
// {"tokens": [...]} -> {"content": TEXT}.
ApiResult<std::string> Detokenize(const ServedModel& model, const std::string& body);

std::string PropsJson(const ServedModel& model);
std::string SlotsJson(const ServedModel& model);

}  // namespace damask::server
