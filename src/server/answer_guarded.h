// Work that answers an exchange and may fail, on a thread that must go on.
#pragma once

#include <exception>
#include <memory>
#include <new>
#include <string>

#include "server/api_error.h"
#include "server/http_message.h"

namespace damask::server {

// Everything that could not be foreseen.
inline HttpResponse Bug(const std::exception& error) {
  return ApiErrorResponse(ServerError(std::string("this is a bug in damask: ") + error.what()));
}

// A failure to answer (no memory) must not end the thread; the exchange then answers for itself.
template <typename Work>
void AnswerGuarded(const std::shared_ptr<Exchange>& exchange, const Work& work) {
  try {
    work();
  } catch (const std::bad_alloc&) {
    exchange->Respond(ApiErrorResponse(ServerFull("There is no memory for this request just now.")));
  } catch (const std::exception& error) {
    exchange->Respond(Bug(error));
  }
}

}  // namespace damask::server
