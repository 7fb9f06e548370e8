// The three ways to ask for text: from a request to the scheduler and back to the client.
#pragma once

#include <memory>

#include "server/api_request.h"
#include "server/http_message.h"
#include "server/served_model.h"

namespace damask::server {

// Answers the exchange, now or while the scheduler works. May take as long as reading and tokenizing the request does. The
// model outlives the exchange.
void AnswerGeneration(const ServedModel& model, Api api, const std::shared_ptr<Exchange>& exchange);

}  // namespace damask::server
