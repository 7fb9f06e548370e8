// Fields of OpenAI's and llama-server's requests that damask knows and lacks. A client that sends one expects it to do
// something, so it is refused by name instead of being ignored; the value that asks for nothing is taken.
#pragma once

#include "server/api_fields.h"

namespace damask::server {

void RefuseUnsupported(FieldReader* fields);

}  // namespace damask::server
