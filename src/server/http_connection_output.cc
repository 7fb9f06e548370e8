// A connection's output: what was put into the answer becomes bytes in out_; all that has gathered there goes out with one
// write.
#include <utility>

#include <boost/asio/buffer.hpp>

#include "server/http_connection.h"

namespace damask::server {

void Connection::TakeNews() {
  if (closed_ || answer_ == nullptr) return;
  Answer::News news = answer_->Take();
  if (news.too_slow) return CloseWithReset();
  answer_share_ = std::move(news.whole_share);
  if (news.whole) QueueWhole(*news.whole);
  if (news.full) QueueWhole(owner_->Error(503, "answers that are waiting for their clients fill the memory for them", head_));
  if (news.dropped) QueueWhole(owner_->Error(500, "the server gave no answer to this request", head_));
  if (news.head) {
    keep_alive_ = news.keep_alive;
    BeginStream(*news.head);
  }
  QueueStream(news.bytes);
  answer_->SetUnsent(unsent());
  if (news.aborted) {
    keep_ = false;
    // Nothing but an error tells such a client that the answer is not whole.
    reset_at_end_ = streaming_ && http_1_0_;
  } else if (news.ended && !http_1_0_ && !head_only_) {
    out_ += kLastChunk;
  }
  if (news.whole || news.full || news.dropped || news.ended || news.aborted) FinishAnswer();
  Send();
}

void Connection::QueueWhole(const HttpResponse& response) {
  out_ += FormatHead(response, {Framing::kLength, keep_connection(), http_1_0_});
  if (!head_only_ && StatusHasBody(response.status)) out_ += response.body;
}

void Connection::BeginStream(const HttpResponse& head) {
  streaming_ = true;
  head_only_ = head_only_ || !StatusHasBody(head.status);
  // The end of the connection is the end of the body.
  if (http_1_0_ && !head_only_) keep_ = false;
  out_ += FormatHead(head, {stream_framing(), keep_connection(), http_1_0_});
  num_keep_alives_ = 0;
  if (!keep_alive_.text.empty() && keep_alive_.every.count() > 0) keep_alive_at_ = Clock::now() + keep_alive_.every;
}

void Connection::QueueStream(const std::string& bytes) {
  if (bytes.empty() || head_only_) return;
  if (http_1_0_) {
    out_ += bytes;
  } else {
    AppendChunk(bytes, &out_);
  }
  num_keep_alives_ = 0;
  if (keep_alive_at_ != kNever) keep_alive_at_ = Clock::now() + keep_alive_.every;
}

void Connection::SendKeepAlive() {
  keep_alive_at_ = Clock::now() + keep_alive_.every;
  // Where bytes are waiting for the client, the silence is not ours.
  if (unsent() > 0) return;
  const uint64_t number = num_keep_alives_ + 1;
  const bool data = !keep_alive_.data.empty() && number % keep_alive_.data_every == 0;
  QueueStream(data ? keep_alive_.data : keep_alive_.text);
  num_keep_alives_ = number;
  Send();
}

void Connection::FinishAnswer() {
  std::exchange(answer_, nullptr)->Finish();
  streaming_ = false;
  keep_alive_at_ = kNever;
}

void Connection::Send() {
  if (closed_ || writing_) return;
  if (out_.empty()) {
    // Nothing was to be said at all: Abort before the head, or the end of an answer whose bytes are out already.
    if (answer_ == nullptr) OnAllSent();
    return;
  }
  sending_ = std::exchange(out_, std::string());
  sent_ = 0;
  write_deadline_ = Clock::now() + limits_.write_timeout;
  WriteSome();
}

void Connection::WriteSome() {
  writing_ = true;
  socket_.async_write_some(boost::asio::buffer(sending_.data() + sent_, sending_.size() - sent_),
                           [self = shared_from_this()](const ErrorCode& error, size_t bytes) {
                             self->Guard([&] { self->OnWritten(error, bytes); });
                           });
}

void Connection::OnWritten(const ErrorCode& error, size_t bytes) {
  writing_ = false;
  if (closed_) return;
  if (error) return Close();
  sent_ += bytes;
  write_deadline_ = Clock::now() + limits_.write_timeout;
  if (answer_ != nullptr) answer_->SetUnsent(unsent());
  if (sent_ < sending_.size()) return WriteSome();
  sending_ = std::string();
  sent_ = 0;
  if (!out_.empty()) return Send();
  write_deadline_ = kNever;
  if (answer_ == nullptr) OnAllSent();
}

void Connection::OnAllSent() {
  answer_share_.GiveBack();
  if (std::exchange(answering_, false)) owner_->AnswerIsSent();
  if (reset_at_end_) return CloseWithReset();
  if (input_ended_) return Close();
  if (!keep_connection()) return Linger();
  if (parser_.state() == HttpParser::State::kIdle) read_deadline_ = Clock::now() + limits_.idle_timeout;
  Advance();
  Read();
}

// Closing with bytes of the client unread resets the connection, and the answer is lost before the client has read it: so only
// our side is closed, and what still comes is thrown away for a while.
void Connection::Linger() {
  if (closed_ || lingering_) return;
  lingering_ = discarding_ = true;
  in_ = std::string();
  ErrorCode ignored;
  socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
  read_deadline_ = Clock::now() + limits_.linger_timeout;
  Read();
}

}  // namespace damask::server
