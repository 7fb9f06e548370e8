// What a model is to read: the `messages` of a chat, or a `prompt` as text or as token ids.
#pragma once

#include "server/api_fields.h"
#include "server/api_request.h"

namespace damask::server {

// Roles system, developer (read as system), user and assistant; content a text or an array of text parts, which are joined by
// line breaks, as llama-server does.
void ReadMessages(FieldReader* fields, ApiRequest* request);

// A string, an array of one string, an array of ids, or an array of one array of ids. That ids are in the vocabulary is for
// the caller to see: here they are only non-negative 32 bit numbers.
void ReadPrompt(FieldReader* fields, ApiRequest* request);

}  // namespace damask::server
