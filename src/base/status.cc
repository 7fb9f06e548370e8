#include "base/status.h"

namespace damask {

const char* StatusCodeName(StatusCode code) {
  switch (code) {
    case StatusCode::kOk: return "ok";
    case StatusCode::kInvalidArgument: return "invalid argument";
    case StatusCode::kBadFormat: return "bad format";
    case StatusCode::kUnsupported: return "unsupported";
    case StatusCode::kTruncated: return "truncated";
    case StatusCode::kTooLarge: return "too large";
    case StatusCode::kNotFound: return "not found";
    case StatusCode::kIo: return "input/output error";
    case StatusCode::kWriteFailed: return "write error";
    case StatusCode::kOutOfMemory: return "out of memory";
    case StatusCode::kCancelled: return "cancelled";
    case StatusCode::kInternal: return "internal error";
  }
  return "unknown";
}

Status Status::At(const std::string& outer) const {
  if (ok()) return *this;
  return {code_, message_, where_.empty() ? outer : outer + ": " + where_};
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  return where_.empty() ? message_ : where_ + ": " + message_;
}

}  // namespace damask
