// Errors as values: Status and Result<T>. No exception crosses a module border of damask. Part of the public API.
//
// A message is one sentence that says what was found and what was expected; `where` names the file, byte offset, key or JSON
// path it concerns. Callers branch on code(), people read ToString(). Text that comes from a file or a request goes through
// Quote() (src/base/text.h), so that it is escaped and cut.
#pragma once

#include <optional>
#include <string>
#include <utility>

namespace damask {

enum class StatusCode {
  kOk,
  kInvalidArgument,  // the caller's fault: a wrong flag, an impossible combination
  kBadFormat,        // a file or request breaks its own format
  kUnsupported,      // well-formed, but not something damask can run
  kTruncated,        // a file ends before what it announces
  kTooLarge,         // over a limit of src/base/limits.h
  kNotFound,
  kIo,           // the operating system said no
  kWriteFailed,  // output that cannot be written: a full disk, no permission
  kOutOfMemory,
  kCancelled,
  kInternal,  // a bug of ours
};

const char* StatusCodeName(StatusCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(StatusCode code, std::string message, std::string where = {})
      : code_(code), message_(std::move(message)), where_(std::move(where)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }
  const std::string& where() const { return where_; }

  // The same error, seen from one level further out: "model.gguf: key general.alignment: ...".
  Status At(const std::string& outer) const;

  // "where: message", or "ok".
  std::string ToString() const;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
  std::string where_;
};

inline Status InvalidArgument(std::string message) { return {StatusCode::kInvalidArgument, std::move(message)}; }
inline Status BadFormat(std::string message) { return {StatusCode::kBadFormat, std::move(message)}; }
inline Status Unsupported(std::string message) { return {StatusCode::kUnsupported, std::move(message)}; }
inline Status Truncated(std::string message) { return {StatusCode::kTruncated, std::move(message)}; }
inline Status TooLarge(std::string message) { return {StatusCode::kTooLarge, std::move(message)}; }
inline Status NotFound(std::string message) { return {StatusCode::kNotFound, std::move(message)}; }
inline Status IoError(std::string message) { return {StatusCode::kIo, std::move(message)}; }
inline Status WriteFailed(std::string message) { return {StatusCode::kWriteFailed, std::move(message)}; }
inline Status OutOfMemory(std::string message) { return {StatusCode::kOutOfMemory, std::move(message)}; }
inline Status Cancelled() { return {StatusCode::kCancelled, "cancelled"}; }
inline Status Internal(std::string message) { return {StatusCode::kInternal, std::move(message)}; }

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    if (status_.ok()) status_ = Internal("a Result was made from an ok Status without a value");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  // Only after ok(): otherwise std::bad_optional_access.
  T& value() & { return value_.value(); }
  const T& value() const& { return value_.value(); }
  T&& value() && { return std::move(value_).value(); }
  T* operator->() { return &value_.value(); }
  const T* operator->() const { return &value_.value(); }
  T& operator*() & { return value_.value(); }
  const T& operator*() const& { return value_.value(); }
  T&& operator*() && { return std::move(value_).value(); }

 private:
  std::optional<T> value_;
  Status status_;
};

}  // namespace damask

#define DAMASK_CONCAT_INNER(a, b) a##b
#define DAMASK_CONCAT(a, b) DAMASK_CONCAT_INNER(a, b)

// NOLINTBEGIN(bugprone-macro-parentheses): a declaration in parentheses is none

// Leaves the function with the error of `expr`, if it has one.
#define DAMASK_RETURN_IF_ERROR(expr)                                                        \
  do {                                                                                      \
    if (::damask::Status damask_status = (expr); !damask_status.ok()) return damask_status; \
  } while (false)

// DAMASK_ASSIGN_OR_RETURN(auto file, OpenFile(path));
#define DAMASK_ASSIGN_OR_RETURN(lhs, expr) DAMASK_ASSIGN_OR_RETURN_IMPL(DAMASK_CONCAT(damask_result_, __LINE__), lhs, expr)
#define DAMASK_ASSIGN_OR_RETURN_IMPL(result, lhs, expr) \
  auto result = (expr);                                 \
  if (!result.ok()) return result.status();             \
  lhs = std::move(result).value()

// NOLINTEND(bugprone-macro-parentheses)
