// The three ways to ask for text: from a request to the scheduler and back to the client; and what a chat is to the model.
#pragma once

#include <memory>
#include <string>

#include "server/api_request.h"
#include "server/http_message.h"
#include "server/served_model.h"

namespace damask::server {

// Answers the exchange, now or while the scheduler works. May take as long as reading and tokenizing the request does. The
// model outlives the exchange.
void AnswerGeneration(const ServedModel& model, Api api, const std::shared_ptr<Exchange>& exchange);

// llama-server's /apply-template: the body of a chat -> {"prompt": TEXT}, without the BOS that every prompt gets. As a prompt
// it reads the same, unless somebody in it spells a control token.
ApiResult<std::string> ApplyTemplate(const ServedModel& model, const std::string& body);

}  // namespace damask::server
