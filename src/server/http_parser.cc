#include "server/http_parser.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>

#include "base/text.h"

namespace damask::server {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using ErrorCode = beast::error_code;
using Text = beast::string_view;

// "0", CR, LF, CR, LF: no chunked body ends in less. Beast's parser asserts it when the last chunk comes byte by byte.
constexpr size_t kLeastChunkedTail = 5;

uint32_t HeaderLimit(uint64_t bytes) {
  return static_cast<uint32_t>(std::min<uint64_t>(bytes, std::numeric_limits<uint32_t>::max() / 2));
}

// "http://host:port/path" -> {"host:port", "/path"}; the authority is empty where the target is a path.
std::pair<std::string, std::string> SplitTarget(const std::string& target) {
  const size_t scheme = target.find("://");
  if (target.empty() || target[0] == '/' || scheme == std::string::npos || target.find_first_of("/?") < scheme)
    return {"", target};
  const size_t begin = scheme + 3;
  const size_t end = std::min(target.find_first_of("/?", begin), target.size());
  std::string path = target.substr(end);
  if (path.empty() || path[0] != '/') path.insert(0, "/");
  return {target.substr(begin, end - begin), path};
}

}  // namespace

class HttpParser::Impl : public http::basic_parser<true> {
 public:
  Impl(const HttpLimits& limits, const std::shared_ptr<BodyBudget>& budget) : limits_(limits), budget_(budget) {
    request.body_share = BodyShare(budget);
    header_limit(HeaderLimit(limits.max_header_bytes));
    body_limit(limits.max_body_bytes);
  }

  void Feed(std::string* input);

  State state = State::kIdle;
  bool http_1_0 = false;
  bool expects_continue = false;
  HttpRequest request;
  int error_status = 0;
  std::string error_message;

 private:
  void Fail(int status, const std::string& message);
  void FailBy(const ErrorCode& error);
  // False where more bytes are needed, or none are left, or the request is whole or broken.
  bool Step(std::string* input);
  void CheckUnfinished(size_t waiting);
  void FinishHead();

  void on_request_impl(http::verb, Text method, Text target, int version, ErrorCode&) override;
  void on_response_impl(int, Text, int, ErrorCode&) override {}
  void on_field_impl(http::field name, Text name_text, Text value, ErrorCode&) override;
  void on_header_impl(ErrorCode&) override {}
  void on_body_init_impl(const boost::optional<uint64_t>&, ErrorCode&) override {}
  size_t on_body_impl(Text bytes, ErrorCode& error) override { return AppendBody(bytes, &error); }
  void on_chunk_header_impl(uint64_t, Text, ErrorCode&) override {}
  size_t on_chunk_body_impl(uint64_t, Text bytes, ErrorCode& error) override { return AppendBody(bytes, &error); }
  void on_finish_impl(ErrorCode&) override {}

  size_t AppendBody(Text bytes, ErrorCode* error);
  void FailFull();

  const HttpLimits& limits_;
  const std::shared_ptr<BodyBudget>& budget_;
  uint64_t head_bytes_ = 0;  // taken so far
  size_t num_hosts_ = 0;
  size_t num_lengths_ = 0;
  std::string authority_;   // of a target with scheme and host
  bool no_memory_ = false;  // for more of the body
  std::string own_error_;   // why a callback refused; Beast would say "bad value"
};

void HttpParser::Impl::Fail(int status, const std::string& message) {
  state = State::kFailed;
  error_status = status;
  error_message = message;
  request.body = std::string();
  request.body_share.GiveBack();
}

void HttpParser::Impl::FailFull() {
  Fail(503, "the requests under way fill the " + std::to_string(budget_->limit()) + " bytes that there are for bodies");
}

size_t HttpParser::Impl::AppendBody(Text bytes, ErrorCode* error) {
  if (!request.body_share.Grow(bytes.size())) {
    no_memory_ = true;
    *error = http::error::bad_value;
    return 0;
  }
  request.body.append(bytes.data(), bytes.size());
  return bytes.size();
}

void HttpParser::Impl::FailBy(const ErrorCode& error) {
  if (no_memory_) {
    FailFull();
  } else if (!own_error_.empty()) {
    Fail(400, own_error_);
  } else if (error == http::error::header_limit) {
    Fail(431, "request line and headers are longer than " + std::to_string(limits_.max_header_bytes) + " bytes");
  } else if (error == http::error::body_limit) {
    Fail(413, "the request's body is longer than " + std::to_string(limits_.max_body_bytes) + " bytes");
  } else {
    Fail(400, "the request is not HTTP/1.1 as it should be: " + error.message());
  }
}

void HttpParser::Impl::on_request_impl(http::verb, Text method, Text target, int version, ErrorCode&) {
  request.method = std::string(method);
  http_1_0 = version == 10;
  std::string path;
  std::tie(authority_, path) = SplitTarget(std::string(target));
  const size_t question = path.find('?');
  request.path = path.substr(0, question);
  if (question != std::string::npos) request.query = path.substr(question + 1);
}

void HttpParser::Impl::on_field_impl(http::field name, Text name_text, Text value, ErrorCode& error) {
  if (state == State::kBody) return;  // a trailer: nobody reads it, and it must not pass for a header
  if (name == http::field::content_length && (++num_lengths_ > 1 || value.find(',') != Text::npos)) {
    own_error_ = "Content-Length is there more than once";
  } else if (name == http::field::transfer_encoding && (http_1_0 || !beast::iequals(value, "chunked"))) {
    own_error_ = "the only Transfer-Encoding is chunked, in HTTP/1.1";
  } else if (name == http::field::host && ++num_hosts_ > 1) {
    own_error_ = "Host is there more than once";
  }
  if (!own_error_.empty()) {
    error = http::error::bad_value;
    return;
  }
  request.headers.emplace_back(LowerCase(std::string_view(name_text.data(), name_text.size())), std::string(value));
}

void HttpParser::Impl::FinishHead() {
  if (!http_1_0 && num_hosts_ == 0) return Fail(400, "the header Host is missing");
  // RFC 9112, section 3.2.2: the host of the request line counts, not the header's.
  if (!authority_.empty()) {
    std::erase_if(request.headers, [](const auto& header) { return header.first == "host"; });
    request.headers.emplace_back("host", authority_);
  }
  expects_continue = !http_1_0 && !is_done() && beast::iequals(Text(request.header("expect")), "100-continue");
  // Told before the client has sent it all. Nothing is set aside yet: else whoever announces much and sends little would keep
  // others out.
  const auto length = content_length();
  if (budget_ != nullptr && length && *length > budget_->left()) return FailFull();
  state = State::kBody;
  eager(true);
}

void HttpParser::Impl::CheckUnfinished(size_t waiting) {
  if (state == State::kHead && head_bytes_ + waiting > limits_.max_header_bytes) {
    FailBy(http::error::header_limit);
  } else if (state == State::kBody && waiting > limits_.max_header_bytes) {
    Fail(400, "the line of a chunk or its trailers are longer than " + std::to_string(limits_.max_header_bytes) + " bytes");
  }
}

bool HttpParser::Impl::Step(std::string* input) {
  if (state == State::kBody && chunked() && input->size() < kLeastChunkedTail) return false;
  ErrorCode error;
  const size_t taken = put(boost::asio::const_buffer(input->data(), input->size()), error);
  input->erase(0, taken);
  if (state == State::kHead) head_bytes_ += taken;
  if (error && error != http::error::need_more) {
    FailBy(error);
    return false;
  }
  if (state == State::kHead && is_header_done()) {
    FinishHead();
    if (state != State::kFailed && head_bytes_ > limits_.max_header_bytes) FailBy(http::error::header_limit);
  }
  if (state == State::kBody && is_done()) state = State::kDone;
  if (error == http::error::need_more) CheckUnfinished(input->size());
  return !error && (state == State::kHead || state == State::kBody);
}

void HttpParser::Impl::Feed(std::string* input) {
  if (state == State::kIdle) {
    // RFC 9112, section 2.2: empty lines before a request are skipped.
    size_t begin = 0;
    while (input->compare(begin, 2, "\r\n") == 0) begin += 2;
    input->erase(0, begin);
    if (input->empty() || *input == "\r") return;
    state = State::kHead;
  }
  if (state != State::kHead && state != State::kBody) return;
  while (!input->empty() && Step(input)) {
  }
}

HttpParser::HttpParser(const HttpLimits& limits, std::shared_ptr<BodyBudget> budget)
    : limits_(limits), budget_(std::move(budget)), impl_(std::make_unique<Impl>(limits_, budget_)) {}
HttpParser::~HttpParser() = default;

void HttpParser::Feed(std::string* input) { impl_->Feed(input); }
void HttpParser::Reset() { impl_ = std::make_unique<Impl>(limits_, budget_); }
HttpParser::State HttpParser::state() const { return impl_->state; }
bool HttpParser::http_1_0() const { return impl_->http_1_0; }
bool HttpParser::keep_alive() const { return impl_->keep_alive(); }
bool HttpParser::expects_continue() const { return impl_->expects_continue; }
const HttpRequest& HttpParser::head() const { return impl_->request; }
HttpRequest HttpParser::TakeRequest() { return std::move(impl_->request); }
int HttpParser::error_status() const { return impl_->error_status; }
const std::string& HttpParser::error_message() const { return impl_->error_message; }

}  // namespace damask::server
